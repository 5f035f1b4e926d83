//! Tables in the docs agree with the code. `UPDATE_DOCS=1` writes the table of options, which follows from the table of kinds.

use std::collections::BTreeSet;
use std::fs;

use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::KINDS;
use forge_remote_schema::options::{COMMON, OptionSpec, Presence, Shape};

use crate::modules::rust_files;

fn docs(name: &str) -> String {
    let path = crate::repository().join("forge-remote/src/docs").join(name);
    fs::read_to_string(path).expect("a page")
}

/// Returns the cells of the tables' rows, without the heads.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| [`"));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect());
    cells.collect()
}

/// Returns the names in backquotes: `` `PORT`, `RUST_LOG` ``.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Returns the attributes that take a common option, in the words of the page.
fn takers(option: &str) -> String {
    let takes = |kind: &&KindSpec| kind.option_names().any(|name| name == option);
    let (with, without): (Vec<&KindSpec>, Vec<&KindSpec>) = KINDS.iter().partition(takes);
    let names = |kinds: &[&KindSpec]| {
        let names = kinds.iter().map(|kind| format!("`{}`", kind.attribute));
        names.collect::<Vec<_>>().join(", ")
    };
    match (&*with, &*without) {
        (_, []) => "all".to_owned(),
        ([..], without) if without.len() < with.len() => format!("all but {}", names(without)),
        (with, _) => names(with),
    }
}

#[test]
fn the_options_page_has_every_common_option() {
    let page = docs("options.md");
    let common: Vec<(String, String)> = rows(&page)
        .into_iter()
        .filter(|row| row.len() == 4)
        .map(|row| {
            let name = quoted(row[0])
                .next()
                .and_then(|option| option.split(' ').next());
            (name.expect("an option").to_owned(), row[3].to_owned())
        })
        .collect();
    let listed: BTreeSet<&str> = common.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected: BTreeSet<&str> = COMMON.into();
    for kind in KINDS {
        let own: BTreeSet<&str> = own_options(kind).map(|option| option.name).collect();
        expected.extend(kind.option_names().filter(|name| !own.contains(name)));
    }
    assert_eq!(listed, expected);
    for (name, attributes) in common {
        assert_eq!(
            attributes,
            takers(&name),
            "the attributes of `{name}` in options.md"
        );
    }
}

fn own_options(kind: &KindSpec) -> impl Iterator<Item = &'static OptionSpec> {
    let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
    kind.options.iter().chain(nested)
}

#[test]
fn the_options_page_has_every_option_of_each_attribute() {
    let expected: String = KINDS
        .iter()
        .map(|kind| {
            let options = own_options(kind).map(|option| {
                let text = match option.shape {
                    Shape::Flag => format!("`{}`", option.name),
                    _ => format!("`{} = {}`", option.name, option.example),
                };
                match option.presence {
                    Presence::Required => format!("{text} (required)"),
                    Presence::Optional => text,
                    Presence::OrDocs | Presence::DocsOrNone => {
                        format!("{text} (default: the doc comment)")
                    }
                }
            });
            let options = options.collect::<Vec<_>>().join(", ");
            let name = kind.attribute;
            let options = if options.is_empty() { "-" } else { &options };
            format!("| [`{name}`](macro@crate::{name}) | {options} |\n")
        })
        .collect();
    check_table(
        "options.md",
        "| attribute | options |\n| --- | --- |\n",
        &expected,
    );
}

/// Checks the table at the end of a page, or writes it.
fn check_table(page: &str, head: &str, expected: &str) {
    let text = docs(page);
    let (before, table) = text.split_once(head).expect("the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = crate::repository().join("forge-remote/src/docs").join(page);
        fs::write(path, format!("{before}{head}{expected}")).expect("a writable page");
        return;
    }
    assert!(
        table == expected,
        "run this test with UPDATE_DOCS=1 to write the table of {page}:\n{expected}"
    );
}

#[test]
fn the_configuration_page_has_every_variable_and_feature() {
    let page = docs("configuration.md");
    let named = |section: &str| -> BTreeSet<&str> {
        let (_, section) = page.split_once(section).expect("a section");
        let (section, _) = section.split_once("\n# ").expect("the next section");
        rows(section)
            .iter()
            .flat_map(|row| quoted(row[0]))
            .collect()
    };

    let mut sources = Vec::new();
    for folder in [
        "forge-remote/src",
        "forge-remote-fit/src",
        "forge-remote-build/src",
        "forge-remote-restate/src",
        "forge-remote-river/src",
    ] {
        rust_files(&crate::repository().join(folder), &mut sources);
    }
    let mut read = BTreeSet::new();
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    for source in sources {
        let text = fs::read_to_string(source).expect("a source file");
        for start in ["variable(\"", "\"FORGE_REMOTE_"] {
            for (at, found) in text.match_indices(start) {
                let at = at + found.find('"').expect("a quote") + 1;
                let rest = &text[at..];
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                if rest[end..].starts_with('"') && end > 0 {
                    read.insert(rest[..end].to_owned());
                }
            }
        }
        for (function, names) in READ_BY_LIBRARIES {
            if text.contains(function) {
                read.extend(names.iter().map(|name| (*name).to_owned()));
            }
        }
    }
    // Set by cargo; the settings of one test.
    read.retain(|name| name != "CARGO_MANIFEST_DIR" && !name.contains("SIMULATION"));
    let read: BTreeSet<&str> = read.iter().map(String::as_str).collect();
    assert_eq!(named("# Environment variables"), read);

    let manifest = fs::read_to_string(crate::repository().join("forge-remote/Cargo.toml"));
    let manifest: toml::Table = manifest.expect("a manifest").parse().expect("TOML");
    let features = manifest["features"].as_table().expect("features").keys();
    let features: BTreeSet<&str> = features
        .map(String::as_str)
        .filter(|name| !["default", "fuzzing"].contains(name))
        .collect();
    assert_eq!(named("# Features"), features);
}

/// The variables that libraries read, each with the call of ours by which they do.
const READ_BY_LIBRARIES: &[(&str, &[&str])] = &[
    ("Backtrace::capture", &["RUST_BACKTRACE"]),
    ("Matcher::from_env", &["HTTPS_PROXY", "NO_PROXY"]),
    // rustls-native-certs, with the system's certificates.
    (
        "fn client(self) -> ClientBuilder",
        &["SSL_CERT_FILE", "SSL_CERT_DIR"],
    ),
];

#[test]
fn the_security_page_has_the_code_of_every_rejection() {
    let source = crate::repository().join("forge-remote-fit/src/error.rs");
    let source = fs::read_to_string(source).expect("the rejections");
    let codes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
        .collect();
    assert!(codes.len() > 25, "{codes:?}");
    let page = docs("security.md");
    let (_, section) = page.split_once("# Codes of rejections").expect("a section");
    let (section, _) = section.split_once("\n# ").expect("the next section");
    let listed: BTreeSet<&str> = rows(section)
        .iter()
        .flat_map(|row| quoted(row[0]))
        .collect();
    assert_eq!(listed, codes);
}
