//! The quickstart, observed: `OBSERVED` names any of `metrics`, `traces` and `lines`, with commas.

use forge_remote::metrics::DURATION_BUCKETS;
use forge_remote::prelude::*;
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// As in the quickstart.
#[scheduled_trigger(
    interval = "hour",
    auth = system,
    key = "remote-scheduled-trigger-node",
    endpoint = "remote-trigger-node",
    path = "/frc-trigger",
    scopes = ["read:confluence-content.summary"],
)]
async fn frc_trigger(call: Invocation, token: SystemToken) -> Result<()> {
    let _authorization = token.authorization();
    let _installation = call.installation_id();
    Ok(())
}

/// Drops the spans, so that the exporter's own work is not measured.
#[derive(Debug)]
struct Dropping;

impl SpanExporter for Dropping {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let observed = std::env::var("OBSERVED").unwrap_or_default();
    let has = |what: &str| observed.split(',').any(|word| word == what);
    if has("metrics") {
        PrometheusBuilder::new()
            .with_recommended_naming(true)
            .set_buckets(&DURATION_BUCKETS)?
            .install_recorder()?;
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Dropping)
        .build();
    let spans = has("traces").then(|| {
        let targets = Targets::new().with_target("forge_remote", LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("forge-remote"))
            .with_filter(targets)
    });
    let lines = has("lines").then(|| {
        let lines = fmt::layer().json().with_writer(std::io::stderr);
        lines.with_filter(LevelFilter::INFO)
    });
    if spans.is_some() || lines.is_some() {
        tracing_subscriber::registry()
            .with(spans)
            .with(lines)
            .init();
    }
    App::new()
        .remote(Remote::new("remote-app-node").base_url("https://backend.example.com"))
        .run()
        .await
}
