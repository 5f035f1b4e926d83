//! The dependency graph is what `deny.toml` allows: licences, banned crates, sources.
//!
//! `cargo deny check` does the same and takes minutes to install; this reads its file, so that `cargo test`
//! holds the rules everywhere. Only cargo-deny compares advisories.

use std::collections::BTreeSet;
use std::fs;

use spdx::{Expression, ParseMode};
use toml::{Table, Value};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn read(name: &str) -> Table {
    let text = fs::read_to_string(crate::repository().join(name)).expect("a file");
    text.parse().expect("TOML")
}

fn texts<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    let items = value[field].as_array().expect("a list");
    items.iter().filter_map(Value::as_str).collect()
}

/// The packages of `Cargo.lock`, which has those of every platform and feature.
pub(crate) fn locked() -> Vec<Value> {
    let lock = read("Cargo.lock");
    lock["package"].as_array().expect("packages").clone()
}

#[test]
fn every_source_is_allowed() {
    let deny = read("deny.toml");
    let sources = &deny["sources"];
    for unknown in ["unknown-registry", "unknown-git"] {
        assert_eq!(sources[unknown].as_str(), Some("deny"), "{unknown}");
    }
    // Without a list, cargo-deny allows crates.io.
    let listed = sources.get("allow-registry").and_then(Value::as_array);
    let listed = listed.map(|all| all.iter().filter_map(Value::as_str).collect());
    let allowed: Vec<&str> = listed.unwrap_or_else(|| vec![CRATES_IO]);
    assert!(sources.get("allow-git").is_none(), "read `allow-git` here");
    for package in locked() {
        let source = package.get("source").and_then(Value::as_str);
        assert!(
            source.is_none_or(|source| allowed.contains(&source)),
            "{} is from {source:?}",
            package["name"].as_str().unwrap_or_default()
        );
    }
}

#[test]
fn no_requirement_is_a_wildcard() {
    let bans = &read("deny.toml")["bans"];
    assert_eq!(bans["wildcards"].as_str(), Some("deny"));
    assert_eq!(bans["allow-wildcard-paths"].as_bool(), Some(true));
    let metadata = crate::cargo_metadata(&["--no-deps", "--offline"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let requirements = packages.iter().flat_map(|package| {
        let needed = package["dependencies"].as_array().expect("a list").iter();
        needed.map(move |one| (&package["name"], one))
    });
    let wild: Vec<_> = requirements
        .filter(|(_, one)| one["req"] == "*" && one["path"].is_null())
        .map(|(package, one)| format!("{package}: {}", one["name"]))
        .collect();
    assert!(wild.is_empty(), "give these a version: {wild:?}");
}

#[test]
fn no_banned_crate_is_built() {
    let deny = read("deny.toml");
    let banned = deny["bans"]["deny"].as_array().expect("a list");
    let banned: BTreeSet<&str> = banned
        .iter()
        .filter_map(|ban| ban["crate"].as_str())
        .collect();
    assert!(!banned.is_empty(), "deny.toml bans nothing");
    for (name, _) in built() {
        assert!(
            !banned.contains(name.as_str()),
            "{name} is banned by deny.toml"
        );
    }
}

/// Each crate is time in every first build. `tests/bench/README.md` has the numbers.
#[test]
fn the_framework_needs_few_crates() {
    let counts = [("default", 155), ("", 136)].map(|(features, bound)| {
        let crates = crate::needed("forge-remote", "no-dev", features);
        assert!(
            crates.len() <= bound,
            "forge-remote with the features `{features}` needs {} crates, more than {bound}: {crates:#?}",
            crates.len()
        );
        crates.len()
    });
    let page = crate::repository().join("tests/bench/README.md");
    let page = fs::read_to_string(page).expect("the page");
    let [default, lean] = counts;
    let sentence = format!("consists of {default} crates, and of {lean} with");
    assert!(page.contains(&sentence), "{page}\nlacks: {sentence}");
}

/// `configuration.md` and the README have the number of crates that each feature adds.
#[test]
fn the_documented_numbers_of_crates_are_right() {
    let page = crate::repository().join("forge-remote/src/docs/configuration.md");
    let page = fs::read_to_string(page).expect("the page");
    let readme = fs::read_to_string(crate::repository().join("README.md")).expect("the README");
    let count = |features: &str| crate::needed("forge-remote", "no-dev", features).len();
    for (feature, needs) in [
        ("cli", ""),
        ("dev", "cli"),
        ("testing", "dev"),
        ("conformance", "testing"),
        ("cron", ""),
        ("metrics", ""),
    ] {
        let added = count(feature) - count(needs);
        let number = match added {
            0 => "none".to_owned(),
            _ => added.to_string(),
        };
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{feature}` |")))
            .unwrap_or_else(|| panic!("configuration.md lacks {feature}"));
        let cell = row
            .trim_end_matches(" |")
            .rsplit("| ")
            .next()
            .unwrap_or_default();
        let has_number = cell == number || cell.starts_with(&format!("{number}: "));
        assert!(has_number, "`{feature}` adds {added}: {row}");
        assert!(
            [")", " crates)"]
                .iter()
                .any(|end| readme.contains(&format!("`{feature}` ({number}{end}"))),
            "README.md: `{feature}` adds {added}"
        );
    }
}

/// With another set of features, cargo would build the framework twice: for the app and for its tests.
#[test]
fn an_app_and_its_tests_share_one_build_of_the_framework() {
    let features = |edges: &str| {
        let tree = ["tree", "--package", "quickstart", "--locked"];
        let lines = ["--depth", "1", "--prefix", "none", "--format", "{p} {f}"];
        let text = crate::cargo(&[&tree[..], &["--edges", edges], &lines].concat());
        let line = text.lines().find(|line| line.starts_with("forge-remote "));
        line.expect("quickstart needs forge-remote").to_owned()
    };
    assert_eq!(features("normal"), features("normal,dev"));
}

/// Cargo lists a version twice if macros and programs need it with different features.
#[test]
fn macros_and_programs_share_one_build_of_each_dependency() {
    let tree = ["tree", "--workspace", "--locked", "--duplicates"];
    let text = crate::cargo(&[&tree[..], &["--depth", "0", "--prefix", "none"]].concat());
    let mut listed = BTreeSet::new();
    let packages = text.lines().filter(|line| line.contains(" v"));
    // The workspace's own entries there are for a build script, which it does not have.
    let others = packages.filter(|line| !line.starts_with("forge-remote"));
    let twice: Vec<&str> = others.filter(|line| !listed.insert(*line)).collect();
    assert!(
        twice.is_empty(),
        "add the features that differ to tests/shared-build/Cargo.toml: {twice:?}"
    );
}

/// `configuration.md` lists the versions of sqlx and rusqlite that an app can share with the framework.
/// forge-remote-river needs the sqlx of River.
#[test]
fn sqlx_has_known_ranges_and_documented_pairs() {
    let metadata = crate::cargo_metadata(&["--all-features", "--offline"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let requirements = |of: &dyn Fn(&str) -> bool, on: &str| -> BTreeSet<&str> {
        let packages = packages.iter();
        let packages = packages.filter(|one| of(one["name"].as_str().unwrap_or_default()));
        let needs = packages.flat_map(|one| one["dependencies"].as_array().expect("a list"));
        let needs = needs.filter(|one| one["name"] == on);
        needs.filter_map(|one| one["req"].as_str()).collect()
    };
    let ours = |name: &str| name.starts_with("forge-remote");
    let sqlx = requirements(&ours, "sqlx");
    let native = requirements(&|name| name == "sqlx-sqlite", "libsqlite3-sys");
    let is_locked = |name: &str| packages.iter().filter(|one| one["name"] == name).count();
    assert_eq!(is_locked("sqlx"), 1, "one version of sqlx is built");
    // Another range means other pairs: correct the table, then these.
    assert_eq!(sqlx, BTreeSet::from([">=0.8.6, <0.10", "^0.9.0"]));
    assert_eq!(native, BTreeSet::from([">=0.30.1, <0.38.0"]));
    let page = crate::repository().join("forge-remote/src/docs/configuration.md");
    let page = fs::read_to_string(page).expect("the page");
    for pair in [
        "accept sqlx 0.8.6 to 0.9",
        "| `rusqlite` 0.32 to 0.39 | shared with sqlx 0.9, which takes `libsqlite3-sys` 0.30 to 0.37 |",
        "| `rusqlite` 0.32 | shared with sqlx 0.8.6, which takes `libsqlite3-sys` 0.30 |",
    ] {
        assert!(page.contains(pair), "configuration.md lacks: {pair}");
    }
}

#[test]
fn every_licence_is_allowed() {
    let deny = read("deny.toml");
    let allowed: BTreeSet<&str> = texts(&deny["licenses"], "allow").into_iter().collect();
    let exceptions = deny["licenses"]["exceptions"].as_array().expect("a list");
    let mut rejected = Vec::new();
    for (name, licence) in built() {
        let exception = exceptions
            .iter()
            .find(|one| one["crate"].as_str() == Some(&name));
        let mut allowed = allowed.clone();
        allowed.extend(exception.into_iter().flat_map(|one| texts(one, "allow")));
        let is_allowed = Expression::parse_mode(&licence, ParseMode::LAX).is_ok_and(|expression| {
            expression.evaluate(|required| {
                let id = required.license.id();
                id.is_some_and(|id| allowed.contains(id.name))
            })
        });
        if !is_allowed {
            rejected.push(format!("{name}: {licence:?}"));
        }
    }
    assert!(rejected.is_empty(), "not in deny.toml: {rejected:#?}");
}

/// The names and licences of the packages that are built on any platform with every feature. The lock
/// file also has optional dependencies that nothing asks for.
fn built() -> BTreeSet<(String, String)> {
    let tree = ["tree", "--workspace", "--all-features", "--locked"];
    let lines = ["--target", "all", "--prefix", "none"];
    let text = crate::cargo(&[&tree[..], &lines, &["--format", "{p}|{l}"]].concat());
    let packages: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(package, licence)| {
            let name = package.split(' ').next().unwrap_or_default();
            // Below a package that was printed before, cargo prints a star.
            let licence = licence.trim_end_matches("(*)").trim_end();
            (name.to_owned(), licence.to_owned())
        })
        .collect();
    assert!(packages.len() > 100, "the packages of the workspace");
    packages
}
