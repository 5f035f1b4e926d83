//! Metrics, with the feature `metrics`: recorded through the [`metrics`](https://docs.rs/metrics) crate, so that the
//! app chooses the exporter.
//!
//! Install the exporter's recorder before the app is built; [`METRICS`] is described to it then. Numbers that
//! callers do not change (ages, queues) are recorded every 15 seconds, by the app's own server or
//! [`Service::start_background`](crate::Service::start_background).
//!
//! ```no_run
//! use forge_remote::metrics::{MetricKind, METRICS};
//!
//! for metric in METRICS {
//!     println!("{} ({}): {}", metric.name, metric.unit.as_str(), metric.description);
//! }
//! assert!(METRICS.iter().any(|metric| metric.kind == MetricKind::Histogram));
//! ```
//!
//! The names follow OpenTelemetry: dots separate, units are not part of the name. Where its conventions are
//! stable, names and labels are theirs. An exporter for Prometheus writes `_` for dots, and the unit behind the name:
//! `http_server_request_duration_seconds`. No label has an installation, a user, a path as it was requested, or a
//! token: the values of a label are those of the program and its handlers, and `_OTHER`.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>

/// A metric of the framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The unit.
    pub unit: Unit,
    /// The names of the labels. A label that does not apply to a series is omitted.
    pub labels: &'static [&'static str],
    /// The description, as exporters show it.
    pub description: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that is replaced.
    Gauge,
    /// A distribution.
    Histogram,
}

impl MetricKind {
    /// Returns the kind as text.
    ///
    /// ```
    /// use forge_remote::metrics::MetricKind;
    ///
    /// assert_eq!(MetricKind::Gauge.as_str(), "gauge");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things that are counted.
    Count,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// Returns the unit's code in UCUM, as OpenTelemetry writes it: `1` or `s`.
    ///
    /// ```
    /// use forge_remote::metrics::Unit;
    ///
    /// assert_eq!(Unit::Seconds.as_str(), "s");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "1",
            Self::Seconds => "s",
        }
    }
}

/// The bounds of the buckets of durations, in seconds: those of OpenTelemetry's conventions, and 30 and 60 for jobs.
///
/// An exporter that has no buckets by default takes them from here.
pub const DURATION_BUCKETS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
];

// The names of labels.
pub(super) const METHOD: &str = "http.request.method";
pub(super) const ROUTE: &str = "http.route";
pub(super) const STATUS: &str = "http.response.status_code";
pub(super) const ERROR: &str = "error.type";
pub(super) const PRODUCT: &str = "product";
pub(super) const OUTCOME: &str = "outcome";
pub(super) const CLOUD: &str = "cloud";
pub(super) const HANDLER: &str = "handler";

macro_rules! metrics {
    ($($metric:ident = $kind:ident $name:literal in $unit:ident by [$($label:expr),*]: $description:literal;)*) => {
        $(
            pub(super) const $metric: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                description: $description,
            };
        )*

        /// Every metric of the framework.
        pub const METRICS: &[Metric] = &[$($metric),*];
    };
}

metrics! {
    SERVER_DURATION = Histogram "http.server.request.duration" in Seconds by [METHOD, ROUTE, STATUS, ERROR]:
        "Requests to this app, until the head of the response. The route is the pattern, `_OTHER` without a handler; a request whose caller disconnected has no status.";
    CLIENT_DURATION = Histogram "http.client.request.duration" in Seconds by [PRODUCT, METHOD, STATUS, ERROR]:
        "Attempts of calls to Atlassian's APIs, redirects included. Without a response there is no status.";
    VERIFICATIONS = Counter "forge_remote.verifications" in Count by [OUTCOME]:
        "Verified requests: `accepted`, or the code of the rejection as in the log.";
    KEY_SET_AGE = Gauge "forge_remote.key_set.age" in Seconds by [CLOUD]:
        "The time since a cloud's key set was fetched. Missing before the first fetch.";
    KEY_SET_REFRESHES = Counter "forge_remote.key_set.refreshes" in Count by [CLOUD, OUTCOME]:
        "Fetches of a cloud's key set: `fetched` or `failed`.";
    TOKEN_WRITES = Counter "forge_remote.tokens.writes" in Count by [OUTCOME]:
        "Tokens for the store: `written`, `failed` calls of the store, `dropped` unwritten because memory was full.";
    TOKENS_PENDING = Gauge "forge_remote.tokens.pending" in Count by []:
        "Tokens and removals that are waiting to be written.";
    TOKENS_EXPIRING = Gauge "forge_remote.tokens.expiring" in Count by []:
        "Installations whose newest token has expired or expires within 30 minutes; Forge's hourly calls should have renewed it. Every instance reports the number for the whole store; NaN while the store cannot be read.";
    JOB_RUNS = Counter "forge_remote.jobs.runs" in Count by [HANDLER, OUTCOME]:
        "Runs of stored calls and jobs: `done`, `retry`, `later` (the attempt is not counted), `dead`.";
    JOB_DURATION = Histogram "forge_remote.jobs.duration" in Seconds by [HANDLER]:
        "The duration of a run.";
    JOB_WAIT = Histogram "forge_remote.jobs.wait" in Seconds by [HANDLER]:
        "The time between a job's due time and its first run.";
    JOBS_PENDING = Gauge "forge_remote.jobs.pending" in Count by []:
        "Stored jobs that are waiting (including delayed ones) or running. Every instance reports the number for the whole store; NaN while the store cannot be read.";
    JOBS_OLDEST_AGE = Gauge "forge_remote.jobs.oldest_age" in Seconds by []:
        "The age of the oldest due job, from its due time. Every instance reports it for the whole store; NaN while the store cannot be read.";
    JOBS_DEAD = Gauge "forge_remote.jobs.dead" in Count by []:
        "Jobs that are not retried and were not discarded. Every instance reports the number for the whole store; NaN while the store cannot be read.";
    SCHEDULE_LAST_SEEN = Gauge "forge_remote.schedule.last_seen_age" in Seconds by [HANDLER]:
        "The time since Forge's last call of a scheduled trigger for any installation, or since the process started.";
    SCHEDULE_INTERVAL = Gauge "forge_remote.schedule.interval" in Seconds by [HANDLER]:
        "The interval of a scheduled trigger.";
}
