//! The keeper: tokens come in without waiting, and are written behind the requests' backs.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::installation::About;
use super::seal::{Keys, Shut, Subject};
use super::store::{SealedToken, StoreError, Stored, TokenStore, from_millis, to_millis};
use crate::error::chain;
use crate::fit::Clock;

/// How many tokens are written at once.
const BATCH: usize = 128;
/// A store that takes longer is down, for writing and opening.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// The same for reading, where somebody waits.
const READ_TIME: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long an ended token stays, so that the error can say since when.
const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 3600);
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// After this long a token in memory is compared with the store's: another instance may have
/// renewed or removed it.
const TRUSTED: Duration = Duration::from_secs(60);
/// The same, near its end.
const TRUSTED_NEAR_END: Duration = Duration::from_secs(5);
const NEAR_END: Duration = Duration::from_secs(10 * 60);

/// What the keeper has done so far, in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenCounts {
    /// Tokens that requests brought and that were news.
    pub seen: u64,
    /// Tokens written to the store.
    pub written: u64,
    /// Tokens and removals that wait to be written.
    pub pending: u64,
    /// Calls of the store that failed: reading, writing, purging.
    pub store_failures: u64,
    /// Tokens that were dropped unwritten, because more than
    /// [`Tokens::memory_limit`](super::Tokens::memory_limit) waited.
    pub dropped: u64,
    /// Kept tokens that were read and didn't open with the app's keys.
    pub unreadable: u64,
    /// Ended tokens that were purged.
    pub purged: u64,
}

/// A token in memory.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) token: Arc<Zeroizing<String>>,
    pub(super) about: Arc<About>,
    pub(super) expires_at: SystemTime,
    /// Waits to be written.
    unwritten: bool,
    /// When it was last known to be what the store has, by the clock's `elapsed`.
    confirmed: Duration,
}

impl Entry {
    /// The token as a store keeps it.
    fn sealed(&self, keys: &Keys) -> Option<SealedToken> {
        let subject = Subject {
            installation_id: &self.about.installation_id,
            expires_at: self.expires_at,
        };
        let sealed = keys.seal(subject, self.about.plain(&self.token)?)?;
        Some(SealedToken {
            installation_id: self.about.installation_id.clone(),
            expires_at: self.expires_at,
            cloud_ids: self.about.cloud_ids(),
            sealed,
        })
    }

    /// Whether it can be handed out without asking the store.
    pub(super) fn is_trusted(&self, now: SystemTime, elapsed: Duration) -> bool {
        let near_end = self.expires_at < now + NEAR_END;
        let trusted = if near_end { TRUSTED_NEAR_END } else { TRUSTED };
        elapsed.saturating_sub(self.confirmed) < trusted
    }
}

#[derive(Default)]
struct Memory {
    entries: HashMap<String, Entry>,
    /// Installations whose entry is to be written: the newest token each, however many come.
    unwritten: BTreeSet<String>,
    /// Installations whose token is to be removed from the store.
    unremoved: BTreeSet<String>,
    /// A task is writing.
    writing: bool,
    counts: TokenCounts,
    failed_rounds: u64,
    /// When ended tokens were last purged, by the clock's `elapsed`.
    purged: Option<Duration>,
}

impl Memory {
    fn waiting(&self) -> usize {
        self.unwritten.len() + self.unremoved.len()
    }
}

/// What is kept open while tokens are kept.
pub(super) struct Keeper {
    store: Arc<dyn TokenStore>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) margin: Duration,
    limit: usize,
    /// The app; other apps' tokens in the same store are passed over.
    pub(super) app_id: Arc<OnceLock<String>>,
    memory: Mutex<Memory>,
    /// Held by whoever changes the store: a removal and a write under way must not cross.
    changing: tokio::sync::Mutex<()>,
    /// Cuts a pause after a failure short.
    hurry: Notify,
    /// Goes up with each round of writing, failed or not.
    rounds: watch::Sender<u64>,
}

/// What became of reading a sealed token.
pub(super) enum Opened {
    Entry(Entry),
    /// Another app's.
    Foreign,
    Shut(String),
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn TokenStore>,
        keys: Keys,
        clock: Arc<dyn Clock>,
        margin: Duration,
        limit: usize,
        app_id: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            store,
            keys,
            clock,
            margin,
            limit,
            app_id,
            memory: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            hurry: Notify::new(),
            rounds: watch::Sender::new(0),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> &dyn TokenStore {
        &*self.store
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
        self.memory().entries.get(installation_id).cloned()
    }

    /// Whether it was removed, though the store doesn't know yet.
    pub(super) fn is_removed(&self, installation_id: &str) -> bool {
        let memory = self.memory();
        memory.unremoved.contains(installation_id) && !memory.entries.contains_key(installation_id)
    }

    /// Every entry that waits to be written: the store doesn't have it yet.
    pub(super) fn unwritten(&self) -> Vec<Entry> {
        let memory = self.memory();
        let names = memory.unwritten.iter();
        names
            .filter_map(|name| memory.entries.get(name).cloned())
            .collect()
    }

    /// Every entry that satisfies this.
    pub(super) fn remembered_where(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let memory = self.memory();
        memory
            .entries
            .values()
            .filter(|entry| wanted(entry))
            .cloned()
            .collect()
    }

    /// Whether exactly this token with exactly this beside it is in memory: then there is nothing
    /// to do, and a request has paid for one look-up.
    pub(super) fn knows(&self, installation_id: &str, same: impl FnOnce(&Entry) -> bool) -> bool {
        self.memory().entries.get(installation_id).is_some_and(same)
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
        let name = about.installation_id.clone();
        let mut memory = self.memory();
        if memory.entries.get(&name).is_some_and(|entry| {
            entry.expires_at > expires_at
                || (entry.expires_at == expires_at
                    && *entry.token == token
                    && *entry.about == about)
        }) {
            return;
        }
        if memory.unwritten.len() >= self.limit && !memory.unwritten.contains(&name) {
            memory.counts.dropped += 1;
            drop(memory);
            tracing::error!(
                "a token is dropped: the store is down, and memory is full of tokens that wait for it"
            );
            return;
        }
        memory.counts.seen += 1;
        memory.unwritten.insert(name.clone());
        memory.entries.insert(
            name,
            Entry {
                token: Arc::new(token),
                about: Arc::new(about),
                expires_at,
                unwritten: true,
                confirmed: self.clock.elapsed(),
            },
        );
        self.bound(&mut memory);
        drop(memory);
        self.start_writing();
    }

    /// Forgets written entries when there are too many; the store has them.
    fn bound(&self, memory: &mut Memory) {
        if memory.entries.len() <= self.limit {
            return;
        }
        let mut written: Vec<(SystemTime, String)> = memory
            .entries
            .iter()
            .filter(|(_, entry)| !entry.unwritten)
            .map(|(name, entry)| (entry.expires_at, name.clone()))
            .collect();
        written.sort();
        // A tenth at once, so that it isn't done for every token.
        let surplus = memory.entries.len() - self.limit + self.limit / 10;
        for (_, name) in written.into_iter().take(surplus) {
            memory.entries.remove(&name);
        }
    }

    /// Has a task write what waits, unless one does already.
    fn start_writing(self: &Arc<Self>) {
        // Without a runtime it waits for the next token or for `flush`.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        {
            let mut memory = self.memory();
            if memory.writing || memory.waiting() == 0 {
                return;
            }
            memory.writing = true;
        }
        // Not under the lock: a runtime that is ending drops the task at once, which takes it.
        let writing = Writing::new(Arc::clone(self));
        runtime.spawn(writing.run());
    }

    /// One round: removals, then tokens, some of each.
    async fn write_some(&self) -> Result<(), StoreError> {
        // Before looking what there is: a removal meanwhile must find the write either done or
        // not begun.
        let _changing = self.changing.lock().await;
        let (removals, entries) = {
            let memory = self.memory();
            let removals: Vec<String> = memory.unremoved.iter().take(BATCH).cloned().collect();
            let entries: Vec<Entry> = memory
                .unwritten
                .iter()
                .take(BATCH)
                .filter_map(|name| memory.entries.get(name).cloned())
                .collect();
            (removals, entries)
        };
        for name in &removals {
            timed(WRITE_TIME, self.store.remove(name)).await?;
            self.memory().unremoved.remove(name);
        }
        if !entries.is_empty() {
            let sealed = entries.iter().filter_map(|entry| entry.sealed(&self.keys));
            let sealed: Vec<SealedToken> = sealed.collect();
            if sealed.len() < entries.len() {
                return Err(StoreError::new(
                    "the system gives no random bytes to seal with",
                ));
            }
            timed(WRITE_TIME, self.store.put(sealed)).await?;
            let elapsed = self.clock.elapsed();
            let mut memory = self.memory();
            memory.counts.written += entries.len() as u64;
            for written in &entries {
                let name = &written.about.installation_id;
                // A newer one may have come meanwhile: it still waits.
                if let Some(entry) = memory
                    .entries
                    .get_mut(name)
                    .filter(|entry| Arc::ptr_eq(&entry.token, &written.token))
                {
                    entry.unwritten = false;
                    entry.confirmed = elapsed;
                    memory.unwritten.remove(name);
                }
            }
        }
        self.purge_if_due().await
    }

    /// Tokens are written at least once an hour, so this needs no task of its own.
    async fn purge_if_due(&self) -> Result<(), StoreError> {
        let elapsed = self.clock.elapsed();
        {
            let mut memory = self.memory();
            let due = memory
                .purged
                .is_none_or(|purged| elapsed.saturating_sub(purged) >= PURGE_EVERY);
            if !due {
                return Ok(());
            }
            memory.purged = Some(elapsed);
        }
        let Some(before) = self.clock.now().checked_sub(KEPT_AFTER_END) else {
            return Ok(());
        };
        let purged = timed(WRITE_TIME, self.store.purge(before)).await?;
        let mut memory = self.memory();
        memory.counts.purged += purged;
        memory
            .entries
            .retain(|_, entry| entry.unwritten || entry.expires_at >= before);
        Ok(())
    }

    /// Removes an installation's token here and in the store.
    pub(super) async fn remove(self: &Arc<Self>, installation_id: &str) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        {
            let mut memory = self.memory();
            memory.entries.remove(installation_id);
            memory.unwritten.remove(installation_id);
        }
        let removed = timed(WRITE_TIME, self.store.remove(installation_id)).await;
        let mut memory = self.memory();
        match removed {
            Ok(()) => {
                memory.unremoved.remove(installation_id);
                Ok(())
            }
            Err(error) => {
                memory.counts.store_failures += 1;
                memory.unremoved.insert(installation_id.to_owned());
                drop(memory);
                self.start_writing();
                Err(error)
            }
        }
    }

    fn round_is_over(&self) {
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Completes once nothing waits to be written; the error is that of a round which failed.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut rounds = self.rounds.subscribe();
        let failed_before = self.memory().failed_rounds;
        loop {
            // Before looking: what ends from here on wakes.
            rounds.mark_unchanged();
            let (waiting, failed) = {
                let memory = self.memory();
                (memory.waiting(), memory.failed_rounds > failed_before)
            };
            if waiting == 0 {
                return Ok(());
            }
            if failed {
                let store = self.store.name();
                return Err(StoreError::new(format!(
                    "{waiting} tokens could not be written to {store} yet"
                )));
            }
            self.start_writing();
            self.hurry.notify_one();
            // An error can't be: the sender is held here.
            let _ = rounds.changed().await;
        }
    }

    /// Opens a token from the store, and remembers it when it ends later than the one in memory.
    pub(super) fn open_token(&self, sealed: &SealedToken) -> Opened {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let reason = match self.keys.open(subject, &sealed.sealed) {
            Ok(plain) => match About::read(&sealed.installation_id, &plain) {
                Some((_, about)) if self.is_foreign(&about) => return Opened::Foreign,
                Some((token, about)) => {
                    return Opened::Entry(self.remember(Entry {
                        token: Arc::new(token),
                        about: Arc::new(about),
                        expires_at: sealed.expires_at,
                        unwritten: false,
                        confirmed: self.clock.elapsed(),
                    }));
                }
                None => "a newer version of forge-remote wrote it".to_owned(),
            },
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

    fn is_foreign(&self, about: &About) -> bool {
        self.app_id
            .get()
            .is_some_and(|app_id| *app_id != about.app_id)
    }

    /// The later of the two: what the store has, and what memory has.
    fn remember(&self, from_store: Entry) -> Entry {
        let mut memory = self.memory();
        let name = from_store.about.installation_id.clone();
        if let Some(entry) = memory.entries.get_mut(&name) {
            let same_end = entry.expires_at == from_store.expires_at;
            if entry.expires_at > from_store.expires_at || (same_end && entry.unwritten) {
                entry.confirmed = from_store.confirmed;
                return entry.clone();
            }
        }
        memory.unwritten.remove(&name);
        memory.entries.insert(name, from_store.clone());
        self.bound(&mut memory);
        from_store
    }

    /// The store has no token any more: another instance removed it.
    pub(super) fn forget_written(&self, installation_id: &str) {
        let mut memory = self.memory();
        if memory
            .entries
            .get(installation_id)
            .is_some_and(|entry| !entry.unwritten)
        {
            memory.entries.remove(installation_id);
        }
    }

    /// The store could not be asked: what memory has counts as confirmed for a while, or every
    /// reader would wait for a store that is down.
    pub(super) fn trust_for_now(&self, installation_id: &str) {
        let elapsed = self.clock.elapsed();
        if let Some(entry) = self.memory().entries.get_mut(installation_id) {
            entry.confirmed = elapsed;
        }
    }

    /// Asks the store, within the time a reader can wait; a failure is counted and logged.
    pub(super) async fn read<T>(&self, asked: Stored<T>) -> Result<T, StoreError> {
        let answer = timed(READ_TIME, asked).await;
        if let Err(error) = &answer {
            self.memory().counts.store_failures += 1;
            log_failure(&self.store.name(), error, "the tokens' store can't be read");
        }
        answer
    }
}

/// The task that writes until nothing waits.
struct Writing {
    keeper: Arc<Keeper>,
    ended: bool,
}

impl Writing {
    fn new(keeper: Arc<Keeper>) -> Self {
        Self {
            keeper,
            ended: false,
        }
    }

    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.ended {
            match self.keeper.write_some().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    let mut memory = self.keeper.memory();
                    // Looked at and ended under one lock: a token that comes later starts anew.
                    self.ended = memory.waiting() == 0;
                    memory.writing = !self.ended;
                    drop(memory);
                    self.keeper.round_is_over();
                }
                Err(error) => self.pause_after(&error, &mut pause).await,
            }
        }
    }

    async fn pause_after(&self, error: &StoreError, pause: &mut Duration) {
        let keeper = &self.keeper;
        let waiting = {
            let mut memory = keeper.memory();
            memory.counts.store_failures += 1;
            memory.failed_rounds += 1;
            memory.waiting()
        };
        tracing::error!(
            store = keeper.store.name(),
            error = %format_args!("{error}{}", chain(error)),
            waiting,
            again_in = ?pause,
            "tokens can't be written; requests are served, the tokens are kept in memory"
        );
        keeper.round_is_over();
        tokio::select! {
            () = keeper.clock.sleep(*pause) => {}
            () = keeper.hurry.notified() => {}
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }
}

impl Drop for Writing {
    /// Cut off, by a panic in a store or by the runtime's end: the next token starts another.
    fn drop(&mut self) {
        if !self.ended {
            self.keeper.memory().writing = false;
            self.keeper.round_is_over();
        }
    }
}

/// What a launch asks of a store, within its time.
pub(super) async fn in_time<T>(asked: Stored<T>) -> Result<T, StoreError> {
    timed(WRITE_TIME, asked).await
}

async fn timed<T>(time: Duration, asked: Stored<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(time, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::new(format!("no answer within {time:?}"))),
    }
}

fn log_failure(store: &str, error: &StoreError, what: &'static str) {
    tracing::error!(store, error = %format_args!("{error}{}", chain(error)), "{what}");
}
