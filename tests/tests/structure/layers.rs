//! A layer imports only layers below it, and files do not import each other in a cycle.

use std::path::PathBuf;
use std::sync::LazyLock;

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
    crate::repository().join(krate).join("src")
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
    for import in read("forge-remote").imports() {
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

/// The diagram and the table of ARCHITECTURE.md have the layers in this order. The crate's root is not in them.
#[test]
fn architecture_lists_the_layers() {
    let page = std::fs::read_to_string(crate::repository().join("ARCHITECTURE.md"));
    let page = page.expect("the page");
    let (_, section) = page.split_once("graph BT\n").expect("the diagram");
    let (diagram, table) = section.split_once("```").expect("its end");
    let (table, _) = table.split_once("\n## ").expect("the next section");

    // `fit --> low[opaque, environment, …]`, and then `manifest --> fit` for each layer above.
    let (_, low) = diagram.split_once("low[").expect("the lowest layers");
    let (low, _) = low.split_once(']').expect("their end");
    let mut drawn: Vec<&str> = low.split(", ").collect();
    for (layer, _) in diagram.lines().filter_map(|line| line.split_once("-->")) {
        if !drawn.contains(&layer.trim()) {
            drawn.push(layer.trim());
        }
    }
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let described: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let layers = &LAYERS[..LAYERS.len() - 1];
    assert_eq!(drawn, layers, "the diagram");
    assert_eq!(described, layers, "the table");
}

/// The packages of the workspace, by directory.
static SOURCES: LazyLock<Vec<(String, Crate)>> = LazyLock::new(|| {
    let members = crate::members().into_iter();
    let members = members.filter(|name| source(name).is_dir());
    let read = members.map(|name| {
        let read = Crate::read(&source(&name));
        (name, read)
    });
    read.collect()
});

/// Returns the sources of the crate in this directory, which are read once for all tests.
pub(crate) fn read(directory: &str) -> &'static Crate {
    let mut sources = SOURCES.iter();
    let found = sources.find(|(name, _)| name == directory);
    &found.expect("a member of the workspace").1
}

#[test]
fn files_form_no_cycle() {
    let cycles: Vec<_> = SOURCES.iter().flat_map(|(_, read)| read.cycles()).collect();
    assert!(
        cycles.is_empty(),
        "files import one another in cycles: {cycles:#?}"
    );
}

/// A reader finds where a name is from, and so does `files_form_no_cycle`.
#[test]
fn files_import_by_name() {
    let globs: Vec<_> = SOURCES
        .iter()
        .flat_map(|(name, read)| {
            let globs = read.globs().into_iter();
            globs
                .map(move |place| format!("{name}/src/{place}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(globs.is_empty(), "name the imported items: {globs:#?}");
}
