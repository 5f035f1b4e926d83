//! The structure of the source, the packages and the dependency graph.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod dependencies;
mod docs;
mod field;
mod files;
mod function_docs;
mod generated;
mod layers;
mod links;
mod metrics;
mod modules;
mod packages;
mod readme;
mod source;
mod type_names;
mod verifier;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;

/// The top of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The output of each call of cargo by its arguments: several tests need the same.
static OUTPUTS: Mutex<BTreeMap<Vec<String>, Arc<OnceLock<String>>>> = Mutex::new(BTreeMap::new());

/// The output of cargo with these arguments, at the top of the repository.
fn cargo(arguments: &[&str]) -> String {
    let key = arguments.iter().map(|one| (*one).to_owned()).collect();
    let output = Arc::clone(OUTPUTS.lock().expect("a lock").entry(key).or_default());
    let output = output.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(repository())
            .output()
            .expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    });
    output.clone()
}

/// The output of `cargo metadata` with these arguments.
fn cargo_metadata(arguments: &[&str]) -> Value {
    let command = ["metadata", "--format-version", "1", "--locked"];
    serde_json::from_str(&cargo(&[&command, arguments].concat())).expect("JSON")
}

/// The directories of the workspace's packages, below the top: `forge-remote`, `examples/quickstart`.
fn members() -> BTreeSet<String> {
    let metadata = cargo_metadata(&["--no-deps", "--offline"]);
    let top = repository().canonicalize().expect("the top");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let folders = packages.map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let folder = manifest
            .parent()
            .and_then(|one| one.strip_prefix(&top).ok());
        folder
            .expect("below the top")
            .to_string_lossy()
            .replace('\\', "/")
    });
    folders.collect()
}

/// The directories of the published crates: `forge-remote`, `forge-remote-fit`.
fn published() -> Vec<String> {
    let members = members().into_iter();
    members
        .filter(|name| name.starts_with("forge-remote"))
        .collect()
}

/// The crates that a package needs on Linux with these features, itself included, as `name version`.
fn needed(package: &str, edges: &str, features: &str) -> BTreeSet<String> {
    let tree = [
        &["tree", "--package", package, "--no-default-features"][..],
        &["--edges", edges, "--prefix", "none", "--format", "{p}"],
        &["--target", "x86_64-unknown-linux-gnu", "--offline"],
        &["--features", features],
    ];
    // `name v1.2.3 (path or proc-macro)`.
    let crates: BTreeSet<String> = cargo(&tree.concat())
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    let itself = format!("{package} ");
    assert!(
        crates.iter().any(|one| one.starts_with(&itself)),
        "no tree is read: {crates:?}"
    );
    crates
}
