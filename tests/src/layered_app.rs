//! The routes of the app under test in a plain axum app behind `FitLayer`, without the framework.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::routing::{any, post};
use axum::{Json, Router};
use forge_remote::testing::TestClock;
use forge_remote_fit::{
    AllowedCaller, Claims, EndpointTarget, FitLayer, HttpKeySource, Jwks, JwksPolicy, KeyRing,
    VerificationPolicy, Verifier,
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::handlers::Seen;
use crate::jwks_server::{JwksResponse, JwksServer};
use crate::jws::APP_ID;

/// The plain axum app, served on loopback until it is dropped.
#[derive(Debug)]
pub struct LayeredApp {
    /// The address it listens on.
    pub address: SocketAddr,
    /// The calls that its handlers saw.
    pub seen: Seen,
    _source: JwksServer,
    _server: JoinSet<()>,
}

impl LayeredApp {
    /// Serves the app with these keys and this clock.
    pub fn start(keys: Value, clock: TestClock) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let source = JwksServer::start(JwksResponse::Keys(keys)).await;
            let verifier = Arc::new(verifier(&source.url(), clock));
            let seen = Seen::default();
            let layer = |target| FitLayer::new(Arc::clone(&verifier), target);
            let mut tick = EndpointTarget::new("tick", "scheduledTrigger", AllowedCaller::Platform);
            tick.module = Some("tick-trigger".to_owned());
            let handler = |name| {
                let seen = seen.clone();
                async move |claims: Claims, headers: HeaderMap| {
                    let trace_id = headers.get("x-b3-traceid");
                    let trace_id = trace_id.and_then(|value| value.to_str().ok());
                    Json(seen.add_claims(&claims, trace_id, name))
                }
            };
            let router = Router::new()
                .route("/tick", post(handler("tick")).layer(layer(tick)))
                .route(
                    "/ui",
                    post(handler("ui")).layer(layer(EndpointTarget::page("ui"))),
                )
                .route(
                    "/echo",
                    post(handler("echo")).layer(layer(EndpointTarget::page("echo"))),
                )
                .route(
                    "/any",
                    any(handler("any")).layer(layer(EndpointTarget::page("any"))),
                );
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut server = JoinSet::new();
            server.spawn(async move { axum::serve(listener, router).await.unwrap() });
            Self {
                address,
                seen,
                _source: source,
                _server: server,
            }
        })
    }
}

/// Returns a verifier with the keys at this URL and every default.
pub fn verifier(url: &str, clock: TestClock) -> Verifier {
    let clock = Arc::new(clock);
    let source = HttpKeySource::new(url).unwrap();
    let keys = Jwks::new(source, JwksPolicy::default(), clock.clone());
    let app_id = APP_ID.parse().unwrap();
    Verifier::new(
        app_id,
        KeyRing::new(keys),
        VerificationPolicy::default(),
        clock,
    )
}
