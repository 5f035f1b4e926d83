//! A manifest that does not exist, although `FORGE_REMOTE_MANIFEST` names it or `App::foreign_endpoints` needs it.

use std::path::Path;
use std::process::Command;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote_tests::jws::APP_ID;
use forge_remote_tests::log_capture::LogCapture;
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

#[endpoint]
async fn show() {}

/// Without the manifest, the app knows the modules of other services from its list alone, which is logged.
#[tokio::test]
async fn a_module_of_another_service_is_unknown_without_the_manifest() {
    let folder = Folder::default();
    let logged = LogCapture::default();
    let _guard = logged.start();
    let harness = |foreign: &[&str]| {
        let app = App::empty()
            .handler(handler!(show))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .foreign_endpoints(foreign.iter().copied())
            .manifest_path(folder.file("manifest.yml"));
        let harness = Harness::new(app).unwrap();
        (harness, logged.take().contains("modules of other services"))
    };
    for (foreign, status) in [
        (&["other-service"][..], 200),
        (&["other-service", "other-trigger"][..], 401),
    ] {
        let (harness, is_logged) = harness(foreign);
        assert!(is_logged);
        for (module, status) in [("other-service", 401), ("other-trigger", status)] {
            let call = harness.call("show");
            let call = call.fit(|fit| fit.module("core:endpoint", module));
            assert_eq!(call.send().await.status(), status, "{module}");
        }
    }
    let (_, is_logged) = harness(&[]);
    assert!(!is_logged);
    // An app that lists the modules knows them.
    for (modules, status) in [(&[][..], 200), (&["other-trigger"], 401)] {
        let app = App::empty()
            .handler(handler!(show))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .foreign_endpoints(["other-service"])
            .foreign_modules(modules.iter().copied())
            .manifest_path(folder.file("manifest.yml"));
        let harness = Harness::new(app).unwrap();
        assert!(!logged.take().contains("other services"));
        let call = harness.call("show");
        let call = call.fit(|fit| fit.module("core:endpoint", "other-trigger"));
        assert_eq!(call.send().await.status(), status);
    }
}

/// A module whose key has a variable: its values here and by default are rejected.
#[tokio::test]
async fn a_module_of_another_service_may_have_a_variable_as_its_key() {
    let folder = Folder::default();
    let manifest = folder.file("manifest.yml");
    let logged = LogCapture::default();
    let _guard = logged.start();
    let text = "environment: {variables: [{key: THEIRS, default: by-default}, NO_VALUE_OF_THEIRS]}\nmodules:\n  trigger:\n    - {key: '${THEIRS}', endpoint: other-service}\n    - {key: '${NO_VALUE_OF_THEIRS}', endpoint: other-service}\n";
    std::fs::write(&manifest, text).unwrap();
    let app = || {
        let app = App::empty().handler(handler!(show));
        let app = app.remote(Remote::new("backend").base_url("https://backend.example.com"));
        let app = app.foreign_endpoints(["other-service"]);
        app.manifest_path(&manifest)
    };
    let harness = Harness::new(app()).unwrap();
    assert!(
        logged.take().contains("\"${NO_VALUE_OF_THEIRS}\""),
        "the unknown key is logged"
    );
    for (module, status) in [("by-default", 401), ("another", 200)] {
        let call = harness.call("show");
        let call = call.fit(|fit| fit.module("core:endpoint", module));
        assert_eq!(call.send().await.status(), status, "{module}");
    }
    // Each of the two needs a listed value.
    Harness::new(app().foreign_modules(["theirs"])).unwrap();
    assert!(logged.take().contains("NO_VALUE_OF_THEIRS"));
    Harness::new(app().foreign_modules(["theirs", "deployed"])).unwrap();
    assert!(!logged.take().contains("NO_VALUE_OF_THEIRS"));

    // Another environment may have another value than the default.
    let default = "environment: {variables: [{key: THEIRS, default: by-default}]}\nmodules:\n  trigger:\n    - {key: '${THEIRS}', endpoint: other-service}\n    - {key: nightly, endpoint: other-service}\n";
    std::fs::write(&manifest, default).unwrap();
    // A list without it does not have its value.
    for app in [app(), app().foreign_modules(["nightly"])] {
        Harness::new(app).unwrap();
        let log = logged.take();
        assert!(
            log.contains("whose deployed values are not known here"),
            "{log}"
        );
        assert!(
            log.contains("\"${THEIRS}\"") && !log.contains("nightly"),
            "{log}"
        );
    }
    let harness = Harness::new(app().foreign_modules(["nightly", "deployed"])).unwrap();
    assert!(!logged.take().contains("THEIRS"));
    for module in ["by-default", "deployed", "nightly"] {
        let call = harness.call("show");
        let call = call.fit(|fit| fit.module("core:endpoint", module));
        assert_eq!(call.send().await.status(), 401, "{module}");
    }
}

/// A launch reads the manifest several times, and a pipe has its text once.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_manifest_may_be_a_pipe() {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let (pipe, mut end) = std::io::pipe().unwrap();
    let text = "modules:\n  trigger:\n    - {key: theirs, endpoint: other-service}\n";
    end.write_all(text.as_bytes()).unwrap();
    drop(end);
    let app = App::empty().handler(handler!(show));
    let app = app.remote(Remote::new("backend").base_url("https://backend.example.com"));
    let app = app.foreign_endpoints(["other-service"]);
    let app = app.manifest_path(format!("/proc/self/fd/{}", pipe.as_raw_fd()));
    let harness = Harness::new(app).unwrap();
    let call = harness.call("show");
    let call = call.fit(|fit| fit.module("core:endpoint", "theirs"));
    assert_eq!(call.send().await.status(), 401);
}

#[function_call]
async fn import() {}

#[trigger(dynamic)]
async fn watch() {}

/// The FIT of a function's call names no endpoint and no module of one, whichever service has it.
#[tokio::test]
async fn a_functions_handler_rejects_the_keys_of_every_endpoint() {
    let folder = Folder::default();
    let manifest = folder.file("manifest.yml");
    let text = "modules:
  endpoint: [{key: theirs, remote: other, route: {path: /theirs}}]
  trigger: [{key: their-trigger, events: ['avi:jira:created:issue'], endpoint: theirs}]
  function: [{key: resolver, handler: index.run}]
  macro: [{key: page, title: Page, resource: main, resolver: {function: resolver}}]
remotes: [{key: other, baseUrl: 'https://other.example.com'}]
";
    std::fs::write(&manifest, text).unwrap();
    let app = || {
        let app = App::empty().handler(handler!(import));
        let app = app.remote(Remote::new("backend").base_url("https://backend.example.com"));
        app.manifest_path(&manifest)
    };
    let generated = "b8a1f7a4-3c43-4b8e-9d6f-0a2f6f0f5a11";
    let with_watch = || app().handler(handler!(watch));
    for (harness, generated_status) in [
        (Harness::new(app()).unwrap(), 200),
        (Harness::new(with_watch()).unwrap(), 401),
    ] {
        for (key, status) in [
            ("theirs", 401),
            ("their-trigger", 401),
            ("resolver", 200),
            ("page", 200),
            (generated, generated_status),
        ] {
            let call = harness.call("import");
            let call = call.fit(|fit| fit.module("core:endpoint", key));
            assert_eq!(call.send().await.status(), status, "{key}");
        }
    }

    // Without the manifest, the modules of other services are not known.
    let logged = LogCapture::default();
    let _guard = logged.start();
    let missing = app().manifest_path(folder.file("nope.yml"));
    let missing = missing.foreign_endpoints(["theirs"]);
    let harness = Harness::new(missing).unwrap();
    assert!(
        logged
            .take()
            .contains("modules of other services are unknown")
    );
    // No advice to write an option that `#[function_call]` lacks.
    let call = harness.call("import");
    let call = call.fit(|fit| fit.module("core:endpoint", "theirs"));
    assert_eq!(call.send().await.status(), 401);
    let log = logged.take();
    assert!(
        log.contains("wrong_endpoint") && !log.contains("also_key"),
        "{log}"
    );
}
