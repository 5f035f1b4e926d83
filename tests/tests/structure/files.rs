//! Files are short enough to read, and modules are laid out in one way.

use std::collections::BTreeSet;

use crate::modules::{Crate, all_rust_files, is_test_file, rust_files};

/// The largest number of lines of a file; unit tests in the file of their code do not count.
const MAX_LINES: usize = 600;
/// Tables, which are looked up and not read.
const TABLES: &[&str] = &[
    "forge-remote-schema/src/atlassian.rs",
    "forge-remote-schema/src/structure/modules.rs",
];
/// Where the sources of the crates are.
const SOURCES: &[&str] = &[
    "forge-remote/src",
    "forge-remote-attacks/src",
    "forge-remote-build/src",
    "forge-remote-fit/src",
    "forge-remote-macros/src",
    "forge-remote-restate/src",
    "forge-remote-river/src",
    "forge-remote-schema/src",
    "fuzz/src",
    "tests/src",
];

/// Where integration tests, benchmarks and examples are.
const TESTS: &[&str] = &["tests/tests", "tests/bench/src", "examples"];

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let mut long = Vec::new();
    for folder in SOURCES {
        let sources = Crate::read(&crate::repository().join(folder));
        for module in sources.modules.values() {
            let name = format!("{folder}/{}", module.file);
            if module.lines > MAX_LINES && !TABLES.contains(&name.as_str()) {
                long.push(format!("{name}: {} lines", module.lines));
            }
        }
    }
    assert!(long.is_empty(), "split these by what they hold: {long:#?}");
}

#[test]
fn no_file_of_tests_is_longer_than_600_lines() {
    let root = crate::repository();
    let files_below = |folder: &&str| {
        let mut files = Vec::new();
        all_rust_files(&root.join(folder), &mut files);
        files
    };
    let unit_tests = SOURCES.iter().flat_map(files_below);
    let unit_tests = unit_tests.filter(|file| is_test_file(file));
    let files = unit_tests.chain(TESTS.iter().flat_map(files_below));
    let mut long = Vec::new();
    for file in files {
        let lines = std::fs::read_to_string(&file).expect("a readable file");
        let lines = lines.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert!(long.is_empty(), "split these by behaviour: {long:#?}");
}

/// Each attribute's kind is where its name says.
#[test]
fn every_kind_has_its_file() {
    let kinds = crate::repository().join("forge-remote/src/kinds");
    let missing: Vec<_> = forge_remote_schema::kinds::KINDS
        .iter()
        .filter(|kind| {
            let file = kinds.join(format!("{}.rs", kind.attribute));
            let text = std::fs::read_to_string(file).unwrap_or_default();
            !text.contains(&format!("impl Kind for {} {{", kind.runtime))
        })
        .map(|kind| kind.attribute)
        .collect();
    assert!(missing.is_empty(), "no file of these: {missing:?}");
}

/// `token/mod.rs`, never `token.rs` next to `token/`.
#[test]
fn a_module_with_children_is_a_mod_file() {
    let mut files = Vec::new();
    for folder in SOURCES.iter().chain(&["tests/tests"]) {
        rust_files(&crate::repository().join(folder), &mut files);
    }
    let duplicates: BTreeSet<_> = files
        .iter()
        .filter(|file| file.with_extension("").is_dir())
        .map(|file| file.display().to_string())
        .collect();
    assert!(
        duplicates.is_empty(),
        "move these to mod.rs: {duplicates:#?}"
    );
}

/// A reader finds the file of a behaviour in `tests/README.md`.
#[test]
fn the_tests_readme_names_every_file() {
    let tests = crate::repository().join("tests");
    let readme = std::fs::read_to_string(tests.join("README.md")).expect("a README");
    let mut files = Vec::new();
    rust_files(&tests.join("tests"), &mut files);
    let mut missing = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        // Some `main.rs` only declare the others.
        if !text.contains("#[test]") && !text.contains("#[tokio::test") && file.ends_with("main.rs")
        {
            continue;
        }
        let name = file
            .strip_prefix(tests.join("tests"))
            .expect("a file there");
        let name = name.with_extension("").to_string_lossy().replace('\\', "/");
        if !readme.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    assert!(
        missing.is_empty(),
        "tests/README.md names none of {missing:#?}"
    );
}
