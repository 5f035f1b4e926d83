//! The keeper: the process's cache of tokens and its reconciliation with the store.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::cache::{Entry, Link, Memory, TokenStats};
use super::callbacks::Announcer;
use super::installation::{About, Standing, fingerprint};
use super::seal::Keys;
use super::store::{Guarded, StoreError, StoreFuture, TokenStore, from_millis, to_millis};
use crate::error::chain;
use crate::fit::{Claims, Clock, ClockHealth, Environment};

/// Time limit of a store for writing and opening.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a store for reading, because callers wait for it.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The tokens that belong to this app: others in the same store are ignored.
#[derive(Default)]
pub(super) struct OwnApps {
    /// The ids of the backend's apps.
    pub(super) app_ids: OnceLock<Vec<String>>,
    pub(super) environments: OnceLock<Vec<Environment>>,
}

impl OwnApps {
    pub(super) fn admits(&self, about: &About) -> bool {
        let environment = about.environment_type.as_deref();
        let mut admitted = self.environments.get().into_iter().flatten();
        self.app_ids
            .get()
            .is_none_or(|apps| apps.contains(&about.app_id))
            && (self.environments.get().is_none()
                || admitted.any(|one| environment == Some(one.as_str())))
    }
}

/// Why a delivered token is not kept.
enum Rejection {
    JustRemoved,
    OtherApp,
    OtherCloud,
}

impl Rejection {
    fn log(&self, installation: &str) {
        match self {
            Self::JustRemoved => tracing::info!(
                installation,
                "a token is not kept: its installation was just removed"
            ),
            Self::OtherApp => tracing::warn!(
                installation,
                "a token is not kept: its installation belongs to another app of this backend"
            ),
            Self::OtherCloud => tracing::warn!(
                installation,
                "a token is not stored: its call was signed by an Atlassian cloud other than the installation's"
            ),
        }
    }
}

/// The open state of stored tokens: store, keys, clock and cache.
pub(super) struct Keeper {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) margin: Duration,
    pub(super) limit: usize,
    /// The state of this machine's clock, as far as invocation tokens show it.
    pub(super) clock_health: Arc<ClockHealth>,
    /// The wall clock and `elapsed` when the keeper was created.
    started: (SystemTime, Duration),
    pub(super) own_apps: Arc<OwnApps>,
    pub(super) announcer: Announcer,
    /// Starts the task that writes, if rows are waiting and no task is running.
    start_writer: fn(&Arc<Self>),
    memory: Mutex<Memory>,
    /// Ends the pause after a failure, and the wait for more tokens, early.
    pub(super) hurry: Notify,
    /// Ends the pause after a failed read of a record that has won early.
    pub(super) hurry_reading: Notify,
    /// The number of rounds of writing and reading, failed or not.
    pub(super) rounds: watch::Sender<u64>,
    /// How many callers flush because the process is about to end, so that a store gets less time.
    pub(super) ending: watch::Sender<usize>,
}

/// The settings of a keeper, and what it shares with the handle.
pub(super) struct KeeperSettings {
    /// The expiry margin.
    pub(super) margin: Duration,
    /// The limit of the cache.
    pub(super) limit: usize,
    pub(super) clock_health: Arc<ClockHealth>,
    pub(super) own_apps: Arc<OwnApps>,
    pub(super) announcer: Announcer,
    pub(super) start_writer: fn(&Arc<Keeper>),
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn TokenStore>,
        keys: Keys,
        clock: Arc<dyn Clock>,
        settings: KeeperSettings,
    ) -> Self {
        Self {
            store: Arc::new(Guarded::new(store)),
            keys,
            started: (clock.now(), clock.elapsed()),
            clock,
            margin: settings.margin,
            limit: settings.limit,
            clock_health: settings.clock_health,
            own_apps: settings.own_apps,
            announcer: settings.announcer,
            start_writer: settings.start_writer,
            memory: Mutex::default(),
            hurry: Notify::new(),
            hurry_reading: Notify::new(),
            rounds: watch::Sender::new(0),
            ending: watch::Sender::new(0),
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has waiting rows written soon, off the caller's path.
    pub(super) fn wake_writer(self: &Arc<Self>) {
        (self.start_writer)(self);
    }

    /// Wakes the callers that wait for the end of a round.
    pub(super) fn round_is_over(&self) {
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    pub(super) fn store(&self) -> &dyn TokenStore {
        &*self.store
    }

    pub(super) fn link(&self) -> Link {
        self.memory().link
    }

    pub(super) fn stats(&self) -> TokenStats {
        let memory = self.memory();
        TokenStats {
            pending: memory.waiting() as u64,
            ..memory.counts.clone()
        }
    }

    /// Returns the cached entry of an installation.
    pub(super) fn remembered(&self, installation_id: &str) -> Option<Entry> {
        let entry = self.memory().entries.get(installation_id).cloned();
        entry.filter(|entry| self.own_apps.admits(&entry.about))
    }

    /// Returns the cached entries of the installations on a site.
    pub(super) fn remembered_on_site(&self, cloud_id: &str) -> Vec<Entry> {
        let memory = self.memory();
        let entries = memory.find_by_site(cloud_id);
        entries
            .filter(|entry| self.own_apps.admits(&entry.about))
            .cloned()
            .collect()
    }

    /// Returns the time that instances share: the store's, if it has a clock; otherwise this machine's.
    pub(super) fn fleet_now(&self) -> SystemTime {
        let server_time = self.memory().server_time;
        self.fleet_time(server_time)
    }

    fn fleet_time(&self, server_time: Option<(SystemTime, Duration)>) -> SystemTime {
        match server_time {
            Some((time, read_at)) => time + self.clock.elapsed().saturating_sub(read_at),
            None => self.clock.now(),
        }
    }

    /// Reads the store's clock, if it has one.
    pub(super) async fn read_server_time(&self) -> Result<Option<SystemTime>, StoreError> {
        // Read before the request, so that the time is never estimated to be earlier than it is.
        let elapsed = self.clock.elapsed();
        let time = in_time(self.store.server_time()).await?;
        self.memory().server_time = time.map(|time| (time, elapsed));
        Ok(time)
    }

    /// Returns the wall clock's time without its jumps ahead. (After a machine has slept, it is behind.)
    pub(super) fn steady_now(&self) -> SystemTime {
        let (wall, elapsed) = self.started;
        let steady = wall + self.clock.elapsed().saturating_sub(elapsed);
        steady.min(self.clock.now())
    }

    /// Returns every entry that satisfies the predicate, which runs under the lock and must be quick.
    pub(super) fn remembered_where(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let memory = self.memory();
        let entries = memory.entries.values();
        entries
            .filter(|entry| self.own_apps.admits(&entry.about) && wanted(entry))
            .cloned()
            .collect()
    }

    /// Returns whether an equal entry is in memory, and in the store or waiting to be written: then a
    /// request costs one look-up.
    pub(super) fn knows(&self, installation_id: &str, same: impl FnOnce(&Entry) -> bool) -> bool {
        let memory = self.memory();
        let entry = memory.entries.get(installation_id);
        entry.is_some_and(|entry| entry.is_safe(self.clock.elapsed()) && same(entry))
    }

    /// Returns the data of a call's installation: the same as before, if nothing has changed.
    pub(super) fn about(&self, claims: &Claims) -> Arc<About> {
        let known = {
            let memory = self.memory();
            let entry = memory.entries.get(claims.installation_id());
            entry.map(|entry| Arc::clone(&entry.about))
        };
        known
            .filter(|about| about.agrees_with(claims))
            .unwrap_or_else(|| Arc::new(About::of(claims)))
    }

    /// Keeps a token: in memory at once, in the store soon. A token that expires earlier than the one
    /// in memory is ignored.
    pub(super) fn keep(
        self: &Arc<Self>,
        about: Arc<About>,
        token: Zeroizing<String>,
        expires_at: SystemTime,
    ) {
        // Whole milliseconds, as stores write them: the seal has to match.
        let expires_at = from_millis(to_millis(expires_at));
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let id = about.installation_id.as_str();
        let delivered = self.fleet_now();
        let mut memory = self.memory();
        if let Some(rejection) = self.rejection(&memory, &about, elapsed) {
            memory.counts.rejected += 1;
            drop(memory);
            rejection.log(id);
            return;
        }
        // Forge still calls for the installation, so it was not uninstalled after all.
        let replaces = memory.removals.remove(id).is_some();
        memory.unremoved.remove(id);
        let mut standing = Standing::default();
        let mut supersedes = false;
        if let Some(entry) = memory.entries.get_mut(id) {
            let same_token = *entry.token == token;
            let same = entry.expires_at == expires_at && same_token && entry.about == about;
            if same_token {
                standing = entry.standing.clone();
            } else if entry.standing.rejected {
                standing.supersedes = Some(fingerprint(&entry.token));
                supersedes = true;
            } else if entry.expires_at > now && entry.standing.supersedes(&token) {
                // The rejected token, delivered again.
                return;
            }
            if (entry.expires_at > expires_at && !supersedes) || same {
                if same {
                    entry.delivered = Some(delivered);
                }
                // The store may have lost it since; writing it twice does no harm.
                if !entry.is_safe(elapsed) {
                    memory.queue(id);
                    drop(memory);
                    self.wake_writer();
                }
                return;
            }
        }
        let replaces =
            replaces || supersedes || memory.entries.get(id).is_some_and(|entry| entry.replaces);
        memory.counts.seen += 1;
        memory.insert(Entry {
            token: Arc::new(token),
            about: Arc::clone(&about),
            expires_at,
            standing,
            delivered: Some(delivered),
            ends_by: Entry::ends_by(expires_at, now, elapsed),
            unwritten: true,
            replaces,
            confirmed: elapsed,
            checked: elapsed,
        });
        self.bound(&mut memory);
        drop(memory);
        self.wake_writer();
    }

    /// Returns why a delivered token is not kept, if it is not.
    fn rejection(&self, memory: &Memory, about: &About, elapsed: Duration) -> Option<Rejection> {
        let id = &about.installation_id;
        let removal = memory.removals.get(id);
        if removal.is_some_and(|removal| elapsed < removal.settles_at) {
            return Some(Rejection::JustRemoved);
        }
        let entry = memory.entries.get(id)?;
        // Forge gives the installation of each app a separate id.
        if entry.about.app_id != about.app_id && self.own_apps.admits(&entry.about) {
            return Some(Rejection::OtherApp);
        }
        // An installation stays in the cloud that it was first called from.
        (entry.about.cloud() != about.cloud()).then_some(Rejection::OtherCloud)
    }

    /// Records that Atlassian rejected a token (401). It is still handed out until there is another,
    /// because a scope may be missing; but the next one replaces it here and in the store, regardless
    /// of its expiry.
    pub(super) fn doubt(self: &Arc<Self>, installation_id: &str, token: &str) {
        let mut memory = self.memory();
        let entry = memory.entries.get_mut(installation_id);
        let Some(entry) = entry.filter(|entry| entry.token.as_str() == token) else {
            return;
        };
        if std::mem::replace(&mut entry.standing.rejected, true) {
            return;
        }
        memory.queue(installation_id);
        drop(memory);
        tracing::warn!(
            installation = installation_id,
            "Atlassian rejected the stored system token (401); the next one that Forge delivers replaces \
             it"
        );
        self.wake_writer();
    }

    /// Forgets entries above the limit: written ones, which the store has; and if too many are waiting
    /// to be written, the one of these that expires first.
    pub(super) fn bound(&self, memory: &mut Memory) {
        if memory.unwritten.len() > self.limit
            && let Some((_, id)) = memory.unwritten.first().cloned()
        {
            memory.forget(&id);
            memory.counts.dropped += 1;
            if memory.full_limit.permit(self.clock.elapsed()).is_some() {
                tracing::error!(
                    dropped = memory.counts.dropped,
                    "tokens are dropped, beginning with the first to expire: the store is down, and \
                     the limit of tokens in memory is reached (`Tokens::memory_limit`)"
                );
            }
        }
        if memory.entries.len() <= self.limit {
            return;
        }
        let mut written: Vec<(SystemTime, String)> = memory
            .entries
            .iter()
            .filter(|(_, entry)| !entry.unwritten)
            .map(|(id, entry)| (entry.expires_at, id.clone()))
            .collect();
        written.sort();
        // A tenth more than needed, so that this doesn't run for every token.
        let surplus = memory.entries.len() - self.limit + self.limit / 10;
        for (_, id) in written.into_iter().take(surplus) {
            memory.forget(&id);
        }
    }

    /// Runs a read of the store, if it is open.
    pub(super) async fn read<T>(&self, call: StoreFuture<T>) -> Result<T, StoreError> {
        if self.link() != Link::Open {
            // Logged by the task that tries to open it.
            self.memory().counts.store_failures += 1;
            return Err(StoreError::new("it could not be opened yet"));
        }
        self.read_bounded(call).await
    }

    /// Runs a read of the store with a reader's time limit; a failure is counted and logged.
    pub(super) async fn read_bounded<T>(&self, call: StoreFuture<T>) -> Result<T, StoreError> {
        let result = timed(READ_TIMEOUT, call).await;
        if let Err(error) = &result {
            self.memory().counts.store_failures += 1;
            let error = format_args!("{error}{}", chain(error));
            tracing::error!(store = self.store.name(), %error, "the token store cannot be read");
        }
        result
    }
}

/// Runs a call of the store by one of the keeper's tasks, with its time limit.
pub(super) async fn in_time<T>(call: StoreFuture<T>) -> Result<T, StoreError> {
    timed(WRITE_TIMEOUT, call).await
}

async fn timed<T>(time: Duration, call: StoreFuture<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(time, call).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::new(format!("no response within {time:?}"))),
    }
}
