//! The responses to requests beyond the app's limits, and their log lines.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;

use crate::log::{LogLimits, Permit};
use crate::response;

/// Returns a 413 response if a request declares a body of more than `limit` bytes; `fix` is what to
/// raise, for the log.
pub(super) fn too_large(
    request: &Request,
    limit: usize,
    fix: &'static str,
    log_limits: &LogLimits,
) -> Option<Response> {
    if request.body().size_hint().lower() <= limit as u64 {
        return None;
    }
    if let Some(Permit { suppressed }) = log_limits.permit("payload_too_large") {
        tracing::warn!(
            limit,
            suppressed,
            "rejected: the body is too large; raise {fix}"
        );
    }
    Some(response::payload_too_large())
}

/// Returns the 503 response to a request above the maximum of calls in flight.
pub(super) fn overloaded(log_limits: &LogLimits) -> Response {
    if let Some(Permit { suppressed }) = log_limits.permit("overloaded") {
        tracing::warn!(
            suppressed,
            "rejected: the maximum of calls is in flight (`App::max_in_flight`)"
        );
    }
    response::overloaded()
}
