//! A layer imports only layers below it, and files do not import each other in a cycle.

use std::path::{Path, PathBuf};

use crate::modules::Crate;

/// The layers of forge-remote, the lowest first. A layer imports only the ones before it.
const LAYERS: &[&str] = &[
    "opaque",
    "environment",
    "log",
    "diagnostic",
    "response",
    "telemetry",
    "error",
    "conformance",
    "json",
    "work",
    "http_client",
    "sqlite_file",
    "fit",
    "manifest",
    "credentials",
    "token",
    "client",
    "extract",
    "schedules",
    "jobs",
    "registry",
    "kinds",
    "private",
    "app",
    "platform",
    "console",
    "cli",
    "testing",
    "fuzzing",
    "lib",
];

fn source(krate: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(krate)
        .join("src")
}

/// The first part of a file's path: `token` of `token/keeper.rs` and of `token.rs`.
fn layer_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

#[test]
fn layers_import_downwards_only() {
    let rank = |file: &str| LAYERS.iter().position(|layer| *layer == layer_of(file));
    let mut upwards = Vec::new();
    for import in Crate::read(&source("forge-remote")).imports() {
        let (from, to) = (layer_of(&import.from), layer_of(&import.to));
        let is_listed = rank(&import.from).is_some() && rank(&import.to).is_some();
        assert!(is_listed, "a layer is missing in the order: {import:?}");
        if from != to && rank(&import.from) <= rank(&import.to) {
            upwards.push(format!("{}:{} -> {}", import.from, import.line, import.to));
        }
    }
    assert!(
        upwards.is_empty(),
        "imports run upwards:\n{}",
        upwards.join("\n")
    );
}

#[test]
fn files_form_no_cycle() {
    let crates = [
        "forge-remote",
        "forge-remote-attacks",
        "forge-remote-fit",
        "forge-remote-macros",
        "forge-remote-restate",
        "forge-remote-river",
        "forge-remote-schema",
        "forge-remote-build",
    ];
    let cycles: Vec<_> = crates
        .iter()
        .flat_map(|krate| Crate::read(&source(krate)).cycles())
        .collect();
    assert!(
        cycles.is_empty(),
        "files import one another in cycles: {cycles:#?}"
    );
}
