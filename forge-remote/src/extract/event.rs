//! The body of an event, and its retry context.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body;
use super::rejection::{BodyRejection, JsonRejection, StateRejection};
use crate::json::repair;

/// The body of an event, an action or a check, as your own `T` or a type of [`kinds`](crate::kinds).
///
/// Works as [`Json`](crate::Json), and accepts the payload both bare and under `payload`: Atlassian's
/// documentation shows both, but every request seen so far is bare.
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
pub struct Event<T = Value>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Event<T> {
    type Rejection = JsonRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, JsonRejection> {
        let body = body::read(request, state).await?;
        body::parse(payload(&body)).map(Self)
    }
}

/// Parses a body as [`Event`] does on a route that the platform calls.
pub(crate) fn read_event<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(payload(&repair(body)))
}

/// Returns the payload, without its wrapper if it has one.
fn payload(body: &[u8]) -> &[u8] {
    // One search is cheaper than parsing the body twice.
    let may_be_wrapped =
        body.trim_ascii_start().starts_with(b"{") && memmem::find(body, br#""payload""#).is_some();
    if !may_be_wrapped {
        return body;
    }
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

/// Forge's retry context, as an argument of any handler: whether a call is a retry, and why.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:confluence:created:page"])]
/// async fn index(retry: RetryContext, Event(page): Event) -> Result<()> {
///     if retry.is_retry() {
///         println!("a retry, because of {:?}: {page}", retry.reason);
///     }
///     Ok(())
/// }
/// ```
///
/// Sources: <https://developer.atlassian.com/platform/forge/remote/sending-product-events/>,
/// <https://developer.atlassian.com/platform/forge/runtime-reference/async-events-api/>
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RetryContext {
    /// Forge's number of previous deliveries. It is 0 for the first delivery, and also for a
    /// queue's retry after a failure of Forge itself. See [`is_retry`](Self::is_retry).
    pub count: u32,
    /// The reason: `INVALID_REMOTE_INVOCATION_ERROR` (a response that isn't 2xx), `TIMEOUT_ERROR`,
    /// `INVALID_FORGE_INVOCATION_TOKEN` (a response of 401), or another of Forge's values.
    pub reason: Option<String>,
    /// Data that a function attached to its retry; always `None` for a remote, as far as is known.
    pub data: Option<Value>,
    /// The time for which a queue keeps the event: sent with the retries of a `consumer`.
    pub retention_window: Option<RetentionWindow>,
    /// Whether the body has a retry context.
    is_present: bool,
}

/// The time for which a queue keeps an event: 24 hours after it was pushed, and up to 96 after a
/// failure of Forge itself.
///
/// Source: <https://developer.atlassian.com/platform/forge/runtime-reference/async-events-api/>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionWindow {
    /// When the event was pushed, as ISO 8601.
    pub start_time: Option<String>,
    /// The time left before the event is dropped (`remainingTimeMs`).
    pub remaining: Option<Duration>,
}

impl RetryContext {
    /// Returns whether the call is a retry, even if `count` is 0.
    pub fn is_retry(&self) -> bool {
        self.is_present || self.count > 0
    }

    /// Reads a body's retry context; without one, returns the context of a first delivery.
    pub(crate) fn of(body: &[u8]) -> Self {
        // Most deliveries are the first.
        if memmem::find(body, b"retryContext").is_none() {
            return Self::default();
        }
        let Ok(body) = serde_json::from_slice::<Value>(&repair(body)) else {
            return Self::default();
        };
        let places = ["/retryContext", "/payload/retryContext"];
        let contexts = places.iter().filter_map(|place| body.pointer(place));
        let Some(context) = contexts.into_iter().find(|context| context.is_object()) else {
            return Self::default();
        };
        // Field by field, so that an invalid one doesn't hide the others.
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let count = context.get("retryCount").and_then(Value::as_u64);
        let window = context.get("retentionWindow").filter(|one| one.is_object());
        Self {
            count: count.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            reason: text(context, "retryReason"),
            data: context
                .get("retryData")
                .filter(|data| !data.is_null())
                .cloned(),
            retention_window: window.map(|window| RetentionWindow {
                start_time: text(window, "startTime"),
                remaining: window
                    .get("remainingTimeMs")
                    .and_then(Value::as_f64)
                    .and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok()),
            }),
            is_present: true,
        }
    }

    /// Reads the body ahead of the handler, and adds its retry context to the request.
    pub(crate) async fn read_ahead(request: Request) -> Result<Request, BodyRejection> {
        let (parts, body) = request.into_parts();
        let body = body::whole_body(Request::from_parts(parts.clone(), body), &()).await?;
        let mut request = Request::from_parts(parts, axum::body::Body::from(body.clone()));
        request.extensions_mut().insert(Self::of(&body));
        Ok(request)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RetryContext {
    type Rejection = StateRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StateRejection> {
        // Only a `RetryContext` inside another extractor can get here.
        let fix = "take `RetryContext` as an argument of the handler itself";
        let context = parts.extensions.get::<Self>().cloned();
        context.ok_or(StateRejection::new("RetryContext", fix))
    }
}
