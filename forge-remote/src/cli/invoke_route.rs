//! The local platform's own server: its key set, its APIs, and calls for the `invoke` command.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::caller::{CallChanges, PlatformClient};
use super::outcome::Verdict;
use super::output::{color, print};
use crate::kinds::event_sample;
use crate::platform;
use crate::registry::{Handler, Registry};

/// Returns the routes of the platform.
pub(super) fn router(caller: &Arc<PlatformClient>) -> Router {
    let key_set = caller.platform.key_set();
    Router::new()
        .route(
            "/.well-known/jwks.json",
            get(move || async move { axum::Json(key_set) }),
        )
        .route("/invoke/{key}", post(invoke_on_request))
        .with_state(Arc::clone(caller))
        .fallback_service(platform::router(caller.platform.clone()))
}

/// Returns whether a request is from a tool: a page of another origin can't send JSON to loopback
/// without a preflight.
fn is_from_a_tool(headers: &HeaderMap) -> bool {
    let json = headers
        .get("content-type")
        .is_some_and(|value| value == "application/json");
    let host = headers
        .get("host")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    json && loopback && !headers.contains_key("origin")
}

#[derive(serde::Deserialize, serde::Serialize)]
pub(super) struct InvokeResponse {
    pub(super) line: String,
    pub(super) failed: bool,
    pub(super) body: String,
}

async fn invoke_on_request(
    State(caller): State<Arc<PlatformClient>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let reject = |status: StatusCode, message: String| (status, message).into_response();
    if !is_from_a_tool(&headers) {
        return reject(
            StatusCode::FORBIDDEN,
            "only tools on this machine may call: POST application/json, without an Origin header"
                .to_owned(),
        );
    }
    let changes: CallChanges = match serde_json::from_slice(&body) {
        Ok(changes) => changes,
        Err(error) => {
            return reject(
                StatusCode::BAD_REQUEST,
                format!("expected {{\"body\": …, \"query\": …}}: {error}"),
            );
        }
    };
    let wanted = |handler: &&Handler| changes.method.is_none_or(|method| handler.answers(method));
    let Some(handler) = caller.app.registry().find(&key).find(wanted) else {
        return reject(
            StatusCode::NOT_FOUND,
            unknown_key(&key, caller.app.registry()),
        );
    };
    let simulation = caller.simulation(handler, changes.event.as_deref());
    let changes = match &changes.event {
        Some(event) if !is_for_events(handler) => {
            return reject(
                StatusCode::BAD_REQUEST,
                format!("`{key}` isn't called for events: leave out `--event {event}`"),
            );
        }
        // An event that the handler doesn't declare is sent too, to see how it is handled.
        Some(event) if simulation.event != Some(event) && changes.body.is_none() => CallChanges {
            body: Some(event_sample(event)),
            ..changes
        },
        _ => changes,
    };
    let outcome = caller.call(handler, simulation, &changes).await;
    print(&format!("{}\n", outcome.line(0, color())));
    // The command prints it where it runs, which may not be a terminal.
    let line = outcome.line(0, false);
    let failed = outcome.verdict() != Verdict::Passed;
    let body = outcome
        .response
        .map_or_else(|error| error, |(_, body)| body);
    axum::Json(InvokeResponse { line, failed, body }).into_response()
}

fn is_for_events(handler: &Handler) -> bool {
    let simulations = handler.registration().kind.simulations();
    simulations.iter().any(|one| one.event.is_some())
}

fn unknown_key(key: &str, registry: &Registry) -> String {
    let keys = registry.labels().join(", ");
    format!("no handler has the key `{key}`; the keys are: {keys}")
}
