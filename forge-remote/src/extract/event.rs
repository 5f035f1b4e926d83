//! The body of an event, and whether it is a repetition.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::json;
use crate::response;

/// What Forge sends with an event, an action, a check: the body as a `T` of yours, or of
/// [`kinds`](crate::kinds).
///
/// As [`Json`](crate::Json), and it takes the payload both bare and under `payload`: Atlassian's
/// pages show both, every request seen is bare.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Created { issue: Issue }
///
/// #[derive(serde::Deserialize)]
/// struct Issue { key: String }
///
/// #[trigger(events = ["avi:jira:created:issue"])]
/// async fn greet(Event(created): Event<Created>) -> Result<()> {
///     println!("{} is new", created.issue.key);
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<T = serde_json::Value>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Event<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        json::check_type(request.headers())?;
        let body = whole_body(request, state).await?;
        json::parse(payload(&body)).map(Self)
    }
}

/// The payload, out of its wrapper if it has one.
fn payload(body: &[u8]) -> &[u8] {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        payload: Option<&'a RawValue>,
        #[serde(borrow, rename = "eventType")]
        event_type: Option<&'a RawValue>,
        #[serde(borrow)]
        clause: Option<&'a RawValue>,
    }
    match serde_json::from_slice::<Wrapped<'_>>(body) {
        Ok(Wrapped {
            payload: Some(payload),
            event_type: None,
            clause: None,
        }) if payload.get().starts_with('{') => payload.get().as_bytes(),
        _ => body,
    }
}

/// The whole body, within the app's limits.
pub(crate) async fn whole_body<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Bytes, Response> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| json::too_large(&rejection))
}

/// Whether Forge sends an event again, and why: an argument of any handler.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:confluence:created:page"])]
/// async fn index(retry: Retry, Event(page): Event) -> Result<()> {
///     if retry.count > 0 {
///         println!("for the {}. time, because of {:?}: {page}", retry.count + 1, retry.reason);
///     }
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/remote/sending-product-events/>
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Retry {
    /// How often it was sent before: 0 for the first time.
    pub count: u32,
    /// `INVALID_REMOTE_INVOCATION_ERROR` (an answer that isn't 2xx), `TIMEOUT_ERROR`,
    /// `INVALID_FORGE_INVOCATION_TOKEN` (an answer of 401), or another of Forge's words.
    pub reason: Option<String>,
    /// What a function asked to have sent along; nothing for a remote, as far as is known.
    pub data: Option<serde_json::Value>,
}

impl Retry {
    /// Whether it was sent before.
    pub fn is_retry(&self) -> bool {
        self.count > 0
    }

    /// Of a body; the first time where it doesn't say.
    fn of(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
            return Self::default();
        };
        let places = ["/retryContext", "/payload/retryContext"];
        let Some(context) = places.iter().find_map(|place| body.pointer(place)) else {
            return Self::default();
        };
        // Field by field: an odd one doesn't hide the others.
        let count = context
            .get("retryCount")
            .and_then(serde_json::Value::as_u64);
        let reason = context
            .get("retryReason")
            .and_then(serde_json::Value::as_str);
        Self {
            count: count.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            reason: reason.map(str::to_owned),
            data: context
                .get("retryData")
                .filter(|data| !data.is_null())
                .cloned(),
        }
    }

    /// Reads the body ahead of the handler, and keeps what it says of repetition.
    pub(crate) async fn read_ahead(request: Request) -> Result<Request, Response> {
        let (parts, body) = request.into_parts();
        let body = whole_body(Request::from_parts(parts.clone(), body), &()).await?;
        let mut request = Request::from_parts(parts, axum::body::Body::from(body.clone()));
        request.extensions_mut().insert(Self::of(&body));
        Ok(request)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Retry {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            // Only a `Retry` inside another extractor can get here.
            tracing::error!("take `Retry` as an argument of the handler itself");
            response::json_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the remote failed; its log says why, under the x-b3-traceid of this call",
            )
        })
    }
}
