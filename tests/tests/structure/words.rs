//! The words of comments, docs, messages and names: phrases that a reader would have to translate.

use std::fs;
use std::path::{Path, PathBuf};

/// Phrases that are not used, each with a better one. An underscore separates words too.
const PHRASES: &[(&str, &str)] = &[
    ("tell", "report, show, distinguish"),
    ("tells", "reports, shows, distinguishes"),
    ("told", "logged, notified, reported, configured"),
    ("tells of", "reports"),
    ("hears", "receives"),
    ("says of", "reports"),
    ("anew", "again"),
    ("in vain", "without effect"),
    ("goes on", "continues"),
    ("taken up", "resumed"),
    ("by itself", "automatically, or alone"),
    ("is no fit", "is not a valid FIT"),
    ("is no request", "is not a valid request"),
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
    ("any customer", "any installation"),
    ("one customer", "one installation"),
    ("customers' data", "user data"),
    ("a customer chooses", "a user chooses"),
    ("anybody", "anyone"),
    ("beside", "next to, in addition to, at the same time as"),
    ("whatever", "regardless of, any"),
    ("of its own", "separate, own, its"),
    ("of their own", "separate, own, their"),
    ("what are", "the noun"),
    ("what became", "the outcome"),
    ("what differs", "the difference"),
    ("what equals", "the noun"),
    ("what follows", "the noun"),
    ("what is", "the noun"),
    ("what makes", "the noun"),
    ("what runs", "the noun"),
    ("what was", "the noun"),
    ("what were", "the noun"),
];

/// Where the project's own words are, in addition to the published crates. Text of other projects and generated files are
/// elsewhere.
const PLACES: &[&str] = &[
    ".ci",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "SECURITY.md",
    "deny.toml",
    "docs",
    "examples",
    "fuzz/Cargo.toml",
    "fuzz/README.md",
    "fuzz/fuzz_targets",
    "fuzz/run",
    "fuzz/src",
    "rust-toolchain.toml",
    "tests/Cargo.toml",
    "tests/README.md",
    "tests/api/Cargo.toml",
    "tests/api/src",
    "tests/bench",
    "tests/browser",
    "tests/field/README.md",
    "tests/jose",
    "tests/pasted",
    "tests/servers",
    "tests/shared-build",
    "tests/src",
    "tests/terminal",
    "tests/tests",
    "tests/ui",
];

/// The ends of the names of files with words.
const ENDS: &[&str] = &[
    "css", "html", "js", "md", "mjs", "rs", "sh", "stderr", "toml", "txt", "yml",
];

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        if path.ends_with("node_modules") || path.ends_with("target") {
            return;
        }
        let entries = fs::read_dir(path).expect("a readable directory");
        for entry in entries {
            files(&entry.expect("a readable entry").path(), found);
        }
        return;
    }
    let is_text = match path.extension() {
        Some(end) => ENDS.iter().any(|one| end == *one),
        // A script.
        None => fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!")),
    };
    // This file has the phrases, and the other one is npm's.
    let is_ours = !path.ends_with("structure/words.rs") && !path.ends_with("preact.js");
    if is_text && is_ours {
        found.push(path.to_owned());
    }
}

/// A text's words with one space between them, and a line break after each paragraph.
struct Words {
    text: String,
    /// The start of each line of the original, in `text`.
    starts: Vec<usize>,
}

impl Words {
    /// Reads a text, without the marks of comments, so that a phrase is found although a line break divides it.
    fn read(original: &str) -> Self {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for line in original.lines() {
            starts.push(text.len());
            let line = line.trim().trim_end_matches('\\');
            let line = line.trim_start_matches(['/', '!', '#', '*', '=', '|', ' ']);
            // Names of the standard library and of Atlassian's rate limits.
            let line = line
                .to_lowercase()
                .replace("is_none", "")
                .replace("quota-tenant", "")
                .replace("client::tenant", "")
                .replace('_', " ");
            for word in line.split_whitespace() {
                text.push_str(word);
                text.push(' ');
            }
            if line.is_empty() {
                text.push('\n');
            }
        }
        Self { text, starts }
    }

    /// Returns the number of each line in which the phrase begins, as words and not as parts of words.
    fn lines_with(&self, phrase: &str) -> impl Iterator<Item = usize> {
        let is_letter = |one: Option<char>| one.is_some_and(char::is_alphanumeric);
        self.text
            .match_indices(phrase)
            .filter(move |(at, _)| {
                let after = self.text[at + phrase.len()..].chars().next();
                !is_letter(self.text[..*at].chars().next_back()) && !is_letter(after)
            })
            .map(|(at, _)| self.starts.partition_point(|start| *start <= at))
    }
}

/// Whether a line is a comment that begins with a clause instead of a noun.
fn is_clause(line: &str) -> bool {
    let line = line.trim();
    let comment = line.strip_prefix("//").unwrap_or_default();
    let comment = comment.trim_start_matches(['/', '!', ' ']);
    comment.starts_with("What ") && !line.ends_with('?')
}

#[test]
fn phrases_that_are_not_used_are_absent() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let places = PLACES.iter().map(|place| (*place).to_owned());
    for place in places.chain(crate::published()) {
        let before = found.len();
        files(&root.join(&place), &mut found);
        assert!(found.len() > before, "{place} has no file with words");
    }
    let mut lines = Vec::new();
    for file in found {
        let text = fs::read_to_string(&file).expect("a readable file");
        let words = Words::read(&text);
        let name = file.strip_prefix(&root).unwrap_or(&file).display();
        let clauses = text.lines().enumerate().filter(|(_, line)| is_clause(line));
        lines.extend(clauses.map(|(at, _)| format!("{name}:{}: `What …`: the noun", at + 1)));
        for (phrase, better) in PHRASES {
            let found = words.lines_with(phrase);
            lines.extend(found.map(|line| format!("{name}:{line}: `{phrase}`: {better}")));
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
fn phrases_are_found_as_words_in_each_paragraph() {
    let lines = |text: &str, phrase: &'static str| -> Vec<usize> {
        Words::read(text).lines_with(phrase).collect()
    };
    assert_eq!(lines("it is told to stop", "told"), [1]);
    assert_eq!(lines("told about\nthe pages told", "told"), [1, 2]);
    assert!(lines("stolder", "told").is_empty());
    assert!(lines("a nanewton", "anew").is_empty());
    let comment = "fn one() {}\n/// A listener of\n/// its own.\n\n/// its own";
    assert_eq!(lines(comment, "of its own"), [2]);
    assert!(lines("of\n///\n/// its own", "of its own").is_empty());
    assert_eq!(lines("\"of \\\n    its own\"", "of its own"), [1]);
    assert!(is_clause("    //! What it holds: one."));
    assert!(!is_clause("/// Whatever"));
}
