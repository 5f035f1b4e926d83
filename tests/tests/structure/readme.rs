//! The README's program, as a reader pastes it: a new crate with exactly the dependencies that the README
//! adds, built, and called by `dev --once`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Returns the text of the first code block that begins with this line.
fn block<'a>(page: &'a str, first: &str) -> &'a str {
    let (_, rest) = page.split_once(first).expect(first);
    let (block, _) = rest.split_once("\n```").expect("an end");
    block.trim_start_matches('\n')
}

fn program(page: &str) -> &str {
    block(page, "```rust,no_run")
}

/// Returns the commands that make the crate.
fn commands(page: &str) -> &str {
    block(page, "```sh\ncargo new my-app && cd my-app")
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

/// Returns the dependencies that these `cargo add` commands write, with the versions of our lock file.
fn dependencies(commands: &str) -> String {
    let lock = fs::read_to_string(crate::repository().join("Cargo.lock")).expect("Cargo.lock");
    let lock: toml::Table = lock.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let mut text = String::new();
    for command in commands.lines() {
        let arguments = command.strip_prefix("cargo add ").expect("cargo add");
        let (name, features) = arguments
            .split_once(" --features ")
            .unwrap_or((arguments, ""));
        let mut package = packages
            .iter()
            .filter(|one| one["name"].as_str() == Some(name));
        let version = package.next().expect(name)["version"]
            .as_str()
            .expect("a version");
        let features = features.split(',').filter(|one| !one.is_empty());
        let features: Vec<&str> = features.collect();
        let _ = writeln!(
            text,
            "{name} = {{ version = \"{version}\", features = {features:?} }}"
        );
    }
    text
}

#[test]
fn the_readmes_program_runs_when_pasted() {
    let page = readme();
    let repository = crate::repository().canonicalize().expect("a folder");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("src")).expect("a folder");
    fs::write(folder.join("src/main.rs"), program(&page)).expect("a file");
    // Our lock file has the versions that are already downloaded; cargo removes the other packages.
    fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).expect("a lock file");
    // With the workspace's profiles, most crates are built already.
    let workspace = fs::read_to_string(repository.join("Cargo.toml")).expect("a manifest");
    let profiles = workspace.find("[profile.").expect("profiles");
    let manifest = format!(
        "[package]\nname = \"readme-app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{}\n[workspace]\n\n{}",
        dependencies(commands(&page)),
        &workspace[profiles..]
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("a file");

    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target");
    let patch = format!(
        "patch.crates-io.forge-remote.path={:?}",
        repository.join("forge-remote").display().to_string()
    );
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--offline",
            "--config",
            &patch,
            "--",
            "dev",
            "--once",
        ])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", target)
        .env_remove("FORGE_REMOTE_MANIFEST")
        .output()
        .expect("cargo runs");
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
