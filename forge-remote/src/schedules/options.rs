//! The options of a cron schedule.

use std::time::Duration;

/// The options of a handler with `cron`, as its attribute has them.
///
/// ```
/// use std::time::Duration;
/// use forge_remote::schedules::{CronOptions, Overlap};
///
/// let options = CronOptions::new("30 2 * * 1-5");
/// assert_eq!(options.tz, "UTC");
/// assert_eq!(options.jitter, Duration::ZERO);
/// assert_eq!(options.catch_up, Duration::from_secs(3600));
/// assert_eq!(options.overlap, Overlap::Skip);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronOptions {
    /// The expression: five fields or a nickname, not parsed yet.
    pub expression: &'static str,
    /// The name of the time zone (default: `UTC`).
    pub tz: &'static str,
    /// The time over which installations are spread, after each occurrence (default: none).
    pub jitter: Duration,
    /// How late an occurrence may start (default: an hour).
    pub catch_up: Duration,
    /// The policy for an occurrence that is due while the previous one runs (default: skip).
    pub overlap: Overlap,
}

/// The policy for an occurrence that is due while the previous one of the same installation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The later occurrence is skipped.
    Skip,
    /// Both run.
    Allow,
}

impl CronOptions {
    /// The default of [`catch_up`](Self::catch_up).
    pub(crate) const CATCH_UP: Duration = Duration::from_secs(3600);

    /// Returns the default options with this expression.
    pub const fn new(expression: &'static str) -> Self {
        Self {
            expression,
            tz: "UTC",
            jitter: Duration::ZERO,
            catch_up: Self::CATCH_UP,
            overlap: Overlap::Skip,
        }
    }
}
