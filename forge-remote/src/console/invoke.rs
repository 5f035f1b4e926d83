//! The calls that the command `invoke` sends through a running `dev`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::platform::{CallChanges, CallVerdict, Columns, Origin, PlatformClient, Record};
use crate::registry::{Handler, Registry};

/// The address of the platform of a `dev` without `--platform-port`.
pub(crate) const DEFAULT_PLATFORM: &str = "http://127.0.0.1:8079";

/// Returns the route of `invoke`.
pub(super) fn router(caller: &Arc<PlatformClient>) -> Router {
    Router::new()
        .route("/invoke/{key}", post(invoke_on_request))
        .with_state(Arc::clone(caller))
}

/// Returns whether a request is from a tool: a page of another origin cannot send JSON to loopback
/// without a preflight.
fn is_from_a_tool(headers: &HeaderMap) -> bool {
    let json = headers
        .get("content-type")
        .is_some_and(|value| value == "application/json");
    json && !headers.contains_key("origin")
}

#[derive(serde::Deserialize, serde::Serialize)]
pub(crate) struct InvokeResponse {
    pub(crate) line: String,
    pub(crate) failed: bool,
    pub(crate) body: String,
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
                format!("expected {{\"json\": …, \"query\": …}}: {error}"),
            );
        }
    };
    let found = caller.app.registry().find_named(&key, changes.method);
    let Some(handler) = found else {
        return reject(
            StatusCode::NOT_FOUND,
            unknown_key(&key, caller.app.registry()),
        );
    };
    if changes.event.is_some() && !is_for_events(handler) {
        let event = changes.event.unwrap_or_default();
        return reject(
            StatusCode::BAD_REQUEST,
            format!("`{key}` isn't called for events: leave out `--event {event}`"),
        );
    }
    let (sample_call, changes) = caller.with_event(handler, changes);
    let (id, outcome) = caller
        .call(handler, sample_call, &changes, Origin::Invoke)
        .await;
    // The command prints it where it runs, which may not be a terminal.
    let problems = caller.journal.view(id, Record::problems);
    let line = outcome.line(Columns::default(), &problems.unwrap_or_default(), false);
    let failed = outcome.verdict() != CallVerdict::Passed;
    let body = match &outcome.response {
        Ok(response) => response.text().into_owned(),
        Err(error) => error.clone(),
    };
    axum::Json(InvokeResponse { line, failed, body }).into_response()
}

fn is_for_events(handler: &Handler) -> bool {
    let sample_calls = handler.registration().kind.sample_calls();
    sample_calls.iter().any(|one| one.event.is_some())
}

pub(super) fn unknown_key(key: &str, registry: &Registry) -> String {
    let keys = registry.labels().join(", ");
    format!("no handler has the key `{key}`; the keys are: {keys}")
}
