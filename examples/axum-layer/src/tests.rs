//! Calls of the service, with tokens that are signed for real and a key set on loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use forge_remote::testing::Platform;
use forge_remote_fit::{
    HttpKeySource, Jwks, JwksPolicy, KeyRing, SystemClock, VerificationPolicy, Verifier,
};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
const OTHER_APP_ID: &str = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555";

/// The service and the platform that it trusts.
struct Test {
    platform: Platform,
    service: Router,
}

impl Test {
    async fn start() -> Self {
        let platform = Platform::new(APP_ID.parse().unwrap()).unwrap();
        let keys = platform.key_set();
        let key_server = Router::new().route("/keys", get(async move || Json(keys)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, key_server).await });
        let clock = Arc::new(SystemClock::default());
        let source = HttpKeySource::new(&url).unwrap();
        let keys = Jwks::new(source, JwksPolicy::default(), clock.clone());
        let app_id = APP_ID.parse().unwrap();
        let policy = VerificationPolicy::default();
        let verifier = Verifier::new(app_id, KeyRing::new(keys), policy, clock);
        Self {
            platform,
            service: crate::router(&Arc::new(verifier)),
        }
    }

    /// The status and body of a POST with this token.
    async fn post(&self, path: &str, token: Option<&str>, body: &'static str) -> (u16, String) {
        let mut request = Request::post(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A token of the platform's own call of an endpoint.
    fn platform_token(&self, endpoint: &str) -> String {
        self.platform.fit().module("core:endpoint", endpoint).sign()
    }
}

#[tokio::test]
async fn the_platforms_call_is_accepted() {
    let test = Test::start().await;
    for key in ["refresh-index", "refresh-index-hourly"] {
        let token = test.platform_token(key);
        let (status, body) = test.post("/refresh-index", Some(&token), "").await;
        assert_eq!(status, 200, "{body}");
        assert!(body.starts_with("Platform ari:cloud:ecosystem::installation/"));
    }
}

#[tokio::test]
async fn a_pages_call_is_accepted_with_its_body() {
    let test = Test::start().await;
    let fit = test.platform.fit().module("xen:macro", "notes-macro");
    let token = fit.as_user("712020:ada").sign();
    let answer = test.post("/notes", Some(&token), "remember the milk").await;
    assert_eq!(answer, (200, "712020:ada: remember the milk".to_owned()));
}

#[tokio::test]
async fn other_calls_are_rejected_and_learn_nothing() {
    let test = Test::start().await;
    let token = test.platform_token("refresh-index");
    let (signed, _) = token.rsplit_once('.').unwrap();
    let stranger = Platform::new(APP_ID.parse().unwrap()).unwrap();
    let user = test.platform.fit().module("core:endpoint", "refresh-index");
    let other_app = test.platform.fit().module("core:endpoint", "refresh-index");
    let page = test.platform.fit().module("xen:macro", "notes-macro");
    for (case, token) in [
        ("no token", None),
        ("another signature", Some(format!("{signed}.AAAA"))),
        (
            "another signer",
            Some(
                stranger
                    .fit()
                    .module("core:endpoint", "refresh-index")
                    .sign(),
            ),
        ),
        (
            "another app",
            Some(other_app.set("/aud", OTHER_APP_ID.into()).sign()),
        ),
        ("another endpoint", Some(test.platform_token("notes"))),
        ("a user", Some(user.as_user("712020:ada").sign())),
        ("a page", Some(page.sign())),
    ] {
        let (status, body) = test.post("/refresh-index", token.as_deref(), "").await;
        // The stranger's key is not published: it may be looked for later.
        assert!(
            status == 401 || (status, case) == (503, "another signer"),
            "{case}: {status}"
        );
        assert!(!body.contains("installation"), "{case}: {body}");
        assert!(body.starts_with(r#"{"error":{"code":""#), "{case}: {body}");
    }
}

#[tokio::test]
async fn other_routes_need_no_token() {
    let test = Test::start().await;
    let request = Request::get("/healthz").body(Body::empty()).unwrap();
    let response = test.service.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
