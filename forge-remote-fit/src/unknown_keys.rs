//! The ids of keys that FITs named and no set had.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// More ids than this are not remembered.
const MAX_KEYS: usize = 4096;
/// An id is forgotten after this time: its key may be published one day.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Remembers since which fetch an unknown key is requested, to distinguish a key that no fetch has
/// looked for from one that is not published.
///
/// Bounded: when callers name thousands of keys, some are looked up more often than necessary.
#[derive(Default)]
pub(super) struct UnknownKeys {
    hasher: RandomState,
    /// The number of fetches that had been started, and the time, by a hash of the id.
    seen: HashMap<u64, (u64, Duration)>,
}

impl UnknownKeys {
    /// Returns how many fetches had been started when the id was first seen; `started` for one that
    /// is new.
    pub(super) fn first_seen(&mut self, kid: &str, started: u64, now: Duration) -> u64 {
        let id = self.hasher.hash_one(kid);
        let is_fresh = |at: Duration| now.saturating_sub(at) < REMEMBERED;
        if let Some((first, at)) = self.seen.get(&id)
            && is_fresh(*at)
        {
            return *first;
        }
        self.remember(id, started, now);
        started
    }

    /// Records that a key of the previous set is missing in the one that this fetch returned, so that it is known to be
    /// withdrawn.
    pub(super) fn withdrawn(&mut self, kid: &str, fetch: u64, now: Duration) {
        self.remember(self.hasher.hash_one(kid), fetch.saturating_sub(1), now);
    }

    fn remember(&mut self, id: u64, started: u64, now: Duration) {
        let is_fresh = |at: Duration| now.saturating_sub(at) < REMEMBERED;
        if self.seen.len() >= MAX_KEYS {
            self.seen.retain(|_, (_, at)| is_fresh(*at));
            if self.seen.len() >= MAX_KEYS {
                self.seen.clear();
            }
        }
        self.seen.insert(id, (started, now));
    }
}
