//! The app with a handler of every kind, and calls of it.

use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) fn app() -> App {
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .app_id("ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107")
}

pub(crate) fn harness() -> Harness {
    Harness::new(app()).unwrap()
}

pub(crate) async fn response(harness: &Harness, key: &str, body: Value) -> (u16, Value) {
    let response = harness.call(key).json(&body).send().await;
    let json = serde_json::from_str(&response.text()).unwrap_or(Value::Null);
    (response.status(), json)
}

/// Sends a handler's call with another method and path.
pub(crate) async fn elsewhere(
    harness: &Harness,
    key: &str,
    method: &str,
    path: &str,
    body: &'static [u8],
) -> (u16, Value) {
    let handler = harness.app().registry().find(key).next().unwrap();
    let call = harness.platform().call(handler).body(body);
    let mut request = call.into_request();
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    let response = harness.app().router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = forge_remote::axum::body::to_bytes(response.into_body(), usize::MAX).await;
    (
        status,
        serde_json::from_slice(&body.unwrap()).unwrap_or(Value::Null),
    )
}
