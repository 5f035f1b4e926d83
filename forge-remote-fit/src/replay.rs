//! FIT ids that were seen, for as long as their FITs live.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// More live ids than this are never kept: 25 seconds at 40,000 calls a second.
const MAX_IDS: usize = 1_000_000;

/// An id is kept this much longer than its FIT: the time that expiry is judged by can be set back
/// by as much, see [`VerifiedTime`](super::verified_time::VerifiedTime).
const KEPT_LONGER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct ReplayGuard {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ids: HashMap<Box<str>, SystemTime>,
    purged: Option<SystemTime>,
}

impl ReplayGuard {
    /// Returns whether `id` is new, and remembers it until its FIT has expired.
    pub(crate) fn first_use(&self, id: &str, expires: SystemTime, now: SystemTime) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let due = seen
            .purged
            .is_none_or(|at| now.duration_since(at).unwrap_or_default() >= Duration::from_secs(30));
        if due || seen.ids.len() >= MAX_IDS {
            seen.ids.retain(|_, expiry| *expiry + KEPT_LONGER > now);
            seen.purged = Some(now);
        }
        // A full guard cannot promise anything: deny.
        if seen.ids.len() >= MAX_IDS || seen.ids.contains_key(id) {
            return false;
        }
        seen.ids.insert(id.into(), expires);
        true
    }
}
