//! Removed items and properties: their comments go with them, and every other comment stays where it was.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use forge_remote::manifest::{DesiredManifest, ManifestFile};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;

fn wanted() -> DesiredManifest {
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let mut wanted = Registry::default().desired_manifest(&[remote]);
    wanted.foreign = BTreeSet::from(["keep".to_owned(), "last".to_owned()]);
    wanted.removable = BTreeSet::from(["gone".to_owned(), "old".to_owned()]);
    wanted
}

const REMOTES: &str = "remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n";

/// Returns the list after the items `gone` and `old` were removed, or the error.
fn pruned(endpoints: &str) -> Result<String, String> {
    let text = format!("modules:\n  endpoint: {endpoints}{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted(), None);
    let merged = merged.map_err(|error| error.to_string())?;
    let list = merged.strip_prefix("modules:\n  endpoint: ");
    let list = list.and_then(|rest| rest.strip_suffix(REMOTES));
    Ok(list.unwrap_or(&merged).to_owned())
}

#[test]
fn an_item_on_lines_of_its_own_takes_its_comments_along() {
    for (before, after) in [
        (
            "[\n    {key: keep, remote: backend}, # since 2024\n    {key: gone, remote: backend} # retired\n  ]\n",
            "[\n    {key: keep, remote: backend} # since 2024\n  ]\n",
        ),
        (
            "[\n    # about gone\n    {key: gone, remote: backend},\n    # about last\n    {key: last, remote: backend}\n  ]\n",
            "[\n    # about last\n    {key: last, remote: backend}\n  ]\n",
        ),
        // A comma behind the last item is the file's style.
        (
            "[\n    {key: keep, remote: backend},\n    {key: gone, remote: backend}, # retired\n    {key: old, remote: backend},\n  ]\n",
            "[\n    {key: keep, remote: backend},\n  ]\n",
        ),
        (
            "[\n    {\"key\": \"keep\", \"remote\": \"backend\"},\n    {\"key\": \"gone\", \"remote\": \"backend\"},\n    {\"key\": \"old\", \"remote\": \"backend\"}\n  ]\n",
            "[\n    {\"key\": \"keep\", \"remote\": \"backend\"}\n  ]\n",
        ),
    ] {
        assert_eq!(pruned(before).as_deref(), Ok(after), "{before}");
    }
}

#[test]
fn items_of_one_line_leave_no_comma() {
    for (before, after) in [
        (
            "[{key: keep, remote: backend}, {key: gone, remote: backend}, {key: old, remote: backend}] # all\n",
            "[{key: keep, remote: backend}] # all\n",
        ),
        (
            "[{key: gone, remote: backend}, {key: keep, remote: backend}, {key: old, remote: backend}]\n",
            "[{key: keep, remote: backend}]\n",
        ),
    ] {
        assert_eq!(pruned(before).as_deref(), Ok(after), "{before}");
    }
}

/// A comment between items of one line is anybody's.
#[test]
fn a_comment_that_could_be_another_items_is_not_touched() {
    for text in [
        "[{key: keep, remote: backend}, {key: gone, remote: backend} # which?\n    ]\n",
        "[{key: gone, remote: backend}, # which?\n    {key: keep, remote: backend}]\n",
        "[{key: keep, remote: backend},\n    # which?\n    {key: gone, remote: backend}, {key: last, remote: backend}]\n",
    ] {
        let error = pruned(text).unwrap_err();
        assert!(error.contains("comment"), "{error}");
    }
}

/// The property beside the dash has no line of its own.
#[test]
fn the_comment_of_the_property_below_the_dash_stays() {
    let before = "\n    - auth: {appSystemToken: {enabled: true}} # no longer\n      # about the key\n      key: page\n      remote: backend\n      route:\n        path: /page\n";
    let after = "\n    - # about the key\n      key: page\n      remote: backend\n      route:\n        path: /page\n";
    let text = format!("modules:\n  endpoint:{before}{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let wanted = Registry::of([forge_remote::handler!(page)]).desired_manifest(&[remote]);
    let merged = file.merged_with(&wanted, None).unwrap();
    assert_eq!(merged, format!("modules:\n  endpoint:{after}{REMOTES}"));
}

#[endpoint]
async fn page() -> Result<()> {
    Ok(())
}

/// The first item of an empty list would take the place of the comment.
#[test]
fn a_comment_in_an_empty_list_is_not_overwritten() {
    #[scheduled_trigger(interval = "hour")]
    async fn tick() {}
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let registry = Registry::of([forge_remote::handler!(tick)]);
    let wanted = registry.desired_manifest(&[remote]);
    let text = format!("modules:\n  endpoint: [\n    # none yet\n  ]\n{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let error = file.merged_with(&wanted, None).unwrap_err().to_string();
    assert!(
        error.contains("this empty value has a comment in it"),
        "{error}"
    );
}
