//! JSON error responses: a page's `invokeRemote` accepts nothing else from a failing call.

use http::{HeaderValue, Response, StatusCode, header};

/// The message of a 500 response.
pub const INTERNAL_ERROR: &str =
    "the remote failed; its log has the reason, under the x-b3-traceid of this call";

/// The code of a 503 response of the framework, as an extension of the response: for metrics and spans.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCode(pub &'static str);

/// Returns a response with the body `{"error":{"code":…,"message":…}}`.
pub fn json_error<B: From<String>>(
    status: StatusCode,
    code: impl AsRef<str>,
    message: &str,
) -> Response<B> {
    let body = serde_json::json!({ "error": { "code": code.as_ref(), "message": message } });
    let mut response = Response::new(B::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// Returns a 500 response without a reason.
pub fn internal_error<B: From<String>>() -> Response<B> {
    json_error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        INTERNAL_ERROR,
    )
}

/// Returns a 503 response with `Retry-After`.
pub fn unavailable<B: From<String>>(code: &'static str, message: &str) -> Response<B> {
    let mut response = json_error(StatusCode::SERVICE_UNAVAILABLE, code, message);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response.extensions_mut().insert(ErrorCode(code));
    response
}
