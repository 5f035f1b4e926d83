//! The listings of the public API in `tests/api` follow CONTRIBUTING's rules for public types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::packages::published;

/// Crates of version 1 or later, whose types the API has.
const STABLE: &[&str] = &[
    "bytes",
    "http",
    "http_body",
    "serde_core",
    "serde_json",
    "tokio",
];

/// Crates of version 0, whose types the API has, each with the reason. An incompatible version of one is
/// one of ours.
const UNSTABLE: &[(&str, &str)] = &[
    ("axum", "handlers use its extractors and responses"),
    ("axum_core", "the traits of axum's extractors and responses"),
    (
        "futures_core",
        "`Stream`, of which there is no newer version",
    ),
    ("tower_layer", "`Layer`, which has been stable for years"),
    (
        "tower_service",
        "`Service`, which has been stable for years",
    ),
    ("tracing", "`Span`, in `App::on_span`"),
];

/// Published crates without a listing, with the reason.
const NOT_LISTED: &[(&str, &str)] = &[
    (
        "forge-remote-attacks",
        "its rows are data for tests, and change with each attack that is found",
    ),
    (
        "forge-remote-macros",
        "its items are attributes: `docs/options.md` and the cases of `tests/ui` have their options",
    ),
];

/// Structs with public fields, and error enums, that are exhaustive, with the reason.
const EXHAUSTIVE: &[(&str, &str)] = &[
    ("Args", "a handler destructures it"),
    ("Event", "a handler destructures it"),
    ("Json", "a handler destructures it"),
    ("State", "a handler destructures it"),
    ("Location", "a place has a file, a line and a column"),
    ("Position", "a place has a line and a column"),
    ("SourceText", "a caller of `render` makes it"),
    ("Auth", "Forge has these two tokens; the macros write it"),
    ("Conditions", "the macros write it"),
    ("FilteredEvent", "the macros write it"),
    ("HalfHours", "the macros write it"),
    ("Names", "the registry makes it"),
    ("WrittenNames", "the macros and the registry make it"),
    (
        "PageRequest",
        "a token store of the app reads it, and its tests make it",
    ),
    ("SealedToken", "a token store of the app makes it"),
    ("TokenPage", "a token store of the app makes it"),
    ("JwksDocument", "a key source of the app makes it"),
    ("AgentError", "a handler makes it: Forge fixed its fields"),
    ("CacheTtl", "a handler makes it: Forge fixed its fields"),
    ("Container", "a handler makes it: Forge fixed its fields"),
    (
        "MergeCheckResponse",
        "a handler makes it: Forge fixed its fields",
    ),
    (
        "RenderedMacro",
        "a handler makes it: Forge fixed its fields",
    ),
    (
        "RenderedMacros",
        "a handler makes it: Forge fixed its fields",
    ),
    (
        "WebTriggerOutput",
        "a handler makes it: Forge fixed its fields",
    ),
    (
        "WebTriggerResponse",
        "a handler makes it: Forge fixed its fields",
    ),
    ("Workspace", "a handler makes it: Forge fixed its fields"),
];

/// The names of the published library crates.
fn libraries() -> BTreeSet<String> {
    let packages = published().into_iter().filter(|package| {
        let targets = package["targets"].as_array().expect("targets").iter();
        let mut kinds = targets.flat_map(|target| target["kind"].as_array().expect("kinds"));
        kinds.any(|kind| kind == "lib" || kind == "proc-macro")
    });
    packages
        .map(|package| package["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The listings by crate.
fn listings() -> BTreeMap<String, String> {
    let folder = crate::repository().join("tests/api");
    let files = fs::read_dir(folder).expect("the listings");
    let files = files.map(|file| file.expect("a file").path());
    let texts = files.filter(|file| file.extension().is_some_and(|end| end == "txt"));
    texts
        .map(|file| {
            let name = file.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&file).expect("text"))
        })
        .collect()
}

#[test]
fn every_published_library_has_a_listing() {
    let listed: BTreeSet<String> = listings().into_keys().collect();
    let excused = NOT_LISTED.iter().map(|(name, _)| (*name).to_owned());
    let expected: BTreeSet<String> = libraries().into_iter().collect();
    let held: BTreeSet<String> = listed.iter().cloned().chain(excused).collect();
    assert_eq!(
        held, expected,
        "create the file, then `.ci/public-api --write`"
    );
    for (name, _) in NOT_LISTED {
        assert!(!listed.contains(*name), "{name} has a listing");
    }
}

/// The first names of the paths in a line: `alloc` of `alloc::vec::Vec`.
fn crates_in(line: &str) -> BTreeSet<&str> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let ends = line.match_indices("::").map(|(at, _)| at);
    let words = ends.map(|end| {
        let from = line[..end].rfind(|char| !is_word(char));
        let from = from.map_or(0, |at| at + 1);
        (&line[..from], &line[from..end])
    });
    let first = words.filter(|(before, word)| !before.ends_with("::") && !word.is_empty());
    // `Self::Item` and `T::Output` are no paths of crates.
    let crates = first.map(|(_, word)| word);
    crates
        .filter(|word| !word.starts_with(char::is_uppercase))
        .collect()
}

#[test]
fn the_api_has_types_of_few_unstable_crates() {
    let own: BTreeSet<String> = libraries()
        .iter()
        .map(|name| name.replace('-', "_"))
        .collect();
    let lock = crate::dependencies::locked();
    let is_stable = |name: &str| {
        let name = name.replace('_', "-");
        let versions = lock.iter().filter(|one| {
            let locked = one["name"].as_str().unwrap_or_default();
            locked.replace('_', "-") == name
        });
        let versions: Vec<&str> = versions.filter_map(|one| one["version"].as_str()).collect();
        assert!(!versions.is_empty(), "{name} is not in Cargo.lock");
        versions.iter().all(|version| !version.starts_with("0."))
    };
    for name in STABLE {
        assert!(
            is_stable(name),
            "{name} has version 0: give the reason in UNSTABLE"
        );
    }
    for (name, reason) in UNSTABLE {
        assert!(
            !is_stable(name),
            "{name} has version 1 or later now: move it to STABLE ({reason})"
        );
    }
    let mut found = BTreeSet::new();
    for (listing, text) in listings() {
        for line in text.lines() {
            for name in crates_in(line) {
                let is_std = ["core", "alloc", "std", "str"].contains(&name);
                let is_listed = STABLE.contains(&name);
                let has_reason = UNSTABLE.iter().any(|(one, _)| *one == name);
                assert!(
                    is_std || is_listed || has_reason || own.contains(name),
                    "the API of {listing} has a type of `{name}`: {line}"
                );
                found.insert(name.to_owned());
            }
        }
    }
    let unused: Vec<_> = STABLE
        .iter()
        .chain(UNSTABLE.iter().map(|(name, _)| name))
        .filter(|name| !found.contains(**name))
        .collect();
    assert!(unused.is_empty(), "the API has no type of {unused:?}");
}

#[test]
fn structs_and_errors_can_grow() {
    let kinds: BTreeSet<&str> = forge_remote_schema::kinds::KINDS
        .iter()
        .map(|kind| kind.runtime)
        .collect();
    let mut excused = BTreeSet::new();
    let mut exhaustive = BTreeSet::new();
    for text in listings().into_values() {
        let fields: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("pub ")?.split_once(": ")?.0))
            .filter_map(|path| Some(path.rsplit_once("::")?.0))
            .collect();
        for line in text.lines() {
            let Some((kind, path)) = line
                .strip_prefix("pub struct ")
                .map(|path| ("struct", path))
                .or_else(|| Some(("enum", line.strip_prefix("pub enum ")?)))
            else {
                continue;
            };
            let is_of_tuple = path.contains("(pub ");
            let end = path.find(['<', '(', ' ']).unwrap_or(path.len());
            let path = &path[..end];
            let name = path.rsplit("::").next().unwrap_or(path);
            let may_grow = match kind {
                "struct" => fields.contains(path) || is_of_tuple,
                _ => name.ends_with("Error") || name.ends_with("Rejection"),
            };
            if !may_grow || kinds.contains(name) {
                continue;
            }
            match EXHAUSTIVE.iter().find(|(one, _)| *one == name) {
                Some((one, _)) => excused.insert(*one),
                None => exhaustive.insert(path.to_owned()),
            };
        }
    }
    assert!(
        exhaustive.is_empty(),
        "add `#[non_exhaustive]`, or the reason in EXHAUSTIVE: {exhaustive:#?}"
    );
    let unused = EXHAUSTIVE
        .iter()
        .filter(|(name, _)| !excused.contains(name));
    let unused: Vec<_> = unused.collect();
    assert!(
        unused.is_empty(),
        "not exhaustive, or not there: {unused:?}"
    );
}
