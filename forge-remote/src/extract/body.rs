//! Reading a request's body, within the app's limits.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;

use crate::json::repair_bytes;
use crate::log::{self, Permit};
use crate::response;

/// Marks a request of the platform: its body is read as JSON, whatever its content type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformBody {
    /// Whether an empty body is read as `{}`, because Atlassian does not document the body.
    pub(crate) may_be_empty: bool,
}

/// Reads the body: a page's if its content type is JSON, the platform's in any case.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Response> {
    let Some(platform) = request.extensions().get::<PlatformBody>().copied() else {
        check_type(request.headers())?;
        return whole_body(request, state).await;
    };
    let body = whole_body(request, state).await?;
    if body.is_empty() && platform.may_be_empty {
        return Ok(Bytes::from_static(b"{}"));
    }
    Ok(repair_bytes(body))
}

/// Returns a 415 response for another content type than JSON.
fn check_type(headers: &HeaderMap) -> Result<(), Response> {
    if is_json(headers) {
        return Ok(());
    }
    Err(refuse(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body must be JSON: send `Content-Type: application/json`",
    ))
}

/// Parses a body; returns a 400 response if it isn't JSON, 422 if it doesn't fit `T`.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|error| {
        let at = format!("line {} column {}", error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Data => refuse(
                StatusCode::UNPROCESSABLE_ENTITY,
                &format!("the JSON body does not have the expected shape: {error}"),
            ),
            _ if body.is_empty() => refuse(
                StatusCode::BAD_REQUEST,
                "the body is empty, but JSON is expected",
            ),
            _ => refuse(
                StatusCode::BAD_REQUEST,
                &format!("the body is not JSON, at {at}"),
            ),
        }
    })
}

/// Reads the whole body, within the app's limits.
pub(crate) async fn whole_body<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Bytes, Response> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| too_large(&rejection))
}

/// Returns whether the content type is JSON: `application/json`, `application/*+json`, or none.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || essence
            .strip_prefix("application/")
            .is_some_and(|subtype| subtype.ends_with("+json"))
}

fn refuse(status: StatusCode, message: &str) -> Response {
    if let Some(Permit { suppressed }) = log::permit("body_refused") {
        tracing::warn!(
            status = status.as_u16(),
            suppressed,
            "the body was rejected"
        );
    }
    response::json_error(status, response::code_of(status), message)
}

fn too_large(rejection: &BytesRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        status => refuse(status, "the body could not be read completely"),
    }
}
