//! Reading a request's body, within the app's limits.

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::invocation::Verified;
use super::rejection::{BodyRejection, JsonRejection};
use crate::json::repair_bytes;

/// Reads the body: a page's where its content type is JSON, the platform's in any case.
pub(super) async fn read<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Bytes, JsonRejection> {
    let call = request.extensions().get::<Verified>();
    let Some(platform) = call.and_then(Verified::platform_body) else {
        if !is_json(request.headers()) {
            return Err(JsonRejection::ContentType);
        }
        return Ok(whole_body(request, state).await?);
    };
    let body = whole_body(request, state).await?;
    if body.is_empty() && platform.may_be_empty {
        return Ok(Bytes::from_static(b"{}"));
    }
    Ok(repair_bytes(body))
}

/// Parses a JSON body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonRejection> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => JsonRejection::Data(error.to_string()),
        _ if body.is_empty() => JsonRejection::Empty,
        _ => JsonRejection::Syntax {
            line: error.line(),
            column: error.column(),
        },
    })
}

/// Reads the whole body, within the app's limits.
pub(crate) async fn whole_body<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Bytes, BodyRejection> {
    let body = Bytes::from_request(request, state).await;
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => BodyRejection::TooLarge,
        status => BodyRejection::Incomplete(status),
    })
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
