//! The commands of an app's binary, run as processes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const APP_ID: &str = "8db33809-1f32-48bb-8c52-5877dab48107";

/// Creates an empty directory for a test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn app() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    for name in [
        "FORGE_REMOTE_APP_ID",
        "FORGE_REMOTE_MANIFEST",
        "FORGE_REMOTE_BIND",
        "PORT",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(command: &mut Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    (status.code().unwrap_or(-1), text)
}

#[test]
fn a_missing_manifest_is_written_and_then_unchanged() {
    let path = folder("missing").join("manifest.yml");
    let manifest = |option: &str| {
        run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .args(["manifest", option]))
    };

    let (status, text) = manifest("--check");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("does not exist"), "{text}");

    // Without an app id, the file has none.
    let (status, text) = manifest("--write");
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("without `app.id`: `forge register`"),
        "{text}"
    );
    let without = fs::read_to_string(&path).unwrap();
    assert!(without.starts_with("app:\n  runtime:\n"), "{without}");
    fs::remove_file(&path).unwrap();

    let (status, text) = run(app()
        .env("FORGE_REMOTE_MANIFEST", &path)
        .env("FORGE_REMOTE_APP_ID", APP_ID)
        .args(["manifest", "--write"]));
    assert_eq!(status, 0, "{text}");
    let written = fs::read_to_string(&path).unwrap();
    // A bare UUID is accepted; the manifest gets the whole ARI.
    assert!(
        written.starts_with(&format!("app:\n  id: ari:cloud:ecosystem::app/{APP_ID}\n")),
        "{written}"
    );
    assert_eq!(manifest("--check").0, 0);
    assert_eq!(manifest("--write").0, 0);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        written,
        "the second write changes nothing"
    );
    // A file with only comments gets the same sections, and keeps the comments.
    for comments in ["# Our app.\n", "---\n", "\u{feff}# ours"] {
        fs::write(&path, comments).unwrap();
        assert_eq!(manifest("--write").0, 0, "no app id, {comments:?}");
        fs::write(&path, comments).unwrap();
        let (status, text) = run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .args(["manifest", "--write"]));
        assert_eq!(status, 0, "{text}");
        let whole = fs::read_to_string(&path).unwrap();
        let comments = comments.trim_end();
        assert_eq!(
            whole.trim_end(),
            format!("{comments}\n{}", written.trim_end()),
            "{comments:?}"
        );
        assert_eq!(manifest("--check").0, 0);
    }
    assert!(written.contains("\n    - key: remote-scheduled-trigger-node\n      endpoint: remote-trigger-node\n      interval: hour\n"), "{written}");
}

#[test]
fn every_edit_is_found_and_reported() {
    let fresh = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.yml")).unwrap();
    let edits = [
        (
            "interval: hour",
            "interval: day",
            "modules.scheduledTrigger[remote-scheduled-trigger-node].interval is `day` in the manifest, but `hour` in the code",
        ),
        (
            "path: /frc-trigger",
            "path: /other",
            "modules.endpoint[remote-trigger-node].route",
        ),
        (
            "enabled: true",
            "enabled: false",
            "modules.endpoint[remote-trigger-node].auth",
        ),
        (
            "key: remote-scheduled-trigger-node",
            "key: renamed",
            "modules.scheduledTrigger[remote-scheduled-trigger-node] is missing",
        ),
        (
            "baseUrl: https://forge-remote-refapp-nodejs",
            "baseUrl: https://elsewhere",
            "remotes[remote-app-node].baseUrl",
        ),
        (
            "    - read:app-system-token\n",
            "",
            "permissions.scopes lacks `read:app-system-token`",
        ),
        (
            "remote: remote-app-node",
            "remote: other",
            "modules.endpoint[remote-trigger-node].remote",
        ),
    ];
    for (at, (old, new, expected)) in edits.into_iter().enumerate() {
        let path = folder(&format!("edit-{at}")).join("manifest.yml");
        assert!(fresh.contains(old), "{old}");
        fs::write(&path, fresh.replacen(old, new, 1)).unwrap();
        let (status, text) = run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .args(["manifest", "--check"]));
        assert_eq!(status, 1, "{old} → {new}: {text}");
        assert!(text.contains(expected), "{old} → {new}: {text}");
        assert!(
            text.contains("examples/quickstart/src/main.rs:") || old.starts_with("baseUrl"),
            "{text}"
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            fresh.replacen(old, new, 1),
            "a check changes nothing"
        );

        // The same file keeps the app from starting, with a reason.
        let (status, text) = run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0"));
        assert_eq!(status, 1, "{text}");
        assert!(text.contains("manifest-drift"), "{text}");

        let (status, text) = run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .args(["manifest", "--write"]));
        // An entry without a handler may be another service's: it is removed only by name.
        let is_kept = new == "key: renamed";
        assert_eq!(status, i32::from(is_kept), "{text}");
        assert_eq!(text.contains("--prune renamed"), is_kept, "{text}");
        if is_kept {
            let (status, text) = run(app()
                .env("FORGE_REMOTE_MANIFEST", &path)
                .args(["manifest", "--write", "--prune", "renamed"]));
            assert_eq!(status, 0, "{text}");
            assert!(
                text.contains("removed  modules.scheduledTrigger[renamed]"),
                "{text}"
            );
        }
        let (status, text) = run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .args(["manifest", "--check"]));
        assert_eq!(status, 0, "{text}");
    }
}

#[test]
fn a_write_removes_nothing_by_a_wrong_name() {
    let fresh = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.yml")).unwrap();
    let path = folder("wrong-name").join("manifest.yml");
    fs::write(&path, &fresh).unwrap();
    // Neither an unknown key nor that of a handler.
    for key in ["nothing", "remote-trigger-node"] {
        let (status, text) = run(app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .args(["manifest", "--write", "--prune", key]));
        assert_eq!(status, 2, "{text}");
        assert!(text.contains(&format!("--prune {key}")), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), fresh);
    }
}

#[test]
fn a_bad_configured_app_id_is_not_reported_in_the_manifest() {
    let check = |id: &str| {
        run(app()
            .env("FORGE_REMOTE_APP_ID", id)
            .args(["manifest", "--check"]))
    };
    let (status, text) = check("a,b");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("bad-app-id"), "{text}");
    assert!(text.contains("help: correct FORGE_REMOTE_APP_ID"), "{text}");
    assert!(!text.contains("manifest.yml:2"), "{text}");
    // A comma at the end is no second id.
    let (status, text) = check("8db33809-1f32-48bb-8c52-5877dab48107,");
    assert_eq!(status, 0, "{text}");
}

#[test]
fn a_file_that_is_no_manifest_is_not_compared() {
    let folder = folder("not-deployed");
    for (name, content, expected) in [
        ("empty.yml", &b""[..], "is empty"),
        ("comment.yml", b"# nothing\n", "is empty"),
        ("binary.yml", &[0xff, 0xfe, 0], "save it as UTF-8"),
    ] {
        let file = folder.join(name);
        fs::write(&file, content).unwrap();
        let (status, text) = run(app().arg("manifest").arg("--against").arg(&file));
        assert_eq!(status, 2, "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let (status, text) = run(app()
        .env("FORGE_REMOTE_MANIFEST", &folder)
        .args(["manifest", "--check"]));
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("name the file in it"), "{text}");
}

#[test]
fn the_report_suggests_a_write_only_for_problems_that_it_corrects() {
    let fresh = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.yml")).unwrap();
    let path = folder("undeclared").join("manifest.yml");
    let url = "https://forge-remote-refapp-nodejs.services.atlassian.com";
    fs::write(&path, fresh.replace(url, "${BASE_URL}")).unwrap();
    let (status, text) = run(app()
        .env("FORGE_REMOTE_MANIFEST", &path)
        .args(["manifest", "--check"]));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("undeclared-variable"), "{text}");
    assert!(!text.contains("--write"), "{text}");
    assert!(
        text.contains("1 problem that only you can correct"),
        "{text}"
    );
}

#[test]
fn an_unreadable_manifest_is_not_changed() {
    for (name, text) in [
        ("broken", "app:\n  id: [\n"),
        ("list", "- a\n- b\n"),
        ("shape", "modules: 3\n"),
        ("twice", "app: {}\napp: {}\n"),
    ] {
        let path = folder(&format!("unreadable-{name}")).join("manifest.yml");
        fs::write(&path, text).unwrap();
        for option in ["--check", "--write"] {
            let (status, message) = run(app()
                .env("FORGE_REMOTE_MANIFEST", &path)
                .args(["manifest", option]));
            assert_eq!(status, 2, "{name} {option}: {message}");
            assert!(message.contains("manifest.yml"), "{message}");
        }
        let output = app()
            .env("FORGE_REMOTE_MANIFEST", &path)
            .args(["manifest", "--check", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["error"].as_str().unwrap().contains("manifest.yml:"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn routes_are_listed_for_people_and_machines() {
    let (status, table) = run(app().arg("routes"));
    assert_eq!(status, 0);
    for word in [
        "remote-scheduled-trigger-node",
        "POST",
        "/frc-trigger",
        "system",
        "Called every hour",
    ] {
        assert!(table.contains(word), "{table}");
    }
    let (status, json) = run(app().args(["routes", "--json"]));
    assert_eq!(status, 0);
    assert!(
        json.contains("\"endpoint\": \"remote-trigger-node\""),
        "{json}"
    );
}

#[test]
fn dev_once_calls_everything_with_its_tokens() {
    let (status, text) = run(app().args(["dev", "--once"]));
    assert_eq!(status, 0, "{text}");
    let line = text
        .lines()
        .find(|line| line.contains("remote-scheduled-trigger-node"))
        .unwrap();
    for word in ["ok", "POST /frc-trigger", "200", "ms", "tokens: system"] {
        assert!(line.contains(word), "{text}");
    }
}

#[test]
fn every_code_is_explained() {
    // One lint, one difference, one launch problem.
    for (code, part) in [
        ("base-url", "# forge-remote: allow(base-url)"),
        ("missing", "cannot be allowed"),
        ("no-remote", "keeps the app from starting"),
    ] {
        let (status, text) = run(app().args(["explain", code]));
        assert_eq!(status, 0, "{text}");
        assert!(text.starts_with(&format!("{code}: ")), "{text}");
        assert!(text.contains(part), "{text}");
        assert_eq!(
            (status, text),
            run(app().args(["manifest", "--explain", code]))
        );
    }
    let (status, codes) = run(app().arg("explain"));
    assert_eq!(status, 0);
    assert!(
        codes.lines().any(|code| code.trim() == "no-remote"),
        "{codes}"
    );
    let (status, text) = run(app().args(["explain", "no-such-code"]));
    assert_eq!(status, 2);
    assert!(text.contains("no-remote, "), "{text}");
}

#[test]
fn a_port_in_use_and_a_bad_app_id_are_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, text) = run(app().env("FORGE_REMOTE_BIND", &address));
    assert_eq!(status, 1);
    assert!(text.contains("FORGE_REMOTE_BIND"), "{text}");

    let (status, text) = run(app()
        .env("FORGE_REMOTE_APP_ID", "my-app")
        .env("FORGE_REMOTE_JWKS_URL", "http://example.com/keys"));
    assert_eq!(status, 1);
    assert!(
        text.contains("bad-app-id") && text.contains("bad-key-url") && text.contains("2 problems"),
        "{text}"
    );
}

/// The app prints its routes, serves them, and shuts down gracefully on SIGTERM.
#[test]
#[cfg(unix)]
fn serve_prints_its_routes_and_shuts_down_gracefully() {
    let mut child = app()
        .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
        // There is no key set at this address: the app is alive but not ready.
        .env("FORGE_REMOTE_JWKS_URL", "http://127.0.0.1:9/keys")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = None;
    let mut table = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some(found) = line.strip_prefix("listening on http://") {
            address = Some(found.to_owned());
            break;
        }
        table.push_str(&line);
    }
    let address = address.unwrap();
    assert!(table.contains("/frc-trigger"), "{table}");

    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    assert!(get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(get("/readyz").starts_with("HTTP/1.1 503"));
    assert!(get("/nothing").starts_with("HTTP/1.1 404"));
    assert!(get("/frc-trigger").starts_with("HTTP/1.1 405"));

    Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// A write replaces the file atomically: a concurrent reader sees the old or the new text. Symbolic
/// links and the mode are preserved.
#[test]
#[cfg(unix)]
fn a_write_is_atomic_and_preserves_links_and_modes() {
    use std::os::unix::fs::PermissionsExt as _;
    let fresh = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.yml")).unwrap();
    let stale = fresh.replace("interval: hour", "interval: day");
    let folder = folder("link");
    let real = folder.join("real.yml");
    let link = folder.join("manifest.yml");
    std::os::unix::fs::symlink("real.yml", &link).unwrap();
    fs::write(&real, &stale).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();

    for _ in 0..20 {
        fs::write(&real, &stale).unwrap();
        let mut writer = app()
            .env("FORGE_REMOTE_MANIFEST", &link)
            .args(["manifest", "--write"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while writer.try_wait().unwrap().is_none() {
            let seen = fs::read_to_string(&link).unwrap();
            assert!(seen == stale || seen == fresh, "{seen}");
        }
        assert_eq!(fs::read_to_string(&real).unwrap(), fresh);
    }
    assert!(
        fs::symlink_metadata(&link)
            .unwrap()
            .file_type()
            .is_symlink()
    );
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    // No temporary file is left.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);

    // The new file is created at the target of a dangling link.
    fs::remove_file(&real).unwrap();
    let (status, text) = run(app()
        .env("FORGE_REMOTE_MANIFEST", &link)
        .env("FORGE_REMOTE_APP_ID", APP_ID)
        .args(["manifest", "--write"]));
    assert_eq!(status, 0, "{text}");
    assert!(fs::symlink_metadata(&real).unwrap().is_file());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    // A read-only file is not replaced.
    fs::write(&real, &stale).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o444)).unwrap();
    let (status, text) = run(app()
        .env("FORGE_REMOTE_MANIFEST", &link)
        .args(["manifest", "--write"]));
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("read-only"), "{text}");
    assert_eq!(fs::read_to_string(&real).unwrap(), stale);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();

    // If the directory cannot be written to, the file is unchanged, and the error has its path.
    fs::write(&real, &stale).unwrap();
    let (status, text) = run(app()
        .env("FORGE_REMOTE_MANIFEST", folder.join("none/manifest.yml"))
        .env("FORGE_REMOTE_APP_ID", APP_ID)
        .args(["manifest", "--write"]));
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("cannot be written"), "{text}");
}
