//! A call to the fake APIs, and helpers for its response.

use std::sync::MutexGuard;
use std::time::SystemTime;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::data::{ApiRequest, Data};
use crate::platform::local::Platform;
use crate::platform::oauth::OAuth;

/// The default number of items on a page.
pub(super) const DEFAULT_PAGE_SIZE: usize = 25;

/// The account of the data's author.
pub(super) const LOCAL_USER: &str = "557058:local";

/// The response of a fake API.
pub(super) type JsonResponse = (StatusCode, Value);

pub(super) fn ok(value: Value) -> JsonResponse {
    (StatusCode::OK, value)
}

pub(super) fn error_response(status: StatusCode, message: &str) -> JsonResponse {
    (
        status,
        json!({ "code": status.as_u16(), "message": message }),
    )
}

pub(super) fn not_implemented() -> JsonResponse {
    let message = "the local platform has only a few of Atlassian's APIs, and not this one: add a \
                   response with `FakeApis::respond`";
    error_response(StatusCode::NOT_IMPLEMENTED, message)
}

/// A call whose token was checked.
pub(super) struct CheckedCall<'a> {
    pub(super) platform: &'a Platform,
    pub(super) token: &'a OAuth,
    pub(super) request: &'a ApiRequest,
    /// The body's size.
    pub(super) bytes: usize,
}

impl CheckedCall<'_> {
    pub(super) fn body(&self) -> &Value {
        &self.request.body
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.request.query_value(name)
    }

    pub(super) fn data(&self) -> MutexGuard<'_, Data> {
        self.platform.apis().data()
    }

    pub(super) fn now(&self) -> SystemTime {
        self.platform.0.clock.now()
    }
}

/// Returns a page of a list, and the start of the next page.
pub(super) fn page_of<T: Clone>(all: &[T], from: usize, limit: usize) -> (Vec<T>, Option<usize>) {
    let items: Vec<T> = all.iter().skip(from).take(limit).cloned().collect();
    let next = from.saturating_add(items.len());
    let more = next < all.len() && !items.is_empty();
    (items, more.then_some(next))
}
