//! What Atlassian said once, for as long as it holds: however many ask for the same, one call is
//! made.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::error::ClientError;
use crate::fit::Clock;

/// How many outcomes are remembered. Those that end first make room.
const LIMIT: usize = 10_000;

/// A token as caches name it.
pub(super) fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// Both of a clock's times.
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

/// An outcome, and how long it holds.
#[derive(Clone)]
pub(super) struct Timed<V> {
    pub(super) value: V,
    /// On the clock's `elapsed`.
    pub(super) since: Duration,
    good_until: Duration,
    /// The same on the wall clock, which continues while a machine sleeps.
    ends_at: SystemTime,
}

impl<V> Timed<V> {
    /// An outcome that holds for so long after it was asked for.
    pub(super) fn new(value: V, asked: Now, life: Duration) -> Self {
        Self {
            value,
            since: asked.elapsed,
            good_until: asked.elapsed.saturating_add(life),
            ends_at: asked.wall + life,
        }
    }

    fn is_good(&self, now: Now) -> bool {
        self.good_until > now.elapsed && self.ends_at > now.wall
    }
}

type Outcome<V> = Result<Timed<V>, Arc<ClientError>>;
type Running<V> = BoxFuture<'static, Outcome<V>>;
/// A call under way, for all who wait for it.
pub(super) type Flight<V> = Shared<Running<V>>;

/// Outcomes by what was asked for, and the calls under way.
pub(super) struct Flights<K, V>(Mutex<Entries<K, V>>);

struct Entries<K, V> {
    kept: HashMap<K, Timed<V>>,
    /// By its number: one that was forgotten meanwhile leaves nothing behind. Weak: when all who
    /// wait have gone, nobody drives it, and the next one starts again.
    running: HashMap<K, (u64, WeakShared<Running<V>>)>,
    started: u64,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            kept: HashMap::new(),
            running: HashMap::new(),
            started: 0,
        }))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    /// The outcome; or the call to wait for, which is started if none is under way.
    pub(super) fn get(
        &self,
        key: &K,
        now: Now,
        start: impl FnOnce(u64) -> Flight<V>,
    ) -> Result<Timed<V>, Flight<V>> {
        let mut entries = self.entries();
        if let Some(kept) = entries.kept.get(key).filter(|kept| kept.is_good(now)) {
            return Ok(kept.clone());
        }
        let running = entries.running.get(key);
        if let Some(running) = running.and_then(|(_, running)| running.upgrade()) {
            return Err(running);
        }
        if entries.running.len() >= LIMIT {
            entries
                .running
                .retain(|_, (_, running)| running.upgrade().is_some());
        }
        entries.started += 1;
        let number = entries.started;
        let flight = start(number);
        // It has just been made and never polled to its end.
        if let Some(weak) = flight.downgrade() {
            entries.running.insert(key.clone(), (number, weak));
        }
        Err(flight)
    }

    /// The outcome that holds now, without a call.
    pub(super) fn peek(&self, key: &K, now: Now) -> Option<V> {
        let entries = self.entries();
        let kept = entries.kept.get(key).filter(|kept| kept.is_good(now))?;
        Some(kept.value.clone())
    }

    /// How many outcomes that hold now are such.
    pub(super) fn count(&self, now: Now, which: impl Fn(&K, &V) -> bool) -> usize {
        let entries = self.entries();
        let kept = entries.kept.iter().filter(|(_, kept)| kept.is_good(now));
        kept.filter(|(key, kept)| which(key, &kept.value)).count()
    }

    /// The end of a call. One that was forgotten, or followed by another, changes nothing.
    pub(super) fn finish(&self, key: K, number: u64, kept: Option<Timed<V>>, now: Now) {
        let mut entries = self.entries();
        if entries.running.get(&key).map(|(number, _)| *number) != Some(number) {
            return;
        }
        entries.running.remove(&key);
        let Some(kept) = kept else {
            return;
        };
        if entries.kept.len() >= LIMIT {
            entries.kept.retain(|_, kept| kept.is_good(now));
        }
        if entries.kept.len() >= LIMIT {
            let first = entries.kept.iter().min_by_key(|(_, kept)| kept.good_until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                entries.kept.remove(&first);
            }
        }
        entries.kept.insert(key, kept);
    }

    pub(super) fn forget_all(&self) {
        self.forget(|_| true);
    }

    /// Calls under way are finished for those who wait, and not handed to others.
    pub(super) fn forget(&self, which: impl Fn(&K) -> bool) {
        let mut entries = self.entries();
        entries.kept.retain(|key, _| !which(key));
        entries.running.retain(|key, _| !which(key));
    }

    /// Forgets the outcomes that are such.
    pub(super) fn forget_outcomes(&self, which: impl Fn(&Timed<V>) -> bool) {
        self.entries().kept.retain(|_, kept| !which(kept));
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
