//! Base URLs with a path: handlers are served at their own path and beneath it.

use forge_remote::manifest::ManifestFile;
use forge_remote::prelude::*;
use forge_remote::{RemoteRegion, handler};
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{APP_ID, Fit, published};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::stores::Folder;
use forge_remote_tests::test_app::TestApp;

#[scheduled_trigger(
    interval = "hour",
    endpoint = "follow",
    path = "/follow",
    remote = "gateway"
)]
async fn follow() {}

#[web_trigger(path = "/hook", remote = "gateway")]
async fn hook() {}

#[scheduled_trigger(interval = "hour", path = "/functions/v1/follow", remote = "backend")]
async fn takes_the_path() {}

const URL: &str = "https://project.example.com/functions/v1";

async fn with_gateway(gateway: Remote, manifest: Option<&str>) -> (TestApp, Folder) {
    let folder = Folder::default();
    let path = folder.file("manifest.yml");
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        let app = app.handler(handler!(follow)).handler(handler!(hook));
        if let Some(text) = manifest {
            let file = ManifestFile::parse(&path, Some(text.to_owned())).unwrap();
            let backend = Remote::new("backend").base_url("https://backend.example.com");
            let remotes = [backend, gateway.clone()];
            let wanted = app.registry().desired_manifest(&remotes);
            std::fs::write(&path, file.merged_with(&wanted, None).unwrap()).unwrap();
        }
        app.remote(gateway).manifest_path(path)
    })
    .await;
    (app, folder)
}

async fn statuses(app: &TestApp) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in ["/follow", "/functions/v1/follow", "/functions/v1/tick"] {
        let fit = Fit::backend(app.now(), "follow").token();
        for call in [Call::post(path).bearer(&fit), Call::post(path)] {
            statuses.push(app.send(&call).await.unwrap().status);
        }
    }
    statuses
}

#[tokio::test]
async fn handlers_are_served_beneath_the_base_path() {
    let in_file = |url: &str| {
        format!(
            "environment:\n  variables: [{{key: URL, default: {URL}}}]\n\
             remotes:\n  - key: gateway\n    baseUrl: {url}\n"
        )
    };
    let gateway = || Remote::new("gateway");
    for (remote, manifest) in [
        (gateway().base_url(URL), None),
        (gateway(), Some(in_file(URL))),
        (gateway(), Some(in_file("${URL}"))),
        // Not every parser of YAML accepts this line.
        (gateway(), Some(in_file("${URL}") + "\t# \u{2028}\n")),
        (
            gateway(),
            Some(in_file("{default: https://x.example.com, EU: $URL}").replace("$URL", URL)),
        ),
        (gateway().base_path("/functions/v1"), None),
    ] {
        let (app, _folder) = with_gateway(remote.clone(), manifest.as_deref()).await;
        // The other remote's handlers are not beneath it, and nothing is without verification.
        assert_eq!(
            statuses(&app).await,
            [200, 401, 200, 401, 404, 404],
            "{remote:?} {manifest:?}"
        );
        let below = Call::new("GET", "/functions/v1/hook/a/b");
        assert_eq!(app.send(&below).await.unwrap().status, 401);
    }
    let (app, _folder) = with_gateway(gateway(), None).await;
    assert_eq!(statuses(&app).await, [200, 401, 404, 404, 404, 404]);
}

#[test]
fn code_and_file_follow_the_same_rules() {
    let problems = |url: &str| {
        let app = App::empty().handler(handler!(follow)).app_id(APP_ID);
        let built = app.remote(Remote::new("gateway").base_url(url)).build();
        built.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(problems(URL), Ok(()));
    for (url, expected) in [
        (
            "https://project.example.com/functions/v1/",
            "ends with a slash",
        ),
        ("https://project.example.com/", "ends with a slash"),
        ("https://project.example.com//v1", "plain segments"),
        ("https://project.example.com/{id}", "plain segments"),
        ("http://project.example.com/v1", "is not https"),
    ] {
        let text = problems(url).unwrap_err();
        assert!(
            text.contains("bad-remote") && text.contains(expected),
            "{text}"
        );
    }
}

#[test]
fn a_path_beneath_must_be_free() {
    let app = App::empty()
        .handler(handler!(follow))
        .handler(handler!(takes_the_path))
        .app_id(APP_ID)
        .remote(Remote::new("gateway").base_url(URL))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let text = app.build().map(drop).unwrap_err().to_string();
    assert!(text.contains("base-path-taken"), "{text}");
}

#[trigger(
    events = ["avi:forge:installed:app"],
    path = "/eu/moved",
    also_at = ["/moved", "/api/moved"],
    remote = "gateway"
)]
async fn moved() {}

/// Base paths and former paths may lead to one path: it is served once.
#[tokio::test]
async fn a_path_that_arises_twice_is_served_once() {
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        let gateway = Remote::new("gateway").base_url("https://h.example.com/api");
        let gateway = gateway.region_url(RemoteRegion::Eu, "https://h.example.com/api/eu");
        app.handler(handler!(moved)).remote(gateway)
    })
    .await;
    let fit = Fit::backend(app.now(), "moved").token();
    for (path, expected) in [
        ("/eu/moved", 200),
        ("/moved", 200),
        ("/api/moved", 200),
        ("/api/eu/moved", 200),
        ("/api/eu/eu/moved", 200),
        ("/api/eu", 404),
    ] {
        let response = app.send(&Call::post(path).bearer(&fit)).await.unwrap();
        assert_eq!(response.status, expected, "{path}");
    }
}

#[scheduled_trigger(
    interval = "hour",
    path = "/functions/v1/hook/start",
    remote = "backend"
)]
async fn is_below_the_hook() {}

/// A handler of every path below its own takes those beneath the base path too.
#[test]
fn a_path_below_one_beneath_must_be_free() {
    let app = App::empty()
        .handler(handler!(hook))
        .handler(handler!(is_below_the_hook))
        .app_id(APP_ID)
        .remote(Remote::new("gateway").base_url(URL))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let text = app.build().map(drop).unwrap_err().to_string();
    assert!(text.contains("base-path-taken"), "{text}");
}

/// `routes` lists every path that is served, and exits like the launch.
#[tokio::test]
async fn every_path_is_listed() {
    let folder = Folder::default();
    let path = folder.file("manifest.yml");
    let remote = "remotes:\n  - key: backend\n    baseUrl: https://backend.example.com/base\n";
    std::fs::write(&path, remote).unwrap();
    let routes = |variables: &'static [(&str, &str)], arguments: &'static [&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_plain_app"));
        command.arg("routes").args(arguments);
        command.env("FORGE_REMOTE_MANIFEST", &path);
        command.envs(variables.iter().copied());
        async move {
            let output = command.output().await.unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(text).unwrap())
        }
    };
    let (succeeded, text) = routes(&[], &[]).await;
    assert!(succeeded, "{text}");
    for served in ["/base/tick", "/tick-v1", "/base/tick-v1"] {
        assert!(text.contains(served), "{served}: {text}");
    }
    let (_, json) = routes(&[], &["--json"]).await;
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let also = serde_json::json!([
        "/base/tick",
        "/tick-v1",
        "/base/tick-v1",
        "/tick-v2",
        "/base/tick-v2"
    ]);
    assert_eq!(rows[0]["alsoAt"], also, "{json}");
    // A remote without a valid URL ends the launch, too.
    let (succeeded, text) = routes(&[("BAD_REMOTE", "1")], &[]).await;
    assert!(!succeeded && text.contains("bad-remote"), "{text}");
}

#[tokio::test]
async fn a_doubled_slash_is_named_in_the_log() {
    let log = LogCapture::default();
    let _guard = log.start();
    let app = TestApp::start().await;
    log.take();
    let call = Call::post("//tick").bearer(&app.fit().token());
    assert_eq!(app.send(&call).await.unwrap().status, 404);
    let text = log.take();
    assert!(
        text.contains("doubled slash, probably because the remote's `baseUrl` ends with `/`"),
        "{text}"
    );
}
