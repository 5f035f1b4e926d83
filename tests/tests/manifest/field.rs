//! Manifests with mistakes that people reported: `tests/field/NN-name`, each with its `EXPECT`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use forge_remote::manifest::{
    DesiredManifest, ManifestError, ManifestFile, Remote, Severity, check,
};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;

#[trigger(events = ["avi:confluence:created:page"], endpoint = "remoteEvents", auth = system)]
async fn page_created() -> Result<()> {
    Ok(())
}

fn case(name: &str) -> ManifestFile {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("field")
        .join(name);
    ManifestFile::read(folder.join("manifest.yml")).unwrap()
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

/// 13: the error is at the section, and `--write` adds no second one.
#[test]
fn an_endpoint_at_the_root_belongs_under_modules() {
    let file = case("13-endpoint-at-root");
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
    let wanted = Registry::of([forge_remote::handler!(page_created)]).desired_manifest(&remotes);
    let error = file.merged_with(&wanted, None).unwrap_err();
    assert!(matches!(error, ManifestError::Misplaced { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(":8:1: `endpoint` belongs under `modules`"),
        "{error}"
    );
}

/// 25: the manifest's half; `tests/ui` has the attribute's.
#[test]
fn an_uninstalled_event_never_comes() {
    let found = findings(&case("25-uninstalled-event"));
    let [(code, line, column, text)] = found.as_slice() else {
        unreachable!("{found:?}");
    };
    assert_eq!((*code, *line, *column), ("uninstalled-event", 8, 11));
    assert!(text.contains("`#[pre_uninstall]`"), "{text}");
}

#[test]
fn five_mistakes_at_a_remote_are_found_at_their_places() {
    let found = findings(&case("39-remote-mistakes"));
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
