//! Telemetry for operators: the names of metrics and spans, and the recording of metrics.
//!
//! Metrics are recorded by [`record`]. Without the feature `metrics` its functions are empty.

pub(crate) mod gauges;
pub(crate) mod http;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
pub(crate) mod no_recorder;
#[cfg(feature = "metrics")]
pub(crate) mod recorder;
pub(crate) mod span;

#[cfg(not(feature = "metrics"))]
pub(crate) use no_recorder as record;
#[cfg(feature = "metrics")]
pub(crate) use recorder as record;
