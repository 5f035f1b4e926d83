//! One name is one type, in all published crates: a reader who searches for a type finds one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::modules::rust_files;

/// The names of several types. The list only becomes shorter: give a new type a name that no other one has.
const SEVERAL: &[&str] = &[
    "AllowedModuleKey",
    "Arguments",
    "Attempt",
    "Begun",
    "Body",
    "Boxed",
    "Call",
    "Calls",
    "Case",
    "Change",
    "Changes",
    "Check",
    "Comparison",
    "Conditions",
    "Connection",
    "Declared",
    "Document",
    "Endpoint",
    "Entry",
    "Event",
    "Exchanged",
    "Expression",
    "Failed",
    "Fate",
    "Fields",
    "Fit",
    "Form",
    "Format",
    "Found",
    "Function",
    "Group",
    "Guard",
    "Handler",
    "Hosts",
    "Inner",
    "Inspector",
    "Key",
    "Keys",
    "Kind",
    "Known",
    "Limits",
    "Link",
    "ManifestFile",
    "Members",
    "Message",
    "Named",
    "Names",
    "NewCall",
    "Now",
    "Object",
    "Opened",
    "Options",
    "Origin",
    "Outcome",
    "Overlap",
    "Part",
    "Parts",
    "Phase",
    "Place",
    "Plain",
    "Plan",
    "Problem",
    "Reading",
    "Readme",
    "Record",
    "Rejected",
    "Request",
    "Requirement",
    "Row",
    "Run",
    "Running",
    "Runs",
    "Schedule",
    "Schedules",
    "Seen",
    "Sent",
    "Server",
    "Service",
    "Serving",
    "Session",
    "Setting",
    "Shared",
    "Snapshot",
    "Sources",
    "Start",
    "State",
    "Step",
    "Stopwatch",
    "Stored",
    "StoredCall",
    "StoredReport",
    "Taken",
    "Timed",
    "Transaction",
    "Value",
    "Values",
    "Verdict",
    "WorkerPermit",
];

/// Collects the names of the types that a file defines, without associated types and inline test modules.
fn collect(tokens: TokenStream, is_of_impl: bool, names: &mut BTreeSet<String>) {
    let mut keyword = String::new();
    // Whether the next braces are those of an `impl` or a `trait`.
    let mut is_impl = false;
    let mut is_test = false;
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                let defines = match keyword.as_str() {
                    "struct" | "enum" | "union" | "trait" => true,
                    "type" => !is_of_impl,
                    _ => false,
                };
                if defines {
                    names.insert(word.clone());
                }
                is_impl |= ["impl", "trait"].contains(&word.as_str());
                keyword = word;
            }
            TokenTree::Group(group) => {
                keyword.clear();
                match group.delimiter() {
                    Delimiter::Brace => {
                        if !is_test {
                            collect(group.stream(), is_impl, names);
                        }
                        (is_impl, is_test) = (false, false);
                    }
                    // `#[cfg(test)]`
                    Delimiter::Bracket => {
                        is_test |= group.stream().to_string().replace(' ', "") == "cfg(test)";
                    }
                    Delimiter::Parenthesis | Delimiter::None => {}
                }
            }
            TokenTree::Punct(sign) => {
                keyword.clear();
                if sign.as_char() == ';' {
                    (is_impl, is_test) = (false, false);
                }
            }
            TokenTree::Literal(_) => keyword.clear(),
        }
    }
}

#[test]
fn a_new_type_has_a_new_name() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in crate::published() {
        let mut sources = Vec::new();
        rust_files(
            &crate::repository().join(&package).join("src"),
            &mut sources,
        );
        for path in sources {
            let text = fs::read_to_string(&path).expect("a source file");
            let mut names = BTreeSet::new();
            let tokens = TokenStream::from_str(&text).expect("Rust source");
            collect(tokens, false, &mut names);
            let file = path.strip_prefix(crate::repository()).expect("a file");
            for name in names {
                let places = files.entry(name).or_default();
                places.push(file.to_string_lossy().into_owned());
            }
        }
    }
    assert!(files.len() > 500, "{} types", files.len());
    let several: BTreeMap<&str, &Vec<String>> = files
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| (name.as_str(), places))
        .collect();
    let listed: BTreeSet<&str> = SEVERAL.iter().copied().collect();
    let new: Vec<_> = several
        .iter()
        .filter(|(name, _)| !listed.contains(*name))
        .collect();
    assert!(
        new.is_empty(),
        "give one of the types another name: {new:#?}"
    );
    let renamed: Vec<_> = listed
        .iter()
        .filter(|name| !several.contains_key(*name))
        .collect();
    assert!(renamed.is_empty(), "remove from the list: {renamed:?}");
    assert!(SEVERAL.is_sorted(), "the list is sorted");
}

#[test]
fn the_types_of_a_file_are_found() {
    let source = "
        pub(crate) struct One<T>(T);
        enum Two { Three }
        type Four = One<Two>;
        trait Five { type Six; }
        impl Five for Two { type Six = (); fn of() { struct Seven; } }
        macro_rules! one { () => {} }
        #[cfg(test)]
        mod tests { struct Eight; }
        #[cfg(test)]
        use one::Two;
        mod inner { union Nine { at: u8 } type Ten = u8; }
        fn of(_: impl Five) { type Eleven = u8; }
    ";
    let mut names = BTreeSet::new();
    collect(
        TokenStream::from_str(source).expect("Rust"),
        false,
        &mut names,
    );
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let expected = [
        "Eleven", "Five", "Four", "Nine", "One", "Seven", "Ten", "Two",
    ];
    assert_eq!(names, expected);
}
