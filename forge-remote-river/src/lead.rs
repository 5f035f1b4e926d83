//! The difference between this machine's clock and the database's.

use std::time::Duration;

use forge_remote::jobs::EngineError;

/// The largest difference: River dates retries by this machine's clock, and claims jobs by the database's.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// By how much this machine's clock is ahead of the database's, in seconds; negative if it is behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lead(pub(crate) f64);

/// A difference that is too large.
#[derive(Debug)]
pub(crate) struct Skew {
    pub(crate) lead: Lead,
    pub(crate) error: EngineError,
}

impl Lead {
    pub(crate) fn check(self) -> Result<(), Skew> {
        let seconds = self.0.abs();
        if seconds <= MAX_SKEW.as_secs_f64() {
            return Ok(());
        }
        let error = EngineError::new(format!(
            "this machine's clock and the database's differ by {seconds:.0} seconds: set them by NTP; at most {} are \
             allowed, because a retry that one writes would be due at another time for the other",
            MAX_SKEW.as_secs()
        ));
        Err(Skew { lead: self, error })
    }

    /// Returns by how many milliseconds this machine has dated its jobs too late.
    pub(crate) fn late_millis(self) -> i64 {
        (self.0.max(0.0) * 1000.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_differ_by_five_seconds() {
        for seconds in [-4.9, 0.0, 4.9] {
            assert!(Lead(seconds).check().is_ok(), "{seconds}");
        }
        for seconds in [-3600.0, -5.1, 5.1] {
            let skew = Lead(seconds).check().unwrap_err();
            assert!(skew.error.to_string().contains("set them by NTP"));
        }
    }

    #[test]
    fn only_a_clock_that_is_ahead_dates_jobs_too_late() {
        assert_eq!(
            [-7.0, 0.0, 3.5].map(|seconds| Lead(seconds).late_millis()),
            [0, 0, 3500]
        );
    }
}
