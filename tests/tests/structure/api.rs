//! The listings of the public API in `tests/api` follow CONTRIBUTING's rules for public types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::modules::{all_rust_files, is_test_file};
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

/// Crates whose types only hidden items have, each with the start of the items' paths and the reason.
const HIDDEN: &[(&str, &str, &str)] = &[
    (
        "inventory",
        "forge_remote::registry::",
        "the expansions submit to the registry of the app's own forge-remote",
    ),
    (
        "reqwest",
        "forge_remote_fit::__private::",
        "forge-remote has exactly this version of the verifier",
    ),
    (
        "url",
        "forge_remote_fit::__private::",
        "forge-remote has exactly this version of the verifier",
    ),
    (
        "yaml_serde",
        "forge_remote::fuzzing::yaml::",
        "the feature is for the fuzz targets of this repository alone",
    ),
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
    listings_in("tests/api")
}

fn listings_in(folder: &str) -> BTreeMap<String, String> {
    let folder = crate::repository().join(folder);
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

/// Functions and constants that no test, example or documentation names, with the reason.
const UNCALLED: &[(&str, &str)] = &[
    (
        "MAX_TOKEN_BYTES",
        "the attacks have tokens around it, in bytes",
    ),
    (
        "PRODUCTION_KEYS",
        "the default source; tests reach no network",
    ),
    (
        "USER",
        "one of the combinations that `Auth`'s tests make of its fields",
    ),
    ("accepted_environments", "the framework logs it at launch"),
    ("calls_every_site", "the framework asks a kind"),
    ("documented_timeout", "the framework asks a kind"),
    ("expires_at_millis", "the stores call it"),
    ("into_envelope", "`Jobs` calls it"),
    ("into_path", "calls take anything that has it"),
    ("is_cron", "the framework asks a handler"),
    ("log_dead", "the engines call it"),
    ("source_name", "the framework logs it"),
    ("unique_name", "the framework asks a kind"),
    ("from_platform", "the kinds call it"),
    ("route_scope", "the framework asks a handler"),
    ("sample_call", "the local platform asks a kind"),
];

/// Methods of the standard library's, axum's and tower's traits.
const OF_TRAITS: &[&str] = &[
    "borrow",
    "call",
    "clone",
    "cmp",
    "deref",
    "deref_mut",
    "deserialize",
    "eq",
    "fmt",
    "from",
    "from_request",
    "from_request_parts",
    "hash",
    "into_future",
    "into_response",
    "into_result",
    "layer",
    "partial_cmp",
    "poll_next",
    "poll_ready",
    "serialize",
    "size_hint",
    "source",
    "try_from",
];

/// Adds the words of a text.
fn add_words(text: &str, words: &mut BTreeSet<String>) {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let found = text
        .split(|char| !is_part(char))
        .filter(|word| !word.is_empty());
    words.extend(found.map(str::to_owned));
}

/// Returns the words of tests, examples and documentation.
fn words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut files = Vec::new();
    for folder in crate::members() {
        let is_library = folder.starts_with("forge-remote");
        let mut found = Vec::new();
        all_rust_files(&crate::repository().join(folder), &mut found);
        files.extend(found.into_iter().map(|file| (file, is_library)));
    }
    for (file, is_library) in files {
        // This file names the items that nothing calls.
        if file.ends_with("structure/api.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file");
        let is_code = is_library && file.iter().any(|part| part == "src");
        if !is_code || is_test_file(&file) {
            add_words(&text, &mut words);
            continue;
        }
        let (code, tests) = text
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((&text, ""));
        add_words(tests, &mut words);
        let is_doc = |line: &&str| line.trim_start().starts_with("///") || line.starts_with("//!");
        code.lines()
            .filter(is_doc)
            .for_each(|line| add_words(line, &mut words));
    }
    for page in fs::read_dir(crate::repository().join("forge-remote/src/docs")).expect("pages") {
        let page = fs::read_to_string(page.expect("a page").path());
        add_words(&page.expect("text"), &mut words);
    }
    words
}

/// Returns the last name of a path, without generics, arguments and type: `call` of `FitService<S>::call(…)`.
fn item_name(path: &str) -> &str {
    let mut depth = 0_usize;
    let (mut start, mut end) = (0, 0);
    for (at, char) in path.char_indices() {
        match char {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '(' | ' ' if depth == 0 => break,
            ':' if path[at..].starts_with(": ") => break,
            ':' if depth == 0 => start = at + 1,
            _ if depth == 0 => end = at + char.len_utf8(),
            _ => {}
        }
    }
    path.get(start..end).unwrap_or_default()
}

/// An item that nothing calls could do nothing, and no test would fail. The tables of the schema are for other crates.
#[test]
fn every_public_function_is_called_by_a_test_or_the_documentation() {
    let words = words();
    let mut uncalled = BTreeSet::new();
    for (name, text) in listings() {
        if name == "forge-remote-schema" {
            continue;
        }
        for line in text.lines() {
            let item = line.split_once("fn ").map(|(_, item)| item);
            let item = item.or_else(|| line.strip_prefix("pub const "));
            let name = item_name(item.unwrap_or_default());
            let is_name = |char: char| char.is_alphanumeric() || char == '_';
            if !name.is_empty()
                && name.chars().all(is_name)
                && !words.contains(name)
                && !OF_TRAITS.contains(&name)
            {
                uncalled.insert(name.to_owned());
            }
        }
    }
    let excused: BTreeSet<String> = UNCALLED
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        uncalled, excused,
        "test these, or give the reason in UNCALLED"
    );
}

/// The compiler does not hide an item from an app, so an incompatible version of such a crate would be one of ours.
#[test]
fn hidden_items_have_types_of_the_same_crates() {
    let own: BTreeSet<String> = libraries()
        .iter()
        .map(|name| name.replace('-', "_"))
        .collect();
    let listings = listings_in("tests/api/hidden");
    assert!(!listings.is_empty(), "`.ci/public-api --write`");
    let mut used: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for (listing, text) in listings {
        for line in text.lines() {
            for name in crates_in(line) {
                let is_known = ["core", "alloc", "std", "str", "bool", "u64"].contains(&name)
                    || STABLE.contains(&name)
                    || UNSTABLE.iter().any(|(one, _)| *one == name)
                    || own.contains(name);
                let reason = HIDDEN
                    .iter()
                    .find(|(one, path, _)| *one == name && line.contains(path));
                used.extend(reason);
                assert!(
                    is_known || reason.is_some(),
                    "a hidden item of {listing} has a type of `{name}`: {line}"
                );
            }
        }
    }
    assert_eq!(
        used.len(),
        HIDDEN.len(),
        "HIDDEN has reasons that nothing needs"
    );
}
