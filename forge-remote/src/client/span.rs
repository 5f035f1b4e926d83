//! The span of an attempt to call Atlassian, with OpenTelemetry's names.

use axum::http::Method;
use reqwest::Url;
use tracing::Span;
use tracing::field::Empty;

use super::error::Operation;
use crate::telemetry::http::method_name;

/// Returns the span of an attempt, which is numbered from 1. Its URL is left out: a query may have user data.
pub(super) fn of_attempt(call: &Operation, method: &Method, url: &Url, attempt: u32) -> Span {
    let method = method_name(method);
    tracing::info_span!(
        "atlassian",
        otel.name = format_args!("{method} {}", call.path()),
        otel.kind = "client",
        otel.status_code = Empty,
        product = call.api().label(),
        http.request.method = method,
        http.request.resend_count = (attempt > 1).then(|| attempt - 1),
        http.response.status_code = Empty,
        server.address = url.host_str(),
        url.template = call.path(),
        error.type = Empty,
    )
}
