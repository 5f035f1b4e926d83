//! The attributes of spans and metrics for HTTP, by OpenTelemetry's semantic conventions.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>

use std::borrow::Cow;

use axum::http::{Extensions, HeaderName, Method, StatusCode};
use forge_remote_fit::__private::response::ErrorCode;

/// The header with the id of Forge's trace.
pub(crate) const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
/// The header with the id of Forge's span.
pub(crate) const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");

/// Stands for every value that is not known in advance: callers cannot add values.
pub(crate) const OTHER: &str = "_OTHER";

/// Returns a known method, or `_OTHER`: a request can have any word as its method.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => OTHER,
    }
}

/// Returns the type of a failure, if the response is one: the framework's code, or the status.
pub(crate) fn error_type(status: StatusCode, extensions: &Extensions) -> Option<Cow<'static, str>> {
    if !status.is_server_error() {
        return None;
    }
    Some(match extensions.get::<ErrorCode>() {
        Some(ErrorCode(code)) => Cow::Borrowed(code),
        None => Cow::Owned(status.as_str().to_owned()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unknown_methods_have_one_name() {
        assert_eq!(method_name(&Method::PATCH), "PATCH");
        for hostile in ["BREW", "get", "X\u{7f}"] {
            let Ok(method) = Method::from_bytes(hostile.as_bytes()) else {
                continue;
            };
            assert_eq!(method_name(&method), OTHER, "{hostile}");
        }
    }

    #[test]
    fn only_failures_have_an_error_type() {
        let mut extensions = Extensions::new();
        let bad_gateway = StatusCode::BAD_GATEWAY;
        assert_eq!(error_type(StatusCode::UNAUTHORIZED, &extensions), None);
        assert_eq!(error_type(bad_gateway, &extensions).unwrap(), "502");
        extensions.insert(ErrorCode("overdue"));
        assert_eq!(error_type(bad_gateway, &extensions).unwrap(), "overdue");
    }
}
