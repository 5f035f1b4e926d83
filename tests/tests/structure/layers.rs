//! Rooms import downwards only, and files form no circle.

use std::path::{Path, PathBuf};

use crate::modules::Crate;

/// The rooms of forge-remote, lowest first. A room may import those before it.
const ROOMS: &[&str] = &[
    "fuzzing",
    "opaque",
    "environment",
    "log",
    "diagnostic",
    "response",
    "error",
    "json",
    "work",
    "http_client",
    "fit",
    "manifest",
    "credentials",
    "token",
    "client",
    "extract",
    "jobs",
    "registry",
    "kinds",
    "private",
    "app",
    "platform",
    "cli",
    "testing",
    "lib",
];

fn source(krate: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(krate)
        .join("src")
}

/// The first part of a file's path: `token` of `token/keeper.rs` and of `token.rs`.
fn room_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

#[test]
fn rooms_import_downwards_only() {
    let rank = |file: &str| ROOMS.iter().position(|room| *room == room_of(file));
    let mut upwards = Vec::new();
    for arrow in Crate::read(&source("forge-remote")).arrows() {
        let (from, to) = (room_of(&arrow.from), room_of(&arrow.to));
        let is_listed = rank(&arrow.from).is_some() && rank(&arrow.to).is_some();
        assert!(is_listed, "a room is missing in the order: {arrow:?}");
        if from != to && rank(&arrow.from) <= rank(&arrow.to) {
            upwards.push(format!("{}:{} -> {}", arrow.from, arrow.line, arrow.to));
        }
    }
    assert!(
        upwards.is_empty(),
        "imports run upwards:\n{}",
        upwards.join("\n")
    );
}

#[test]
fn files_form_no_circle() {
    let crates = [
        "forge-remote",
        "forge-remote-fit",
        "forge-remote-macros",
        "forge-remote-river",
        "forge-remote-schema",
        "forge-remote-build",
    ];
    let circles: Vec<_> = crates
        .iter()
        .flat_map(|krate| Crate::read(&source(krate)).circles())
        .collect();
    assert!(
        circles.is_empty(),
        "files import one another in circles: {circles:#?}"
    );
}
