//! Metrics: an exporter on a second port has what calls, jobs and clocks did, and no caller adds a label.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forge_remote::axum::Router;
use forge_remote::axum::routing::get;
use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobCounts, JobEngine, MemoryJobs,
    PastAttempts,
};
use forge_remote::metrics::{DURATION_BUCKETS, METRICS, MetricKind, Unit};
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::fake_api::{Server, instant_client, respond};
use forge_remote_tests::http::{Call, send};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, published, unique_id};
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::TestApp;
use forge_remote_tests::token_app::{HOUR, MINUTE, ONE, OTHER, TokenApp, renewing_app, tokens_in};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[endpoint(method = "POST", path = "/space", auth = system, key = "space")]
async fn space(call: Invocation, token: SystemToken) -> Result<StatusCode> {
    let confluence = call.confluence().as_app(&token);
    confluence.get("/wiki/api/v2/spaces").send().await?;
    Ok(StatusCode::OK)
}

#[trigger(
    events = ["avi:confluence:created:page"],
    durable(retries = 1, backoff = "10m..15m"),
    path = "/stored", key = "stored", endpoint = "stored-end",
)]
async fn stored(Event(event): Event<Value>) -> Result<()> {
    match event["how"].as_str() {
        Some("permanent") => Err(Error::permanent("gone")),
        Some("fails") => Err("broken".into()),
        _ => Ok(()),
    }
}

/// A recorder of this test alone: the test and its app run on one thread.
fn recorder() -> &'static PrometheusRecorder {
    let builder = PrometheusBuilder::new().with_recommended_naming(true);
    let builder = builder.set_buckets(&DURATION_BUCKETS).unwrap();
    Box::leak(Box::new(builder.build_recorder()))
}

/// Serves the metrics on a separate port, as an app does.
async fn exporter(handle: PrometheusHandle) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let scrape = get(move || std::future::ready(handle.render()));
    let router = Router::new().route("/metrics", scrape);
    tokio::spawn(async move { forge_remote::axum::serve(listener, router).await });
    address
}

/// The scraped series: each with its name, labels and value.
struct Scrape(Vec<(String, BTreeMap<String, String>, f64)>);

impl Scrape {
    async fn of(exporter: SocketAddr) -> Self {
        let response = send(exporter, &Call::new("GET", "/metrics")).await.unwrap();
        assert_eq!(response.status, 200);
        let text = response.text();
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(series).collect())
    }

    /// Scrapes until a condition is true, or for long enough.
    async fn until(exporter: SocketAddr, condition: impl Fn(&Self) -> bool) -> Self {
        for _ in 0..1000 {
            let scrape = Self::of(exporter).await;
            if condition(&scrape) {
                return scrape;
            }
        }
        Self::of(exporter).await
    }

    /// Returns the sum of the series with this name and these labels; `None` without one.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |found: &BTreeMap<String, String>| {
            let mut wanted = labels.iter();
            wanted.all(|(label, value)| found.get(*label).is_some_and(|one| one == value))
        };
        let values = self
            .0
            .iter()
            .filter(|(one, found, _)| one == name && has(found));
        let values: Vec<f64> = values.map(|(_, _, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Returns the values of a label.
    fn label_values(&self, label: &str) -> BTreeSet<&str> {
        let values = self.0.iter().filter_map(|(_, labels, _)| labels.get(label));
        values.map(String::as_str).collect()
    }

    /// Checks that each series is in the table, with no other labels.
    fn agrees_with_the_table(&self) {
        for (name, labels, _) in &self.0 {
            let metric = METRICS.iter().find(|metric| {
                let base = prometheus_name(metric.name, metric.kind, metric.unit);
                let suffixes: &[&str] = match metric.kind {
                    MetricKind::Histogram => &["_bucket", "_count", "_sum"],
                    _ => &[""],
                };
                suffixes
                    .iter()
                    .any(|suffix| format!("{base}{suffix}") == *name)
            });
            let metric = metric.unwrap_or_else(|| panic!("`{name}` is not in the table"));
            let known: Vec<String> = metric
                .labels
                .iter()
                .map(|one| one.replace('.', "_"))
                .collect();
            for label in labels.keys().filter(|label| *label != "le") {
                assert!(
                    known.contains(label),
                    "`{label}` of `{name}` is not in the table"
                );
            }
        }
    }
}

/// Returns a metric's name in Prometheus.
fn prometheus_name(name: &str, kind: MetricKind, unit: Unit) -> String {
    let unit = if unit == Unit::Seconds {
        "_seconds"
    } else {
        ""
    };
    let total = if kind == MetricKind::Counter {
        "_total"
    } else {
        ""
    };
    format!("{}{unit}{total}", name.replace('.', "_"))
}

fn series(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.filter_map(|label| label.split_once("=\""));
    let labels =
        labels.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
    (name.to_owned(), labels.collect(), value.parse().unwrap())
}

fn with_handlers(app: App, apis: &Server, jobs: impl JobEngine) -> App {
    let own = Router::new().route("/files/{*path}", get(async || "own"));
    app.handler(forge_remote::handler!(space))
        .handler(forge_remote::handler!(stored))
        .client(instant_client(apis))
        .token_store(MemoryTokens::new())
        .jobs(jobs)
        .routes(own)
}

fn event(app: &TestApp, how: &str) -> Call {
    let token = Fit::backend(app.now(), "stored-end").token();
    let body = json!({ "eventType": "avi:confluence:created:page", "how": how });
    Call::post("/stored").bearer(&token).json(&body)
}

fn space_call(app: &TestApp, apis: &Server) -> Call {
    let fit = app.page().claim("/app/apiBaseUrl", apis.origin.as_str());
    let fit = fit.claim(
        "/app/installation/contexts/0/apiBaseUrl",
        apis.origin.as_str(),
    );
    let call = Call::post("/space").bearer(&fit.token());
    call.header("x-forge-oauth-system", "a-system-token")
        .json(&json!({}))
}

#[tokio::test]
async fn a_scrape_contains_the_recorded_metrics() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(recorder);
    let exporter = exporter(recorder.handle()).await;
    let apis = Server::start(|count, request| {
        let is_space = request.target.contains("spaces");
        match count {
            _ if !is_space => respond(200, json!({})),
            _ if request.header("x-fails") == "yes" => respond(404, json!({})),
            _ => respond(200, json!({ "results": [] })),
        }
    })
    .await;
    let jobs = MemoryJobs::new();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        with_handlers(app, &apis, jobs.clone())
    })
    .await;

    let expired = app.fit().claim("/exp", 1_700_000_000);
    for (call, status) in [
        (app.tick(&app.fit().token()), 200),
        (app.tick(&app.fit().token()), 200),
        (Call::post("/tick"), 401),
        (app.tick(&expired.token()), 401),
        (Call::new("GET", "/tick"), 405),
        (Call::new("GET", "/elsewhere"), 404),
        (Call::new("GET", "/files/a/b"), 200),
        (space_call(&app, &apis), 200),
        (event(&app, "succeeds"), 202),
        (event(&app, "permanent"), 202),
        (event(&app, "fails"), 202),
    ] {
        let response = app.send(&call).await.unwrap();
        assert_eq!(response.status, status, "{}", response.excerpt());
    }
    // The retry waits for its time.
    for _ in 0..10_000 {
        if jobs.unfinished() == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The next sample.
    app.clock.advance(Duration::from_secs(20));
    let is_sampled = |scrape: &Scrape| scrape.value("forge_remote_jobs_dead", &[]) == Some(1.0);
    let scrape = Scrape::until(exporter, is_sampled).await;
    scrape.agrees_with_the_table();
    let server = "http_server_request_duration_seconds_count";
    let client = "http_client_request_duration_seconds_count";
    let ok = ("http_response_status_code", "200");
    let unauthorized = ("http_response_status_code", "401");
    for (name, labels, expected) in [
        (server, &[("http_route", "/tick"), ok][..], 2.0),
        (server, &[("http_route", "/tick"), unauthorized], 2.0),
        (
            server,
            &[("http_route", "/tick"), ("http_request_method", "GET")],
            1.0,
        ),
        (
            server,
            &[
                ("http_route", "_OTHER"),
                ("http_response_status_code", "404"),
            ],
            1.0,
        ),
        (server, &[("http_route", "/files/{*path}"), ok], 1.0),
        (server, &[("http_route", "/space"), ok], 1.0),
        (
            server,
            &[
                ("http_route", "/stored"),
                ("http_response_status_code", "202"),
            ],
            3.0,
        ),
        (
            client,
            &[
                ("product", "confluence"),
                ("http_request_method", "GET"),
                ok,
            ],
            1.0,
        ),
        (
            "forge_remote_verifications_total",
            &[("outcome", "accepted")],
            6.0,
        ),
        (
            "forge_remote_verifications_total",
            &[("outcome", "missing_header")],
            1.0,
        ),
        (
            "forge_remote_verifications_total",
            &[("outcome", "expired")],
            1.0,
        ),
        (
            "forge_remote_key_set_refreshes_total",
            &[("cloud", "commercial"), ("outcome", "fetched")],
            1.0,
        ),
        (
            "forge_remote_key_set_refreshes_total",
            &[("cloud", "commercial"), ("outcome", "failed")],
            0.0,
        ),
        (
            "forge_remote_jobs_runs_total",
            &[("handler", "stored"), ("outcome", "done")],
            1.0,
        ),
        (
            "forge_remote_jobs_runs_total",
            &[("handler", "stored"), ("outcome", "dead")],
            1.0,
        ),
        (
            "forge_remote_jobs_runs_total",
            &[("handler", "stored"), ("outcome", "retry")],
            1.0,
        ),
        (
            "forge_remote_jobs_duration_seconds_count",
            &[("handler", "stored")],
            3.0,
        ),
        (
            "forge_remote_jobs_wait_seconds_count",
            &[("handler", "stored")],
            3.0,
        ),
        ("forge_remote_jobs_pending", &[], 1.0),
        ("forge_remote_jobs_dead", &[], 1.0),
        ("forge_remote_tokens_pending", &[], 0.0),
        (
            "forge_remote_schedule_interval_seconds",
            &[("handler", "tick-trigger")],
            3600.0,
        ),
    ] {
        let value = scrape.value(name, labels);
        assert_eq!(value, Some(expected), "{name} {labels:?}");
    }
    let at_least = |name: &str, least: f64| {
        let value = scrape.value(name, &[]);
        assert!(
            value.is_some_and(|value| value >= least),
            "{name}: {value:?}"
        );
    };
    at_least("forge_remote_key_set_age_seconds", 20.0);
    at_least("forge_remote_schedule_last_seen_age_seconds", 20.0);
}

/// Forge's calls reach one instance each, so no instance has every token: what a rule takes by `max` has to be the
/// whole store's.
#[tokio::test]
async fn tokens_that_expire_are_counted_in_the_whole_store() {
    let store = FlakyStore::default();
    let clock = TestClock::new();
    let instance = async || TokenApp::at(clock.clone(), renewing_app(), tokens_in(&store)).await;
    // The guard of a recorder is the thread's: each instance samples under its own.
    let (first, second, idle) = (instance().await, instance().await, instance().await);
    let expiring = async |app: &TokenApp| {
        let recorder = recorder();
        let _guard = metrics::set_default_local_recorder(recorder);
        let exporter = exporter(recorder.handle()).await;
        let _sampling = app.harness.start_background().unwrap();
        let name = "forge_remote_tokens_expiring";
        let scrape = Scrape::until(exporter, |scrape| scrape.value(name, &[]).is_some()).await;
        scrape.value(name, &[])
    };
    first.deliver(ONE, &first.token(4 * HOUR, "1")).await;
    first.deliver(OTHER, &first.token(4 * HOUR, "2")).await;
    first.tokens.flush().await.unwrap();
    clock.advance(HOUR);
    // The next calls for one of them reach another instance.
    second.deliver(ONE, &second.token(4 * HOUR, "3")).await;
    second.tokens.flush().await.unwrap();
    for app in [&first, &second, &idle] {
        assert_eq!(expiring(app).await, Some(0.0));
    }
    // The first instance still has the old token of both in memory, and the other installation's is the only one.
    clock.advance(2 * HOUR + 31 * MINUTE);
    for app in [&first, &second, &idle] {
        assert_eq!(expiring(app).await, Some(1.0));
    }
    second.deliver(OTHER, &second.token(4 * HOUR, "4")).await;
    second.tokens.flush().await.unwrap();
    for app in [&first, &second, &idle] {
        assert_eq!(expiring(app).await, Some(0.0));
    }
    store.down(true);
    let unknown = expiring(&idle).await;
    assert!(unknown.is_some_and(f64::is_nan), "{unknown:?}");
}

/// An engine that has stored jobs, until its database is down.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicBool>);

impl JobEngine for Counting {
    fn name(&self) -> String {
        "counting".to_owned()
    }

    fn accept(&self, _: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        Box::pin(std::future::ready(Err(EngineError::new("it is full"))))
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(async move {
            context.stop.await;
            Ok(())
        })
    }

    fn counts(&self) -> BoxFuture<Result<Option<JobCounts>, EngineError>> {
        let mut counts = JobCounts::default();
        counts.pending = 3;
        Box::pin(std::future::ready(match self.0.load(Ordering::Relaxed) {
            false => Ok(Some(counts)),
            true => Err(EngineError::new("the database is down")),
        }))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new().limits_installations()
    }
}

/// The last value would look like the present one, and keep alerts quiet.
#[tokio::test]
async fn values_that_cant_be_read_are_no_numbers() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(recorder);
    let exporter = exporter(recorder.handle()).await;
    let apis = Server::start(|_, _| respond(500, json!({}))).await;
    let engine = Counting::default();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        with_handlers(app, &apis, engine.clone())
    })
    .await;
    let names = [
        "forge_remote_jobs_pending",
        "forge_remote_jobs_dead",
        "forge_remote_jobs_oldest_age_seconds",
    ];
    let values = |scrape: &Scrape| names.map(|name| scrape.value(name, &[]));
    let counted = [3.0, 0.0, 0.0].map(Some);
    let scrape = Scrape::until(exporter, |scrape| values(scrape) == counted).await;
    assert_eq!(values(&scrape), counted);
    engine.0.store(true, Ordering::Relaxed);
    app.clock.advance(Duration::from_secs(20));
    let are_unknown = |scrape: &Scrape| {
        let mut values = values(scrape).into_iter();
        values.all(|value| value.is_some_and(f64::is_nan))
    };
    let scrape = Scrape::until(exporter, are_unknown).await;
    assert!(are_unknown(&scrape), "{:?}", values(&scrape));
    engine.0.store(false, Ordering::Relaxed);
    app.clock.advance(Duration::from_secs(20));
    let scrape = Scrape::until(exporter, |scrape| values(scrape) == counted).await;
    assert_eq!(values(&scrape), counted);
}

/// An engine whose stored jobs name handlers that nobody has.
struct Hostile;

impl JobEngine for Hostile {
    fn name(&self) -> String {
        "hostile".to_owned()
    }

    fn accept(&self, _: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        Box::pin(std::future::ready(Err(EngineError::new(
            "the disk is full",
        ))))
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(async move {
            for _ in 0..50 {
                let envelope = Envelope::new(unique_id(), unique_id(), unique_id(), Vec::new());
                let runner = Arc::clone(&context.runner);
                runner.run(envelope, PastAttempts::default()).await;
            }
            context.stop.await;
            Ok(())
        })
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new().limits_installations()
    }
}

#[tokio::test]
async fn no_caller_adds_a_label() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(recorder);
    let exporter = exporter(recorder.handle()).await;
    let apis = Server::start(|_, _| respond(500, json!({}))).await;
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        with_handlers(app, &apis, Hostile)
    })
    .await;
    for _ in 0..30 {
        let (id, other) = (unique_id(), unique_id());
        let other_installation = format!(
            "ari:cloud:ecosystem::installation/{}",
            &id[..36.min(id.len())]
        );
        for call in [
            Call::new("GET", &format!("/{id}")),
            Call::post(&format!("/tick/{id}?{other}={id}")),
            Call::new("GET", &format!("/files/{id}/{other}")),
            Call::new(&format!("M{}", &id[..8].to_uppercase()), "/tick"),
            Call::new(&format!("M{}", &id[..8].to_uppercase()), "/files/x"),
            Call::post("/tick").bearer(&id),
            Call::post("/tick").header("authorization", format!("Basic {id}")),
            app.tick(&app.fit().head("kid", id.as_str()).token()),
            app.tick(&app.fit().claim("/aud", id.as_str()).token()),
            app.tick(&app.fit().claim("/app/module/type", id.as_str()).token()),
            app.tick(&app.fit().claim("/app/module/key", id.as_str()).token()),
            app.tick(
                &app.fit()
                    .claim("/app/environment/type", id.as_str())
                    .token(),
            ),
            app.tick(
                &app.fit()
                    .claim("/app/installationId", other_installation.as_str())
                    .claim("/app/installation/id", other_installation.as_str())
                    .token(),
            ),
            event(&app, &id),
            space_call(&app, &apis),
        ] {
            // Any response: what counts is its label.
            let _ = app.send(&call).await.unwrap();
        }
    }
    let runs = "forge_remote_jobs_runs_total";
    let scrape = Scrape::until(exporter, |scrape| scrape.value(runs, &[]) == Some(50.0)).await;
    scrape.agrees_with_the_table();
    let set = |values: &[&'static str]| -> BTreeSet<&str> { values.iter().copied().collect() };
    for (label, known) in [
        ("http_request_method", set(&["GET", "POST", "_OTHER"])),
        (
            "http_route",
            set(&["/tick", "/space", "/stored", "/files/{*path}", "_OTHER"]),
        ),
        ("handler", set(&["_OTHER", "tick-trigger", "stored"])),
        ("product", set(&["confluence"])),
        ("cloud", set(&["commercial"])),
        (
            "error_type",
            set(&["500", "keys_unavailable", "not_stored"]),
        ),
    ] {
        let values = scrape.label_values(label);
        assert!(values.is_subset(&known), "{label}: {values:?}");
    }
    let outcomes = scrape.label_values("outcome");
    assert!(outcomes.len() < 20, "{outcomes:?}");
    assert!(outcomes.iter().all(|one| one.len() < 30), "{outcomes:?}");
    assert_eq!(scrape.value(runs, &[("handler", "_OTHER")]), Some(50.0));
    assert!(
        scrape.label_values("error_type").contains("not_stored"),
        "a 503 has the framework's code"
    );
}
