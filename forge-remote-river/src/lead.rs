//! The difference between this machine's clock and the database's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use forge_remote::jobs::EngineError;

/// The largest difference: River dates retries by this machine's clock, and claims jobs by the database's.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// The offset of this machine's clock from the database's, in seconds: positive if it is ahead,
/// negative if it is behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lead(pub(crate) f64);

impl Lead {
    /// Returns an error for a difference that is too large.
    pub(crate) fn check(self) -> Result<(), EngineError> {
        let seconds = self.0.abs();
        if seconds <= MAX_SKEW.as_secs_f64() {
            return Ok(());
        }
        Err(EngineError::new(format!(
            "this machine's clock and the database's differ by {seconds:.0} seconds: set them by NTP; at most {} are \
             allowed, because a retry that one writes would be due at another time for the other",
            MAX_SKEW.as_secs()
        )))
    }
}

/// This machine's clock, between two comparisons with the database's. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MachineClock(Arc<Mutex<Option<Comparison>>>);

#[derive(Clone, Copy, Debug)]
struct Comparison {
    /// The database's time.
    time: SystemTime,
    at: Instant,
}

impl MachineClock {
    /// Records the difference, which was measured a moment ago.
    pub(crate) fn note(&self, lead: Lead) {
        self.note_at(lead, SystemTime::now(), Instant::now());
    }

    fn note_at(&self, Lead(seconds): Lead, now: SystemTime, at: Instant) {
        let lead = Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default();
        let time = if seconds < 0.0 {
            now + lead
        } else {
            now - lead
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Comparison { time, at });
    }

    /// Returns whether it shows about the database's time: it may have been set since the last comparison.
    pub(crate) fn is_right(&self) -> bool {
        self.is_right_at(SystemTime::now(), Instant::now())
    }

    fn is_right_at(&self, now: SystemTime, at: Instant) -> bool {
        let comparison = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = comparison else {
            return true;
        };
        let expected = last.time + at.saturating_duration_since(last.at);
        let difference = now.duration_since(expected);
        difference.unwrap_or_else(|earlier| earlier.duration()) <= MAX_SKEW
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
            let error = Lead(seconds).check().unwrap_err();
            assert!(error.to_string().contains("set them by NTP"));
        }
    }

    #[test]
    fn a_clock_that_is_set_is_wrong_until_the_database_agrees() {
        let clock = MachineClock::default();
        let (now, at) = (SystemTime::now(), Instant::now());
        let later = Duration::from_secs(60);
        clock.note_at(Lead(3.0), now, at);
        // By how many milliseconds it was set.
        let is_right = |step: i64| {
            let set = Duration::from_millis(step.unsigned_abs());
            let now = now + later;
            let now = if step < 0 { now - set } else { now + set };
            clock.is_right_at(now, at + later)
        };
        for step in [-7_900, -3_000, 0, 1_900] {
            assert!(is_right(step), "{step}");
        }
        for step in [-3_600_000, -8_100, 2_100, 3_600_000] {
            assert!(!is_right(step), "{step}");
        }
        clock.note_at(Lead(0.0), now + Duration::from_secs(3600), at);
        assert!(is_right(3_600_000));
    }
}
