//! The command `manifest --against`: files, git revisions, and its errors.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use forge_remote_tests::stores::Folder;

use crate::versions::changes;

/// Runs `manifest` with these arguments, and returns its status, output and errors.
fn manifest(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_events_app"))
        .arg("manifest")
        .args(arguments)
        .current_dir(folder)
        .env("FORGE_REMOTE_MANIFEST", folder.join("manifest.yml"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(identity).args(arguments);
    assert!(command.output().unwrap().status.success(), "{arguments:?}");
}

/// The situation: a route was changed, and egress added, since the deployment.
const FIELD_DEPLOYED: &str = "\
app:
  id: ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001
remotes:
  - key: backend
    baseUrl: https://backend.example.com
modules:
  trigger:
    - key: follow-trigger
      endpoint: follow
      events:
        - avi:jira:updated:issue
  endpoint:
    - key: follow
      remote: backend
      route:
        path: /follow
permissions:
  scopes:
    - read:jira-work
";

fn field_new() -> String {
    FIELD_DEPLOYED.replace("path: /follow", "path: /follow-v2")
        + "  external:\n    fetch:\n      backend:\n        - https://new.example.com\n"
}

#[test]
fn against_a_file_and_a_git_revision() {
    let folder = Folder::default();
    let path = folder.path();
    fs::write(folder.file("deployed.yml"), FIELD_DEPLOYED).unwrap();
    fs::write(folder.file("manifest.yml"), FIELD_DEPLOYED).unwrap();
    git(path, &["init", "-q"]);
    git(path, &["add", "manifest.yml"]);
    git(path, &["commit", "-q", "-m", "Deploy"]);
    git(path, &["tag", "deployed"]);
    for against in ["deployed.yml", "HEAD", "deployed", "HEAD:manifest.yml"] {
        let (status, out, _) = manifest(path, &["--against", against]);
        assert_eq!(status, 0, "{out}");
        assert!(out.contains("no new version needed"), "{out}");
    }

    fs::write(folder.file("manifest.yml"), field_new()).unwrap();
    for against in ["deployed.yml", "HEAD"] {
        let (status, out, _) = manifest(path, &["--against", against]);
        assert_eq!(status, 1, "{out}");
        for text in [
            "major[endpoint-changed]: endpoint `follow`: `route` changed",
            "major[egress-added]: permissions.external.fetch.backend: `https://new.example.com` was added",
            "needs the consent of each installation's admin",
            "forge deploy --approve MAJOR_VERSION_RULE",
            "https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/",
            "manifest.yml:13:",
        ] {
            assert!(out.contains(text), "{text} is not in\n{out}");
        }
    }
    let (status, out, _) = manifest(path, &["--against", "HEAD", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 1);
    assert_eq!(report["version"], "major");
    assert_eq!(
        report["deploy"],
        "forge deploy --approve MAJOR_VERSION_RULE"
    );
    assert_eq!(report["changes"][0]["code"], "endpoint-changed");
    assert_eq!(report["changes"][0]["path"], "modules.endpoint[follow]");
    assert_eq!(report["changes"][0]["version"], "major");

    // Installations that stay behind call a path that no handler of this app has.
    let other_path = FIELD_DEPLOYED.replace("path: /follow", "path: /before");
    fs::write(folder.file("other.yml"), other_path).unwrap();
    let (_, out, _) = manifest(path, &["--against", "other.yml"]);
    assert!(out.contains("write `also_at = \"/before\"`"), "{out}");

    // Only a module's events: minor.
    let minor = FIELD_DEPLOYED.replace("updated:issue", "created:issue");
    fs::write(folder.file("manifest.yml"), minor).unwrap();
    let (status, out, _) = manifest(path, &["--against", "HEAD"]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("minor[module-changed]"), "{out}");
    assert!(out.contains("deploy with `forge deploy`\n"), "{out}");
}

/// The consequences that an update prints are the changes of `--against`.
#[test]
fn an_update_names_the_version_that_it_needs() {
    let folder = Folder::default();
    let path = folder.path();
    fs::write(folder.file("before.yml"), FIELD_DEPLOYED).unwrap();
    fs::write(folder.file("manifest.yml"), FIELD_DEPLOYED).unwrap();
    let (status, written, error) = manifest(path, &["--write"]);
    assert_eq!(status, 0, "{error}");
    let (_, against, _) = manifest(path, &["--against", "before.yml"]);
    let majors: Vec<&str> = against
        .lines()
        .filter(|line| line.starts_with("major["))
        .collect();
    for code in ["endpoint-added", "dynamic-web-trigger"] {
        assert!(majors.iter().any(|line| line.contains(code)), "{against}");
    }
    for line in majors {
        assert!(written.contains(line), "{line} is not in\n{written}");
    }
    assert!(written.contains("consent"), "{written}");

    // A change that reduces the app is not announced as one that needs consent.
    let text = fs::read_to_string(folder.file("manifest.yml")).unwrap();
    let other = text.replace("interval: hour", "interval: day");
    let other = other
        .replace("  trigger:\n", "  trigger: # ours\n")
        .replace("        - avi:jira:deleted:issue\n", "");
    assert_ne!(other, text);
    fs::write(folder.file("manifest.yml"), other).unwrap();
    let (_, written, _) = manifest(path, &["--write"]);
    assert!(
        written.contains("changed") && written.contains("minor version"),
        "{written}"
    );
}

/// A route that moved into the base URL's path is still served.
#[test]
fn a_path_beneath_the_base_url_needs_no_former_path() {
    let folder = Folder::default();
    let deployed = FIELD_DEPLOYED.replace("path: /follow", "path: /prod/follow");
    fs::write(folder.file("deployed.yml"), deployed).unwrap();
    let new = FIELD_DEPLOYED.replace("backend.example.com", "backend.example.com/prod");
    fs::write(folder.file("manifest.yml"), &new).unwrap();
    let (status, out, _) = manifest(folder.path(), &["--against", "deployed.yml"]);
    assert_eq!(status, 1, "{out}");
    assert!(!out.contains("also_at"), "{out}");
    // Nor does one below a handler of every path.
    let deployed = FIELD_DEPLOYED.replace("path: /follow", "path: /hook/orders");
    fs::write(folder.file("deployed.yml"), deployed).unwrap();
    let (_, out, _) = manifest(folder.path(), &["--against", "deployed.yml"]);
    assert!(!out.contains("also_at"), "{out}");
}

#[test]
fn the_manifest_of_another_app_can_not_be_compared() {
    let folder = Folder::default();
    let other = FIELD_DEPLOYED.replace("8000-000000000001", "8000-000000000002");
    fs::write(folder.file("other.yml"), &other).unwrap();
    fs::write(folder.file("manifest.yml"), FIELD_DEPLOYED).unwrap();
    let (status, out, error) = manifest(folder.path(), &["--against", "other.yml"]);
    assert_eq!((status, out.as_str()), (2, ""), "{error}");
    assert!(error.contains("another app"), "{error}");
    // A variable without a default may be any app.
    let variable = other.replace("00000000-0000-4000-8000-000000000002", "${APP}");
    fs::write(folder.file("other.yml"), &variable).unwrap();
    let (status, out, error) = manifest(folder.path(), &["--against", "other.yml"]);
    assert_eq!(status, 0, "{out}{error}");
    assert!(!out.contains("app: `id` changed"), "{out}");
    assert!(changes(FIELD_DEPLOYED, &variable).is_empty());
}

/// Source: <https://developer.atlassian.com/platform/forge/rolling-releases/>
#[test]
fn with_rolling_releases_only_the_permissions_wait() {
    let folder = Folder::default();
    let deployed = FIELD_DEPLOYED.replace("path: /follow", "path: /before");
    fs::write(folder.file("deployed.yml"), deployed).unwrap();
    let rolling = format!("{FIELD_DEPLOYED}    - read:jira-user\n  enforcement: app-managed\n");
    fs::write(folder.file("manifest.yml"), rolling).unwrap();
    let (status, out, _) = manifest(folder.path(), &["--against", "deployed.yml"]);
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("only the new permissions wait"), "{out}");
    assert!(!out.contains("stays on its version"), "{out}");
    assert!(
        !out.contains("installations on the older major version"),
        "{out}"
    );
    assert!(out.contains("write `also_at = \"/before\"`"), "{out}");
}

#[test]
fn a_manifest_in_a_subfolder_is_found_in_git() {
    let folder = Folder::default();
    let app = folder.file("app");
    fs::create_dir(&app).unwrap();
    fs::write(app.join("manifest.yml"), FIELD_DEPLOYED).unwrap();
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-q", "-m", "Deploy"]);
    fs::write(app.join("manifest.yml"), field_new()).unwrap();
    let (status, out, _) = manifest(&app, &["--against", "HEAD"]);
    assert_eq!(status, 1, "{out}");
}

#[test]
fn errors_name_the_fix() {
    let folder = Folder::default();
    let path = folder.path();
    fs::write(folder.file("manifest.yml"), FIELD_DEPLOYED).unwrap();
    let fails = |against: &str, expected: &[&str]| {
        let (status, out, error) = manifest(path, &["--against", against]);
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        for text in expected {
            assert!(error.contains(text), "{text} is not in\n{error}");
        }
        let (status, out, _) = manifest(path, &["--json", "--against", against]);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(status, 2);
        assert!(
            report["error"].as_str().unwrap().contains(expected[0]),
            "{out}"
        );
    };
    // Not in a repository, then in one.
    fails(
        "HEAD",
        &["`HEAD` is not a file", "name the deployed manifest's file"],
    );
    git(path, &["init", "-q"]);
    fs::write(folder.file("other"), "").unwrap();
    git(path, &["add", "other"]);
    git(path, &["commit", "-q", "-m", "First"]);
    fails(
        "v1.0",
        &["`v1.0` is not a file", "git fetch --tags --unshallow"],
    );
    fails(
        "HEAD",
        &[
            "`HEAD` has no `manifest.yml`",
            "--against HEAD:app/manifest.yml",
        ],
    );
    fs::write(folder.file("broken.yml"), "modules: [").unwrap();
    fails("broken.yml", &["broken.yml:"]);
    fs::remove_file(folder.file("manifest.yml")).unwrap();
    fails(
        "other",
        &["manifest.yml does not exist", "manifest --write"],
    );
}
