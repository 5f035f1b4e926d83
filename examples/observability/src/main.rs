//! Serves the app, the metrics and, with a collector, the traces.

use forge_remote::prelude::*;
use observability::{app, exporter, traces};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

#[tokio::main]
async fn main() -> Result<()> {
    let handle = exporter::install()?;
    let has_collector = std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
    let provider = match has_collector {
        true => Some(traces::provider(None)?),
        false => None,
    };
    if let Some(provider) = &provider {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        tracing_subscriber::registry()
            .with(traces::layer(provider))
            .with(lines.with_filter(filter))
            .init();
    }
    let app = app().state(handle).background(exporter::serve);
    let ended = app.run().await;
    if let Some(provider) = provider {
        provider.shutdown()?;
    }
    ended
}

forge_remote::test_manifest!(app());
