//! The keeper: what this process knows of the tokens, and how it fits with what the store says.

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
use crate::fit::{Clock, ClockHealth, Environment};

/// A store that takes longer is down, for writing and opening.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for reading, where somebody waits.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Whose tokens are this app's: others in the same store are passed over.
#[derive(Default)]
pub(super) struct Admission {
    pub(super) app_id: OnceLock<String>,
    pub(super) environments: OnceLock<Vec<Environment>>,
}

impl Admission {
    pub(super) fn admits(&self, about: &About) -> bool {
        let environment = about.environment_type.as_deref();
        let mut admitted = self.environments.get().into_iter().flatten();
        self.app_id.get().is_none_or(|app| *app == about.app_id)
            && (self.environments.get().is_none()
                || admitted.any(|one| environment == Some(one.as_str())))
    }
}

/// What is kept open while tokens are kept.
pub(super) struct Keeper {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) margin: Duration,
    pub(super) limit: usize,
    /// What invocation tokens show of this machine's clock.
    pub(super) clock_health: Arc<ClockHealth>,
    /// The wall clock when it started, and `elapsed` then.
    started: (SystemTime, Duration),
    pub(super) admission: Arc<Admission>,
    pub(super) announcer: Announcer,
    memory: Mutex<Memory>,
    /// Cuts a pause after a failure short.
    pub(super) hurry: Notify,
    /// Goes up with each round of writing, failed or not.
    pub(super) rounds: watch::Sender<u64>,
    /// The process is about to end: a store gets less time.
    pub(super) ending: watch::Sender<bool>,
}

/// How long before its end a token is not handed out, and how many are remembered.
pub(super) struct Bounds {
    pub(super) margin: Duration,
    pub(super) limit: usize,
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn TokenStore>,
        keys: Keys,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        clock_health: Arc<ClockHealth>,
        admission: Arc<Admission>,
        announcer: Announcer,
    ) -> Self {
        Self {
            store: Arc::new(Guarded::new(store)),
            keys,
            started: (clock.now(), clock.elapsed()),
            clock,
            margin: bounds.margin,
            limit: bounds.limit,
            clock_health,
            admission,
            announcer,
            memory: Mutex::default(),
            hurry: Notify::new(),
            rounds: watch::Sender::new(0),
            ending: watch::Sender::new(false),
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The entry of an installation, as this process has it.
    pub(super) fn remembered(&self, installation_id: &str) -> Option<Entry> {
        let entry = self.memory().entries.get(installation_id).cloned();
        entry.filter(|entry| self.admission.admits(&entry.about))
    }

    /// The entries of the installations on a site, as this process has them.
    pub(super) fn remembered_on_site(&self, cloud_id: &str) -> Vec<Entry> {
        let memory = self.memory();
        let entries = memory.find_by_site(cloud_id);
        entries
            .filter(|entry| self.admission.admits(&entry.about))
            .cloned()
            .collect()
    }

    /// The time that instances share: the store's, where it has a clock; else this machine's.
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

    /// Reads the store's clock, where it has one.
    pub(super) async fn read_server_time(&self) -> Result<Option<SystemTime>, StoreError> {
        // Before the question: the time is never estimated to be earlier than it is.
        let elapsed = self.clock.elapsed();
        let time = in_time(self.store.server_time()).await?;
        self.memory().server_time = time.map(|time| (time, elapsed));
        Ok(time)
    }

    /// The wall clock, as far as it has moved no faster than time: one that jumps ahead is not
    /// followed. (After a machine has slept, it is behind.)
    pub(super) fn steady_now(&self) -> SystemTime {
        let (wall, elapsed) = self.started;
        let steady = wall + self.clock.elapsed().saturating_sub(elapsed);
        steady.min(self.clock.now())
    }

    /// Every entry that satisfies this. It runs under the lock: let it be quick.
    pub(super) fn remembered_where(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let memory = self.memory();
        let entries = memory.entries.values();
        entries
            .filter(|entry| self.admission.admits(&entry.about) && wanted(entry))
            .cloned()
            .collect()
    }

    /// Whether exactly this token with exactly this beside it is in memory, and the store has it
    /// or will: then there is nothing to do, and a request has paid for one look-up.
    pub(super) fn knows(&self, installation_id: &str, same: impl FnOnce(&Entry) -> bool) -> bool {
        let memory = self.memory();
        let entry = memory.entries.get(installation_id);
        entry.is_some_and(|entry| entry.is_safe(self.clock.elapsed()) && same(entry))
    }

    /// Takes a token in: memory has it at once, the store soon. One that ends earlier than the one
    /// in memory is passed over.
    pub(super) fn keep(
        self: &Arc<Self>,
        about: About,
        token: Zeroizing<String>,
        expires_at: SystemTime,
    ) {
        // Whole milliseconds, as stores write them: the seal has to match.
        let expires_at = from_millis(to_millis(expires_at));
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let id = about.installation_id.clone();
        let delivered = self.fleet_now();
        let mut memory = self.memory();
        let removal = memory.removals.get(&id);
        if removal.is_some_and(|removal| elapsed < removal.settles_at) {
            memory.counts.refused += 1;
            drop(memory);
            tracing::info!(
                installation = id,
                "a token is not kept: its installation was just removed"
            );
            return;
        }
        // An installation stays in the cloud that it was first called from.
        if let Some(entry) = memory.entries.get(&id)
            && entry.about.cloud() != about.cloud()
        {
            memory.counts.refused += 1;
            drop(memory);
            tracing::warn!(
                installation = id,
                "a token is not kept: another Atlassian cloud signed its call than the one that the \
                 installation is in"
            );
            return;
        }
        // Forge goes on calling for it: it wasn't uninstalled after all.
        let replaces = memory.removals.remove(&id).is_some();
        memory.unremoved.remove(&id);
        let mut standing = Standing::default();
        let mut supersedes = false;
        if let Some(entry) = memory.entries.get_mut(&id) {
            let same_token = *entry.token == token;
            let same = entry.expires_at == expires_at && same_token && *entry.about == about;
            if same_token {
                standing = entry.standing.clone();
            } else if entry.standing.refused {
                standing.supersedes = Some(fingerprint(&entry.token));
                supersedes = true;
            } else if entry.expires_at > now && entry.standing.supersedes(&token) {
                // The refused one, delivered again.
                return;
            }
            if (entry.expires_at > expires_at && !supersedes) || same {
                if same {
                    entry.delivered = Some(delivered);
                }
                // The store may have lost it since; that it has it already does no harm.
                if !entry.is_safe(elapsed) {
                    memory.queue(&id);
                    drop(memory);
                    self.start_writing();
                }
                return;
            }
        }
        let replaces =
            replaces || supersedes || memory.entries.get(&id).is_some_and(|entry| entry.replaces);
        let is_first = memory.entries.get(&id).is_none_or(|entry| entry.is_first);
        memory.counts.seen += 1;
        memory.insert(Entry {
            token: Arc::new(token),
            about: Arc::new(about),
            expires_at,
            standing,
            delivered: Some(delivered),
            ends_by: Entry::ends_by(expires_at, now, elapsed),
            unwritten: true,
            is_first,
            replaces,
            confirmed: elapsed,
            checked: elapsed,
        });
        self.bound(&mut memory);
        drop(memory);
        self.start_writing();
    }

    /// Atlassian refused a token (401). It is handed out until there is another, for a scope may be
    /// what is missing; but the next one takes its place, whatever its end, here and in the store.
    pub(super) fn doubt(self: &Arc<Self>, installation_id: &str, token: &str) {
        let mut memory = self.memory();
        let entry = memory.entries.get_mut(installation_id);
        let Some(entry) = entry.filter(|entry| entry.token.as_str() == token) else {
            return;
        };
        if std::mem::replace(&mut entry.standing.refused, true) {
            return;
        }
        memory.queue(installation_id);
        drop(memory);
        tracing::warn!(
            installation = installation_id,
            "Atlassian refused the kept system token (401); the next one that Forge delivers takes its \
             place"
        );
        self.start_writing();
    }

    /// Forgets entries when there are too many: written ones, which the store has; and of those
    /// that wait, when they alone are too many, the one that ends first.
    pub(super) fn bound(&self, memory: &mut Memory) {
        if memory.unwritten.len() > self.limit
            && let Some((_, id)) = memory.unwritten.first().cloned()
        {
            memory.forget(&id);
            memory.counts.dropped += 1;
            if memory.full_limit.permit(self.clock.elapsed()).is_some() {
                tracing::error!(
                    dropped = memory.counts.dropped,
                    "tokens are dropped, those that end first: the store is down, and memory is \
                     full of tokens that wait for it (`Tokens::memory_limit`)"
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
        // A tenth at once, so that it isn't done for every token.
        let surplus = memory.entries.len() - self.limit + self.limit / 10;
        for (_, id) in written.into_iter().take(surplus) {
            memory.forget(&id);
        }
    }

    /// Asks the store, where it is open.
    pub(super) async fn read<T>(&self, asked: StoreFuture<T>) -> Result<T, StoreError> {
        if self.link() != Link::Open {
            // Logged by the task that tries to open it.
            self.memory().counts.store_failures += 1;
            return Err(StoreError::new("it could not be opened yet"));
        }
        self.ask(asked).await
    }

    /// Asks the store, within the time a reader can wait; a failure is counted and logged.
    pub(super) async fn ask<T>(&self, asked: StoreFuture<T>) -> Result<T, StoreError> {
        let answer = timed(READ_TIMEOUT, asked).await;
        if let Err(error) = &answer {
            self.memory().counts.store_failures += 1;
            let error = format_args!("{error}{}", chain(error));
            tracing::error!(store = self.store.name(), %error, "the tokens' store can't be read");
        }
        answer
    }
}

/// What a task of the keeper's own asks of a store, within its time.
pub(super) async fn in_time<T>(asked: StoreFuture<T>) -> Result<T, StoreError> {
    timed(WRITE_TIMEOUT, asked).await
}

async fn timed<T>(time: Duration, asked: StoreFuture<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(time, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::new(format!("no answer within {time:?}"))),
    }
}
