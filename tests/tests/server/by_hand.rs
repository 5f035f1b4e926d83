//! An app whose router its author's server serves: nothing is lost without a log line.

use std::time::Duration;

use forge_remote::axum::body::Body;
use forge_remote::axum::extract::Request;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TEST_APP_ID};
use forge_remote::token::MemoryTokens;
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::SOON;
use forge_remote_tests::token_app::{HOUR, ONE, start_on};
use tokio::sync::mpsc::unbounded_channel;
use tower::ServiceExt as _;

#[scheduled_trigger(interval = "hour")]
async fn tick() {}

async fn sync() -> Result<()> {
    std::future::pending().await
}

fn app() -> App {
    App::empty()
        .handler(handler!(tick))
        .app_id(TEST_APP_ID)
        // Nothing listens there.
        .jwks_url("http://127.0.0.1:9/keys")
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// Sends requests that need no token, and returns the log.
async fn requests_to(service: &forge_remote::Service) -> String {
    let log = LogCapture::default();
    let _guard = log.start();
    for path in ["/tick", "/tick", "/elsewhere"] {
        let request = Request::post(path).body(Body::empty()).unwrap();
        service.router().oneshot(request).await.unwrap();
    }
    log.take()
}

#[tokio::test]
async fn tasks_that_nobody_starts_are_logged_once() {
    const WARNING: &str = "call `Service::start_background`";
    let idle = app().background(sync).build().unwrap();
    let log = requests_to(&idle).await;
    assert_eq!(log.matches(WARNING).count(), 1, "{log}");
    assert!(log.contains("tasks=1"), "{log}");

    let running = app().background(sync).build().unwrap();
    let _background = running.start_background().unwrap();
    let log = requests_to(&running).await;
    assert!(!log.contains(WARNING), "{log}");

    let log = requests_to(&app().build().unwrap()).await;
    assert!(!log.contains(WARNING), "{log}");

    // The app's own server starts them.
    let served = app().background(sync).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    served.clone().serve(listener, async {}).await.unwrap();
    let log = requests_to(&served).await;
    assert!(!log.contains(WARNING), "{log}");
}

/// An app that is built before there is a runtime has its store's callbacks called all the same.
#[test]
fn the_stores_callbacks_start_with_the_first_request() {
    let (sender, mut removed) = unbounded_channel();
    let tokens = Tokens::new(MemoryTokens::new()).removal_delay(Duration::ZERO);
    tokens.on_removed(move |installation_id| {
        let _ = sender.send(installation_id);
        std::future::ready(())
    });
    let app = app().token_store(tokens).keep_tokens_fresh();
    let harness = Harness::new(app).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        for key in ["tokens-hourly", "tokens-goodbye"] {
            assert_eq!(harness.call(key).send().await.status(), 200, "{key}");
        }
        let removed = tokio::time::timeout(SOON, removed.recv()).await.unwrap();
        assert!(
            removed
                .unwrap()
                .starts_with("ari:cloud:ecosystem::installation/")
        );
    });
}

#[tokio::test]
async fn an_app_that_is_dropped_with_unwritten_tokens_is_logged() {
    const ERROR: &str = "call `Service::shutdown`";
    let log = LogCapture::default();
    let _guard = log.start();
    for shuts_down in [false, true] {
        let store = FlakyStore::default();
        let app = start_on(&store).await;
        store.down(true);
        app.deliver(ONE, &app.token(2 * HOUR, "")).await;
        assert!(app.tokens.flush().await.is_err());
        if shuts_down {
            store.down(false);
            app.harness.app().shutdown().await;
        }
        log.take();
        drop(app);
        let log = log.take();
        assert_eq!(log.contains(ERROR), !shuts_down, "{log}");
    }
}
