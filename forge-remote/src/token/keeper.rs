//! The keeper: what this process knows of the tokens, and how it fits with what the store says.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::cache::{Entry, Link, Memory, TokenCounts};
use super::installation::{About, Standing, fingerprint};
use super::removal;
use super::removal::{Announcer, Removal, SETTLES};
use super::seal::{Keys, Shut, Subject};
use super::store::{SealedToken, StoreError, Stored, TokenStore, from_millis, to_millis};
use crate::error::chain;
use crate::fit::{Clock, Environment};

/// A store that takes longer is down, for writing and opening.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// The same for reading, where somebody waits.
const READ_TIME: Duration = Duration::from_secs(3);

/// Whose tokens are this app's: others in the same store are passed over.
#[derive(Default)]
pub(super) struct Admission {
    pub(super) app_id: OnceLock<String>,
    pub(super) environments: OnceLock<Vec<Environment>>,
}

impl Admission {
    fn admits(&self, about: &About) -> bool {
        let environment = about.environment_type.as_deref();
        let mut admitted = self.environments.get().into_iter().flatten();
        self.app_id.get().is_none_or(|app| *app == about.app_id)
            && (self.environments.get().is_none()
                || admitted.any(|one| environment == Some(one.as_str())))
    }
}

/// No clock is so wrong that a token seems to last this long.
const ABSURD_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What is kept open while tokens are kept.
pub(super) struct Keeper {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) margin: Duration,
    pub(super) limit: usize,
    admission: Arc<Admission>,
    announcer: Announcer,
    memory: Mutex<Memory>,
    /// Cuts a pause after a failure short.
    pub(super) hurry: Notify,
    /// Goes up with each round of writing, failed or not.
    pub(super) rounds: watch::Sender<u64>,
    /// The process is about to end: a store gets less time.
    pub(super) ending: watch::Sender<bool>,
}

/// What became of reading a sealed record.
pub(super) enum Opened {
    Entry(Entry),
    /// The installation was removed.
    Removed,
    /// Another app's, or of an environment that the app doesn't take.
    Foreign,
    Shut(String),
}

/// What there is of an installation.
pub(super) enum Found {
    Entry(Entry),
    Nothing,
    Shut(String),
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn TokenStore>,
        keys: Keys,
        clock: Arc<dyn Clock>,
        margin: Duration,
        limit: usize,
        admission: Arc<Admission>,
        announcer: Announcer,
    ) -> Self {
        Self {
            store,
            keys,
            clock,
            margin,
            limit,
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

    pub(super) fn counts(&self) -> TokenCounts {
        let memory = self.memory();
        TokenCounts {
            pending: memory.waiting() as u64,
            ..memory.counts.clone()
        }
    }

    /// The entry of an installation, as this process has it.
    pub(super) fn remembered(&self, installation_id: &str) -> Option<Entry> {
        let entry = self.memory().entries.get(installation_id).cloned();
        entry.filter(|entry| self.admission.admits(&entry.about))
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
        let mut memory = self.memory();
        let removal = memory.removals.get(&id);
        if removal.is_some_and(|removal| now < removal.at + SETTLES) {
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
                    entry.delivered = Some(now);
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
            delivered: Some(now),
            unwritten: true,
            is_first,
            replaces,
            confirmed: elapsed,
            asked: elapsed,
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
    fn bound(&self, memory: &mut Memory) {
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
            memory.entries.remove(&id);
        }
    }

    /// What memory and store have of an installation; the store is asked.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        installation_id: &str,
    ) -> Result<Found, StoreError> {
        match self.read(self.store.get(installation_id)).await {
            Ok(Some(sealed)) => Ok(match self.open_record(&sealed, true) {
                Opened::Entry(entry) => Found::Entry(entry),
                Opened::Removed | Opened::Foreign => Found::Nothing,
                Opened::Shut(reason) => Found::Shut(reason),
            }),
            Ok(None) => Ok(self
                .not_in_store(installation_id)
                .map_or(Found::Nothing, Found::Entry)),
            Err(error) => {
                // Or every reader would wait for a store that is down.
                let elapsed = self.clock.elapsed();
                if let Some(entry) = self.memory().entries.get_mut(installation_id) {
                    entry.asked = elapsed;
                }
                Err(error)
            }
        }
    }

    /// The store has no record of an installation. A removal would be one, so it has lost what
    /// memory still has: it gets it again.
    pub(super) fn not_in_store(self: &Arc<Self>, installation_id: &str) -> Option<Entry> {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let mut memory = self.memory();
        let entry = memory.entries.get_mut(installation_id)?;
        entry.asked = elapsed;
        if !self.admission.admits(&entry.about) {
            return None;
        }
        let entry = entry.clone();
        if entry.unwritten {
            return Some(entry);
        }
        if entry.expires_at <= now {
            // Purged. It still tells when it ended.
            return Some(entry);
        }
        self.restore(&mut memory, installation_id);
        drop(memory);
        self.start_writing();
        Some(entry)
    }

    /// Has a token written that the store lost.
    fn restore(&self, memory: &mut Memory, id: &str) {
        memory.counts.restored += 1;
        memory.queue(id);
        if memory.lost_limit.permit(self.clock.elapsed()).is_some() {
            tracing::warn!(
                store = self.store.name(),
                restored = memory.counts.restored,
                "the tokens' store has lost tokens; it gets them again from memory"
            );
        }
    }

    /// Opens a record of the store, and remembers what it says: all of it, or only as much as
    /// memory has room for.
    pub(super) fn open_record(self: &Arc<Self>, sealed: &SealedToken, all: bool) -> Opened {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let reason = match self.keys.open(subject, &sealed.sealed) {
            Ok(plain) => {
                if let Some(at) = removal::read(&plain) {
                    return self.learn_removal(&sealed.installation_id, at);
                }
                match About::read(&sealed.installation_id, &plain) {
                    Some((_, about, _)) if !self.admission.admits(&about) => {
                        return Opened::Foreign;
                    }
                    Some((token, about, standing)) => {
                        let elapsed = self.clock.elapsed();
                        let entry = Entry {
                            token: Arc::new(token),
                            about: Arc::new(about),
                            expires_at: sealed.expires_at,
                            standing,
                            delivered: None,
                            unwritten: false,
                            is_first: false,
                            replaces: false,
                            confirmed: elapsed,
                            asked: elapsed,
                        };
                        return self.remember(entry, all);
                    }
                    None => "a newer version of forge-remote wrote it".to_owned(),
                }
            }
            Err(Shut::OtherKey(id)) => {
                format!("FORGE_REMOTE_TOKEN_KEY lacks the key with the id {id}")
            }
            Err(Shut::Damaged) => "it was changed since, or is damaged".to_owned(),
        };
        self.memory().counts.unreadable += 1;
        tracing::warn!(
            installation = sealed.installation_id,
            reason,
            "a kept token can't be opened; it is left as it is"
        );
        Opened::Shut(reason)
    }

    /// The id of a key that is missing, when this token needs it.
    pub(super) fn missing_key(&self, sealed: &SealedToken) -> Option<String> {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        match self.keys.open(subject, &sealed.sealed) {
            Err(Shut::OtherKey(id)) => Some(id.to_string()),
            _ => None,
        }
    }

    /// The later of the two: what the store has, and what memory has.
    fn remember(self: &Arc<Self>, mut from_store: Entry, all: bool) -> Opened {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let id = from_store.id().to_owned();
        // A wrong end, and not just another machine's clock: newer ones must not wait for it.
        let lasts_too_long = from_store.expires_at > now + ABSURD_LIFE;
        let mut memory = self.memory();
        if let Some(removal) = memory.removals.get(&id) {
            // Read before the removal was written, or written by an instance that didn't know.
            if !removal.is_settled(elapsed) {
                return Opened::Removed;
            }
            memory.removals.remove(&id);
        }
        let mut restored = false;
        if let Some(entry) = memory.entries.get_mut(&id) {
            let same_end = entry.expires_at == from_store.expires_at;
            entry.asked = elapsed;
            let same_token = *entry.token == *from_store.token;
            if same_token && from_store.standing.refused {
                entry.standing.refused = true;
            }
            let (ours, theirs) = (&entry.standing, &from_store.standing);
            let is_superseded = ours.supersedes(&from_store.token);
            let supersedes =
                theirs.supersedes(&entry.token) || (!same_token && ours.refused && !theirs.refused);
            if lasts_too_long || is_superseded {
                entry.replaces = true;
            }
            if lasts_too_long
                || is_superseded
                || (!supersedes
                    && (entry.expires_at > from_store.expires_at || (same_end && entry.unwritten)))
            {
                if !entry.unwritten && entry.expires_at > now {
                    self.restore(&mut memory, &id);
                    restored = true;
                }
                let entry = memory.entries.get(&id).cloned();
                drop(memory);
                if restored {
                    self.start_writing();
                }
                return entry.map_or(Opened::Removed, Opened::Entry);
            }
            if same_end && *entry.token == *from_store.token {
                from_store.delivered = entry.delivered;
            }
        }
        if lasts_too_long {
            return Opened::Shut("its end is later than a token's can be".to_owned());
        }
        if all || memory.entries.contains_key(&id) || memory.entries.len() < self.limit {
            memory.insert(from_store.clone());
            self.bound(&mut memory);
        }
        Opened::Entry(from_store)
    }

    /// The store says that an installation was removed, here or by another instance.
    fn learn_removal(self: &Arc<Self>, id: &str, at: SystemTime) -> Opened {
        let elapsed = self.clock.elapsed();
        let mut memory = self.memory();
        if let Some(entry) = memory.entries.get_mut(id) {
            entry.asked = elapsed;
            // Forge has called for it since: it wasn't uninstalled after all.
            if entry.delivered.is_some_and(|when| when >= at + SETTLES) {
                entry.replaces = true;
                let entry = entry.clone();
                memory.queue(id);
                drop(memory);
                self.start_writing();
                return Opened::Entry(entry);
            }
        }
        memory.forget(id);
        let known = memory.removals.get(id).is_some_and(|one| one.at >= at);
        if !known {
            let removal = Removal {
                at,
                written: Some(elapsed),
            };
            let news = memory.removals.insert(id.to_owned(), removal).is_none();
            memory.unremoved.remove(id);
            drop(memory);
            if news {
                self.announcer.announce(id);
            }
        }
        Opened::Removed
    }

    /// Removes an installation's token: here at once, in the store by the task that writes. An
    /// error is that of a round which failed; then it is tried again.
    pub(super) async fn remove(self: &Arc<Self>, installation_id: &str) -> Result<(), StoreError> {
        let removal = Removal {
            at: from_millis(to_millis(self.clock.now())),
            written: None,
        };
        let news = {
            let mut memory = self.memory();
            memory.forget(installation_id);
            memory.unremoved.insert(installation_id.to_owned());
            let id = installation_id.to_owned();
            memory.removals.insert(id, removal).is_none()
        };
        // Before the first wait: whoever drops this future doesn't undo the removal.
        if news {
            self.announcer.announce(installation_id);
        }
        self.start_writing();
        self.settle(|memory| usize::from(memory.unremoved.contains(installation_id)))
            .await
    }

    /// Whether the store's record has to go before this entry can be written: a removal that Forge's
    /// later calls have overtaken, a refused token, or what can't be a token. Whatever else is there may be newer than
    /// what was seen, and is left to the store's own comparison.
    pub(super) fn gives_way(&self, sealed: &SealedToken, entry: &Entry) -> bool {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        if sealed.expires_at > self.clock.now() + ABSURD_LIFE {
            return true;
        }
        let Ok(plain) = self.keys.open(subject, &sealed.sealed) else {
            return false;
        };
        if let Some(at) = removal::read(&plain) {
            let delivered = entry.delivered;
            return delivered.is_some_and(|delivered| delivered >= at + removal::SETTLES);
        }
        About::read(&sealed.installation_id, &plain)
            .is_some_and(|(token, ..)| entry.standing.supersedes(&token))
    }

    /// Whether an installation was removed, and nothing has come for it since.
    pub(super) fn is_removed(&self, installation_id: &str) -> bool {
        let memory = self.memory();
        let removal = memory.removals.get(installation_id);
        removal.is_some_and(|removal| !removal.is_settled(self.clock.elapsed()))
    }

    /// Asks the store, where it is open.
    pub(super) async fn read<T>(&self, asked: Stored<T>) -> Result<T, StoreError> {
        if self.link() != Link::Open {
            // Logged by the task that tries to open it.
            self.memory().counts.store_failures += 1;
            return Err(StoreError::new("it could not be opened yet"));
        }
        self.ask(asked).await
    }

    /// Asks the store, within the time a reader can wait; a failure is counted and logged.
    pub(super) async fn ask<T>(&self, asked: Stored<T>) -> Result<T, StoreError> {
        let answer = timed(READ_TIME, asked).await;
        if let Err(error) = &answer {
            self.memory().counts.store_failures += 1;
            let error = format_args!("{error}{}", chain(error));
            tracing::error!(store = self.store.name(), %error, "the tokens' store can't be read");
        }
        answer
    }
}

/// What a task of the keeper's own asks of a store, within its time.
pub(super) async fn in_time<T>(asked: Stored<T>) -> Result<T, StoreError> {
    timed(WRITE_TIME, asked).await
}

async fn timed<T>(time: Duration, asked: Stored<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(time, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::new(format!("no answer within {time:?}"))),
    }
}
