//! An app with metrics: `curl http://127.0.0.1:9090/metrics`, on a port of its own that only this machine reaches.
//!
//! | variable | sets | default |
//! | --- | --- | --- |
//! | `METRICS_BIND` | the address of the metrics | `127.0.0.1:9090` |

use std::time::Duration;

use forge_remote::Shutdown;
use forge_remote::axum::{self, Router, routing::get};
use forge_remote::metrics::DURATION_BUCKETS;
use forge_remote::prelude::*;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

#[derive(serde::Deserialize)]
struct Project {
    key: String,
}

/// Lists the projects of one installation.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn list_projects(call: Invocation, token: SystemToken) -> Result<()> {
    let jira = call.jira().as_app(&token);
    let mut projects = jira.get("/rest/api/3/project/search").pages::<Project>();
    while let Some(project) = projects.next().await {
        println!("{}", project?.key);
    }
    Ok(())
}

/// Serves the metrics while the app serves.
async fn serve_metrics(State(handle): State<PrometheusHandle>, shutdown: Shutdown) -> Result<()> {
    let bind = std::env::var("METRICS_BIND").unwrap_or_else(|_| "127.0.0.1:9090".to_owned());
    let listener = TcpListener::bind(bind).await?;
    let scrape = {
        let handle = handle.clone();
        get(move || std::future::ready(handle.render()))
    };
    let router = Router::new().route("/metrics", scrape);
    let stop = {
        let shutdown = shutdown.clone();
        async move { shutdown.requested().await }
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    tokio::select! {
        served = serving.into_future() => served?,
        () = upkeep(&handle) => {}
    }
    Ok(())
}

/// Compacts what was recorded, so that it does not grow when nobody scrapes.
async fn upkeep(handle: &PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.run_upkeep();
    }
}

fn app(handle: PrometheusHandle) -> App {
    App::new()
        .remote(Remote::new("observed-backend").base_url("https://observed.example.com"))
        .state(handle)
        .background(serve_metrics)
}

/// Installs the recorder, which the app describes its metrics to: before the app is built.
fn recorder() -> Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets(&DURATION_BUCKETS)?;
    Ok(builder.install_recorder()?)
}

#[tokio::main]
async fn main() -> Result<()> {
    app(recorder()?).run().await
}

forge_remote::test_manifest!(app(PrometheusBuilder::new().build_recorder().handle()));
