//! The function that an app calls with each span.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use tracing::Span;

type Observer = dyn Fn(&Span, &Parts) + Send + Sync;

/// A function that sees each span of a call before it starts; the default has none.
#[derive(Clone, Default)]
pub(crate) struct OnSpan(Option<Arc<Observer>>);

impl OnSpan {
    pub(super) fn new(observer: impl Fn(&Span, &Parts) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Returns whether the app has such a function.
    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Calls the function with the head of a call's request.
    pub(super) fn call(&self, span: &Span, head: &Parts) {
        if let Some(observer) = &self.0 {
            observer(span, head);
        }
    }

    /// Calls the function with a request, and returns the request.
    pub(super) fn with(&self, span: &Span, request: Request) -> Request {
        if !self.is_set() {
            return request;
        }
        let (head, body) = request.into_parts();
        self.call(span, &head);
        Request::from_parts(head, body)
    }
}
