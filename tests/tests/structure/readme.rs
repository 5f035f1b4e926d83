//! The README's program, as a reader pastes it: a new crate with exactly the dependencies that the README
//! adds, built, and called by `dev --once`.

use std::fs;
use std::process::Command;

use forge_remote_tests::new_crate::{NewCrate, block, commands};

fn program(page: &str) -> &str {
    block(page, "```rust,no_run")
}

fn readme() -> String {
    fs::read_to_string(crate::repository().join("README.md")).expect("the README")
}

#[test]
fn getting_started_has_the_readmes_program() {
    let path = "forge-remote/src/docs/getting_started.md";
    let page = fs::read_to_string(crate::repository().join(path)).expect("the page");
    assert_eq!(program(&page), program(&readme()));
    assert_eq!(commands(&page), commands(&readme()));
}

/// `tests/pasted` has the dependencies and features of the README's `cargo add` lines.
#[test]
fn a_pasted_program_has_the_readmes_dependencies() {
    let path = crate::repository().join("tests/pasted/Cargo.toml");
    let manifest = fs::read_to_string(path).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let dependencies = manifest["dependencies"].as_table().expect("dependencies");
    let mut found: Vec<String> = Vec::new();
    for (name, dependency) in dependencies {
        let features = dependency.get("features").and_then(|all| all.as_array());
        let features = features
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str());
        let features: Vec<&str> = features.collect();
        found.push(match features[..] {
            [] => format!("cargo add {name}"),
            _ => format!("cargo add {name} --features {}", features.join(",")),
        });
    }
    assert_eq!(found.join("\n"), commands(&readme()));
}

#[test]
fn the_readmes_program_runs_when_pasted() {
    let new = NewCrate::new("readme", env!("CARGO_TARGET_TMPDIR"));
    new.write("src/main.rs", program(&readme()));
    let (program, built) = new.compile("src/main.rs");
    assert!(built.status.success(), "{built:?}");
    let mut run = Command::new(program);
    run.env("CARGO_MANIFEST_DIR", new.folder());
    let output = run.args(["dev", "--once"]).output();
    let output = output.expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    let verified = text.lines().find(|line| line.starts_with("ok "));
    let verified = verified.expect("a call");
    assert!(
        verified.contains("list-pages-trigger  POST /list-pages  200 "),
        "{text}"
    );
    assert!(text.lines().any(|line| line == "A local page"), "{text}");
}
