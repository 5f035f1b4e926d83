//! The JSON body, in and out.

use std::ops::{Deref, DerefMut};

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body;
use super::rejection::JsonRejection;
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
                tracing::error!(%error, "the handler's answer can't be written as JSON");
                response::internal_error()
            }
        }
    }
}
