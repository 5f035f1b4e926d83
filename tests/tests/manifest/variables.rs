//! Variables in a manifest, and the properties of remotes that the code declares.

use std::collections::BTreeSet;
use std::process::Command;

use forge_remote::manifest::{DesiredManifest, Diagnostic, ManifestFile, Severity, check};
use forge_remote::registry::Registry;
use forge_remote::{Remote, RemoteOperation, RemoteRegion};
use forge_remote_tests::stores::Folder;

fn parse(text: &str) -> ManifestFile {
    ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap()
}

fn findings(text: &str) -> Vec<Diagnostic> {
    check(&parse(text), &DesiredManifest::default(), &BTreeSet::new())
}

/// Returns the line and the message of each finding with this code.
fn of(code: &str, text: &str) -> Vec<(usize, String)> {
    let findings = findings(text).into_iter();
    let found = findings.filter(|one| one.code == code);
    found
        .map(|one| (one.manifest.unwrap().line, one.message))
        .collect()
}

#[test]
fn every_undeclared_variable_is_found() {
    let text = "\
app:
  id: ari:cloud:ecosystem::app/${APP_ID}
environment:
  variables:
    - REMOTE_BASE_URL
remotes:
  - key: backend
    baseUrl: \"${REMOTE_BASE_URL}\"
modules:
  jira:globalPage:
    - key: page${SUFFIX}
      title: Page ${REMOTE_BASE_URL}${A}${A}${B} ${} ${a.b} $C
      resource: main
resources:
  - key: main
    path: static
permissions:
  scopes: []
  external:
    frames:
      - address: ${FRAME_URL}/editor
";
    let found = of("undeclared-variable", text);
    let found: Vec<(usize, &str)> = found
        .iter()
        .map(|(line, message)| (*line, message.split('`').nth(1).unwrap()))
        .collect();
    let expected = [
        (2, "${APP_ID}"),
        (11, "${SUFFIX}"),
        (12, "${A}"),
        (12, "${B}"),
        (21, "${FRAME_URL}"),
    ];
    assert_eq!(found, expected);
}

fn remote_at(variables: &str, url: &str) -> String {
    format!(
        "environment:\n  variables: [{variables}]\nremotes:\n  - key: backend\n    baseUrl: {url}\n"
    )
}

#[test]
fn the_default_of_a_base_url_is_checked() {
    let slash = "{key: FORGE_REMOTE_TEST_URL, default: https://app.example.com/}";
    for (variables, url, expected) in [
        ("FORGE_REMOTE_TEST_URL", "${FORGE_REMOTE_TEST_URL}", None),
        (
            slash,
            "${FORGE_REMOTE_TEST_URL}",
            Some("which ends with a slash"),
        ),
        (
            slash,
            "{default: https://x.example.com, EU: \"${FORGE_REMOTE_TEST_URL}\"}",
            Some("which ends with a slash"),
        ),
        (
            "{key: HOST_OF_TEST, default: app}",
            "https://${HOST_OF_TEST}.example.com",
            None,
        ),
        (
            "{key: HOST_OF_TEST, default: app/}",
            "https://${HOST_OF_TEST}",
            Some("which ends with a slash"),
        ),
        ("", "https://app.example.com/", Some("ends with a slash")),
    ] {
        let found = of("base-url", &remote_at(variables, url));
        match expected {
            Some(part) => assert!(
                found.len() == 1 && found[0].1.contains(part),
                "{url}: {found:?}"
            ),
            None => assert_eq!(found, [], "{url}"),
        }
    }
}

mod handlers {
    use forge_remote::prelude::*;

    #[scheduled_trigger(
        interval = "hour",
        key = "tick-trigger",
        endpoint = "tick",
        path = "/tick"
    )]
    pub(crate) async fn tick() {}

    #[trigger(key = "on", endpoint = "on-calls", events = ["avi:forge:installed:app", "avi:forge:upgraded:app"])]
    pub(crate) async fn on() {}
}

const OF_HANDLERS: &str = "app:
  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107
  runtime: {name: nodejs22.x}
modules:
  scheduledTrigger:
    - key: tick-trigger
      endpoint: ${ENDPOINT}
      interval: \"${INTERVAL}\" # by environment
  trigger:
    - {key: on, endpoint: on-calls, events: [avi:forge:upgraded:app, '${EVENT}']}
  endpoint:
    - key: ${ENDPOINT}
      remote: ${REMOTE}
      route: {path: \"/${ENDPOINT}\"}
    - {key: on-calls, remote: backend, route: {path: /on-calls}}
remotes:
  - {key: '${REMOTE}', baseUrl: https://a.example.com}
environment:
  variables:
    - {key: INTERVAL, default: hour}
    - {key: ENDPOINT, default: tick}
    - {key: REMOTE, default: backend}
    - {key: EVENT, default: \"avi:forge:installed:app\"}
";

fn of_handlers() -> DesiredManifest {
    let remote = Remote::new("backend").base_url("https://a.example.com");
    let handlers = [
        forge_remote::handler!(handlers::tick),
        forge_remote::handler!(handlers::on),
    ];
    Registry::from_registrations(handlers).desired_manifest(&[remote])
}

/// Forge replaces variables everywhere, so a default counts as the value.
#[test]
fn a_variable_with_the_codes_value_is_no_difference() {
    let file = parse(OF_HANDLERS);
    let wanted = of_handlers();
    let findings = check(&file, &wanted, &BTreeSet::new());
    let errors = findings
        .iter()
        .filter(|one| one.severity == Severity::Error);
    let errors: Vec<&str> = errors.map(|one| one.message.as_str()).collect();
    assert_eq!(errors, [""; 0]);
    assert_eq!(file.merged_with(&wanted, None).unwrap(), OF_HANDLERS);
    // The values next to a variable are updated.
    let other = OF_HANDLERS.replace("/on-calls", "/other");
    assert_eq!(
        parse(&other).merged_with(&wanted, None).unwrap(),
        OF_HANDLERS
    );
    let without = OF_HANDLERS.replace("avi:forge:upgraded:app, ", "");
    let merged = parse(&without).merged_with(&wanted, None).unwrap();
    assert!(
        merged.contains("['${EVENT}', avi:forge:upgraded:app]"),
        "{merged}"
    );
}

/// Another environment may have the code's value.
#[test]
fn a_variable_is_never_replaced() {
    for (default, path) in [
        (
            "default: hour",
            "modules.scheduledTrigger[tick-trigger].interval",
        ),
        (
            "default: \"avi:forge:installed:app\"",
            "modules.trigger[on].events",
        ),
    ] {
        let text = OF_HANDLERS.replace(default, "default: \"avi:forge:enabled:app\"");
        let (file, wanted) = (parse(&text), of_handlers());
        let findings = check(&file, &wanted, &BTreeSet::new());
        let differences = findings.iter().filter(|one| one.is_difference());
        let differences: Vec<&Diagnostic> = differences.collect();
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert!(differences[0].message.starts_with(path), "{differences:?}");
        let help = differences[0].help.as_deref().unwrap_or_default();
        assert!(help.contains("does not replace variables"), "{help}");
        assert_eq!(file.merged_with(&wanted, None).unwrap(), text);
    }
}

/// Only `forge deploy` knows it, and another environment may need it.
#[test]
fn a_variable_without_an_item_of_the_code_stays_in_its_list() {
    let events = "[\"${EVENT}\", avi:forge:upgraded:app]";
    assert!(OF_HANDLERS.contains("avi:forge:upgraded:app"));
    for list in [
        "['${MORE}', '${EVENT}', avi:forge:upgraded:app]",
        "['${EVENT}', avi:forge:upgraded:app, '${MORE}']",
    ] {
        let with_more = OF_HANDLERS.replace("variables:\n", "variables:\n    - MORE\n");
        let at = with_more.find("events: ").unwrap() + "events: ".len();
        let end = at + with_more[at..].find(']').unwrap() + 1;
        let text = format!("{}{list}{}", &with_more[..at], &with_more[end..]);
        let (file, wanted) = (parse(&text), of_handlers());
        assert_eq!(file.merged_with(&wanted, None).unwrap(), text, "{events}");
        assert_eq!(file.differences(&wanted).len(), 1, "{list}");
    }
}

#[test]
fn a_variable_without_a_default_is_a_note() {
    let text = OF_HANDLERS.replace("{key: INTERVAL, default: hour}", "INTERVAL");
    let (file, wanted) = (parse(&text), of_handlers());
    let findings = check(&file, &wanted, &BTreeSet::new());
    let notes = findings
        .iter()
        .filter(|one| one.code == "uncompared-variable");
    let notes: Vec<&Diagnostic> = notes.collect();
    assert_eq!(notes.len(), 1, "{findings:?}");
    assert_eq!(notes[0].severity, Severity::Note);
    assert!(notes[0].message.contains("`${INTERVAL}`"), "{notes:?}");
    assert!(
        findings.iter().all(|one| one.severity < Severity::Error),
        "{findings:?}"
    );
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);
}

/// A rule reads the value that Forge would read.
#[test]
fn rules_read_the_defaults_of_variables() {
    let text = |default: &str| {
        format!(
            "environment:\n  variables: [{{key: TEST_PATH, default: \"{default}\"}}, TEST_OTHER]\nmodules:\n  \
             trigger:\n    - {{key: t, endpoint: \"${{TEST_OTHER}}\", events: [avi:forge:installed:app]}}\n  endpoint:\n    \
             - {{key: e, remote: r, route: {{path: \"${{TEST_PATH}}\"}}}}\n    - {{key: f, remote: r, route: {{path: \
             \"${{TEST_OTHER}}\"}}}}\nremotes:\n  - {{key: r, baseUrl: https://r.example.com}}\n"
        )
    };
    assert_eq!(of("malformed-route", &text("/e")), []);
    assert_eq!(of("dangling-endpoint", &text("/e")), []);
    let found = of("malformed-route", &text("/e?x"));
    assert!(found.len() == 1 && found[0].0 == 7, "{found:?}");
}

/// A path is information, in the file as in the code.
#[test]
fn a_base_url_may_have_a_path() {
    let text = remote_at("", "https://project.example.com/functions/v1");
    let found = findings(&text);
    let found: Vec<_> = found.iter().filter(|one| one.code == "base-url").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].severity, Severity::Note);
}

fn with(remote: Remote) -> DesiredManifest {
    Registry::default().desired_manifest(&[remote])
}

/// Returns the differences, and the text that `--write` makes.
fn compared(text: &str, remote: Remote) -> (Vec<String>, String) {
    let (file, wanted) = (parse(text), with(remote));
    let findings = check(&file, &wanted, &BTreeSet::new()).into_iter();
    let differences = findings.filter(Diagnostic::is_difference);
    let written = file.merged_with(&wanted, None).unwrap();
    (differences.map(|one| one.message).collect(), written)
}

#[test]
fn declared_properties_of_a_remote_are_compared_and_written() {
    let remote = || Remote::new("backend").base_url("https://a.example.com");
    let declared = || {
        remote()
            .region_url(RemoteRegion::Eu, "https://eu.example.com")
            .operations([RemoteOperation::Storage, RemoteOperation::Compute])
            .in_scope_eud(true)
    };
    let text = "remotes:\n  - key: backend\n    baseUrl: https://a.example.com # ours\n";
    let (differences, written) = compared(text, declared());
    assert_eq!(differences.len(), 3, "{differences:?}");
    let (rest, again) = compared(&written, declared());
    assert_eq!((rest, again), (vec![], written.clone()));
    for line in [
        "EU: https://eu.example.com",
        "default: https://a.example.com",
        "inScopeEUD: true",
    ] {
        assert!(written.contains(line), "{written}");
    }

    // The file's order and variables, and what the code does not declare.
    let text = "remotes:\n  - key: backend\n    baseUrl: {EU: 'https://eu.example.com', default: '${URL}'}\n    \
                operations: [storage, compute]\n    storage: {inScopeEUD: true}\n";
    assert_eq!(compared(text, declared()), (vec![], text.to_owned()));
    assert_eq!(compared(text, remote()), (vec![], text.to_owned()));
    for drift in [
        text.replace("true", "false"),
        text.replace(", compute", ""),
        text.replace("eu.example", "ue.example"),
        text.replace("{EU:", "{US: 'https://us.example.com', EU:"),
    ] {
        let (differences, written) = compared(&drift, declared());
        assert_eq!(differences.len(), 1, "{drift}");
        assert_eq!(
            compared(&written, declared()).0,
            Vec::<String>::new(),
            "{written}"
        );
    }
}

/// The regions are the file's, the default is the code's.
#[test]
fn a_changed_default_together_with_regions_is_found() {
    let text = "remotes:\n  - key: backend\n    baseUrl:\n      EU: https://eu.example.com # theirs\n      \
                default: https://old.example.com # ours\n";
    let code = || Remote::new("backend").base_url("https://new.example.com");
    let (differences, written) = compared(text, code());
    assert_eq!(differences.len(), 1, "{differences:?}");
    let expected = text.replace("old.example", "new.example");
    assert_eq!(written, expected);
    assert_eq!(compared(&expected, code()), (vec![], expected.clone()));
    let variable = text.replace("https://old.example.com", "${URL}");
    assert_eq!(compared(&variable, code()), (vec![], variable.clone()));
}

/// Source: `environment-variable-interpolator.js` of `@forge/manifest` 13.7.0.
#[test]
fn variables_are_replaced_as_forge_does() {
    // The first declaration counts.
    let good = "{key: FORGE_REMOTE_TEST_URL, default: https://app.example.com}";
    let slash = "{key: FORGE_REMOTE_TEST_URL, default: https://app.example.com/}";
    let url = "${FORGE_REMOTE_TEST_URL}";
    for (variables, expected) in [([good, slash], 0), ([slash, good], 1)] {
        let found = of("base-url", &remote_at(&variables.join(", "), url));
        assert_eq!(found.len(), expected, "{found:?}");
    }
    // A name starts with a letter or an underscore.
    let text = "permissions:\n  external:\n    frames: ['https://${1}.example.com/${_A}']\n";
    let found = of("undeclared-variable", text);
    assert!(
        found.len() == 1 && found[0].1.contains("${_A}"),
        "{found:?}"
    );
}

/// An empty variable of the environment is a value: it precedes the default.
#[test]
fn an_empty_variable_has_a_value() {
    let folder = Folder::default();
    let path = folder.file("manifest.yml");
    let variable = "{key: FORGE_REMOTE_TEST_URL, default: https://app.example.com}";
    std::fs::write(&path, remote_at(variable, "${FORGE_REMOTE_TEST_URL}")).unwrap();
    for (value, expected) in [(None, false), (Some(""), true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_events_app"));
        command.args(["manifest", "--check"]);
        command.env("FORGE_REMOTE_MANIFEST", &path);
        command.envs(value.map(|value| ("FORGE_REMOTE_TEST_URL", value)));
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(output.contains("which is empty"), expected, "{output}");
    }
}

/// A page may connect to an address that no call of Forge reaches.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/permissions/>
#[test]
fn a_remote_for_egress_alone_may_have_another_address() {
    let manifest = |url: &str, list: &str, more: &str| {
        format!(
            "remotes:\n  - key: sock\n    baseUrl: {url}\npermissions:\n  external:\n    fetch:\n      {list}:\n        \
             - remote: sock\n{more}"
        )
    };
    let endpoint = "modules:\n  endpoint:\n    - {key: e, remote: sock, route: {path: /e}}\n";
    let residency = "modules:\n  migration:dataResidency:\n    - {key: e, remote: sock}\n";
    for (url, list) in [
        ("wss://sock.example.com", "client"),
        ("https://api.example.com/", "client"),
        ("https://api.example.com/v1/", "backend"),
    ] {
        assert_eq!(of("base-url", &manifest(url, list, "")), [], "{url}");
        for called in [endpoint, residency] {
            let found = of("base-url", &manifest(url, list, called));
            assert_eq!(found.len(), 1, "{url} {called}");
        }
        // Without a permission, a page or a function can call it by its key alone.
        let without = manifest(url, list, "").replace("remote: sock", "https://x.example.com");
        assert_eq!(of("base-url", &without).len(), 1, "{url}");
    }
    for url in ["http://api.example.com", "''", "https://localhost"] {
        let found = of("base-url", &manifest(url, "client", ""));
        assert_eq!(found.len(), 1, "{url}");
    }
}

#[test]
fn functions_need_compute() {
    let text = |operations: &str, auth: &str| {
        format!(
            "modules:\n  function:\n    - {{key: main, handler: index.run}}\nremotes:\n  - key: backend\n    \
             baseUrl: https://a.example.com\n    operations: {operations}\n{auth}"
        )
    };
    let auth = "    auth: {appSystemToken: {enabled: true}}\n";
    for (operations, auth, expected) in [
        ("[fetch]", "", Some(Severity::Note)),
        ("[other, fetch]", auth, Some(Severity::Error)),
        ("[fetch, compute]", auth, None),
        ("null", auth, None),
    ] {
        let found = findings(&text(operations, auth));
        let found = found.iter().find(|one| one.code == "not-for-functions");
        assert_eq!(found.map(|one| one.severity), expected, "{operations}");
        // One mistake is one finding.
        let twice = of("auth-without-compute", &text(operations, auth));
        assert_eq!(twice.len(), usize::from(operations == "null"), "{twice:?}");
    }
    let without = text("[fetch]", auth).replace("function", "other");
    assert_eq!(of("not-for-functions", &without), []);
}
