//! [`App::on_span`].

use axum::http::request::Parts;
use tracing::Span;

use super::builder::App;
use super::span_observer::OnSpan;

impl App {
    /// Calls a function with the span of each call and the head of its request, before the span starts. With it,
    /// the spans continue Forge's traces: the function reads the B3 headers and sets the parent.
    ///
    /// The function is called for calls of handlers and of your own [`routes`](Self::routes), and for runs of
    /// durable calls and of jobs that a call sent (with the stored head). Requests are **not verified** yet:
    /// anyone can send these headers. So use them for traces only.
    ///
    /// Forge sends `x-b3-traceid` and `x-b3-spanid`, with span ids of 64 or 128 bit; a decision on sampling,
    /// `x-b3-sampled`, is not documented.
    /// The chapter [`traces`](crate::traces) shows the code for OpenTelemetry.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().on_span(|span, head| {
    ///     let trace = head.headers.get("x-b3-traceid");
    ///     let trace = trace.and_then(|value| value.to_str().ok()).unwrap_or("none");
    ///     println!("{:?} continues {trace}", span.metadata().map(|span| span.name()));
    /// });
    /// # let _ = app;
    /// ```
    pub fn on_span(mut self, observer: impl Fn(&Span, &Parts) + Send + Sync + 'static) -> Self {
        self.on_span = OnSpan::new(observer);
        self
    }
}
