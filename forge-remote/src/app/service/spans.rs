//! The spans of calls, with OpenTelemetry's names.

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use tracing::Span;
use tracing::field::Empty;

use crate::extract::Trace;
use crate::telemetry::http::{OTHER, error_type, method_name};
use crate::telemetry::span::record_result;

/// Returns the span of a handler's call.
pub(super) fn of_call(request: &Request, handler: &str, trace: &Trace) -> Span {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(OTHER, MatchedPath::as_str);
    let method = method_name(request.method());
    tracing::info_span!(
        "invocation",
        handler,
        trace_id = trace.trace_id().unwrap_or("-"),
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.path = request.uri().path(),
        error.type = Empty,
    )
}

/// Returns the span of a request to a route of the app's own.
pub(super) fn of_own_route(request: &Request, route: Option<&str>) -> Span {
    let route = route.unwrap_or(OTHER);
    let method = method_name(request.method());
    tracing::info_span!(
        "own_route",
        %method,
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.path = request.uri().path(),
        error.type = Empty,
    )
}

/// Returns the span of a job's run.
pub(super) fn of_job(handler: &str, attempt: u32) -> Span {
    tracing::info_span!(
        "job",
        handler,
        attempt,
        trace_id = Empty,
        otel.name = format_args!("run {handler}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.type = Empty,
    )
}

/// Records a call's response.
pub(super) fn record_response(span: &Span, response: &Response) {
    if !span.is_disabled() {
        let (status, extensions) = (response.status(), response.extensions());
        record_result(
            span,
            Some(status),
            error_type(status, extensions).as_deref(),
        );
    }
}
