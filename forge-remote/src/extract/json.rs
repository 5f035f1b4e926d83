//! The JSON body, in and out.

use std::ops::{Deref, DerefMut};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::repair_bytes;
use crate::log::{self, Permit};
use crate::response;

/// The request's body as JSON, or a response's.
///
/// As axum's, but a refused body is answered in JSON, which a page's `invokeRemote` insists on:
///
/// | response | body |
/// | --- | --- |
/// | 400 | not JSON, or empty |
/// | 413 | over [`App::body_limit`](crate::App::body_limit) |
/// | 415 | a page's, with a `Content-Type` that isn't JSON; none at all is accepted |
/// | 422 | JSON that doesn't fit `T` |
///
/// Where the platform calls (every attribute but `endpoint`), the body is read whatever its content
/// type is, since Atlassian documents none, and half a surrogate pair in it (text that was cut inside
/// an emoji) is read as U+FFFD. Forge counts every response that isn't 2xx as a failure, 422 included,
/// and sends an event up to four times more. Where the body of a remote's call isn't documented
/// (`scheduled_trigger`, `pre_uninstall`, `widget_context`), an empty one is read as `{}`.
///
/// ```
/// use forge_remote::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Question { text: String }
///
/// #[derive(Serialize)]
/// struct Answer { length: usize }
///
/// #[endpoint]
/// async fn measure(Json(question): Json<Question>) -> Result<Json<Answer>> {
///     Ok(Json(Answer { length: question.text.len() }))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        parse(&read(request, state).await?).map(Self)
    }
}

/// Marks a request that the platform makes: its body is JSON, whatever its content type says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformBody {
    /// Whether an empty body is read as `{}`: the kind's isn't documented.
    pub(crate) may_be_empty: bool,
}

/// Reads the body: a page's if it is declared to be JSON, the platform's in any case.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Response> {
    let Some(platform) = request.extensions().get::<PlatformBody>().copied() else {
        check_type(request.headers())?;
        return super::whole_body(request, state).await;
    };
    let body = super::whole_body(request, state).await?;
    if body.is_empty() && platform.may_be_empty {
        return Ok(Bytes::from_static(b"{}"));
    }
    Ok(repair_bytes(body))
}

/// 415 for another content type.
fn check_type(headers: &HeaderMap) -> Result<(), Response> {
    if is_json(headers) {
        return Ok(());
    }
    Err(refuse(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body must be JSON: send `Content-Type: application/json`",
    ))
}

/// 400 for what isn't JSON, 422 for what doesn't fit.
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

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let json = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "the handler's answer can't be written as JSON");
                response::internal_error()
            }
        }
    }
}

/// No content type counts as JSON; `application/json` and `application/*+json` are.
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
        tracing::warn!(status = status.as_u16(), suppressed, "the body was refused");
    }
    response::json_error(status, response::code_of(status), message)
}

pub(super) fn too_large(rejection: &BytesRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        status => refuse(status, "the body could not be read to its end"),
    }
}
