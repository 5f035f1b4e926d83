//! Time that does not run backwards for expiry.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::clock::Moment;
use crate::log_limit::{LogLimit, Permit};

/// How far Atlassian's signers may be ahead of the true time.
const TOLERANCE: Duration = Duration::from_secs(10);
/// The monotonic clock counts for this much less than it shows, in parts: it may run fast.
const DRIFT: u32 = 1000;

/// The earliest time that it can be, as signed FITs prove: a FIT that verifies was issued in the
/// past, and the monotonic clock counts from there. Where the wall clock is set back, expired FITs
/// stay expired and good ones stay good.
///
/// Only signed dates move it, never the wall clock: one that was ahead and is corrected leaves no
/// trace. Before the first FIT there is nothing to go by.
pub(super) struct VerifiedTime {
    /// The earliest time in milliseconds since 1970, less the monotonic clock's: one number, so
    /// that it can be raised at once. `i64::MIN` for none.
    offset: AtomicI64,
    set_back: Mutex<LogLimit>,
}

impl Default for VerifiedTime {
    fn default() -> Self {
        Self {
            offset: AtomicI64::new(i64::MIN),
            set_back: Mutex::default(),
        }
    }
}

impl VerifiedTime {
    /// Returns the time to judge expiry by: the wall clock's, unless that is known to be behind.
    /// True with it when it is: then this is the earliest time it can be, and it may be later.
    pub(super) fn now(&self, moment: &Moment) -> (SystemTime, bool) {
        let Moment { elapsed, wall } = *moment;
        let offset = self.offset.load(Ordering::Relaxed);
        if offset == i64::MIN {
            return (wall, false);
        }
        let earliest = u64::try_from(offset.saturating_add(counted(elapsed))).unwrap_or(0);
        let earliest = SystemTime::UNIX_EPOCH + Duration::from_millis(earliest);
        let Ok(behind) = earliest.duration_since(wall) else {
            return (wall, false);
        };
        if !behind.is_zero() {
            self.log_set_back(behind, elapsed);
        }
        (earliest, !behind.is_zero())
    }

    /// Takes note of a verified FIT's `iat`; `now` is the time it was judged by, at this moment.
    pub(super) fn observe(&self, issued_at: SystemTime, now: SystemTime, moment: &Moment) {
        let earliest = issued_at.min(now).checked_sub(TOLERANCE);
        let since = earliest.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(since) = since {
            let offset = millis(since).saturating_sub(counted(moment.elapsed));
            self.offset.fetch_max(offset, Ordering::Relaxed);
        }
    }

    fn log_set_back(&self, behind: Duration, elapsed: Duration) {
        let permit = self.set_back.lock();
        let permit = permit
            .unwrap_or_else(PoisonError::into_inner)
            .permit(elapsed);
        if let Some(Permit { suppressed }) = permit {
            tracing::warn!(
                seconds = behind.as_secs(),
                suppressed,
                "this machine's clock is behind the dates of verified FITs; expiry is checked against these dates: \
                 synchronize the clock (NTP)"
            );
        }
    }
}

/// Returns the part of the monotonic clock's time that counts, in milliseconds.
fn counted(elapsed: Duration) -> i64 {
    millis(elapsed - elapsed / DRIFT)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
