//! Instead of the recorder, without the feature `metrics`: nothing is recorded, and the calls compile to
//! nothing.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::gauges::{JobGauges, TokenWrites};

/// Whether metrics are recorded.
pub(crate) const ENABLED: bool = false;

pub(crate) fn describe() {}

#[derive(Clone, Copy)]
pub(crate) struct Stopwatch;

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self
    }
}

pub(crate) fn server_request(
    _: &Method,
    _: Option<&str>,
    _: Option<StatusCode>,
    _: Option<Cow<'static, str>>,
    _: Stopwatch,
) {
}

pub(crate) fn client_request(
    _: &'static str,
    _: &Method,
    _: Option<StatusCode>,
    _: Option<Cow<'static, str>>,
    _: Stopwatch,
) {
}

pub(crate) fn verification(_: &'static str) {}

pub(crate) fn job_run(_: Option<&str>, _: &'static str, _: Option<Duration>, _: Stopwatch) {}

pub(crate) fn key_set(_: &str, _: Option<Duration>, _: u64, _: u64) {}

pub(crate) fn token_writes(_: &TokenWrites) {}

pub(crate) fn tokens_expiring(_: Option<u64>) {}

pub(crate) fn jobs(_: Option<JobGauges>) {}

pub(crate) fn schedule(_: &str, _: Duration, _: Duration) {}
