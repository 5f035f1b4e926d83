//! One shared key set: fetched once for any number of waiting requests, refreshed ahead of expiry,
//! kept while its source is down.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::clock::{Clock, Moment};
use super::error::{KeysUnavailable, TokenRejection, VerifyError};
use super::jwk::{self, Key, Keys};
use super::key_policy::{JwksPolicy, MIN_TTL};
use super::source::KeySource;
use super::unknown_keys::UnknownKeys;

/// The shortest time from a failed fetch to the next one by a request, while there are no keys at
/// all.
const COLD_RETRY: Duration = Duration::from_secs(1);
/// The background task's longest wait between two failing fetches: without keys, and with stale ones.
const MAX_RETRY_COLD: Duration = Duration::from_secs(5);
const MAX_RETRY_STALE: Duration = Duration::from_secs(60);
/// A request that the present keys can verify waits no longer than this for newer ones.
const STALE_WAIT: Duration = Duration::from_secs(1);
/// No request waits longer than this for a fetch: Forge waits 5 seconds for an event.
const REQUEST_WAIT: Duration = Duration::from_secs(4);
/// The background task looks at the wall clock this often: its own sleep stops with the machine's.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// A key set that is fetched, cached and refreshed. Clones share it.
#[derive(Clone)]
pub struct Jwks {
    inner: Arc<JwksState>,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("source", &self.inner.source.name())
            .finish_non_exhaustive()
    }
}

/// The state of a key set, from [`Jwks::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksStats {
    /// The time since the set was fetched; `None` before the first fetch.
    pub age: Option<Duration>,
    /// The number of successful fetches.
    pub fetched: u64,
    /// The number of failed fetches.
    pub failed: u64,
}

struct JwksState {
    source: Box<dyn KeySource>,
    clock: Arc<dyn Clock>,
    policy: JwksPolicy,
    snapshot: ArcSwapOption<Snapshot>,
    upkeep: Mutex<Upkeep>,
    /// Counts finished fetches; waiting requests watch it.
    finished: watch::Sender<u64>,
}

struct Snapshot {
    keys: Keys,
    fetched: Moment,
    time_to_live: Duration,
    /// The age at which it should be fetched again.
    refresh_age: Duration,
}

impl Snapshot {
    fn age(&self, clock: &dyn Clock) -> Duration {
        self.fetched.age(clock)
    }

    /// Returns the time until the set should be fetched again; zero if that is due.
    fn due_in(&self, clock: &dyn Clock) -> Duration {
        self.refresh_age.saturating_sub(self.age(clock))
    }
}

#[derive(Default)]
struct Upkeep {
    in_flight: bool,
    /// When a fetch last finished without a usable set; `None` after a good one.
    failed: Option<Duration>,
    failures: u32,
    /// When an unknown key last caused a fetch.
    forced: Option<Duration>,
    /// The number of the last fetch that was started, and of the last that brought a set.
    last_started: u64,
    last_accepted: u64,
    /// How many fetches brought a set, and how many did not.
    fetch_count: u64,
    failure_count: u64,
    unknown: UnknownKeys,
}

impl Upkeep {
    /// Returns when a source that failed may be fetched again; `None` if the last fetch succeeded.
    fn retry_at(&self, has_keys: bool) -> Option<Duration> {
        let longest = if has_keys {
            MAX_RETRY_STALE
        } else {
            MAX_RETRY_COLD
        };
        let backoff = Duration::from_secs(1 << self.failures.saturating_sub(1).min(6));
        Some(self.failed? + backoff.min(longest))
    }
}

impl Jwks {
    /// Creates a key set without keys; nothing is fetched yet.
    pub fn new(source: impl KeySource, policy: JwksPolicy, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(JwksState {
                source: Box::new(source),
                clock,
                policy,
                snapshot: ArcSwapOption::empty(),
                upkeep: Mutex::default(),
                finished: watch::Sender::new(0),
            }),
        }
    }

    /// Returns whether there are keys to verify with.
    pub fn is_ready(&self) -> bool {
        self.inner.usable().is_some()
    }

    /// Returns the set's age and the number of its fetches, for metrics.
    ///
    /// ```
    /// use forge_remote_fit::Verifier;
    ///
    /// # let app_id = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107".parse()?;
    /// # #[cfg(feature = "http")] {
    /// let verifier = Verifier::production(app_id)?;
    /// assert_eq!(verifier.keys().commercial.stats().age, None);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> JwksStats {
        let inner = &self.inner;
        let snapshot = inner.snapshot.load();
        let age = snapshot
            .as_ref()
            .map(|snapshot| snapshot.age(&*inner.clock));
        let upkeep = inner.upkeep();
        JwksStats {
            age,
            fetched: upkeep.fetch_count,
            failed: upkeep.failure_count,
        }
    }

    /// Returns the source's name: its URL, if it is fetched over HTTP.
    pub fn source_name(&self) -> &str {
        self.inner.source.name()
    }

    /// Returns a future that refreshes the set before it expires, until every clone is dropped. Spawn
    /// it as a task; otherwise requests trigger the fetches.
    pub fn keep_fresh(&self) -> impl Future<Output = ()> + Send + 'static {
        let weak = Arc::downgrade(&self.inner);
        let clock = Arc::clone(&self.inner.clock);
        async move {
            loop {
                // Decided and started under one lock: a request may have fetched meanwhile.
                let (inner, due) = {
                    let Some(inner) = weak.upgrade() else { return };
                    let mut upkeep = inner.upkeep();
                    let delay = inner.next_fetch(&upkeep);
                    let due = if delay > Duration::ZERO && !upkeep.in_flight {
                        Err(delay)
                    } else {
                        Ok(inner.start_fetch(&mut upkeep))
                    };
                    drop(upkeep);
                    (inner, due)
                };
                match due {
                    Ok(waiting) => {
                        // The fetch bounds itself; this is for a source that blocks its thread.
                        let bound = inner.policy.fetch_timeout * 2;
                        fetched_within(bound, waiting).await;
                    }
                    Err(delay) => {
                        drop(inner);
                        clock.sleep(delay.min(LONGEST_SLEEP)).await;
                    }
                }
            }
        }
    }

    /// Passes the keys of this name to `check`, if the set has them and isn't due to be fetched again: the usual case.
    pub(super) fn with_fresh<T>(&self, kid: &str, check: impl FnOnce(&[Key]) -> T) -> Option<T> {
        let snapshot = self.inner.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        if snapshot.due_in(&*self.inner.clock).is_zero() {
            return None;
        }
        snapshot.keys.get(kid).map(|keys| check(keys))
    }

    /// Returns the keys that may have signed a FIT with this `kid`, after a fetch if one is due.
    pub(super) async fn find(&self, kid: &str) -> Result<Arc<[Key]>, VerifyError> {
        let inner = &self.inner;
        // Twice: a fetch that was under way already may be older than the FIT.
        for _ in 0..2 {
            let Some(snapshot) = inner.usable() else {
                inner.wait_for_any_keys().await?;
                continue;
            };
            inner.refresh_if_due(&snapshot).await;
            let snapshot = inner.usable().unwrap_or(snapshot);
            if let Some(keys) = snapshot.keys.get(kid) {
                return Ok(Arc::clone(keys));
            }
            if !inner.wait_for_unknown_key(&snapshot, kid).await? {
                break;
            }
        }
        let found = inner
            .usable()
            .and_then(|snapshot| snapshot.keys.get(kid).cloned());
        found.ok_or_else(|| inner.missing(&mut inner.upkeep(), kid))
    }
}

impl JwksState {
    /// Returns the time until the background task should fetch.
    fn next_fetch(&self, upkeep: &Upkeep) -> Duration {
        let snapshot = self.snapshot.load();
        match upkeep.retry_at(snapshot.is_some()) {
            Some(retry_at) => retry_at.saturating_sub(self.clock.elapsed()),
            None => snapshot
                .as_ref()
                .map_or(Duration::ZERO, |snapshot| snapshot.due_in(&*self.clock)),
        }
    }

    /// Returns why a key that is not in the set cannot be used. It is known to be unpublished only if the set was
    /// fetched since a FIT first named it.
    fn missing(&self, upkeep: &mut Upkeep, kid: &str) -> VerifyError {
        let now = self.clock.elapsed();
        let first_seen = upkeep.unknown.first_seen(kid, upkeep.last_started, now);
        if upkeep.failed.is_some() {
            KeysUnavailable::NotFetched.into()
        } else if upkeep.last_accepted > first_seen {
            TokenRejection::UnknownKey.into()
        } else {
            KeysUnavailable::Cooldown.into()
        }
    }

    fn upkeep(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last good set, unless it is too old to be trusted.
    fn usable(&self) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshot.load_full()?;
        let limit = self.policy.max_stale.max(snapshot.time_to_live);
        (snapshot.age(&*self.clock) <= limit).then_some(snapshot)
    }

    /// Waits for a usable set: joins the running fetch, or starts one.
    async fn wait_for_any_keys(self: &Arc<Self>) -> Result<(), VerifyError> {
        let waiting = {
            let mut upkeep = self.upkeep();
            // It may have come while nobody held the lock.
            if self.usable().is_some() {
                return Ok(());
            }
            let just_failed = upkeep
                .failed
                .is_some_and(|at| self.clock.elapsed().saturating_sub(at) < COLD_RETRY);
            if just_failed && !upkeep.in_flight {
                return Err(KeysUnavailable::NotFetched.into());
            }
            self.start_fetch(&mut upkeep)
        };
        fetched_within(REQUEST_WAIT, waiting).await;
        if self.usable().is_some() {
            Ok(())
        } else {
            Err(KeysUnavailable::NotFetched.into())
        }
    }

    /// Starts a fetch once 80 % of the set's lifetime have passed, and waits for it once the lifetime has ended. Does
    /// nothing while the source is known to be down.
    async fn refresh_if_due(self: &Arc<Self>, snapshot: &Snapshot) {
        let is_due = |snapshot: &Snapshot| snapshot.due_in(&*self.clock).is_zero();
        if !is_due(snapshot) {
            return;
        }
        let now = self.clock.elapsed();
        let waiting = {
            let mut upkeep = self.upkeep();
            let renewed = self.usable().is_some_and(|current| !is_due(&current));
            if renewed || upkeep.retry_at(true).is_some_and(|at| now < at) {
                return;
            }
            let failing = upkeep.failed.is_some();
            let waiting = self.start_fetch(&mut upkeep);
            if failing || snapshot.age(&*self.clock) < snapshot.time_to_live {
                return;
            }
            waiting
        };
        fetched_within(STALE_WAIT, waiting).await;
    }

    /// Fetches the set for a key that it lacks, at most once per cool-down. Returns whether the set may have the key
    /// now, so that it should be searched again.
    async fn wait_for_unknown_key(
        self: &Arc<Self>,
        seen: &Arc<Snapshot>,
        kid: &str,
    ) -> Result<bool, VerifyError> {
        let waiting = {
            let now = self.clock.elapsed();
            let mut upkeep = self.upkeep();
            if self
                .usable()
                .is_some_and(|current| !Arc::ptr_eq(&current, seen))
            {
                return Ok(true);
            }
            let started = upkeep.last_started;
            upkeep.unknown.first_seen(kid, started, now);
            if !upkeep.in_flight {
                let cooling = upkeep
                    .forced
                    .is_some_and(|at| now.saturating_sub(at) < self.policy.unknown_key_cooldown);
                if cooling {
                    return Ok(false);
                }
                upkeep.forced = Some(now);
            }
            self.start_fetch(&mut upkeep)
        };
        let in_time = fetched_within(REQUEST_WAIT, waiting).await;
        if !in_time || self.upkeep().failed.is_some() {
            Err(KeysUnavailable::NotFetched.into())
        } else {
            Ok(true)
        }
    }

    /// Starts a fetch unless one is running, and returns the receiver of its end.
    fn start_fetch(self: &Arc<Self>, upkeep: &mut Upkeep) -> watch::Receiver<u64> {
        let waiting = self.finished.subscribe();
        if !upkeep.in_flight {
            upkeep.in_flight = true;
            upkeep.last_started += 1;
            let number = upkeep.last_started;
            let inner = Arc::clone(self);
            // A separate task, so that the fetch continues if its caller disconnects.
            tokio::spawn(async move {
                let mut guard = FetchGuard {
                    inner: Arc::clone(&inner),
                    reported: false,
                };
                let fetched =
                    tokio::time::timeout(inner.policy.fetch_timeout, inner.source.fetch());
                match fetched.await {
                    Ok(Ok(fetched)) => inner.accept(number, &fetched.document, fetched.max_age),
                    Ok(Err(error)) => {
                        let causes = crate::error::chain(&error);
                        inner.reject(&format!("{error}{causes}"));
                    }
                    Err(_) => {
                        let limit = inner.policy.fetch_timeout;
                        inner.reject(&format!(
                            "no response within {limit:?} (`JwksPolicy::fetch_timeout`)"
                        ));
                    }
                }
                guard.reported = true;
            });
        }
        waiting
    }

    fn accept(&self, number: u64, document: &[u8], max_age: Option<Duration>) {
        let keys = match jwk::parse(document) {
            Some(keys) if !keys.is_empty() => keys,
            Some(_) => {
                let problems = jwk::examined(document).map(|examined| examined.problems());
                let problems = problems.filter(|problems| !problems.is_empty());
                let problems = problems.map_or_else(String::new, |all| format!(": {all}"));
                let reason = format!("the document has no key that could verify a FIT{problems}");
                return self.reject(&reason);
            }
            None => return self.reject("the document is not a JSON Web Key Set"),
        };
        let time_to_live = max_age
            .unwrap_or(self.policy.time_to_live)
            .clamp(MIN_TTL, self.policy.time_to_live);
        tracing::debug!(
            keys = keys.len(),
            source = self.source.name(),
            "key set fetched"
        );
        // Under the lock, so that who misses a key in the new set finds it withdrawn.
        let mut upkeep = self.upkeep();
        let now = self.clock.elapsed();
        if let Some(old) = &*self.snapshot.load() {
            for kid in old.keys.keys().filter(|kid| !keys.contains_key(*kid)) {
                upkeep.unknown.withdrawn(kid, number, now);
            }
        }
        self.snapshot.store(Some(Arc::new(Snapshot {
            keys,
            fetched: Moment::now(&*self.clock),
            time_to_live,
            refresh_age: time_to_live.mul_f64(0.8),
        })));
        upkeep.failed = None;
        upkeep.failures = 0;
        upkeep.last_accepted = number;
        upkeep.fetch_count += 1;
    }

    fn reject(&self, reason: &str) {
        let mut upkeep = self.upkeep();
        upkeep.failed = Some(self.clock.elapsed());
        upkeep.failures = upkeep.failures.saturating_add(1);
        upkeep.failure_count += 1;
        let failures = upkeep.failures;
        drop(upkeep);
        let in_use = self.snapshot.load().is_some();
        tracing::warn!(
            source = self.source.name(),
            reason,
            failures,
            in_use,
            "the key set could not be fetched; the fetch is retried{}",
            if in_use {
                " and the last good one is used meanwhile"
            } else {
                ""
            },
        );
    }
}

/// Waits until the running fetch ends, and returns whether it did in this time.
async fn fetched_within(time: Duration, mut fetch: watch::Receiver<u64>) -> bool {
    tokio::time::timeout(time, fetch.changed()).await.is_ok()
}

/// Marks a fetch as finished when it is dropped, so that nobody waits for one that panicked.
struct FetchGuard {
    inner: Arc<JwksState>,
    reported: bool,
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        if !self.reported {
            self.inner.reject("the source panicked");
        }
        self.inner.upkeep().in_flight = false;
        self.inner.finished.send_modify(|count| *count += 1);
    }
}
