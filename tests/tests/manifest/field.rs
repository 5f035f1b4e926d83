//! Manifests that people reported, numbered as in `tests/field/README.md`; files are in
//! `tests/field/NN-name`, each with its `EXPECT`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use forge_remote::manifest::{DesiredManifest, ManifestError, ManifestFile, Severity, check};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::testing::{Fit, Harness};

#[trigger(events = ["avi:confluence:created:page"], endpoint = "remoteEvents", auth = system)]
async fn page_created() -> Result<()> {
    Ok(())
}

fn given(path: &str) -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.join("field").join(path)
}

fn case(path: &str) -> ManifestFile {
    ManifestFile::read(given(path)).unwrap()
}

/// Returns the findings above a note, without the missing `app.runtime` of these shortened files: code,
/// line, column, text.
fn findings(file: &ManifestFile) -> Vec<(&'static str, usize, usize, String)> {
    let found = check(file, &DesiredManifest::default(), &BTreeSet::new());
    let found = found
        .into_iter()
        .filter(|one| one.severity > Severity::Note);
    let found = found.filter(|one| one.message != "`app` has no `runtime`");
    let rows = found.map(|one| {
        let at = one.manifest.unwrap();
        let text = format!("{}: {}", one.message, one.help.unwrap_or_default());
        (one.code, at.line, at.column, text)
    });
    rows.collect()
}

/// 13-endpoint-at-root/EXPECT: the error is at the section, and `--write` adds no second one.
#[test]
fn an_endpoint_at_the_root_belongs_under_modules() {
    let file = case("13-endpoint-at-root/manifest.yml");
    let found = findings(&file);
    let misplaced = found
        .iter()
        .find(|one| one.0 == "misplaced-section")
        .unwrap();
    assert_eq!((misplaced.1, misplaced.2), (8, 1));
    assert!(
        misplaced.3.contains("`endpoint` belongs under `modules`"),
        "{misplaced:?}"
    );
    let dangling = found
        .iter()
        .find(|one| one.0 == "dangling-endpoint")
        .unwrap();
    assert!(
        dangling.3.contains("at the root of the manifest: move it"),
        "{dangling:?}"
    );

    let remotes = [Remote::new("backend")];
    let wanted = Registry::from_registrations([forge_remote::handler!(page_created)])
        .desired_manifest(&remotes);
    let error = file.merged_with(&wanted, None).unwrap_err();
    assert!(matches!(error, ManifestError::Misplaced { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(":8:1: `endpoint` belongs under `modules`"),
        "{error}"
    );
}

/// 11: tokens at the remote are for functions.
#[test]
fn a_token_of_the_remote_does_not_replace_the_endpoints() {
    let text = "\
remotes:
  - key: backend
    baseUrl: https://backend.example.com
    operations: [compute]
    auth: {appSystemToken: {enabled: true}}
modules:
  trigger:
    - {key: page-created-trigger, endpoint: remoteEvents, events: ['avi:confluence:created:page']}
  endpoint:
    - key: remoteEvents
      remote: backend
      route: {path: /page-created}
";
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let wanted = Registry::from_registrations([forge_remote::handler!(page_created)])
        .desired_manifest(&[Remote::new("backend").base_url("https://backend.example.com")]);
    let findings = check(&file, &wanted, &BTreeSet::new());
    let auth = findings
        .iter()
        .find(|one| one.message == "modules.endpoint[remoteEvents].auth is missing")
        .unwrap();
    let help = auth.help.as_deref().unwrap_or_default();
    assert!(
        help.contains("`auth` of a remote is only for calls of the app's functions"),
        "{help}"
    );
}

/// 14: what people write for `auth` and `route`.
#[test]
fn tokens_and_routes_have_their_forms() {
    let text = "\
remotes:
  - key: backend
    baseUrl: https://backend.example.com
modules:
  webtrigger:
    - {key: hook, endpoint: follow}
  endpoint:
    - key: follow
      remote: backend
      url: /follow
      auth: {appSystemToken: true}
";
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let found = findings(&file);
    for (code, line, help) in [
        ("unknown-property", 10, "write `route: { path: /… }`"),
        (
            "wrong-type",
            11,
            "write `appSystemToken: { enabled: true }`",
        ),
    ] {
        let one = found.iter().find(|one| one.0 == code && one.1 == line);
        assert!(one.is_some_and(|one| one.3.contains(help)), "{found:#?}");
    }
}

#[endpoint]
async fn content() -> Json<bool> {
    Json(true)
}

/// 37: Atlassian's page documents `resolver.endpoint` there.
#[tokio::test]
async fn a_token_of_custom_content_is_accepted() {
    let app = App::empty()
        .handler(forge_remote::handler!(content))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    let fit = |fit: Fit| fit.module("confluence:customContent", "notes");
    let response = harness.call("content").fit(fit).send().await;
    assert_eq!(response.status(), 200);
}

#[trigger(
    events = ["avi:confluence:created:page"],
    key = "page-created-trigger",
    endpoint = "remoteEvents",
    path = "/page-created",
    auth = system
)]
async fn pasted() -> Result<()> {
    Ok(())
}

/// 36: pasted from a page, with a scope that does not exist, blanks at the ends of lines, and an
/// different indentation.
#[test]
fn a_pasted_page_is_corrected_and_keeps_its_form() {
    let text = "\
modules:
    trigger:
      - key: page-created-trigger  \n\
\x20       endpoint: remoteEvents
        events:
        - avi:confluence:created:page
    endpoint:
          - key: remoteEvents
            remote: backend
            route:
                path: /page-created \n\
\x20           auth:
                appSystemToken:
                  enabled: true
permissions:
      scopes:
        - read:app-system-token
        - read:confluence-content:summary   \n\
remotes:
- key: backend
  baseUrl: https://backend.example.com
";
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let wanted = Registry::from_registrations([forge_remote::handler!(pasted)])
        .desired_manifest(&[Remote::new("backend").base_url("https://backend.example.com")]);
    let findings = check(&file, &wanted, &BTreeSet::new());
    let scope = findings.iter().find(|one| one.code == "unknown-scope");
    let help = scope
        .and_then(|one| one.help.as_deref())
        .unwrap_or_default();
    assert!(
        help.contains("did you mean `read:confluence-content.summary`?"),
        "{findings:#?}"
    );
    // The one difference is a scope, which is one more line.
    let merged = file.merged_with(&wanted, None).unwrap();
    let mut lines = merged.split_inclusive('\n');
    for line in text.split_inclusive('\n') {
        assert!(lines.any(|one| one == line), "{line:?} is not in\n{merged}");
    }
    let added = merged.lines().count() - text.lines().count();
    assert_eq!(added, 1, "{merged}");
    assert!(
        merged.contains("        - read:confluence-content.summary\n"),
        "{merged}"
    );
}

/// 25-uninstalled-event/EXPECT: here the manifest's half; `ui/fail` has the given handler, and its message.
#[test]
fn an_uninstalled_event_never_comes() {
    let handler = fs::read_to_string(given("25-uninstalled-event/handler.rs")).unwrap();
    let attribute = handler.lines().next().unwrap();
    let ui = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ui/fail/kinds/trigger");
    let read = |extension: &str| fs::read_to_string(ui.with_extension(extension)).unwrap();
    assert!(read("rs").contains(attribute), "{attribute}");
    assert!(read("stderr").contains("`#[pre_uninstall]`"));

    let found = findings(&case("25-uninstalled-event/manifest.yml"));
    let [(code, line, column, text)] = found.as_slice() else {
        unreachable!("{found:?}");
    };
    assert_eq!((*code, *line, *column), ("uninstalled-event", 8, 11));
    assert!(text.contains("`#[pre_uninstall]`"), "{text}");
}

/// 39-remote-mistakes/EXPECT
#[test]
fn five_mistakes_at_a_remote_are_found_at_their_places() {
    let found = findings(&case("39-remote-mistakes/manifest.yml"));
    let expected = [
        ("unknown-property", 7, 7, "did you mean `EU`?"),
        (
            "missing-property",
            8,
            10,
            "neither `baseUrl` nor `configurable`",
        ),
        ("unknown-property", 9, 5, "did you mean `baseUrl`?"),
        ("dangling-reference", 19, 15, "did you mean `backend`?"),
        ("duplicate-scope", 26, 7, "`read:jira-work` stands twice"),
    ];
    for (code, line, column, text) in expected {
        let at =
            |one: &&(&str, usize, usize, String)| (one.0, one.1, one.2) == (code, line, column);
        let one = found.iter().find(at);
        assert!(
            one.is_some_and(|one| one.3.contains(text)),
            "{code} {line}:{column} {text}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}
