//! The JSON body of requests and responses.

use std::ops::{Deref, DerefMut};

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body;
use super::rejection::JsonRejection;
use crate::response;

/// The JSON body of a request or a response.
///
/// Works like [`axum::Json`], but the response to a rejected body is JSON, which a page's
/// `invokeRemote` [requires](crate::kinds::Endpoint#the-response) of a failing call:
///
/// | response | body |
/// | --- | --- |
/// | 400 | not JSON, or empty |
/// | 413 | over [`App::body_limit`](crate::App::body_limit) |
/// | 415 | a page's request, with a `Content-Type` that isn't JSON; a missing header is accepted |
/// | 422 | JSON that doesn't fit `T` |
///
/// For the platform's calls (every attribute but `endpoint`), the content type is ignored, since
/// Atlassian documents none. Half a surrogate pair in it (text that was cut inside an emoji) is
/// read as U+FFFD. Forge counts every response that isn't 2xx as a failure, 422 included, and
/// retries an event up to four times. Where Atlassian does not document the body of a remote's call
/// (`scheduled_trigger`, `pre_uninstall`, `widget_context`), an empty one is read as `{}`.
///
/// ```
/// use forge_remote::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Text { text: String }
///
/// #[derive(Serialize)]
/// struct Length { length: usize }
///
/// #[endpoint]
/// async fn measure(Json(body): Json<Text>) -> Result<Json<Length>> {
///     Ok(Json(Length { length: body.text.len() }))
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
    type Rejection = JsonRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, JsonRejection> {
        body::parse(&body::read(request, state).await?).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let json = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "the handler's response cannot be serialized as JSON");
                response::internal_error()
            }
        }
    }
}
