//! Parts of files that follow from the table of kinds and from files. `UPDATE_DOCS=1` writes them, so that a new kind or
//! token store is a file and a row.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::KINDS;

use crate::modules::rust_files;

/// The line after a generated part of a Rust file.
const END: &str = "// end of the generated part";

/// A generated part of a file.
pub(crate) struct Part {
    /// The text before it.
    begin: String,
    /// The start of the first line after it; empty for a blank line.
    end: &'static str,
    /// The lines.
    text: String,
}

impl Part {
    pub(crate) fn new(begin: &str, end: &'static str, text: String) -> Self {
        let begin = begin.to_owned();
        Self { begin, end, text }
    }

    /// Returns the text with this part in it.
    fn written_to(&self, file: &str) -> String {
        let (before, rest) = file
            .split_once(&self.begin)
            .unwrap_or_else(|| panic!("a part begins with {}", self.begin));
        let mut kept = rest.split_inclusive('\n').skip_while(|line| {
            let line = line.trim();
            match self.end {
                "" => !line.is_empty(),
                end => !line.starts_with(end),
            }
        });
        let kept: String = kept.by_ref().collect();
        format!("{before}{}{}{kept}", self.begin, self.text)
    }
}

/// Checks parts of a file of the repository, or writes them. The format of Rust is rustfmt's.
pub(crate) fn check_parts(name: &str, parts: &[Part]) {
    let path = crate::repository().join(name);
    let text = fs::read_to_string(&path).expect("a file");
    let updated = parts
        .iter()
        .fold(text.clone(), |text, part| part.written_to(&text));
    let is_rust = name.ends_with(".rs");
    if tokens(&text, is_rust) == tokens(&updated, is_rust) {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "run the tests `structure` with UPDATE_DOCS=1 to write {name}:\n{updated}"
    );
    fs::write(&path, updated).expect("a writable file");
    if is_rust {
        let status = Command::new("rustfmt")
            .args(["--edition", "2024"])
            .arg(&path)
            .status();
        assert!(status.expect("rustfmt runs").success());
    }
}

/// Returns a text without its layout.
fn tokens(text: &str, is_rust: bool) -> String {
    if !is_rust {
        return text.to_owned();
    }
    let text: String = text.split_whitespace().collect();
    text.replace(",}", "}")
}

fn source(name: &str) -> String {
    let file = crate::repository().join(name);
    fs::read_to_string(file).expect("a source file")
}

/// Returns the names of the public types of a file.
fn public_types(text: &str) -> BTreeSet<&str> {
    let items = text.lines().filter_map(|line| {
        let item = line.strip_prefix("pub ")?;
        ["struct ", "enum ", "trait ", "type "]
            .iter()
            .find_map(|kind| item.strip_prefix(kind))
    });
    items
        .filter_map(|item| item.split(|char: char| !char.is_alphanumeric()).next())
        .collect()
}

/// Returns the row of a kind in the table of `forge_remote::kinds`.
fn row(kind: &KindSpec) -> String {
    let KindSpec {
        attribute,
        module_type,
        payload,
        response,
        ..
    } = kind;
    let place = kind.endpoint_places.first();
    let place = place.filter(|_| !kind.has_module());
    let place = place.map_or_else(String::new, |place| format!(" (`{}`)", place.join(".")));
    let part = kind.part_option.or(kind.path_option);
    let each = part.map(|part| format!(", one per {part}"));
    format!(
        "//! | `{module_type}`{place} | [`{attribute}`](macro@crate::{attribute}){} | {payload} | {response} |\n",
        each.unwrap_or_default()
    )
}

#[test]
fn every_kind_has_its_module_its_types_and_its_row() {
    let mut attributes: Vec<&str> = KINDS.iter().map(|kind| kind.attribute).collect();
    attributes.sort_unstable();
    let modules = attributes.iter().map(|name| format!("mod {name};\n"));
    let types = attributes.iter().map(|name| {
        let text = source(&format!("forge-remote/src/kinds/{name}.rs"));
        let types: Vec<&str> = public_types(&text).into_iter().collect();
        match types[..] {
            [one] => format!("pub use {name}::{one};\n"),
            _ => format!("pub use {name}::{{{}}};\n", types.join(", ")),
        }
    });
    let tests = Part::new(
        "// generated: a file for each row of the table of kinds\n",
        END,
        modules.clone().collect(),
    );
    check_parts("tests/tests/every_kind/main.rs", &[tests]);
    // A page's kind has a row for all modules of pages.
    let of_pages = |kind: &&KindSpec| kind.attribute != "endpoint";
    check_parts(
        "forge-remote/src/kinds/mod.rs",
        &[
            Part::new(
                "//! | module | attribute | payload | response |\n//! | --- | --- | --- | --- |\n",
                "//! | a page's module",
                KINDS.iter().filter(of_pages).map(row).collect(),
            ),
            Part::new(
                "// generated: a module for each row of the table of kinds\n",
                END,
                modules.collect(),
            ),
            Part::new("// generated: their public types\n", END, types.collect()),
        ],
    );
}

/// A payload that is missing in the list is read by no fuzz target and by no test of odd bodies.
#[test]
fn every_payload_is_in_the_list_of_payloads() {
    let kinds = crate::repository().join("forge-remote/src/kinds");
    let mut files = Vec::new();
    rust_files(&kinds, &mut files);
    let mut payloads = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        for (_, after) in text
            .match_indices("\npayload!(")
            .map(|(at, start)| text.split_at(at + start.len()))
        {
            let name = after.split(|char: char| !char.is_alphanumeric()).next();
            payloads.insert(name.unwrap_or_default().to_owned());
        }
    }
    // The others are parts of these. An agent's request has a response of its kind to any body.
    payloads.retain(|name| name.ends_with("Request") || name.ends_with("Event"));
    payloads.retain(|name| !["PullRequest", "AgentRequest"].contains(&name.as_str()));
    assert!(payloads.len() > 10, "{payloads:?}");
    let lines = payloads
        .iter()
        .map(|name| format!("            $crate::kinds::{name},\n"));
    check_parts(
        "forge-remote/src/kinds/payloads.rs",
        &[Part::new(
            "// generated: the types of `payload!` that are whole payloads\n",
            END,
            lines.collect(),
        )],
    );
}

/// A token store with a driver.
struct Store {
    /// The name of its file, and of its feature.
    feature: String,
    /// The type.
    name: String,
    /// Its place and purpose, from the documentation of the type: "A token store in PLACE, for APPS."
    place: String,
}

/// Returns the token stores, except the one in memory, which every app has.
fn stores() -> Vec<Store> {
    let folder = crate::repository().join("forge-remote/src/token/store");
    let mut stores = Vec::new();
    for entry in fs::read_dir(&folder).expect("the stores") {
        let path = entry.expect("an entry").path();
        let file = match path.is_dir() {
            true => path.join("mod.rs"),
            false => path.clone(),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let names = text.lines().filter_map(|line| {
            let name = line.strip_prefix("impl TokenStore for ")?;
            name.strip_suffix(" {")
        });
        for name in names.filter(|name| *name != "MemoryTokens" && name.ends_with("Tokens")) {
            let (before, _) = text
                .split_once(&format!("pub struct {name}"))
                .expect("its type");
            let docs = before.rsplit("\n\n").next().unwrap_or_default();
            let docs: Vec<&str> = docs
                .lines()
                .filter_map(|line| line.strip_prefix("/// "))
                .collect();
            let docs = docs.join(" ");
            let sentence = docs.split(". ").next().unwrap_or_default();
            let sentence = sentence.split(" (feature").next().unwrap_or_default();
            let place = sentence
                .trim_end_matches('.')
                .strip_prefix("A token store in ")
                .unwrap_or_else(|| {
                    panic!("{name} is documented as \"A token store in …\": {docs}")
                });
            stores.push(Store {
                feature: path
                    .file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
                name: name.to_owned(),
                place: place.to_owned(),
            });
        }
    }
    stores.sort_by(|a, b| a.feature.cmp(&b.feature));
    assert!(stores.len() > 2, "the files of the stores");
    stores
}

#[test]
fn every_token_store_has_its_module_its_feature_and_its_rows() {
    let stores = stores();
    let manifest: toml::Table = source("forge-remote/Cargo.toml").parse().expect("TOML");
    let features = &manifest["features"];
    let every = features["_every_store"].as_array().expect("a list");
    let listed: BTreeSet<&str> = every.iter().filter_map(toml::Value::as_str).collect();
    let named: BTreeSet<&str> = stores.iter().map(|store| store.feature.as_str()).collect();
    assert_eq!(listed, named, "`_every_store` and the files of token/store");
    let tests = source("tests/src/stores.rs");
    let (_, rows) = tests.split_once("pub const STORES").expect("the list");
    let (rows, _) = rows.split_once("\n];").expect("its end");
    let made = rows.split("Box::new(").skip(1);
    let tested: BTreeSet<&str> = made.filter_map(|made| made.split("::").next()).collect();
    let types: BTreeSet<&str> = stores.iter().map(|store| store.name.as_str()).collect();
    assert_eq!(
        tested, types,
        "`STORES` of tests/src/stores.rs and the files of token/store"
    );
    let cfg = |store: &Store| format!("#[cfg(feature = \"{}\")]\n", store.feature);
    let lines = |line: &dyn Fn(&Store) -> String| -> String { stores.iter().map(line).collect() };
    check_parts(
        "forge-remote/src/token/store/mod.rs",
        &[
            Part::new(
                "// generated: the stores with a driver, each behind the feature of its name\n",
                END,
                lines(&|store| format!("{}mod {};\n", cfg(store), store.feature)),
            ),
            Part::new(
                "// generated: their types\n",
                END,
                lines(&|store| {
                    format!("{}pub use {}::{};\n", cfg(store), store.feature, store.name)
                }),
            ),
        ],
    );
    let in_memory = "//! | [`MemoryTokens`] | memory, for tests and apps that need no tokens after a restart | |\n";
    check_parts(
        "forge-remote/src/token/mod.rs",
        &[
            Part::new(
                in_memory,
                "//! Implement [`TokenStore`]",
                lines(&|store| {
                    format!(
                        "//! | `{}` | {} | `{}` |\n",
                        store.name, store.place, store.feature
                    )
                }) + "//!\n",
            ),
            Part::new(
                "// generated: the stores with a driver\n",
                END,
                lines(&|store| format!("{}pub use store::{};\n", cfg(store), store.name)),
            ),
        ],
    );
    let names: Vec<String> = named.iter().map(|name| format!("`{name}`")).collect();
    let row = format!(
        "| {} | off | the store of that name in [`token`](crate::token) | the store's driver |",
        names.join(", ")
    );
    let metrics =
        "| `metrics` | off | [`metrics`](crate::metrics) through the crate of that name | 2 |\n";
    check_parts(
        "forge-remote/src/docs/configuration.md",
        &[Part::new(metrics, "", format!("{row}\n"))],
    );
}
