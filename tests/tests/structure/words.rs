//! The words of comments, docs, messages and names: phrases that a reader would have to translate.

use std::fs;
use std::path::{Path, PathBuf};

/// Phrases that are not used, each with a better one. An underscore separates words too.
const PHRASES: &[(&str, &str)] = &[
    ("told", "logged, notified, reported, configured"),
    ("tells of", "reports"),
    ("hears", "receives"),
    ("says of", "reports"),
    ("anew", "again"),
    ("in vain", "without effect"),
    ("goes on", "continues"),
    ("taken up", "resumed"),
    ("by itself", "automatically, or alone"),
    ("is none", "is invalid, is missing"),
    ("unless told otherwise", "default: …"),
    ("those that", "the noun"),
    ("those who", "the noun"),
    ("of whom", "the noun"),
    ("whoever", "the noun"),
    ("what comes", "the noun"),
    ("what isn", "the noun"),
    ("in good order", "gracefully"),
    ("is content with", "accepts"),
    ("in no way", "not"),
    ("once more", "again"),
    ("tenant", "installation"),
    ("customer data", "user data"),
    ("the customer", "the installation"),
    ("another customer", "another installation"),
];

/// Where the project's own words are. Text of other projects and generated files are elsewhere.
const PLACES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/console.md",
    "docs/doctor.md",
    "docs/metrics.md",
    "docs/vectors.md",
    "examples",
    "forge-remote",
    "forge-remote-attacks",
    "forge-remote-build",
    "forge-remote-fit",
    "forge-remote-macros",
    "forge-remote-restate",
    "forge-remote-river",
    "forge-remote-schema",
    "fuzz/README.md",
    "fuzz/src",
    "tests/README.md",
    "tests/src",
    "tests/tests",
    "tests/ui",
];

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a readable folder");
        for entry in entries {
            files(&entry.expect("a readable entry").path(), found);
        }
        return;
    }
    let is_text = path
        .extension()
        .is_some_and(|end| end == "rs" || end == "md" || end == "stderr");
    // This file has the phrases.
    if is_text && path.exists() && !path.ends_with("structure/words.rs") {
        found.push(path.to_owned());
    }
}

/// Whether the phrase stands in a line as words of its own.
fn has_phrase(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let is_letter = |one: Option<char>| one.is_some_and(char::is_alphanumeric);
        let after = line[at + phrase.len()..].chars().next();
        !is_letter(line[..at].chars().next_back()) && !is_letter(after)
    })
}

#[test]
fn no_reader_has_to_translate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for place in PLACES {
        files(&root.join(place), &mut found);
    }
    assert!(found.len() > 300, "the places have {} files", found.len());
    let mut lines = Vec::new();
    for file in found {
        let text = fs::read_to_string(&file).expect("a readable file");
        for (number, line) in text.lines().enumerate() {
            // Names of the standard library and of Atlassian's rate limits.
            let words = line
                .to_lowercase()
                .replace("is_none", "")
                .replace("quota-tenant", "");
            let words = words.replace("client::tenant", "");
            let words = words.replace('_', " ");
            for (phrase, better) in PHRASES {
                if has_phrase(&words, phrase) {
                    let name = file.strip_prefix(&root).unwrap_or(&file).display();
                    lines.push(format!("{name}:{}: `{phrase}`: {better}", number + 1));
                }
            }
        }
    }
    assert!(
        lines.is_empty(),
        "{}\n{} lines",
        lines.join("\n"),
        lines.len()
    );
}

#[test]
fn phrases_are_found_as_words_alone() {
    assert!(has_phrase("it is told to stop", "told"));
    assert!(has_phrase("told about pages", "told"));
    assert!(!has_phrase("stolder", "told"));
    assert!(!has_phrase("a nanewton", "anew"));
}
