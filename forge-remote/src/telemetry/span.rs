//! The fields of spans for OpenTelemetry. They are declared with the span and recorded later, because fields
//! cannot be added to a span.
//!
//! Sources: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, and for `otel.*`
//! <https://docs.rs/tracing-opentelemetry/#special-fields>

use axum::http::StatusCode;
use tracing::Span;

/// Returns whether a field of a span is for traces alone: log lines leave it out, because the line or its span
/// has the same in another form.
#[cfg(feature = "cli")]
pub(crate) fn is_for_traces(field: &str) -> bool {
    matches!(
        field,
        "error.type"
            | "http.request.method"
            | "http.request.resend_count"
            | "http.response.status_code"
            | "http.route"
            | "otel.kind"
            | "otel.name"
            | "otel.status_code"
            | "product"
            | "server.address"
            | "url.path"
            | "url.template"
    )
}

/// Records the result of a call or an attempt.
pub(crate) fn record_result(span: &Span, status: Option<StatusCode>, error: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
    if let Some(error) = error {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error);
    }
}
