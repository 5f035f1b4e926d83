//! Base URLs with a path: handlers are served at their own path and beneath it.

#![allow(clippy::unwrap_used)]

use forge_remote::handler;
use forge_remote::manifest::ManifestFile;
use forge_remote::prelude::*;
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
