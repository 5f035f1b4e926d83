//! A collector receives the spans of calls, as children of Forge's.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use crate::{app, traces};
use forge_remote::axum::body::Bytes;
use forge_remote::axum::{Router, extract::State, routing::post};
use forge_remote::testing::{ApiResponse, Harness};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message as _;
use tokio::net::TcpListener;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A stand-in for a collector: it keeps the spans it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// Starts the collector, and returns its URL.
    async fn start(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let receive = async |State(collector): State<Self>, body: Bytes| {
            let export = ExportTraceServiceRequest::decode(body).unwrap();
            let scopes = export.resource_spans.into_iter();
            let spans = scopes.flat_map(|resource| resource.scope_spans);
            let spans = spans.flat_map(|scope| scope.spans);
            collector.0.lock().unwrap().extend(spans);
        };
        let router = Router::new().route("/v1/traces", post(receive));
        let router = router.with_state(self.clone());
        tokio::spawn(async move { forge_remote::axum::serve(listener, router).await });
        url
    }

    /// Returns the spans since the last time, after they were exported.
    async fn take(&self, provider: &SdkTracerProvider) -> Vec<Span> {
        let provider = provider.clone();
        // It blocks until the collector has responded.
        let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
        flushed.await.unwrap().unwrap();
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Returns the value of an attribute as text.
fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span `{name}` in {spans:#?}"))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

const TRACE: &str = "a523b7549f0b88c94bf92f3577b34da6";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_has_the_spans_of_a_call_below_forges() {
    let collector = Collector::default();
    let provider = traces::provider(Some(&collector.start().await)).unwrap();
    tracing_subscriber::registry()
        .with(traces::layer(&provider))
        .init();
    let harness = Harness::with_apis(app()).await.unwrap();

    // Span ids of 64 and of 128 bit, trace ids too.
    for (trace, span_id, expected_trace, expected_parent) in [
        (TRACE, "00f067aa0ba902b7", TRACE, "00f067aa0ba902b7"),
        (
            "a3ce929d0e0e4736",
            "4bf92f3577b34da600f067aa0ba902b8",
            "0000000000000000a3ce929d0e0e4736",
            "00f067aa0ba902b8",
        ),
    ] {
        let call = harness
            .call("list-issues")
            .header("x-b3-traceid", trace)
            .header("x-b3-spanid", span_id);
        assert_eq!(call.send().await.status(), 200, "the handler ran");

        let spans = collector.take(&provider).await;
        let server = named(&spans, "POST /list-issues");
        assert_eq!(hex(&server.trace_id), expected_trace);
        assert_eq!(hex(&server.parent_span_id), expected_parent);
        assert_eq!(server.kind(), SpanKind::Server);
        for (key, value) in [
            ("http.request.method", "POST"),
            ("http.route", "/list-issues"),
            ("url.path", "/list-issues"),
            ("http.response.status_code", "200"),
            ("handler", "list-issues-trigger"),
        ] {
            assert_eq!(attribute(server, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(attribute(server, "error.type"), None);

        let client = named(&spans, "GET /rest/api/3/search/jql");
        assert_eq!(client.trace_id, server.trace_id);
        assert_eq!(client.parent_span_id, server.span_id);
        assert_eq!(client.kind(), SpanKind::Client);
        for (key, value) in [
            ("product", "jira"),
            ("http.request.method", "GET"),
            ("url.template", "/rest/api/3/search/jql"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
        ] {
            assert_eq!(attribute(client, key).as_deref(), Some(value), "{key}");
        }
    }

    // Forge's decision on sampling is followed.
    for (sampled, expected) in [("0", false), ("1", true)] {
        let call = harness
            .call("list-issues")
            .header("x-b3-traceid", TRACE)
            .header("x-b3-spanid", "00f067aa0ba902b7")
            .header("x-b3-sampled", sampled);
        assert_eq!(call.send().await.status(), 200, "the handler ran");
        let spans = collector.take(&provider).await;
        assert_eq!(!spans.is_empty(), expected, "x-b3-sampled: {sampled}");
    }

    // Without Forge's headers, or with unusable ones, a call begins a separate trace.
    let call = harness
        .call("list-issues")
        .header("x-b3-traceid", "not hex")
        .header("x-b3-spanid", "é");
    call.send().await;
    let spans = collector.take(&provider).await;
    let server = named(&spans, "POST /list-issues");
    assert!(server.parent_span_id.is_empty());

    // A failure: of the call to Jira, and so of the handler.
    let apis = harness.platform().apis();
    apis.fail_next(1, ApiResponse::status(403));
    assert_eq!(harness.call("list-issues").send().await.status(), 500);
    let spans = collector.take(&provider).await;
    for (name, status) in [
        ("POST /list-issues", "500"),
        ("GET /rest/api/3/search/jql", "403"),
    ] {
        let span = named(&spans, name);
        let status_code = span.status.as_ref().map(|status| status.code());
        assert_eq!(status_code, Some(StatusCode::Error), "{span:#?}");
        for key in ["error.type", "http.response.status_code"] {
            assert_eq!(attribute(span, key).as_deref(), Some(status), "{key}");
        }
    }
}
