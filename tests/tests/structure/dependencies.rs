//! The dependency graph is what `deny.toml` allows: licences, banned crates, sources.
//!
//! `cargo deny check` does the same and more, and takes minutes to install; this reads its file, so
//! that `cargo test` holds the rules everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

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
fn locked() -> Vec<Value> {
    let lock = read("Cargo.lock");
    lock["package"].as_array().expect("packages").clone()
}

#[test]
fn every_dependency_is_from_crates_io() {
    for package in locked() {
        let source = package.get("source").and_then(Value::as_str);
        assert!(
            source.unwrap_or(CRATES_IO) == CRATES_IO,
            "{} is from {source:?}",
            package["name"].as_str().unwrap_or_default()
        );
    }
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

/// The names and licences of the packages that are built on this platform with every feature. The
/// lock file also has optional dependencies that nothing asks for.
fn built() -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--all-features", "--locked"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(crate::repository())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let text = String::from_utf8(output.stdout).expect("text");
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
