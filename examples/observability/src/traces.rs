//! Traces over OTLP, which continue Forge's.

use forge_remote::Result;
use forge_remote::axum::http::HeaderMap;
use forge_remote::axum::http::request::Parts;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_propagator_b3::Propagator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter::LevelFilter};

/// Returns a provider that exports spans to a collector: to this URL, or the one of
/// `OTEL_EXPORTER_OTLP_ENDPOINT`. Shut it down before the process ends.
///
/// # Errors
///
/// The URL is not valid.
pub fn provider(url: Option<&str>) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary);
    let exporter = match url {
        Some(url) => exporter.with_endpoint(url),
        None => exporter,
    };
    let resource = Resource::builder().with_service_name("observability");
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_batch_exporter(exporter.build()?);
    Ok(provider.build())
}

/// Returns the layer that turns spans into OpenTelemetry's. The exporter's own HTTP client is left out.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'l> LookupSpan<'l>,
{
    let targets = Targets::new()
        .with_default(LevelFilter::OFF)
        .with_target("forge_remote", LevelFilter::INFO)
        .with_target("observability", LevelFilter::INFO);
    let tracer = provider.tracer("forge-remote");
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_filter(targets)
}

/// Makes Forge's span the parent of a call's span: for `App::on_span`.
pub fn continue_forge(span: &Span, head: &Parts) {
    let parent = Propagator::new().extract(&ForgeHeaders(&head.headers));
    // It fails without the layer above, and there is nothing to continue then.
    let _ = span.set_parent(parent);
}

/// Forge's headers as a strict reader of B3 expects them.
///
/// A caller that is not verified yet can send these headers too, and so choose the trace and its sampling. Traces do
/// not prove who called: do not use them as an audit log.
struct ForgeHeaders<'a>(&'a HeaderMap);

impl Extractor for ForgeHeaders<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).and_then(|value| value.to_str().ok());
        // Without a decision by Forge on sampling, the parent would count as not sampled.
        if name == "x-b3-sampled" {
            return value.or(Some("1"));
        }
        let value = value?;
        match name {
            // OpenTelemetry's span ids have 64 bits, some span ids of Forge have 128.
            "x-b3-spanid" => value.get(value.len().saturating_sub(16)..),
            _ => Some(value),
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
