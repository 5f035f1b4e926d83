//! The call of a handler.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse as _, Response};

use crate::extract::{AppState, RetryContext};
use crate::registry::{BoxFuture, ErasedHandler};

/// Calls a handler with a request of bounded size: the app's own limit replaces axum's.
pub(super) fn call(
    mount: Arc<dyn ErasedHandler>,
    state: AppState,
    mut request: Request,
    reads_ahead: bool,
) -> BoxFuture<Response> {
    DefaultBodyLimit::disable().apply(&mut request);
    if reads_ahead {
        Box::pin(read_ahead_and_call(mount, state, request))
    } else {
        mount.call(request, state)
    }
}

/// Reads the body ahead and calls the handler. Both are the call: it is counted, and its log lines
/// are limited.
async fn read_ahead_and_call(
    mount: Arc<dyn ErasedHandler>,
    state: AppState,
    request: Request,
) -> Response {
    match RetryContext::read_ahead(request).await {
        Ok(request) => mount.call(request, state).await,
        Err(rejection) => rejection.into_response(),
    }
}
