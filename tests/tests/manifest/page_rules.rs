//! The rules of pages: which handlers they reach, and which scopes they need.

use std::collections::BTreeSet;

use forge_remote::manifest::{DesiredManifest, ManifestFile, Severity, check};

use crate::rules::GOOD;

/// Returns the findings when the code names these pages for the endpoint `save`.
fn page_findings(pages: &[&str], modules: &str) -> Vec<(&'static str, String)> {
    let text = format!("modules:\n{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let pages = pages.iter().map(|page| (*page).to_owned()).collect();
    let mut wanted = DesiredManifest::default();
    wanted.allowed_pages.insert("save".to_owned(), pages);
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
    // A view of a page has its own resolver.
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
