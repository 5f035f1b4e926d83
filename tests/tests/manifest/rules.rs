//! Each rule reports a manifest that violates only it, and can be allowed.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use forge_remote::diagnostic::{Rule, RuleKind};
use forge_remote::manifest::{DesiredManifest, ManifestFile, Scope, Severity, check, rules};

/// A valid manifest that is entirely hand-written.
const GOOD: &str = "\
app:
  {id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107, runtime: {name: nodejs22.x}}
modules:
  scheduledTrigger:
    - key: tick-trigger
      endpoint: tick
      interval: hour
  trigger:
    - key: created
      endpoint: tick
      events:
        - eventType: avi:jira:created:issue
          filter: {ignoreSelf: true}
  confluence:pageBanner:
    - key: page
      resolver:
        endpoint: tick
  endpoint:
    - key: tick
      remote: hand
      route:
        path: /tick
      auth:
        appSystemToken:
          enabled: true
permissions:
  scopes:
    - read:app-system-token
    - read:jira-work
remotes:
  - key: hand
    baseUrl: https://hand.example.com
    operations: [storage]
    storage: {inScopeEUD: false}
environment:
  variables:
    - HAND_URL
resources:
  - {key: main, path: static}
";

fn codes(text: &str, allowed: &[&str]) -> Vec<(&'static str, usize)> {
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let allowed: BTreeSet<String> = allowed.iter().map(|code| (*code).to_owned()).collect();
    let findings = check(&file, &DesiredManifest::default(), &allowed);
    findings
        .into_iter()
        // No code needs a scope here, so every scope is unused.
        .filter(|one| one.severity != Severity::Note)
        .map(|one| (one.code, one.manifest.unwrap().line))
        .collect()
}

#[test]
fn a_good_manifest_has_no_findings() {
    assert_eq!(codes(GOOD, &[]), []);
    assert_eq!(
        codes(
            &GOOD.replace("https://hand.example.com", "${HAND_URL}"),
            &[]
        ),
        []
    );
    assert_eq!(
        codes(
            &GOOD.replace("https://hand.example.com", "https://hand.example.com:8443"),
            &[]
        ),
        []
    );
}

/// The replaced text, its replacement, the reported code, and the line it points to.
const CASES: &[(&str, &str, &str, usize)] = &[
    ("interval: hour", "interval: six-hours", "unknown-value", 7),
    ("      interval: hour\n", "", "missing-property", 5),
    ("    baseUrl: https://hand.example.com\n", "", "missing-property", 31),
    (
        "        appSystemToken:\n          enabled: true\n",
        "        appSystemToken: true\n",
        "wrong-type",
        24,
    ),
    ("    - HAND_URL\n", "    - 1-URL\n", "malformed-value", 37),
    (
        "    - HAND_URL\n",
        "    - HAND_URL\n    - HAND_URL\n",
        "duplicate-variable",
        38,
    ),
    (
        "app/8db33809-1f32-48bb-8c52-5877dab48107",
        "app/sample-app",
        "invalid-app-id",
        2,
    ),
    (
        "runtime:",
        "compatibility: {jira: {required: true}, confluence: {required: true}}, runtime:",
        "several-required-products",
        2,
    ),
    (
        "    - key: created\n",
        "    - key: tick\n",
        "duplicate-module-key",
        19,
    ),
    ("  trigger:\n", "  triger:\n", "unknown-module", 8),
    (
        "modules:\n",
        "functions:\n  - {key: f}\nmodules:\n",
        "misplaced-section",
        3,
    ),
    (
        "    - read:jira-work\n",
        "    - read:jira-work\n    - read:jira-work\n",
        "duplicate-scope",
        30,
    ),
    (
        "      remote: hand\n",
        "      remote: hnad\n",
        "dangling-reference",
        20,
    ),
    (
        "avi:jira:created:issue",
        "avi:jira:uninstalled:app",
        "uninstalled-event",
        12,
    ),
    (
        "avi:jira:created:issue",
        "avi:jira:invented:thing",
        "unknown-event",
        12,
    ),
    (
        "environment:\n  variables:\n    - HAND_URL\nresources:\n  - {key: main, path: static}\n",
        "  - key: spare\n    baseUrl: https://spare.example.com\n",
        "unused-remote",
        35,
    ),
    (
        "  - key: hand\n",
        "  - key: hand\n    baseUrl: https://hand.example.com\n  - key: hand\n",
        "duplicate-remote-key",
        31,
    ),
    ("https://hand.example.com", "\"\"", "base-url", 32),
    (
        "https://hand.example.com",
        "http://hand.example.com",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://localhost",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://127.0.0.1:3000",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://hand.example.com/",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://hand.example.com/api/",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "wss://hand.example.com",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "${OTHER_URL}",
        "undeclared-variable",
        32,
    ),
    (
        "      route:\n        path: /tick\n",
        "",
        "missing-route",
        19,
    ),
    ("path: /tick", "path: tick", "malformed-route", 22),
    ("path: /tick", "path: /tick?now=1", "malformed-route", 22),
    (
        "      route:\n        path: /tick\n",
        "      route:\n        path: /tick\n        method: POST\n",
        "unknown-property",
        23,
    ),
    (
        "      remote: hand\n",
        "      remote: hand\n      remot: hand\n",
        "unknown-property",
        21,
    ),
    (
        "        appSystemToken:\n",
        "        appSystemTokens:\n          enabled: true\n        appSystemToken:\n",
        "unknown-property",
        24,
    ),
    (
        "        appSystemToken:\n",
        "        appUserToken:\n          enabled: true\n        appSystemToken:\n",
        "user-token-without-user",
        24,
    ),
    (
        "    - read:jira-work\n",
        "    - read:jira-work\n    - read:jira-wrok\n",
        "unknown-scope",
        30,
    ),
    (
        "    - read:jira-work\n",
        "    - write:jira-work\n",
        "event-without-scope",
        12,
    ),
    (
        "avi:jira:created:issue",
        "avi:forge:installed:app",
        "ignore-self",
        12,
    ),
    (
        "filter: {ignoreSelf: true}",
        "filter: {ignoreSelf: true, onError: RECEIVE}",
        "on-error-alone",
        9,
    ),
    (
        "filter: {ignoreSelf: true}",
        "filter: {expression: \"event.runtime.issue.properties['a'].f == event.runtime.issue.properties['b']\"}
          payload: {include: {propertyPaths: [\"issue.properties['a'].f\", a.c, a.d, a.e, a.g]}}",
        "too-many-properties",
        8,
    ),
    (
        "    baseUrl: https://hand.example.com\n",
        "    baseUrl: {default: https://a.example.com, EU: https://eu.example.com}\n  - key: other\n    baseUrl: {default: https://b.example.com}\n    storage: {inScopeEUD: true}\n  - key: third\n    baseUrl: {default: https://a.example.com, EU: https://eu.example.com}\n",
        "regions-differ",
        34,
    ),
    (
        "    storage: {inScopeEUD: false}\n",
        "",
        "storage-without-eud",
        33,
    ),
    (
        "permissions:\n  scopes:\n    - read:app-system-token\n    - read:jira-work\nremotes:\n  - key: hand\n    baseUrl: https://hand.example.com\n    operations: [storage]\n",
        "  function:\n    - {key: main, handler: index.run}\npermissions:\n  scopes:\n    - read:app-system-token\n    - read:jira-work\nremotes:\n  - key: hand\n    baseUrl: https://hand.example.com\n    operations: [storage]\n    auth: {appSystemToken: {enabled: true}}\n",
        "not-for-functions",
        35,
    ),
    ("tick\n", "a-key-of-twenty-four-car\n", "key-too-long", 19),
    (
        "  - key: hand\n",
        "  - key: a-remote-of-twenty-four-c\n    baseUrl: https://x.example.com\n  - key: hand\n",
        "key-too-long",
        31,
    ),
    ("interval: hour", "interval: week", "token-gap", 7),
    (
        "        endpoint: tick\n  endpoint",
        "        endpoint: tock\n  endpoint",
        "dangling-endpoint",
        15,
    ),
    (
        "      events:\n        - eventType: avi:jira:created:issue\n          filter: {ignoreSelf: true}\n",
        "      events: []\n",
        "crashes-validator",
        11,
    ),
    (
        "      events:\n",
        "      filter: {ignoreSelf: true}\n      events:\n",
        "crashes-validator",
        12,
    ),
    (
        "      resolver:\n",
        "      icon:\n      resolver:\n",
        "crashes-validator",
        16,
    ),
];

#[test]
fn each_violation_is_reported_alone_and_at_its_line() {
    for (old, new, code, line) in CASES {
        assert!(GOOD.contains(old), "{old}");
        let text = GOOD.replace(old, new);
        assert_eq!(
            codes(&text, &[]),
            [(*code, *line)],
            "{old:?} → {new:?}\n{text}"
        );
        assert_eq!(codes(&text, &[code]), [], "allowed in the code: {code}");
        let commented: String = text
            .lines()
            .enumerate()
            .map(|(at, row)| {
                if at + 1 == *line {
                    format!("{row} # forge-remote: allow(x, {code})\n")
                } else {
                    format!("{row}\n")
                }
            })
            .collect();
        assert_eq!(
            codes(&commented, &[]),
            [],
            "allowed in the file:\n{commented}"
        );
    }
}

/// The table of kinds defines the modules whose endpoint needs a route and never gets a user token.
#[test]
fn every_module_without_a_user_needs_a_route_and_gets_no_user_token() {
    const ROUTE: &str = "      route:\n        path: /tick\n";
    const AUTH: &str = "        appSystemToken:\n";
    let both = ["missing-route", "user-token-without-user"];
    let codes_of = |module_type: &str| {
        let named = format!("  {module_type}:\n    - key: tick-module\n      endpoint: tick\n");
        let head =
            GOOD.find("  scheduledTrigger:").unwrap()..GOOD.find("\n  endpoint:\n").unwrap() + 1;
        let text = GOOD
            .replace(&GOOD[head], &named)
            .replace(ROUTE, "")
            .replace(
                AUTH,
                &format!("        appUserToken: {{enabled: true}}\n{AUTH}"),
            );
        let codes = codes(&text, &[]).into_iter().map(|(code, _)| code);
        codes.filter(|code| both.contains(code)).collect::<Vec<_>>()
    };
    for module_type in [
        "webtrigger",
        "consumer",
        "jira:jqlFunction",
        "bitbucket:mergeCheck",
    ] {
        assert_eq!(codes_of(module_type), both, "{module_type}");
    }
    // These have users, or are pages.
    for module_type in ["action", "jira:issuePanel"] {
        assert_eq!(codes_of(module_type), [""; 0], "{module_type}");
    }
}

#[test]
fn schedules_are_counted() {
    let item = |at: usize, interval: &str| {
        format!("    - key: s{at}\n      endpoint: tick\n      interval: {interval}\n")
    };
    let many: String = (0..5).map(|at| item(at, "hour")).collect();
    let text = GOOD.replace("  trigger:\n", &format!("{many}  trigger:\n"));
    assert_eq!(codes(&text, &[]), [("too-many-schedules", 4)]);
    let often: String = (0..2).map(|at| item(at, "fiveMinute")).collect();
    let text = GOOD.replace("  trigger:\n", &format!("{often}  trigger:\n"));
    assert_eq!(codes(&text, &[]), [("too-many-schedules", 4)]);
}

#[test]
fn tokens_need_their_own_scope() {
    let text = GOOD.replace("    - read:jira-work\n", "").replace("  trigger:", "  preUninstall:").replace("      events:\n        - eventType: avi:jira:created:issue\n          filter: {ignoreSelf: true}\n", "");
    assert_eq!(codes(&text, &[]), [("token-without-scope", 20)]);
    let map = GOOD.replace(
        "    - read:app-system-token\n    - read:jira-work\n",
        "    read:app-system-token: {}\n    read:jira-work: {allowImpersonation: true}\n",
    );
    assert_eq!(codes(&map, &[]), [], "the scopes may be a mapping");
}

#[test]
fn every_rule_is_explained_and_shown() {
    let shown: BTreeSet<&str> = CASES.iter().map(|(_, _, code, _)| *code).collect();
    // The comparison reports these, and the tests of the commands show them.
    let elsewhere = [
        "misplaced-endpoint",
        "missing",
        "different",
        "stale",
        "missing-scope",
        "rejected-caller",
        "unknown-page",
        "open-admin-page",
        "unneeded-impersonation",
        "impersonation-not-allowed",
        "unneeded-scope",
        "schedules-reset",
        "too-many-schedules",
        "token-without-scope",
        "known-event",
        "unmanaged-permissions",
        // Others of these tests.
        "manifest-too-large",
        "other-app-id",
        "auth-without-compute",
        "too-many-modules",
        "duplicate-jql-function",
        "outputs-of-response",
        "outputs-without-context",
        "unreferenced-action",
        "service-endpoint",
        "old-agent-version",
        "provider-without-connect",
        "module-without-scope",
        "conflicting-properties",
    ];
    // `versions` shows those.
    let versions = |rule: &&Rule| rule.kind == RuleKind::Version;
    for rule in rules().filter(|rule| !versions(rule)) {
        assert!(
            shown.contains(rule.code) || elsewhere.contains(&rule.code),
            "{} is not shown",
            rule.code
        );
        assert!(
            rule.explanation.len() > 40,
            "{} is not explained",
            rule.code
        );
    }
}

/// Returns the findings when the code names these pages for the endpoint `save`.
fn page_findings(pages: &[&str], modules: &str) -> Vec<(&'static str, String)> {
    let text = format!("modules:\n{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let pages = pages.iter().map(|page| (*page).to_owned()).collect();
    let wanted = DesiredManifest {
        allowed_pages: [("save".to_owned(), pages)].into(),
        ..DesiredManifest::default()
    };
    let found = check(&file, &wanted, &BTreeSet::new());
    let about_pages = |code| ["unknown-page", "open-admin-page"].contains(&code);
    let found = found.into_iter().filter(|one| about_pages(one.code));
    found.map(|one| (one.code, one.message)).collect()
}

#[test]
fn pages_that_reach_an_administrators_handler_are_named() {
    let admin = "  jira:adminPage:\n    - {key: admin, resolver: {endpoint: save}}\n";
    let panel = "  jira:issuePanel:\n    - {key: panel, resource: main}\n";
    let both = format!("{admin}{panel}");
    let open = page_findings(&[], &both);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].0, "open-admin-page");
    assert!(
        open[0].1.contains("`panel`") && open[0].1.contains("`save`"),
        "{open:?}"
    );
    for (pages, modules) in [
        // The endpoint is restricted.
        (&["admin"][..], both.as_str()),
        (&["admin", "panel"], both.as_str()),
        // No other page reaches it.
        (&[], admin),
        // There is no administrators' page.
        (&[], panel),
    ] {
        assert_eq!(page_findings(pages, modules), [], "{pages:?}");
    }
    let unknown = page_findings(&["admin", "amdin"], &both);
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert!(
        unknown[0].0 == "unknown-page" && unknown[0].1.contains("`amdin`"),
        "{unknown:?}"
    );
    // A view of a page has a resolver of its own.
    let nested = admin.replace(
        "resolver: {endpoint: save}",
        "edit: {resolver: {endpoint: save}}",
    );
    let open = page_findings(&[], &format!("{nested}{panel}"));
    assert!(open.len() == 1 && open[0].1.contains("`save`"), "{open:?}");
    // A module that is not a page.
    let trigger = format!("{admin}  trigger:\n    - {{key: follow, endpoint: follow}}\n");
    assert_eq!(page_findings(&["follow"], &trigger)[0].0, "unknown-page");
}

#[test]
fn an_unused_impersonation_is_noted() {
    let only_endpoints = "modules:
  endpoint:
    - {key: tick, remote: hand, route: {path: /tick}}
permissions:
  scopes:
    read:jira-work: {allowImpersonation: true}
    write:jira-work: {allowImpersonation: true}
remotes:
  - {key: hand, baseUrl: 'https://hand.example.com'}
";
    let file = ManifestFile::parse("manifest.yml", Some(only_endpoints.to_owned())).unwrap();
    let because = |name| Scope::new(name, vec!["because".to_owned()]);
    let mut wanted = DesiredManifest {
        scopes: ["read:jira-work", "write:jira-work"].map(because).into(),
        ..DesiredManifest::default()
    };
    let noted = |wanted: &DesiredManifest| -> Vec<(String, usize)> {
        let found = check(&file, wanted, &BTreeSet::new());
        let found = found
            .into_iter()
            .filter(|one| one.code == "unneeded-impersonation");
        found
            .map(|one| (one.message, one.manifest.unwrap().line))
            .collect()
    };
    assert_eq!(noted(&wanted).len(), 2);
    wanted.scopes[0].impersonation = true;
    let noted = noted(&wanted);
    assert_eq!(noted.len(), 1);
    assert!(noted[0].0.contains("`write:jira-work`"), "{noted:?}");
    assert_eq!(noted[0].1, 7);
}

#[test]
fn an_event_that_only_a_page_gives_scopes_is_a_warning() {
    let text = GOOD.replace(
        "avi:jira:created:issue",
        "avi:confluence:created:whiteboard",
    );
    let text = text.replace("ignoreSelf: true", "appIsLicensed: true");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
    let found = found.iter().find(|one| one.code == "event-without-scope");
    assert_eq!(found.unwrap().severity, Severity::Warning);
    assert!(
        found.unwrap().message.ends_with("`avi:confluence:created:whiteboard` is not delivered without the scope read:confluence-content.summary"),
        "{found:?}"
    );
}

#[test]
fn five_properties_are_allowed_however_often_each_is_named() {
    let filter =
        "filter: {expression: \"event.runtime.issue.properties['a'].f == 1 || event.runtime.a.b\"}
          payload: {include: {propertyPaths: [\"issue.properties['a'].f\", a.b, a.c, a.d, a.e]}}";
    let text = GOOD.replace("filter: {ignoreSelf: true}", filter);
    assert_eq!(codes(&text, &[]), []);
}

/// Rolling releases need both the file and the code.
#[test]
fn the_file_and_the_code_agree_on_rolling_releases() {
    let managed = GOOD.replace("permissions:", "permissions:\n  enforcement: app-managed");
    let found = |text: &str, app_managed| -> Vec<(Severity, usize)> {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let wanted = DesiredManifest {
            app_managed,
            ..DesiredManifest::default()
        };
        let found = check(&file, &wanted, &BTreeSet::new());
        let found = found
            .iter()
            .filter(|one| one.code == "unmanaged-permissions");
        found
            .map(|one| (one.severity, one.manifest.as_ref().unwrap().line))
            .collect()
    };
    assert_eq!(found(&managed, true), []);
    assert_eq!(found(GOOD, false), []);
    assert_eq!(found(&managed, false), [(Severity::Note, 27)]);
    assert_eq!(found(GOOD, true), [(Severity::Warning, 26)]);
}

/// An event declared as unknown may stay once a later version knows it.
#[test]
fn an_event_declared_as_unknown_may_become_known() {
    let file = ManifestFile::parse("manifest.yml", Some(GOOD.to_owned())).unwrap();
    let mut wanted = DesiredManifest::default();
    let levels = |wanted: &DesiredManifest| -> Vec<Severity> {
        let found = check(&file, wanted, &BTreeSet::new());
        let found = found.iter().filter(|one| one.code == "known-event");
        found.map(|one| one.severity).collect()
    };
    wanted.unknown_events.insert("avi:jira:invented:thing");
    assert_eq!(levels(&wanted), []);
    wanted.unknown_events.insert("avi:jira:created:issue");
    assert_eq!(levels(&wanted), [Severity::Warning]);
}

/// Returns the rules that report modules, whose text begins in line 3.
fn codes_of_modules(modules: &str, scopes: &str) -> Vec<(&'static str, usize)> {
    let text = format!(
        "app: {{id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107, runtime: {{name: nodejs22.x}}}}
modules:
{modules}  endpoint:
    - {{key: e, remote: hand, route: {{path: /e}}}}
    - {{key: s, service: search}}
  function:
    - {{key: f, handler: index.run}}
services: [{{key: search}}]
remotes:
  - {{key: hand, baseUrl: 'https://hand.example.com'}}
permissions: {{scopes: [{scopes}]}}
"
    );
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
    let found = found.into_iter().filter(|one| one.code != "unneeded-scope");
    found
        .map(|one| (one.code, one.manifest.unwrap().line))
        .collect()
}

#[test]
fn rules_of_single_modules() {
    let agent = |version: &str, endpoint: &str| {
        format!(
            "  rovo:agentConnector:
    - {{key: a, name: A, productContexts: [jira], protocols: {{agent2Agent: {{version: \"{version}\", jsonRpcTransport: {{endpoint: {endpoint}}}}}}}}}
"
        )
    };
    let jql = |key: &str, name: &str| {
        format!(
            "    - {{key: {key}, name: {name}, endpoint: e, arguments: [], types: [issue], operators: [in]}}\n"
        )
    };
    let action = "    - {key: act, name: A, description: A, function: f, actionVerb: GET";
    type Case<'a> = (&'a str, String, &'a str, &'a [(&'a str, usize)]);
    let cases: &[Case<'_>] = &[
        ("good", agent("1.0", "e"), "read:jira-work", &[]),
        ("old", agent("0.3", "e"), "read:jira-work", &[("old-agent-version", 4)]),
        ("service", agent("1.0", "s"), "read:jira-work", &[("service-endpoint", 4)]),
        ("scope", agent("1.0", "e"), "", &[("module-without-scope", 4)]),
        (
            "merge check",
            "  bitbucket:mergeCheck:\n    - {key: m, name: M, triggers: [on-merge], endpoint: e}\n".to_owned(),
            "",
            &[("module-without-scope", 4)],
        ),
        (
            "case",
            format!("  jira:jqlFunction:\n{}{}", jql("j", "mine"), jql("k", "Mine")),
            "",
            &[("duplicate-jql-function", 5)],
        ),
        (
            "static",
            "  webtrigger:\n    - {key: w, endpoint: e, response: {type: static}}\n".to_owned(),
            "",
            &[("outputs-of-response", 4)],
        ),
        (
            "dynamic",
            "  webtrigger:\n    - {key: w, endpoint: e, response: {type: dynamic, outputs: []}}\n".to_owned(),
            "",
            &[("outputs-of-response", 4)],
        ),
        (
            "both",
            "  webtrigger:\n    - {key: w, endpoint: e, function: f}\n".to_owned(),
            "",
            &[("conflicting-properties", 4)],
        ),
        (
            "unreferenced",
            format!("  action:\n{action}}}\n"),
            "",
            &[("unreferenced-action", 4)],
        ),
        (
            "outputs",
            format!(
                "  automation:actionProvider:\n    - {{key: p, actions: [act]}}\n  action:\n{action}, outputs: {{}}}}\n"
            ),
            "",
            &[("outputs-without-context", 6)],
        ),
        (
            "residency",
            "  migration:dataResidency:\n    - {key: m, remote: hand}\n    - {key: n, remote: hand}\n".to_owned(),
            "",
            &[("too-many-modules", 5)],
        ),
        (
            "security",
            "  devops:securityInfoProvider:\n    - {key: s2, name: {value: S}, homeUrl: 'https://s.example.com', fetchWorkspaces: {endpoint: e}, fetchContainers: {endpoint: e}, searchContainers: {endpoint: e}}\n".to_owned(),
            "",
            &[("provider-without-connect", 4)],
        ),
        (
            "a page's endpoint without a resolver",
            "  jira:issuePanel:\n    - {key: p, title: P, icon: 'https://x.example.com/i.svg', endpoint: e}\n".to_owned(),
            "",
            &[("misplaced-endpoint", 4)],
        ),
        (
            "a resolver that Forge does not read",
            "  macro:\n    - {key: p, title: P, config: {resolver: {endpoint: e}}}\n".to_owned(),
            "",
            &[("misplaced-endpoint", 4)],
        ),
        (
            "an endpoint in the place of a function",
            "  confluence:contentBylineItem:\n    - {key: p, title: P, dynamicProperties: {endpoint: e}}\n  compass:dataProvider:\n    - {key: q, endpoint: e}\n".to_owned(),
            "",
            &[("misplaced-endpoint", 4), ("misplaced-endpoint", 6)],
        ),
        (
            "the resolver of a view",
            "  jira:customField:\n    - {key: p, name: P, description: D, type: string, edit: {resolver: {endpoint: e, method: m}}, view: {resolver: e}}\n".to_owned(),
            "",
            &[("unknown-property", 4), ("wrong-type", 4)],
        ),
        (
            "refused resolver",
            "  confluence:customContent:\n    - {key: c, title: C, resolver: {endpoint: e}}\n".to_owned(),
            "",
            &[("missing-property", 4), ("unknown-property", 4)],
        ),
    ];
    for (name, modules, scopes, expected) in cases {
        assert_eq!(codes_of_modules(modules, scopes), *expected, "{name}");
    }
}

#[test]
fn a_manifest_has_at_most_200_kilobytes() {
    let large = format!("{GOOD}# {}\n", "x".repeat(200 * 1024 - GOOD.len() - 3));
    assert_eq!(codes(&large, &[]), []);
    let larger = format!("{large}#\n");
    assert_eq!(codes(&larger, &[]), [("manifest-too-large", 1)]);
}

/// The environment or the code may set other ids than the manifest.
#[test]
fn an_app_id_that_is_not_accepted_is_a_warning() {
    const OWN: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
    const OTHER: &str = "00000000-0000-4000-8000-000000000001";
    let found = |text: &str, app_ids: &[&str]| {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let wanted = DesiredManifest {
            app_ids: app_ids.iter().map(|id| (*id).to_owned()).collect(),
            ..DesiredManifest::default()
        };
        let found = check(&file, &wanted, &BTreeSet::new());
        let found = found.into_iter().filter(|one| one.code == "other-app-id");
        found
            .map(|one| (one.severity, one.manifest.unwrap().line))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(GOOD, &[OTHER]), [(Severity::Warning, 2)]);
    let variable = GOOD.replace(OWN, "'ari:cloud:ecosystem::app/${ID_OF_TEST}'");
    let declared = variable.replace(
        "    - HAND_URL\n",
        &format!("    - {{key: ID_OF_TEST, default: {OTHER}}}\n"),
    );
    assert_eq!(found(&declared, &[OWN]), [(Severity::Warning, 2)]);
    for (text, app_ids) in [
        (GOOD, &[][..]),
        (GOOD, &[OWN]),
        (GOOD, &["8DB33809-1f32-48bb-8c52-5877dab48107"]),
        (GOOD, &[OTHER, OWN]),
        (&declared, &[OTHER]),
        // Reported elsewhere.
        (&variable, &[OTHER]),
        (GOOD, &["own"]),
    ] {
        assert_eq!(found(text, app_ids), [], "{app_ids:?}");
    }
}

#[test]
fn tokens_of_a_remote_need_a_function_that_calls() {
    let found = |text: &str| {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
        found
            .iter()
            .filter(|one| one.code == "auth-without-compute")
            .count()
    };
    let auth = "    operations: [storage]\n    auth: {appSystemToken: {enabled: true}}\n";
    let text = GOOD.replace("    operations: [storage]\n", auth);
    assert_eq!(found(&text), 1);
    assert_eq!(found(&text.replace("[storage]", "[storage, compute]")), 0);
}
