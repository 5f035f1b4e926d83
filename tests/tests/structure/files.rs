//! Files are short enough to read, and modules are laid out in one way.

use std::collections::BTreeSet;

use crate::modules::{Crate, rust_files};

/// The largest number of lines of a source file, without its unit tests.
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

/// `token/mod.rs`, never `token.rs` beside `token/`.
#[test]
fn a_module_with_children_is_a_mod_file() {
    let mut files = Vec::new();
    for folder in SOURCES.iter().chain(&["tests/tests"]) {
        rust_files(&crate::repository().join(folder), &mut files);
    }
    let beside: BTreeSet<_> = files
        .iter()
        .filter(|file| file.with_extension("").is_dir())
        .map(|file| file.display().to_string())
        .collect();
    assert!(beside.is_empty(), "move these to mod.rs: {beside:#?}");
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
