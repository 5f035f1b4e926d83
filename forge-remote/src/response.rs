//! The framework's own responses: JSON, because a page's `invokeRemote` accepts nothing else from a
//! failing call.

#[cfg(any(feature = "dev", feature = "testing"))]
use axum::http::HeaderMap;
use axum::http::{StatusCode, header};
use axum::response::Response;
use forge_remote_fit::__private::response as shared;
pub(crate) use forge_remote_fit::__private::response::INTERNAL_ERROR;

use crate::log::{self, Foreign, Permit};

/// Upper bound on the text of another crate's rejection that is sent, in bytes.
const MAX_REJECTION: usize = 4096;

/// Returns the code of a status in the JSON of errors: `not_found` for 404.
pub(crate) fn code_of(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("error");
    reason.to_ascii_lowercase().replace([' ', '-', '\''], "_")
}

/// Marks a response that rejects a request's FIT, as an extension: it is not the handler's.
#[derive(Clone, Copy)]
pub(crate) struct FitRejected;

/// Returns a response with the body `{"error":{"code":…,"message":…}}`.
pub(crate) fn json_error(status: StatusCode, code: impl AsRef<str>, message: &str) -> Response {
    shared::json_error(status, code, message)
}

/// Returns a 500 response without a reason.
pub(crate) fn internal_error() -> Response {
    shared::internal_error()
}

/// Returns a 413 response.
pub(crate) fn payload_too_large() -> Response {
    let message = "the body is too large";
    json_error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
}

/// Returns a 503 response: the limit of calls in flight is reached.
pub(crate) fn overloaded() -> Response {
    shared::unavailable(
        "overloaded",
        "the remote has as many calls in flight as it accepts; try again",
    )
}

/// Returns a 503 response: the handler takes longer than its caller waits.
pub(crate) fn overdue() -> Response {
    shared::unavailable(
        "overdue",
        "the remote has not finished this call in time; the handler continues",
    )
}

/// Returns the reason why a page's `invokeRemote` rejects a response; the rule is in
/// [`Endpoint`](crate::kinds::Endpoint#the-response).
#[cfg(any(feature = "dev", feature = "testing"))]
pub(crate) fn invoke_remote_error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<&'static str> {
    if status == StatusCode::UNAUTHORIZED {
        return Some("401 means that the remote rejects the FIT: return 403");
    }
    let (is_success, content_type) = (status.is_success(), headers.get(header::CONTENT_TYPE));
    let is_other_type = content_type.is_some_and(|value| {
        let value = value.to_str().unwrap_or_default();
        !value.starts_with("application/json")
    });
    if body.is_empty() {
        let reason = "its status is not 2xx and its body is empty: return `(status, Json(…))`";
        (!is_success).then_some(reason)
    } else if is_other_type && !is_success {
        Some("its content type is not `application/json`: return `(status, Json(…))`")
    } else if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
        Some("its body is not JSON: return `Json(…)`")
    } else {
        None
    }
}

/// Converts an extractor's rejection to JSON where it isn't, and logs it.
pub(crate) async fn rejected(rejection: Response) -> Response {
    let status = rejection.status();
    let is_json = rejection
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.starts_with("application/json"))
        });
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return rejection;
    }
    let (parts, body) = rejection.into_parts();
    let text = axum::body::to_bytes(body, MAX_REJECTION)
        .await
        .unwrap_or_default();
    let message = String::from_utf8_lossy(&text);
    log_rejection(status, &message);
    let mut response = if status.is_server_error() {
        internal_error()
    } else {
        json_error(status, code_of(status), &message)
    };
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    *response.status_mut() = status;
    response
}

/// Logs why an extractor failed. The reason may quote the caller, who can also cause any number of
/// these lines, so they are limited; a failure of the app itself is logged each time.
fn log_rejection(status: StatusCode, reason: &str) {
    let permit = if status.is_server_error() {
        Some(Permit { suppressed: None })
    } else {
        log::permit(status.canonical_reason().unwrap_or("rejected"))
    };
    if let Some(Permit { suppressed }) = permit {
        tracing::warn!(
            status = status.as_u16(),
            reason = %Foreign(reason),
            suppressed,
            "an argument could not be extracted from the request"
        );
    }
}
