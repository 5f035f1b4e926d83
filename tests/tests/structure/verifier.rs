//! The verifier's crate stays small.

use std::collections::BTreeSet;

/// The crates that forge-remote-fit needs at run time with these features.
fn needed(features: &str) -> BTreeSet<String> {
    crate::needed("forge-remote-fit", "normal", features)
}

#[test]
fn the_verifier_alone_needs_few_crates() {
    for (features, bound) in [("", 36), ("tower", 38), ("axum", 44), ("http,axum", 108)] {
        let crates = needed(features);
        assert!(
            crates.len() <= bound,
            "forge-remote-fit with the features `{features}` needs {} crates, more than {bound}: \
             {crates:#?}",
            crates.len()
        );
    }
}

#[test]
fn the_verifier_needs_nothing_of_a_server_or_a_command() {
    let crates = needed("http,axum");
    for unwanted in [
        "axum ",
        "clap ",
        "sqlx ",
        "tracing-subscriber ",
        "serde_yaml ",
        "yaml_serde ",
    ] {
        let found = crates.iter().find(|name| name.starts_with(unwanted));
        assert_eq!(found, None);
    }
}

/// Claims come from the verifier, or from the app's own sealed envelopes: one file reads those.
#[test]
fn claims_are_restored_in_one_place() {
    let source = crate::repository().join("forge-remote/src");
    let mut files = Vec::new();
    crate::modules::rust_files(&source, &mut files);
    files.retain(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.contains("stored_claims")
    });
    let names: Vec<_> = files
        .iter()
        .filter_map(|file| file.strip_prefix(&source).ok()?.to_str())
        .collect();
    assert_eq!(names, ["jobs/kept_claims.rs"]);
}
