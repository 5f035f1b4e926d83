//! The JSON body, in and out.

use std::ops::{Deref, DerefMut};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::log::{self, Permit};
use crate::response;

/// The request's body as JSON, or a response's.
///
/// As axum's, with two differences that Forge asks for: a request without `Content-Type` is taken
/// (the platform documents none), and a body that doesn't fit is answered in JSON, which a page's
/// `invokeRemote` insists on: 400 for what isn't JSON, 422 for what doesn't fit `T`, 415 for
/// another content type, 413 for a body over [`App::body_limit`](crate::App::body_limit).
///
/// Where nothing is known of the body that a remote gets (`scheduled_trigger`, `pre_uninstall`,
/// `widget_context`), no body at all is read as `{}`.
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

/// Marks a request whose kind has no known body: none at all is `{}` then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MayLackBody;

/// The body, which is said to be JSON.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Response> {
    let may_lack = request.extensions().get::<MayLackBody>().is_some();
    let typed = check_type(request.headers());
    if !may_lack {
        typed?;
        return super::whole_body(request, state).await;
    }
    let body = super::whole_body(request, state).await?;
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    typed.map(|()| body)
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
    response::json_error(status, crate::error::code_of(status), message)
}

pub(super) fn too_large(rejection: &BytesRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        status => refuse(status, "the body could not be read to its end"),
    }
}
