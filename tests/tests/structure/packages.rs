//! The data of the published crates on crates.io and docs.rs.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub(crate) fn published() -> Vec<Value> {
    let metadata = crate::cargo_metadata(&["--no-deps", "--offline"]);
    let packages = metadata["packages"].as_array().expect("packages").clone();
    // `publish` is `null` where every registry is allowed.
    let published: Vec<Value> = packages
        .into_iter()
        .filter(|package| package["publish"].is_null())
        .collect();
    assert!(published.len() >= 4, "forge-remote and its parts");
    published
}

#[test]
fn published_crates_have_a_readme_and_both_licences() {
    for package in published() {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let folder = Path::new(manifest).parent().expect("a directory");
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let expected = fs::read(crate::repository().join(licence)).expect("a licence");
            let found = fs::read(folder.join(licence)).unwrap_or_default();
            assert!(found == expected, "copy {licence} to {}", folder.display());
        }
        let readme = package["readme"].as_str().unwrap_or_default();
        assert!(folder.join(readme).is_file(), "{manifest} has no README");
    }
}

#[test]
fn published_crates_have_complete_metadata() {
    for package in published() {
        let name = &package["name"];
        for field in ["description", "license", "repository", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no `{field}`");
        }
        for field in ["keywords", "categories"] {
            let values = package[field].as_array().expect("a list");
            assert!(
                (1..=5).contains(&values.len()),
                "{name}: {field} {values:?}"
            );
        }
        let docs = &package["metadata"]["docs"]["rs"];
        assert_eq!(
            docs["all-features"], true,
            "{name}: every feature on docs.rs"
        );
        let arguments = docs["rustdoc-args"].to_string();
        assert!(arguments.contains("docsrs"), "{name}: {arguments}");
    }
}
