//! Limits of single handlers.

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, published};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::TestApp;
use serde_json::Value;

#[endpoint(method = "POST", path = "/upload", key = "upload", body_limit = "2MiB")]
async fn upload(Json(_): Json<Value>) {}

#[endpoint(method = "POST", path = "/small", key = "small", body_limit = "100B")]
async fn small(Json(_): Json<Value>) {}

#[trigger(
    events = ["avi:forge:installed:app"],
    key = "both-b",
    endpoint = "both",
    path = "/both",
    body_limit = "2MiB"
)]
#[scheduled_trigger(interval = "hour", key = "both-a", endpoint = "both", path = "/both")]
async fn both() {}

/// A token does not show which attribute's module it is for, so the largest limit counts.
#[tokio::test]
async fn attributes_of_one_function_share_the_largest_limit() {
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.handler(handler!(both))
    })
    .await;
    for (size, expected) in [(2 << 20, 200), ((2 << 20) + 1, 413)] {
        for key in ["both", "both-a", "both-b"] {
            let fit = Fit::backend(app.now(), key).token();
            let call = Call::post("/both").bearer(&fit).body("x".repeat(size));
            let status = app.send(&call).await.unwrap().status;
            assert_eq!(status, expected, "{key}, {size} bytes");
        }
    }
}

#[tokio::test]
async fn a_handlers_limit_replaces_the_apps() {
    let log = LogCapture::default();
    let _guard = log.start();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.handler(handler!(upload)).handler(handler!(small))
    })
    .await;
    let mut report = Report::new("body limits of handlers");
    for (path, size, chunked, expected) in [
        ("/upload", 2 << 20, false, 200),
        ("/upload", 2 << 20, true, 200),
        ("/upload", (2 << 20) + 1, false, 413),
        ("/upload", (2 << 20) + 1, true, 413),
        ("/small", 100, false, 200),
        ("/small", 101, false, 413),
        ("/small", 101, true, 413),
        ("/echo", (1 << 20) + 1, false, 413),
    ] {
        log.take();
        let body = format!("\"{}\"", "x".repeat(size - 2));
        let mut call = Call::post(path).bearer(&app.page().token()).body(body);
        if chunked {
            call = call.chunked(65_536);
        }
        let status = app.send(&call).await.unwrap().status;
        let text = log.take();
        let mut result = Ok(());
        if status != expected {
            result = Err(format!("{status} instead of {expected}"));
        } else if status == 413
            && !(text.contains("`body_limit`") && text.contains("`App::body_limit`"))
        {
            result = Err(format!("the log names no option: {text}"));
        }
        report.case(format!("{path}, {size} bytes, chunked: {chunked}"), result);
    }
    report.finish();
}
