//! Files are short enough to read, and modules are laid out in one way.

use std::collections::BTreeSet;

use crate::links::{pages, prose};
use crate::modules::{all_rust_files, is_test_file, rust_files};

/// The largest number of lines of a file; unit tests in the file of their code do not count.
const MAX_LINES: usize = 600;
/// The length that a file should not exceed.
const FEW_LINES: usize = 500;
/// The files above [`FEW_LINES`], each with the reason.
const LONG: &[(&str, &str)] = &[
    (
        "forge-remote/src/app/builder.rs",
        "one method for each setting",
    ),
    (
        "forge-remote/src/manifest/lint/structure/mod.rs",
        "one recursion over shapes",
    ),
    (
        "forge-remote/src/token/store/postgres.rs",
        "one pool, with its statements and checks",
    ),
    ("tests/src/fake_api.rs", "the routes of one fake API"),
    (
        "tests/src/stores.rs",
        "the table of stores, and a store that fails on demand",
    ),
];
/// Tables, which are looked up and not read.
const TABLES: &[&str] = &[
    "forge-remote-schema/src/atlassian.rs",
    "forge-remote-schema/src/kinds.rs",
];
/// Where the sources of the libraries are: `forge-remote/src`.
fn sources() -> Vec<String> {
    let members = crate::members().into_iter();
    let libraries =
        members.filter(|name| crate::repository().join(name).join("src/lib.rs").exists());
    libraries.map(|name| format!("{name}/src")).collect()
}

/// Where integration tests, benchmarks and examples are.
fn tests() -> Vec<String> {
    let mut folders = Vec::new();
    for name in crate::members() {
        let has_library = crate::repository().join(&name).join("src/lib.rs").exists();
        let program = (!has_library).then_some("src");
        for folder in ["benches", "examples", "fuzz_targets", "tests"]
            .into_iter()
            .chain(program)
        {
            let folder = format!("{name}/{folder}");
            if crate::repository().join(&folder).is_dir() {
                folders.push(folder);
            }
        }
    }
    folders
}

/// Where files of JavaScript are.
const SCRIPTS: &[&str] = &[
    ".ci",
    "forge-remote/src/console/page",
    "tests/browser",
    "tests/jose",
    "tests/conformance",
    "tests/restate",
];

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let mut long = Vec::new();
    let mut above = BTreeSet::new();
    for folder in sources() {
        let sources = crate::layers::read(folder.strip_suffix("/src").expect("a crate's sources"));
        for module in sources.modules.values() {
            let name = format!("{folder}/{}", module.file);
            if TABLES.contains(&name.as_str()) {
                continue;
            }
            if module.lines > MAX_LINES {
                long.push(format!("{name}: {} lines", module.lines));
            }
            if module.lines > FEW_LINES {
                above.insert(name);
            }
        }
    }
    assert!(long.is_empty(), "split these by what they hold: {long:#?}");
    let excused = LONG.iter().map(|(name, _)| (*name).to_owned());
    assert_eq!(
        above,
        excused.collect(),
        "split these, or give the reason in LONG"
    );
}

#[test]
fn no_file_of_tests_is_longer_than_600_lines() {
    let root = crate::repository();
    let files_below = |folder: &String| {
        let mut files = Vec::new();
        all_rust_files(&root.join(folder), &mut files);
        files
    };
    let (sources, tests) = (sources(), tests());
    let unit_tests = sources.iter().flat_map(files_below);
    let unit_tests = unit_tests.filter(|file| is_test_file(file));
    let files = unit_tests.chain(tests.iter().flat_map(files_below));
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

#[test]
fn no_script_is_longer_than_600_lines() {
    let mut long = Vec::new();
    for folder in SCRIPTS {
        let folder = crate::repository().join(folder);
        for entry in std::fs::read_dir(&folder).expect("a directory") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().expect("a name").to_string_lossy();
            let is_script = name.ends_with(".mjs") || name.ends_with(".js");
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if is_script && text.lines().count() > MAX_LINES {
                long.push(file.display().to_string());
            }
        }
    }
    assert!(long.is_empty(), "split these by what they hold: {long:#?}");
}

/// The widest line of prose, in characters. Tables, headings and code may be wider.
const MAX_WIDTH: usize = 120;

#[test]
fn pages_are_wrapped() {
    let mut wide = Vec::new();
    for file in pages() {
        // Lists of names, which a test reads line by line.
        if file.ends_with("kinds/pages.md") {
            continue;
        }
        let page = std::fs::read_to_string(&file).expect("a readable page");
        let is_prose = |line: &&str| !line.trim_start().starts_with(['|', '#', '<']);
        let lines = prose(&page).filter(is_prose);
        let lines = lines.filter(|line| line.chars().count() > MAX_WIDTH);
        wide.extend(lines.map(|line| format!("{}: {line}", file.display())));
    }
    assert!(wide.is_empty(), "wrap these lines: {wide:#?}");
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
    for folder in sources().into_iter().chain(tests()) {
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
        let of_kind = name
            .strip_prefix("every_kind/")
            .and_then(forge_remote_schema::kinds::find);
        if of_kind.is_none() && !readme.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    let mut shared = Vec::new();
    rust_files(&tests.join("src"), &mut shared);
    for file in shared {
        let name = file.strip_prefix(tests.join("src")).expect("a file there");
        let name = name.to_string_lossy().replace('\\', "/");
        let is_helper = !name.contains('/') && name != "lib.rs";
        if is_helper && !readme.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    assert!(
        missing.is_empty(),
        "tests/README.md names none of {missing:#?}"
    );
}

#[test]
fn the_tests_readme_names_no_file_that_is_gone() {
    let tests = crate::repository().join("tests");
    let readme = std::fs::read_to_string(tests.join("README.md")).expect("a README");
    let (behaviour, rest) = readme.split_once("\nElsewhere:").expect("both tables");
    let (_, behaviour) = behaviour
        .split_once("## Behaviour to file")
        .expect("the table");
    let (_, shared) = rest.split_once("## Shared parts").expect("the table");
    let mut gone = Vec::new();
    for (table, folder) in [(behaviour, "tests"), (shared, "src")] {
        for row in table.lines().filter(|line| line.starts_with("| ")) {
            // Of the behaviours the last cell, of the shared parts the first.
            let mut cells = row.trim_matches('|').split('|');
            let cell = if folder == "tests" {
                cells.next_back()
            } else {
                cells.next()
            };
            for name in cell.unwrap_or_default().split('`').skip(1).step_by(2) {
                let path = tests.join(folder).join(name);
                let exists = path.exists() || path.with_extension("rs").exists();
                if !exists && !tests.join(name).exists() {
                    gone.push(name.to_owned());
                }
            }
        }
    }
    assert!(gone.is_empty(), "tests/README.md names {gone:#?}");
}
