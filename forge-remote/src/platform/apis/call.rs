//! One call to a stand-in, and the parts of its response.

use std::sync::MutexGuard;
use std::time::SystemTime;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::data::{ApiRequest, Data};
use crate::platform::local::Platform;
use crate::platform::oauth::OAuth;

/// The items of a page, unless the call says how many.
pub(super) const PAGE: usize = 25;

/// What an API answers.
pub(super) type Answer = (StatusCode, Value);

pub(super) fn ok(value: Value) -> Answer {
    (StatusCode::OK, value)
}

pub(super) fn refused(status: StatusCode, message: &str) -> Answer {
    (
        status,
        json!({ "code": status.as_u16(), "message": message }),
    )
}

pub(super) fn unknown() -> Answer {
    let message = "the local platform plays a few of Atlassian's APIs, and not this one: give it an \
                   answer by `FakeApis::respond`";
    refused(StatusCode::NOT_IMPLEMENTED, message)
}

/// One call, its token checked.
pub(super) struct Call<'a> {
    pub(super) platform: &'a Platform,
    pub(super) token: &'a OAuth,
    pub(super) request: &'a ApiRequest,
    /// The body's size.
    pub(super) bytes: usize,
}

impl Call<'_> {
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

/// A page of a list, and where the next begins.
pub(super) fn part<T: Clone>(all: &[T], from: usize, limit: usize) -> (Vec<T>, Option<usize>) {
    let items: Vec<T> = all.iter().skip(from).take(limit).cloned().collect();
    let next = from.saturating_add(items.len());
    let more = next < all.len() && !items.is_empty();
    (items, more.then_some(next))
}
