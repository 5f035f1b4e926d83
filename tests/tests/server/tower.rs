//! The app works with tower layers and as a service: layers see every request and change no verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use forge_remote::axum::body::Body;
use forge_remote::axum::extract::{MatchedPath, Request};
use forge_remote::axum::middleware::{self, Next};
use forge_remote::axum::response::Response;
use forge_remote::axum::{self, Router};
use forge_remote::handler;
use forge_remote::http::{StatusCode, header};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use tower::ServiceExt as _;

#[endpoint]
async fn greet() -> &'static str {
    "hello"
}

fn app() -> App {
    App::empty()
        .handler(handler!(greet))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

fn request(path: &str) -> Request {
    Request::post(path).body(Body::empty()).unwrap()
}

fn path_of_greet(harness: &Harness) -> String {
    let handler = harness.app().registry().find("greet").next().unwrap();
    handler.path().to_owned()
}

#[tokio::test]
async fn a_layer_sees_accepted_and_rejected_requests() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let layered = app().layer(middleware::from_fn(move |request: Request, next: Next| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut response: Response = next.run(request).await;
            let server = "backend".parse().unwrap();
            response.headers_mut().insert(header::SERVER, server);
            response
        }
    }));
    let harness = Harness::new(layered).unwrap();

    let accepted = harness.call("greet").send().await;
    assert_eq!(accepted.status(), 200);
    assert_eq!(accepted.headers()["server"], "backend");
    let path = path_of_greet(&harness);
    for (path, status) in [
        (path.as_str(), StatusCode::UNAUTHORIZED),
        ("/elsewhere", StatusCode::NOT_FOUND),
    ] {
        let response = harness.app().router().oneshot(request(path)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["server"], "backend", "{path}");
    }
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

/// The route as a label of metrics: the same for every path below a web trigger.
#[tokio::test]
async fn a_layer_reads_the_matched_path() {
    #[web_trigger(path = "/hook")]
    async fn hook() {}

    let label = middleware::from_fn(
        |path: Option<MatchedPath>, request: Request, next: Next| async move {
            let mut response: Response = next.run(request).await;
            let label = path.as_ref().map_or("none", MatchedPath::as_str);
            response
                .headers_mut()
                .insert("label", label.parse().unwrap());
            response
        },
    );
    let layered = app().handler(handler!(hook)).layer(label);
    let harness = Harness::new(layered).unwrap();
    let greet = path_of_greet(&harness);
    for (path, label) in [
        (greet.as_str(), greet.as_str()),
        ("/hook", "/hook"),
        ("/hook/orders/7", "/hook/{*rest}"),
        ("/elsewhere", "none"),
    ] {
        let response = harness.app().router().oneshot(request(path)).await.unwrap();
        assert_eq!(response.headers()["label"], label, "{path}");
    }
}

#[tokio::test]
async fn the_last_layer_is_the_outermost() {
    let stamp = |text: &'static str| {
        middleware::from_fn(move |request: Request, next: Next| async move {
            let mut response: Response = next.run(request).await;
            let order = response
                .headers_mut()
                .entry("order")
                .or_insert(text.parse().unwrap());
            let stamped = format!("{}{text}", order.to_str().unwrap());
            *order = stamped.parse().unwrap();
            response
        })
    };
    let layered = app().layer(stamp("a")).layer(stamp("b"));
    let harness = Harness::new(layered).unwrap();
    let response = harness.call("greet").send().await;
    assert_eq!(response.headers()["order"], "aab");
}

#[tokio::test]
async fn the_service_is_verified_inside_another_router() {
    let harness = Harness::new(app()).unwrap();
    let outer = Router::new()
        .route("/own", axum::routing::post(|| async { "own" }))
        .fallback_service(harness.app().clone());

    let own = outer.clone().oneshot(request("/own")).await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
    let rejected = outer
        .clone()
        .oneshot(request(&path_of_greet(&harness)))
        .await
        .unwrap();
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);

    let handler = harness.app().registry().find("greet").next().unwrap();
    let signed = harness.platform().call(handler).into_request();
    let accepted = outer.oneshot(signed).await.unwrap();
    assert_eq!(accepted.status(), StatusCode::OK);
}
