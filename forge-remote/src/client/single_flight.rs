//! A cache of call results with a lifetime. Concurrent requests for the same key share one call.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::error::ClientError;
use crate::fit::Clock;

/// Upper bound on the cached outcomes. The outcome that expires first is evicted.
const MAX_ENTRIES: usize = 10_000;

/// Hashes a token for use in a cache key.
pub(super) fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// A clock's monotonic and wall time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) elapsed: Duration,
    pub(super) wall: SystemTime,
}

impl Now {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self {
            elapsed: clock.elapsed(),
            wall: clock.now(),
        }
    }
}

/// An outcome with its lifetime.
#[derive(Clone)]
pub(super) struct Timed<V> {
    pub(super) value: V,
    /// Start of the lifetime, on the clock's `elapsed`.
    pub(super) since: Duration,
    good_until: Duration,
    /// End on the wall clock, which continues while the machine sleeps.
    ends_at: SystemTime,
}

impl<V> Timed<V> {
    /// Creates an outcome that is valid for `life` after the call started.
    pub(super) fn new(value: V, started: Now, life: Duration) -> Self {
        Self {
            value,
            since: started.elapsed,
            good_until: started.elapsed.saturating_add(life),
            ends_at: started.wall + life,
        }
    }

    fn is_good(&self, now: Now) -> bool {
        self.good_until > now.elapsed && self.ends_at > now.wall
    }
}

type Outcome<V> = Result<Timed<V>, Arc<ClientError>>;
type Running<V> = BoxFuture<'static, Outcome<V>>;
/// A call in progress, shared by all callers that wait for it.
pub(super) type Flight<V> = Shared<Running<V>>;

/// Cached outcomes and calls in progress, by key.
pub(super) struct Flights<K, V>(Mutex<Entries<K, V>>);

struct Entries<K, V> {
    cached: HashMap<K, Timed<V>>,
    /// Calls with their number, so that a forgotten call stores no outcome. Weak: when all waiting
    /// callers are gone, nobody polls the call, and the next caller starts a new one.
    running: HashMap<K, (u64, WeakShared<Running<V>>)>,
    started: u64,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            cached: HashMap::new(),
            running: HashMap::new(),
            started: 0,
        }))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    /// Returns the outcome, or the call to wait for, which is started unless one is in progress.
    pub(super) fn get(
        &self,
        key: &K,
        now: Now,
        start: impl FnOnce(u64) -> Flight<V>,
    ) -> Result<Timed<V>, Flight<V>> {
        let mut entries = self.entries();
        if let Some(cached) = entries.cached.get(key).filter(|cached| cached.is_good(now)) {
            return Ok(cached.clone());
        }
        let running = entries.running.get(key);
        if let Some(running) = running.and_then(|(_, running)| running.upgrade()) {
            return Err(running);
        }
        if entries.running.len() >= MAX_ENTRIES {
            entries
                .running
                .retain(|_, (_, running)| running.upgrade().is_some());
        }
        entries.started += 1;
        let number = entries.started;
        let flight = start(number);
        // A new future has not completed, so `downgrade` succeeds.
        if let Some(weak) = flight.downgrade() {
            entries.running.insert(key.clone(), (number, weak));
        }
        Err(flight)
    }

    /// Returns the cached outcome without making a call.
    pub(super) fn peek(&self, key: &K, now: Now) -> Option<V> {
        let entries = self.entries();
        let cached = entries
            .cached
            .get(key)
            .filter(|cached| cached.is_good(now))?;
        Some(cached.value.clone())
    }

    /// Counts the valid outcomes that match.
    pub(super) fn count(&self, now: Now, which: impl Fn(&K, &V) -> bool) -> usize {
        let entries = self.entries();
        let cached = entries
            .cached
            .iter()
            .filter(|(_, cached)| cached.is_good(now));
        cached
            .filter(|(key, cached)| which(key, &cached.value))
            .count()
    }

    /// Records the end of a call. A call that was forgotten or replaced changes nothing.
    pub(super) fn finish(&self, key: K, number: u64, cached: Option<Timed<V>>, now: Now) {
        let mut entries = self.entries();
        if entries.running.get(&key).map(|(number, _)| *number) != Some(number) {
            return;
        }
        entries.running.remove(&key);
        if let Some(cached) = cached {
            entries.insert(key, cached, now);
        }
    }

    /// Records an outcome that another call had.
    pub(super) fn insert(&self, key: K, cached: Timed<V>, now: Now) {
        self.entries().insert(key, cached, now);
    }

    pub(super) fn forget_all(&self) {
        self.forget(|_| true);
    }

    /// Forgets matching outcomes and calls. Callers already waiting for a call still get its outcome.
    pub(super) fn forget(&self, which: impl Fn(&K) -> bool) {
        let mut entries = self.entries();
        entries.cached.retain(|key, _| !which(key));
        entries.running.retain(|key, _| !which(key));
    }

    /// Forgets the outcomes that match.
    pub(super) fn forget_outcomes(&self, which: impl Fn(&Timed<V>) -> bool) {
        self.entries().cached.retain(|_, cached| !which(cached));
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V> Entries<K, V> {
    fn insert(&mut self, key: K, cached: Timed<V>, now: Now) {
        if self.cached.len() >= MAX_ENTRIES {
            self.cached.retain(|_, cached| cached.is_good(now));
        }
        if self.cached.len() >= MAX_ENTRIES {
            let cached = self.cached.iter();
            let first = cached.min_by_key(|(_, cached)| cached.good_until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.cached.remove(&first);
            }
        }
        self.cached.insert(key, cached);
    }
}
