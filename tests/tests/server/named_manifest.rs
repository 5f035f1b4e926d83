//! A manifest that `FORGE_REMOTE_MANIFEST` names and that does not exist.

use std::path::Path;
use std::process::Command;

use forge_remote_tests::jws::APP_ID;
use forge_remote_tests::stores::Folder;

fn app(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .env("FORGE_REMOTE_MANIFEST", "deploy/nope.yml")
        .env("FORGE_REMOTE_BIND", "127.0.0.1:0");
    command
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_named_manifest_that_is_missing_ends_the_launch() {
    let folder = Folder::default();
    let (status, text) = run(app(folder.path(), &["serve"]).env("FORGE_REMOTE_APP_ID", APP_ID));
    assert_ne!(status, Some(0), "{text}");
    for part in [
        "error[bad-manifest]: the manifest that FORGE_REMOTE_MANIFEST names does not exist: deploy/nope.yml",
        "correct FORGE_REMOTE_MANIFEST",
        "1 problem",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = run(&mut app(folder.path(), &["doctor"]));
    assert_ne!(status, Some(0), "{text}");
    assert!(text.contains("FORGE_REMOTE_MANIFEST names it"), "{text}");
}

#[test]
fn dev_warns_of_a_named_manifest_that_is_missing_and_writes_it() {
    let folder = Folder::default();
    let (status, text) = run(&mut app(folder.path(), &["dev", "--once"]));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("warning[bad-manifest]"), "{text}");
    std::fs::create_dir(folder.file("deploy")).unwrap();
    let (status, text) = run(&mut app(folder.path(), &["dev", "--once", "--write"]));
    assert_eq!(status, Some(0), "{text}");
    assert!(folder.file("deploy/nope.yml").exists(), "{text}");
    assert!(!text.contains("bad-manifest"), "{text}");
}

/// A bad id is one problem, and the fix is where the id is from.
#[test]
fn a_bad_app_id_is_reported_once_with_the_fix_of_its_source() {
    let folder = Folder::default();
    std::fs::create_dir(folder.file("deploy")).unwrap();
    let manifest = |id: &str| {
        let text = format!("app:\n  id: {id}\n");
        std::fs::write(folder.file("deploy/nope.yml"), text).unwrap();
        // The bad id is a mistake that is left.
        let (status, text) = run(&mut app(folder.path(), &["manifest", "--write"]));
        assert_ne!(status, Some(2), "{text}");
    };
    manifest("ari:cloud:ecosystem::app/sample");
    let (_, text) = run(&mut app(folder.path(), &["manifest", "--check"]));
    assert!(text.contains("error[bad-app-id]"), "{text}");
    assert!(!text.contains("invalid-app-id"), "{text}");
    assert!(text.contains("has 1 problem "), "{text}");
    assert!(
        text.contains("help: correct `app.id` in deploy/nope.yml"),
        "{text}"
    );

    manifest(APP_ID);
    let mut check = app(folder.path(), &["manifest", "--check"]);
    let (_, text) = run(check.env("FORGE_REMOTE_APP_ID", "foo"));
    assert!(text.contains("has 1 problem "), "{text}");
    assert!(
        text.contains("help: correct FORGE_REMOTE_APP_ID\n"),
        "{text}"
    );
}
