//! The command `manifest --against`: files, git revisions, advice, and its errors.

use std::fs;
use std::path::Path;
use std::process::Command;

use forge_remote_tests::stores::Folder;
use serde_json::Value;

use crate::versions::{DEPLOYED, changes};

/// Runs `manifest` with these arguments, and returns its status, output and errors.
fn manifest(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    manifest_of(env!("CARGO_BIN_EXE_events_app"), folder, arguments)
}

fn manifest_of(program: &str, folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program)
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

/// Returns a directory with a deployed manifest and a new one.
fn folder_with(deployed: &str, new: &str) -> Folder {
    let folder = Folder::default();
    fs::write(folder.file("deployed.yml"), deployed).unwrap();
    fs::write(folder.file("manifest.yml"), new).unwrap();
    folder
}

/// Compares two manifests, and returns the status and the output.
fn against(deployed: &str, new: &str) -> (i32, String) {
    let folder = folder_with(deployed, new);
    let (status, out, error) = manifest(folder.path(), &["--against", "deployed.yml"]);
    assert_eq!(error, "", "{out}");
    (status, out)
}

/// Compares two manifests, and returns the advice.
fn advice(deployed: &str, new: &str) -> Vec<String> {
    let (_, out) = against(deployed, new);
    let lines = out.lines().map(str::trim_start);
    let help = lines.filter_map(|line| line.strip_prefix("= help: "));
    help.map(str::to_owned).collect()
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(identity).args(arguments);
    assert!(command.output().unwrap().status.success(), "{arguments:?}");
}

/// Commits every file of a directory to a new repository.
fn commit(folder: &Path) {
    git(folder, &["init", "-q"]);
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "Deploy"]);
}

/// The situation: a route was changed, and an address replaced, since the deployment.
fn new() -> String {
    DEPLOYED
        .replace("path: /follow", "path: /follow-v2")
        .replace("https://two.example.com", "https://new.example.com")
}

#[test]
fn against_a_file_and_a_git_revision() {
    let folder = folder_with(DEPLOYED, DEPLOYED);
    let path = folder.path();
    commit(path);
    git(path, &["tag", "deployed"]);
    for against in ["deployed.yml", "HEAD", "deployed", "HEAD:manifest.yml"] {
        let (status, out, _) = manifest(path, &["--against", against]);
        assert_eq!(status, 0, "{out}");
        assert!(out.contains("no new version needed"), "{out}");
    }

    fs::write(folder.file("manifest.yml"), new()).unwrap();
    for against in ["deployed.yml", "HEAD"] {
        let (status, out, _) = manifest(path, &["--against", against]);
        assert_eq!(status, 1, "{out}");
        for text in [
            "major[endpoint-changed]: endpoint `follow`: `route` changed",
            "major[egress-added]: permissions.external.fetch.backend: `https://new.example.com` was added",
            "needs the consent of each installation's admin",
            "forge deploy --approve MAJOR_VERSION_RULE",
            "https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/",
            "manifest.yml:19:",
            // The excerpt of the manifest, as for every finding.
            "19 |     - key: follow",
        ] {
            assert!(out.contains(text), "{text} is not in\n{out}");
        }
    }
    let (status, out, _) = manifest(path, &["--against", "HEAD", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 1);
    assert_eq!(report["version"], "major");
    assert_eq!(
        report["deploy"],
        "forge deploy --approve MAJOR_VERSION_RULE"
    );
    assert_eq!(report["changes"][0]["code"], "endpoint-changed");
    assert_eq!(report["changes"][0]["path"], "modules.endpoint[follow]");
    assert_eq!(report["changes"][0]["version"], "major");
}

/// By default, scripts stop only where admins must consent.
#[test]
fn the_exit_status_is_the_version_where_it_is_asked_for() {
    let minor = DEPLOYED.replace("updated:issue", "created:issue");
    for (new, status, detailed, code) in [
        (DEPLOYED, 0, 0, "no new version needed"),
        (&minor, 0, 3, "minor[module-changed]"),
        (&new(), 1, 1, "major[endpoint-changed]"),
    ] {
        let folder = folder_with(DEPLOYED, new);
        let arguments = ["--against", "deployed.yml", "--detailed-exit-code"];
        for (arguments, expected) in [(&arguments[..2], status), (&arguments[..], detailed)] {
            let (status, out, _) = manifest(folder.path(), arguments);
            assert_eq!(status, expected, "{arguments:?}: {out}");
            assert!(out.contains(code), "{out}");
        }
    }
    let (_, out) = against(DEPLOYED, &minor);
    assert!(out.contains("deploy with `forge deploy`\n"), "{out}");
    let folder = folder_with(DEPLOYED, DEPLOYED);
    let arguments = ["--against", "nothing.yml", "--detailed-exit-code"];
    assert_eq!(manifest(folder.path(), &arguments).0, 2);
}

/// The consequences that an update prints are the changes of `--against`.
#[test]
fn an_update_names_the_version_that_it_needs() {
    // Without a module that the code does not have.
    let form = "  webtrigger:\n    - key: form\n      endpoint: follow\n      response: {type: static, outputs: []}\n";
    let before = DEPLOYED.replace(form, "");
    assert_ne!(before, DEPLOYED);
    let folder = folder_with(&before, &before);
    let path = folder.path();
    let (status, written, error) = manifest(path, &["--write"]);
    assert_eq!(status, 0, "{error}");
    let (_, against, _) = manifest(path, &["--against", "deployed.yml"]);
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
    let other = text
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

/// Installations that stay behind call paths that no handler of this app has.
#[test]
fn a_former_path_is_advised_unless_it_is_served() {
    let before = |path: &str| DEPLOYED.replace("path: /follow", &format!("path: {path}"));
    let help = advice(&before("/before"), DEPLOYED);
    assert_eq!(
        help,
        [
            "installations on the older major version keep calling it: write `also_at = \"/before\"` at the handler that \
             replaces it"
        ]
    );
    // A route may lack its leading slash, which the option needs.
    assert_eq!(advice(&before("before"), DEPLOYED), help);
    // A route that moved into the base URL's path is still served; so is one below a handler of every path.
    let beneath = DEPLOYED.replace("backend.example.com", "backend.example.com/prod");
    for path in ["/prod/follow", "/hook/orders"] {
        assert_eq!(advice(&before(path), &beneath), [""; 0]);
    }
    // The option is served beneath the base URL's path too, if it is still the remote's.
    let old = before("/before").replace("backend.example.com", "backend.example.com/prod");
    let help = advice(&old, &beneath);
    assert!(help[0].contains("`also_at = \"/before\"`"), "{help:?}");

    // A handler has the option already.
    let tick = "app: {id: 'ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001'}\n\
                remotes: [{key: backend, baseUrl: 'https://backend.example.com'}]\n\
                modules: {endpoint: [{key: tick, remote: backend, route: {path: /tick}}]}\n";
    for (path, is_advised) in [
        ("/tick-v1", false),
        ("tick-v1", false),
        ("/tick-v3", true),
        ("tick-v3", true),
    ] {
        let folder = folder_with(&tick.replace("path: /tick", &format!("path: {path}")), tick);
        let plain_app = env!("CARGO_BIN_EXE_plain_app");
        let (_, out, _) = manifest_of(plain_app, folder.path(), &["--against", "deployed.yml"]);
        assert_eq!(out.contains("also_at"), is_advised, "{out}");
        assert_eq!(
            out.contains("`also_at = \"/tick-v3\"`"),
            is_advised,
            "{out}"
        );
    }
}

#[test]
fn the_removed_egress_of_a_remote_is_a_difference() {
    let egress = "        - 'https://two.example.com'\n";
    let before = DEPLOYED.replace(egress, &format!("{egress}        - remote: backend\n"));
    let folder = folder_with(&before, DEPLOYED);
    let plain_app = env!("CARGO_BIN_EXE_plain_app");
    let (_, out, _) = manifest_of(plain_app, folder.path(), &["--against", "deployed.yml"]);
    assert!(out.contains("minor[permission-reduced]"), "{out}");
}

#[test]
fn an_app_that_was_never_deployed_needs_no_consent() {
    let folder = folder_with("", "app:\n  runtime:\n    name: nodejs22.x\n");
    let plain_app = env!("CARGO_BIN_EXE_plain_app");
    let (_, out, err) = manifest_of(plain_app, folder.path(), &["--write"]);
    assert!(out.contains("added "), "{out}{err}");
    assert!(
        !out.contains("version: ") && !err.contains("consent"),
        "{out}{err}"
    );
}

#[test]
fn a_former_base_url_is_advised() {
    let at = |base_url: &str| DEPLOYED.replace("https://backend.example.com", base_url);
    let path = "write `also_at = \"/forge/follow\"` at the handler of `follow`";
    let host = "keep `https://backend.example.com` in service";
    for (old, new, expected) in [
        (
            "https://backend.example.com/forge",
            "https://backend.example.com",
            vec![path],
        ),
        (
            "https://backend.example.com/forge",
            "https://new.example.com",
            vec![host, path],
        ),
        (
            "https://backend.example.com",
            "https://new.example.com",
            vec![host],
        ),
        (
            "https://backend.example.com",
            "https://backend.example.com/forge",
            vec![],
        ),
        (
            "{default: 'https://new.example.com', EU: 'https://backend.example.com/forge'}",
            "https://new.example.com",
            vec![host, path],
        ),
        ("https://backend.example.com/forge", "{}", vec![host, path]),
    ] {
        let help = advice(&at(old), &at(new));
        assert_eq!(
            help.len(),
            usize::from(!expected.is_empty()),
            "{new}: {help:?}"
        );
        for text in expected {
            assert!(help[0].contains(text), "{new}: {help:?}");
        }
    }
    // An endpoint that moved to another remote was called beneath the former one's path.
    let old = at("https://backend.example.com/forge");
    let moved = at("https://backend.example.com")
        .replace("- key: backend", "- key: other")
        .replace("remote: backend", "remote: other");
    let help = advice(&old, &moved);
    assert!(
        help[0].contains("`also_at = \"/forge/follow\"`"),
        "{help:?}"
    );
}

#[test]
fn a_former_key_is_advised_for_endpoints_and_modules() {
    let trigger = |key: &str, endpoint: &str| {
        DEPLOYED
            .replace(
                "- key: follow-trigger\n      endpoint: follow",
                &format!("- key: {key}\n      endpoint: {endpoint}"),
            )
            .replace("    - key: follow\n", &format!("    - key: {endpoint}\n"))
            .replace(
                "- key: form\n      endpoint: follow",
                &format!("- key: form\n      endpoint: {endpoint}"),
            )
    };
    assert_eq!(trigger("follow-trigger", "follow"), DEPLOYED);
    for (key, endpoint, expected) in [
        ("old-mod", "follow", vec!["old-mod"]),
        ("follow-trigger", "before", vec!["before"]),
        // A former key of an endpoint stands for the module key that was generated from it.
        ("before-trigger", "before", vec!["before"]),
        ("old-mod", "before", vec!["before", "old-mod"]),
    ] {
        let help = advice(&trigger(key, endpoint), DEPLOYED);
        let expected: Vec<String> = expected
            .iter()
            .map(|key| format!("write `also_key = \"{key}\"` at the handler"))
            .collect();
        assert_eq!(help.len(), expected.len(), "{key} {endpoint}: {help:?}");
        for text in &expected {
            assert!(
                help.iter().any(|one| one.contains(text)),
                "{text}: {help:?}"
            );
        }
    }
    // Nothing replaces it.
    let form = "    - key: form\n";
    let more = DEPLOYED.replace(
        form,
        &format!("    - {{key: gone, endpoint: follow, response: {{type: static}}}}\n{form}"),
    );
    assert_eq!(advice(&more, DEPLOYED), [""; 0]);
}

/// Forge calls the hooks of a move without an endpoint.
#[test]
fn former_names_of_hooks_are_advised() {
    let with = |key: &str, path: &str, base_url: &str| {
        let module = format!(
            "modules:\n  migration:dataResidency:\n    - {{key: {key}, remote: backend, path: {path}}}\n"
        );
        DEPLOYED
            .replace("modules:\n", &module)
            .replace("https://backend.example.com", base_url)
    };
    let (host, path) = ("https://backend.example.com", "/data-residency");
    let new = with("data-residency", path, host);
    for (old, expected) in [
        (with("data-residency", path, host), vec![]),
        (
            with("data-residency", "/moves", host),
            vec!["`also_at = \"/moves\"`"],
        ),
        // The tokens of hooks may name any key.
        (with("moves", path, host), vec![]),
        (
            with("moves", "/moves", host),
            vec!["write `also_at = \"/moves\"` at"],
        ),
        (
            with("data-residency", path, "https://backend.example.com/forge"),
            vec!["`also_at = \"/forge/data-residency\"` at the handler of `data-residency`"],
        ),
    ] {
        let help = advice(&old, &new);
        assert_eq!(help.len(), expected.len(), "{help:?}");
        for text in expected {
            assert!(help[0].contains(text), "{help:?}");
        }
    }
}

#[test]
fn the_manifest_of_another_app_can_not_be_compared() {
    let other = DEPLOYED.replace("8000-000000000001", "8000-000000000002");
    let folder = folder_with(&other, DEPLOYED);
    let (status, out, error) = manifest(folder.path(), &["--against", "deployed.yml"]);
    assert_eq!((status, out.as_str()), (2, ""), "{error}");
    assert!(error.contains("another app"), "{error}");
    // A variable without a default may be any app.
    let variable = other.replace("00000000-0000-4000-8000-000000000002", "${APP}");
    let (status, out) = against(&variable, DEPLOYED);
    assert_eq!(status, 0, "{out}");
    assert!(!out.contains("app: `id` changed"), "{out}");
    assert!(changes(DEPLOYED, &variable).is_empty());
}

/// The environment of the deployment decides about them.
#[test]
fn variables_without_a_default_are_not_compared() {
    let with = |default: &str| {
        DEPLOYED
            .replace("app/00000000-0000-4000-8000-000000000001", "app/${APP}")
            .replace("https://backend.example.com", "${URL}")
            .replace("https://images.example.com", "${IMAGES}")
            + &format!("environment: {{variables: [APP, IMAGES, {{key: URL{default}}}]}}\n")
    };
    for (default, expected) in [
        ("", vec!["IMAGES", "URL"]),
        (", default: 'https://backend.example.com'", vec!["IMAGES"]),
    ] {
        let folder = folder_with(&with(default), &with(default));
        let (status, out, _) = manifest(folder.path(), &["--against", "deployed.yml"]);
        assert_eq!(status, 0, "{out}");
        assert!(out.contains("no new version needed"), "{out}");
        let names: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
        let note = format!("note: not compared: {} variable", names.len());
        assert!(out.contains(&note), "{out}");
        assert!(
            out.contains(&format!(": {}. A value", names.join(", "))),
            "{out}"
        );
        let (_, out, _) = manifest(folder.path(), &["--against", "deployed.yml", "--json"]);
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["uncompared_variables"], serde_json::json!(expected));
    }
    assert!(!against(DEPLOYED, DEPLOYED).1.contains("not compared"));
}

/// Source: <https://developer.atlassian.com/platform/forge/rolling-releases/>
#[test]
fn with_rolling_releases_only_the_permissions_wait() {
    let deployed = DEPLOYED.replace("path: /follow", "path: /before");
    let rolling = DEPLOYED
        .replace(
            "permissions:\n",
            "permissions:\n  enforcement: app-managed\n",
        )
        .replace(
            "    - write:jira-work\n",
            "    - write:jira-work\n    - read:jira-user\n",
        );
    let (status, out) = against(&deployed, &rolling);
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
    fs::write(app.join("manifest.yml"), DEPLOYED).unwrap();
    commit(folder.path());
    fs::write(app.join("manifest.yml"), new()).unwrap();
    let (status, out, _) = manifest(&app, &["--against", "HEAD"]);
    assert_eq!(status, 1, "{out}");
}

#[cfg(unix)]
#[test]
fn a_linked_manifest_is_followed_in_git() {
    use std::os::unix::fs::symlink;

    let folder = Folder::default();
    let (app, shared) = (folder.file("app"), folder.file("shared"));
    for folder in [&app, &shared] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(shared.join("forge.yml"), DEPLOYED).unwrap();
    symlink("../shared/forge.yml", app.join("manifest.yml")).unwrap();
    symlink("../../elsewhere.yml", app.join("outside.yml")).unwrap();
    symlink("gone.yml", app.join("dangling.yml")).unwrap();
    commit(folder.path());
    fs::write(shared.join("forge.yml"), new()).unwrap();
    for against in [
        "HEAD",
        "HEAD:app/manifest.yml",
        "HEAD:./manifest.yml",
        "HEAD:shared/forge.yml",
    ] {
        let (status, out, error) = manifest(&app, &["--against", against]);
        assert_eq!(status, 1, "{against}: {error}");
        assert!(out.contains("major[endpoint-changed]"), "{out}");
    }
    for (name, target) in [("outside", " (`../elsewhere.yml`)"), ("dangling", "")] {
        let (status, _, error) = manifest(&app, &["--against", &format!("HEAD:./{name}.yml")]);
        assert_eq!(status, 2, "{error}");
        let expected = format!(
            "`{name}.yml` in the git revision `HEAD` is a symbolic link that leads to no file of that revision{target}: \
             name the file that was deployed"
        );
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn errors_name_the_fix() {
    let folder = Folder::default();
    let path = folder.path();
    fs::write(folder.file("manifest.yml"), DEPLOYED).unwrap();
    let fails = |against: &str, expected: &[&str]| {
        let (status, out, error) = manifest(path, &["--against", against]);
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        for text in expected {
            assert!(error.contains(text), "{text} is not in\n{error}");
        }
        let (status, out, _) = manifest(path, &["--json", "--against", against]);
        let report: Value = serde_json::from_str(&out).unwrap();
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
            "`HEAD` has no file `manifest.yml`",
            "--against HEAD:app/manifest.yml",
        ],
    );
    for (text, expected) in [
        ("modules: [", "broken.yml:"),
        ("# nothing\n", "`broken.yml` is empty"),
        ("null\n", "`broken.yml` has no `app.id`"),
        ("{}\n", "`broken.yml` has no `app.id`"),
        ("readme: yes\n", "`broken.yml` has no `app.id`"),
        ("app: {id: ''}\n", "`broken.yml` has no `app.id`"),
    ] {
        fs::write(folder.file("broken.yml"), text).unwrap();
        fails("broken.yml", &[expected]);
    }
    fs::remove_file(folder.file("manifest.yml")).unwrap();
    fails(
        "other",
        &["manifest.yml does not exist", "manifest --write"],
    );
}
