//! The call of a handler.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use crate::extract::{AppState, RetryContext};
use crate::registry::ErasedHandler;

/// Calls a handler. Reading the body ahead is a part of the call: it is counted, and its log lines are
/// limited.
pub(super) async fn call(
    mount: Arc<dyn ErasedHandler>,
    state: AppState,
    request: Request,
    reads_ahead: bool,
) -> Response {
    let request = match reads_ahead {
        true => RetryContext::read_ahead(request).await,
        false => Ok(request),
    };
    match request {
        Ok(request) => mount.call(request, state).await,
        Err(rejection) => rejection.into_response(),
    }
}
