//! Records metrics, with the feature `metrics`. `no_recorder` has the same functions without it.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, Label, SharedString};

use super::gauges::{JobGauges, TokenWrites};
use super::http::{OTHER, method_name};
use super::metrics::{self as table, METRICS, Metric, MetricKind, Unit};

/// Whether metrics are recorded.
pub(crate) const ENABLED: bool = true;

/// Describes every metric to the recorder.
pub(crate) fn describe() {
    for metric in METRICS {
        let (name, description) = (metric.name, metric.description);
        let unit = match metric.unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Seconds => metrics::Unit::Seconds,
        };
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(name, unit, description),
            MetricKind::Gauge => metrics::describe_gauge!(name, unit, description),
            MetricKind::Histogram => metrics::describe_histogram!(name, unit, description),
        }
    }
}

/// Measures time.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Records a request to this app, with the status of its response if its caller waited for it.
pub(crate) fn server_request(
    method: &Method,
    route: Option<&str>,
    status: Option<StatusCode>,
    error: Option<Cow<'static, str>>,
    took: Stopwatch,
) {
    let route = route.map_or(Cow::Borrowed(OTHER), |route| Cow::Owned(route.to_owned()));
    let mut labels = Vec::with_capacity(4);
    labels.push(Label::from_static_parts(table::METHOD, method_name(method)));
    labels.push(label(table::ROUTE, route));
    push_result(&mut labels, status, error);
    histogram(&table::SERVER_DURATION, labels).record(took.seconds());
}

/// Records an attempt of a call to Atlassian.
pub(crate) fn client_request(
    product: &'static str,
    method: &Method,
    status: Option<StatusCode>,
    error: Option<Cow<'static, str>>,
    took: Stopwatch,
) {
    let mut labels = Vec::with_capacity(4);
    labels.push(Label::from_static_parts(table::PRODUCT, product));
    labels.push(Label::from_static_parts(table::METHOD, method_name(method)));
    push_result(&mut labels, status, error);
    histogram(&table::CLIENT_DURATION, labels).record(took.seconds());
}

/// Records a verified request: `accepted`, or the code of its rejection.
pub(crate) fn verification(outcome: &'static str) {
    counter(&table::VERIFICATIONS, vec![outcome_label(outcome)]).increment(1);
}

/// Records a run of a job. `wait` is `None` after its first run, `handler` if this version of the app lacks it.
pub(crate) fn job_run(
    handler: Option<&str>,
    outcome: &'static str,
    wait: Option<Duration>,
    took: Stopwatch,
) {
    let handler = handler.map_or(Cow::Borrowed(OTHER), |key| Cow::Owned(key.to_owned()));
    let handler = label(table::HANDLER, handler);
    let labels = vec![handler.clone(), outcome_label(outcome)];
    counter(&table::JOB_RUNS, labels).increment(1);
    if let Some(wait) = wait {
        histogram(&table::JOB_WAIT, vec![handler.clone()]).record(wait);
    }
    histogram(&table::JOB_DURATION, vec![handler]).record(took.seconds());
}

/// Records the state of a cloud's key set.
pub(crate) fn key_set(cloud: &str, age: Option<Duration>, fetched: u64, failed: u64) {
    let cloud = label(table::CLOUD, Cow::Owned(cloud.to_owned()));
    if let Some(age) = age {
        gauge(&table::KEY_SET_AGE, vec![cloud.clone()]).set(age);
    }
    for (outcome, count) in [("fetched", fetched), ("failed", failed)] {
        let labels = vec![cloud.clone(), outcome_label(outcome)];
        counter(&table::KEY_SET_REFRESHES, labels).absolute(count);
    }
}

/// Records the writes of tokens by outcome, and how many wait.
pub(crate) fn token_writes(writes: &TokenWrites) {
    for (outcome, count) in [
        ("written", writes.written),
        ("failed", writes.failed),
        ("dropped", writes.dropped),
    ] {
        counter(&table::TOKEN_WRITES, vec![outcome_label(outcome)]).absolute(count);
    }
    gauge(&table::TOKENS_PENDING, Vec::new()).set(number(writes.pending));
}

/// Records how many stored tokens expire soon. `None`, if the store cannot be read, records NaN: the previous number
/// would look current.
pub(crate) fn tokens_expiring(expiring: Option<u64>) {
    gauge(&table::TOKENS_EXPIRING, Vec::new()).set(expiring.map_or(f64::NAN, number));
}

/// Records the state of the stored jobs. `None`, if the engine cannot count them, records NaN.
pub(crate) fn jobs(counted: Option<JobGauges>) {
    let (pending, dead, oldest_age) = match counted {
        Some(jobs) => (
            number(jobs.pending),
            number(jobs.dead),
            jobs.oldest_age.as_secs_f64(),
        ),
        None => (f64::NAN, f64::NAN, f64::NAN),
    };
    gauge(&table::JOBS_PENDING, Vec::new()).set(pending);
    gauge(&table::JOBS_DEAD, Vec::new()).set(dead);
    gauge(&table::JOBS_OLDEST_AGE, Vec::new()).set(oldest_age);
}

/// Records the state of a scheduled trigger.
pub(crate) fn schedule(handler: &str, interval: Duration, last_seen_age: Duration) {
    let handler = label(table::HANDLER, Cow::Owned(handler.to_owned()));
    gauge(&table::SCHEDULE_INTERVAL, vec![handler.clone()]).set(interval);
    gauge(&table::SCHEDULE_LAST_SEEN, vec![handler]).set(last_seen_age);
}

fn push_result(
    labels: &mut Vec<Label>,
    status: Option<StatusCode>,
    error: Option<Cow<'static, str>>,
) {
    if let Some(status) = status {
        let status = status.as_str().to_owned();
        labels.push(label(table::STATUS, Cow::Owned(status)));
    }
    if let Some(error) = error {
        labels.push(label(table::ERROR, error));
    }
}

fn label(name: &'static str, value: Cow<'static, str>) -> Label {
    let value = match value {
        Cow::Borrowed(value) => SharedString::const_str(value),
        Cow::Owned(value) => SharedString::from_owned(value),
    };
    Label::new(name, value)
}

fn outcome_label(outcome: &'static str) -> Label {
    Label::from_static_parts(table::OUTCOME, outcome)
}

/// Returns a count as a float, exactly up to 2⁵³.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

fn counter(metric: &Metric, labels: Vec<Label>) -> Counter {
    metrics::counter!(metric.name, labels)
}

fn gauge(metric: &Metric, labels: Vec<Label>) -> Gauge {
    metrics::gauge!(metric.name, labels)
}

fn histogram(metric: &Metric, labels: Vec<Label>) -> Histogram {
    metrics::histogram!(metric.name, labels)
}
