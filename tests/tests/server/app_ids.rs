//! The app's id from a manifest with variables, and several apps on one backend.

use std::process::Output;
use std::time::SystemTime;

use forge_remote::prelude::*;
use forge_remote_tests::http::{Call, send};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{Fit, published};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::plain_process::PlainProcess;
use forge_remote_tests::stores::Folder;
use forge_remote_tests::test_app::TestApp;
use serde_json::json;
use tokio::process::Command;

const LITE: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001";
const FULL: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000002";
const OTHER: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000003";

/// The manifest of `plain_app`; `VARIABLES` and `ID` are replaced.
const MANIFEST: &str = "\
environment:
  variables:
VARIABLES
app:
  id: ID
  runtime:
    name: nodejs22.x
remotes:
  - key: backend
    baseUrl: https://backend.example.com
modules:
  scheduledTrigger:
    - key: tick-trigger
      endpoint: tick
      interval: hour
  endpoint:
    - key: tick
      remote: backend
      route:
        path: /tick
permissions:
  scopes: []
";
const WITH_DEFAULT: &str = "    - key: APP_ID\n      default: 00000000-0000-4000-8000-000000000001";
const WITHOUT_DEFAULT: &str = "    - APP_ID";
const VARIABLE_ID: &str = "ari:cloud:ecosystem::app/${APP_ID}";

fn manifest(folder: &Folder, variables: &str, id: &str) -> Command {
    let path = folder.file("manifest.yml");
    let text = MANIFEST
        .replace("VARIABLES", variables)
        .replace("id: ID\n", &format!("id: {id}\n"));
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command
        .env_remove("FORGE_REMOTE_APP_ID")
        .env_remove("APP_ID")
        .env("FORGE_REMOTE_MANIFEST", path);
    command
}

fn fit_of(app_id: &str, now: SystemTime) -> Fit {
    let fit = Fit::backend(now, "tick");
    fit.claim("/aud", app_id).claim("/app/id", app_id)
}

async fn status(process: &PlainProcess, app_id: &str) -> u16 {
    let token = fit_of(app_id, SystemTime::now()).token();
    let call = Call::post("/tick").bearer(&token);
    send(process.address, &call).await.unwrap().status
}

async fn check(mut command: Command) -> (bool, String) {
    text_of(
        command
            .args(["manifest", "--check"])
            .output()
            .await
            .unwrap(),
    )
}

fn text_of(output: Output) -> (bool, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn an_app_id_is_resolved_from_the_default_and_the_environment() {
    let (folder, keys) = (
        Folder::default(),
        JwksServer::start(JwksResponse::Keys(published())).await,
    );
    let (agrees, text) = check(manifest(&folder, WITH_DEFAULT, VARIABLE_ID)).await;
    assert!(agrees, "{text}");
    let command = manifest(&folder, WITH_DEFAULT, VARIABLE_ID);
    let process = PlainProcess::start_as_configured(command, &keys).await;
    assert_eq!(status(&process, LITE).await, 200);
    assert_eq!(status(&process, FULL).await, 401);

    let mut command = manifest(&folder, WITH_DEFAULT, VARIABLE_ID);
    command.env("APP_ID", "00000000-0000-4000-8000-000000000002");
    let process = PlainProcess::start_as_configured(command, &keys).await;
    assert_eq!(status(&process, FULL).await, 200);
    assert_eq!(status(&process, LITE).await, 401);
}

/// The address that Forge would call is in the environment of the check, not in the file.
#[tokio::test]
async fn the_value_of_a_base_urls_variable_is_checked() {
    let folder = Folder::default();
    for (value, expected) in [
        (None, true),
        (Some("https://app.example.com"), true),
        (Some("https://app.example.com/"), false),
    ] {
        let mut command = manifest(&folder, "    - REMOTE_BASE_URL", LITE);
        let path = folder.file("manifest.yml");
        let text = std::fs::read_to_string(&path).unwrap();
        let url = "https://backend.example.com";
        std::fs::write(&path, text.replace(url, "${REMOTE_BASE_URL}")).unwrap();
        command.env_remove("REMOTE_BASE_URL");
        if let Some(value) = value {
            command.env("REMOTE_BASE_URL", value);
        }
        let (agrees, text) = check(command).await;
        assert_eq!(agrees, expected, "{value:?}: {text}");
        let finding = "which ends with a slash";
        assert_eq!(text.contains(finding), !expected, "{value:?}: {text}");
    }
}

#[tokio::test]
async fn another_id_than_the_manifests_is_a_warning() {
    let folder = Folder::default();
    for (ids, expected) in [(FULL.to_owned(), true), (format!("{FULL},{LITE}"), false)] {
        let mut command = manifest(&folder, WITH_DEFAULT, VARIABLE_ID);
        command.env("FORGE_REMOTE_APP_ID", &ids);
        let (agrees, text) = check(command).await;
        assert!(agrees, "{text}");
        let warning = format!("warning[other-app-id]: the app accepts calls of {FULL} only");
        assert_eq!(text.contains(&warning), expected, "{ids}: {text}");
    }
}

/// The remote may be in a repository without the manifest.
#[tokio::test]
async fn an_app_without_a_manifest_needs_only_its_id() {
    let (folder, keys) = (
        Folder::default(),
        JwksServer::start(JwksResponse::Keys(published())).await,
    );
    let app = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
        command
            .current_dir(folder.path())
            .env_remove("FORGE_REMOTE_MANIFEST")
            .env_remove("CARGO_MANIFEST_DIR")
            .env("FORGE_REMOTE_APP_ID", LITE);
        command
    };
    let process = PlainProcess::start_as_configured(app(), &keys).await;
    assert_eq!(status(&process, LITE).await, 200);
    // The sections to paste into the other repository's file.
    let (printed, text) = text_of(app().args(["manifest", "--stdout"]).output().await.unwrap());
    assert!(printed, "{text}");
    for line in [
        "  scheduledTrigger:\n",
        "      endpoint: tick\n",
        "remotes:\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!folder.file("manifest.yml").exists());
}

/// An app that `check` accepts starts, and one that does not start is found by `check`.
#[tokio::test]
async fn an_app_id_without_a_value_fails_check_and_launch_alike() {
    let folder = Folder::default();
    for (variables, id, named) in [
        (WITHOUT_DEFAULT, VARIABLE_ID, "APP_ID"),
        ("    - OTHER", VARIABLE_ID, "APP_ID"),
        (
            WITHOUT_DEFAULT,
            "ari:cloud:ecosystem::app/sample-app",
            "sample-app",
        ),
        (
            "    - {key: APP_ID, default: lite}",
            VARIABLE_ID,
            "app/lite",
        ),
    ] {
        let mut serve = manifest(&folder, variables, id);
        serve
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .kill_on_drop(true);
        let serve = serve.output();
        let serve = tokio::time::timeout(std::time::Duration::from_secs(60), serve).await;
        for (command, (succeeded, text)) in [
            ("check", check(manifest(&folder, variables, id)).await),
            ("serve", text_of(serve.unwrap().unwrap())),
        ] {
            assert!(!succeeded, "{command}: {id}: {text}");
            for part in [named, "FORGE_REMOTE_APP_ID", "bad-app-id"] {
                assert!(text.contains(part), "{command}: {part}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_of_several_apps_are_accepted() {
    let log = LogCapture::default();
    let _guard = log.start();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.app_ids([LITE, FULL])
    })
    .await;
    for id in [LITE, FULL] {
        let token = fit_of(id, app.now()).token();
        assert_eq!(app.status(&token).await, 200, "{id}");
        assert_eq!(app.seen.last().unwrap()["appId"], id);
    }
    log.take();
    assert_eq!(app.status(&fit_of(OTHER, app.now()).token()).await, 401);
    let text = log.take();
    assert!(text.contains("audience"), "{text}");

    // Exactly one of them, and the one that the token is of.
    for (audience, of, expected) in [
        (json!([LITE, FULL]), LITE, 401),
        (json!([LITE, OTHER]), LITE, 200),
        (json!(LITE), FULL, 401),
        (json!([FULL, OTHER]), LITE, 401),
    ] {
        let fit = fit_of(of, app.now()).claim("/aud", audience.clone());
        assert_eq!(
            app.status(&fit.token()).await,
            expected,
            "{audience} of {of}"
        );
    }
}

#[tokio::test]
async fn several_app_ids_are_read_from_the_environment() {
    let (folder, keys) = (
        Folder::default(),
        JwksServer::start(JwksResponse::Keys(published())).await,
    );
    let mut command = manifest(&folder, WITHOUT_DEFAULT, VARIABLE_ID);
    let bare = |id: &str| id.rsplit('/').next().unwrap().to_owned();
    command.env(
        "FORGE_REMOTE_APP_ID",
        format!("{}, {}", bare(LITE), bare(FULL)),
    );
    let process = PlainProcess::start_as_configured(command, &keys).await;
    assert_eq!(status(&process, LITE).await, 200);
    assert_eq!(status(&process, FULL).await, 200);
    assert_eq!(status(&process, OTHER).await, 401);

    let app = || App::empty().handler(forge_remote::handler!(forge_remote_tests::handlers::tick));
    let error = app().app_ids([LITE, "full"]).build().map(drop).unwrap_err();
    assert!(
        error.to_string().contains("`full` is not a Forge app id"),
        "{error}"
    );
}

/// A list without an id is a mistake: neither the code's ids nor the manifest's are meant.
#[tokio::test]
async fn an_empty_list_of_app_ids_is_invalid() {
    let folder = Folder::default();
    for list in [",", " "] {
        let mut command = manifest(&folder, WITH_DEFAULT, LITE);
        command.env("FORGE_REMOTE_APP_ID", list);
        let (succeeded, text) = check(command).await;
        assert!(!succeeded && text.contains("bad-app-id"), "{list}: {text}");
    }
}

/// The deployed app's tokens would all be rejected.
#[tokio::test]
async fn a_manifest_of_an_app_that_is_not_accepted_is_reported() {
    let folder = Folder::default();
    for (ids, expected) in [
        (LITE.to_owned(), false),
        (format!("{FULL},{LITE}"), false),
        (FULL.to_owned(), true),
    ] {
        let mut command = manifest(&folder, WITH_DEFAULT, VARIABLE_ID);
        command.env("FORGE_REMOTE_APP_ID", &ids);
        let (succeeded, text) = check(command).await;
        assert!(succeeded, "{text}");
        let found = text.contains("warning[other-app-id]") && text.contains("manifest.yml:6:");
        assert_eq!(found, expected, "{ids}: {text}");
    }
}
