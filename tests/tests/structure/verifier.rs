//! The verifier's crate stays small.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The crates that forge-remote-fit needs on Linux with these features, itself included, as
/// `name version`.
fn needed(features: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--package",
            "forge-remote-fit",
            "--no-default-features",
        ])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--offline"])
        .args(["--features", features])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    // `name v1.2.3 (path or proc-macro)`.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn the_verifier_alone_needs_few_crates() {
    for (features, bound) in [("", 36), ("tower", 38), ("axum", 44), ("http,axum", 108)] {
        let crates = needed(features);
        assert!(
            crates
                .iter()
                .any(|one| one.starts_with("forge-remote-fit ")),
            "no tree is read: {crates:?}"
        );
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
