//! The exporter of metrics, on a separate port, which only this machine can reach.

use std::time::Duration;

use forge_remote::Shutdown;
use forge_remote::axum::{self, Router, routing::get};
use forge_remote::metrics::DURATION_BUCKETS;
use forge_remote::prelude::*;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// Installs the recorder, which the app describes its metrics to: before the app is built.
///
/// # Errors
///
/// The process has a recorder already.
pub fn install() -> Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets(&DURATION_BUCKETS)?;
    Ok(builder.install_recorder()?)
}

/// Serves the metrics while the app serves: a background task.
///
/// # Errors
///
/// The address is not free.
pub async fn serve(State(handle): State<PrometheusHandle>, shutdown: Shutdown) -> Result<()> {
    let bind = std::env::var("METRICS_BIND").unwrap_or_else(|_| "127.0.0.1:9090".to_owned());
    let listener = TcpListener::bind(bind).await?;
    let rendered = handle.clone();
    let scrape = get(move || std::future::ready(rendered.render()));
    let stop = shutdown.clone();
    let serving = axum::serve(listener, Router::new().route("/metrics", scrape))
        .with_graceful_shutdown(async move { stop.requested().await });
    tokio::select! {
        served = serving.into_future() => Ok(served?),
        () = compact(&handle) => Ok(()),
    }
}

/// Compacts the recorded samples, so that memory does not grow without scrapes.
async fn compact(handle: &PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.run_upkeep();
    }
}
