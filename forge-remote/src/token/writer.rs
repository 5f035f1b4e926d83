//! Writing behind the requests' backs: one task, which also opens a store that couldn't be opened at
//! launch; and the purge of what has ended.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::cache::{Entry, Link, Memory};
use super::error::OpenError;
use super::keeper::{Keeper, in_time};
use super::removal::{self, Removal};
use super::store::{SealedToken, StoreError, Stored};
use super::{LONGEST_LIFE, connect};
use crate::error::chain;

/// How many tokens are written at once.
const BATCH: usize = 128;
/// The same when the process is about to end.
const LAST_WRITE_TIME: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two attempts to open a store that mustn't be written to as it is.
const REFUSED_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How long an ended token stays, so that the error can say since when.
pub(super) const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 3600);
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// After a purge that failed.
const PURGE_AGAIN: Duration = Duration::from_secs(5 * 60);

impl Keeper {
    /// Has a task write what waits, unless one does already.
    pub(super) fn start_writing(self: &Arc<Self>) {
        // Without a runtime it waits for the next token or for `flush`.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        {
            let mut memory = self.memory();
            if memory.writing || !memory.has_work() {
                return;
            }
            memory.writing = true;
        }
        // Not under the lock: a runtime that is ending drops the task at once, which takes it.
        let writing = Writing::new(Arc::clone(self));
        runtime.spawn(writing.run());
    }

    /// Opens the store, where that could not be done at launch.
    async fn open_late(&self) -> Result<(), OpenError> {
        let opened = connect(self).await;
        let link = match &opened {
            Ok(()) => Link::Open,
            Err(error) if error.may_pass() => Link::Waiting,
            Err(_) => Link::Refused,
        };
        self.memory().link = link;
        if link == Link::Open {
            tracing::info!(store = self.store.name(), "the tokens' store is open now");
        }
        opened
    }

    /// One round: removals and tokens, some of each. Only the task that writes calls it, so that
    /// no two changes of the store cross.
    async fn write_some(self: &Arc<Self>) -> Result<(), StoreError> {
        let (removals, entries) = {
            let mut memory = self.memory();
            memory.pass_over_ended(self.clock.now());
            let removals = memory.unremoved.iter().take(BATCH).filter_map(|id| {
                let removal = memory.removals.get(id)?;
                Some((id.clone(), removal.at))
            });
            let entries = memory.unwritten.iter().take(BATCH);
            let entries = entries.filter_map(|(_, id)| memory.entries.get(id).cloned());
            (
                removals.collect::<Vec<(String, SystemTime)>>(),
                entries.collect::<Vec<Entry>>(),
            )
        };
        if removals.is_empty() && entries.is_empty() {
            return Ok(());
        }
        let records = removals
            .iter()
            .map(|(id, at)| removal::sealed(id, *at, &self.keys))
            .chain(entries.iter().map(|entry| entry.sealed(&self.keys)));
        let Some(records) = records.collect::<Option<Vec<SealedToken>>>() else {
            return Err(StoreError::new(
                "the system gives no random bytes to seal with",
            ));
        };
        for entry in entries.iter().filter(|entry| entry.replaces) {
            // What can't be read is in no token's way.
            let there = self.in_write_time(self.store.get(entry.id())).await;
            if let Ok(Some(there)) = there
                && self.gives_way(&there, entry)
            {
                self.in_write_time(self.store.remove(entry.id())).await?;
            }
        }
        self.in_write_time(self.store.put(records)).await?;
        self.mark_written(removals, &entries);
        // Where a record of a removal has won, it has to be known here.
        for first in entries.iter().filter(|entry| entry.is_first) {
            if let Err(error) = self.look_up(first.id()).await {
                tracing::debug!(%error, "a first token could not be read again");
            }
        }
        Ok(())
    }

    fn mark_written(&self, removals: Vec<(String, SystemTime)>, entries: &[Entry]) {
        let elapsed = self.clock.elapsed();
        let mut memory = self.memory();
        memory.counts.written += entries.len() as u64;
        for (id, at) in removals {
            if let Some(removal) = memory.removals.get_mut(&id).filter(|one| one.at == at) {
                removal.written = Some(elapsed);
                memory.unremoved.remove(&id);
            }
        }
        for written in entries {
            // A newer one may have come meanwhile: it still waits.
            if let Some(entry) = memory
                .entries
                .get_mut(written.id())
                .filter(|entry| Arc::ptr_eq(&entry.token, &written.token))
            {
                entry.unwritten = false;
                entry.is_first = false;
                entry.replaces = false;
                entry.confirmed = elapsed;
                entry.asked = elapsed;
                let key = (entry.expires_at, written.id().to_owned());
                memory.unwritten.remove(&key);
            }
        }
    }

    /// Completes once nothing waits to be written; the error is that of a round which failed.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), StoreError> {
        self.settle(Memory::waiting).await
    }

    /// As [`flush`](Self::flush), and as the last thing that a process does: tries again until
    /// this time is over.
    pub(super) async fn flush_within(self: &Arc<Self>, time: Duration) -> Result<(), StoreError> {
        self.ending.send_replace(true);
        let mut failed = StoreError::new(format!("no answer within {time:?}"));
        let flushing = async {
            loop {
                match self.flush().await {
                    Ok(()) => return,
                    Err(error) => failed = error,
                }
                tokio::time::sleep(FIRST_PAUSE).await;
            }
        };
        let flushed = tokio::time::timeout(time, flushing).await;
        flushed.map_err(|_| failed)
    }

    /// Completes once nothing of this waits; the error is that of a round which failed.
    pub(super) async fn settle(
        self: &Arc<Self>,
        waiting: impl Fn(&Memory) -> usize,
    ) -> Result<(), StoreError> {
        let mut rounds = self.rounds.subscribe();
        let failed_before = self.memory().failed_rounds;
        loop {
            // Before looking: what ends from here on wakes.
            rounds.mark_unchanged();
            let (waiting, failed) = {
                let memory = self.memory();
                (waiting(&memory), memory.failed_rounds > failed_before)
            };
            if waiting == 0 {
                return Ok(());
            }
            if failed {
                let store = self.store.name();
                return Err(StoreError::new(format!(
                    "{waiting} changes could not be written to {store} yet"
                )));
            }
            self.start_writing();
            self.hurry.notify_one();
            // An error can't be: the sender is held here.
            let _ = rounds.changed().await;
        }
    }

    fn round_is_over(&self) {
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Within the time of a write; when the process is about to end, that is less.
    async fn in_write_time<T>(&self, asked: Stored<T>) -> Result<T, StoreError> {
        let mut ending = self.ending.subscribe();
        let hurried = async {
            // An error can't be: the sender is held here.
            let _ = ending.wait_for(|ending| *ending).await;
            tokio::time::sleep(LAST_WRITE_TIME).await;
        };
        tokio::select! {
            answer = in_time(asked) => answer,
            () = hurried => Err(StoreError::new(format!("no answer within {LAST_WRITE_TIME:?}"))),
        }
    }

    /// Purges what has ended, now and every hour, until every handle is gone.
    pub(super) async fn keep_purged(keeper: Weak<Self>) {
        loop {
            let Some(strong) = keeper.upgrade() else {
                return;
            };
            // From now on, so that the time spent isn't added.
            let hour = strong.clock.sleep(PURGE_EVERY);
            let again = strong.clock.sleep(PURGE_AGAIN);
            let purged = strong.purge().await;
            drop(strong);
            if purged { hour.await } else { again.await }
        }
    }

    /// Whether it was done.
    async fn purge(&self) -> bool {
        let elapsed = self.clock.elapsed();
        let Some(before) = self.clock.now().checked_sub(KEPT_AFTER_END) else {
            return true;
        };
        {
            let mut memory = self.memory();
            memory
                .entries
                .retain(|_, entry| entry.unwritten || entry.expires_at >= before);
            // Longer than any token lives that was delivered before.
            let over = |removal: &Removal| {
                removal.written.is_some_and(|written| {
                    elapsed.saturating_sub(written) > LONGEST_LIFE + KEPT_AFTER_END
                })
            };
            memory.removals.retain(|_, removal| !over(removal));
            if memory.link != Link::Open {
                return false;
            }
        }
        match self.in_write_time(self.store.purge(before)).await {
            Ok(purged) => {
                self.memory().counts.purged += purged;
                true
            }
            Err(error) => {
                self.memory().counts.purge_failures += 1;
                tracing::warn!(
                    store = self.store.name(),
                    error = %format_args!("{error}{}", chain(&error)),
                    "ended tokens could not be purged; it is tried again"
                );
                false
            }
        }
    }
}

impl Memory {
    fn has_work(&self) -> bool {
        self.waiting() > 0 || self.link != Link::Open
    }
}

/// The task that writes until nothing waits.
struct Writing {
    keeper: Arc<Keeper>,
    ended: bool,
}

/// Why a round failed.
enum Failed {
    Open(OpenError),
    Write(StoreError),
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
            match self.round().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    let mut memory = self.keeper.memory();
                    // Looked at and ended under one lock: a token that comes later starts anew.
                    self.ended = !memory.has_work();
                    memory.writing = !self.ended;
                    drop(memory);
                    self.keeper.round_is_over();
                }
                Err(error) => {
                    self.pause_after(&error, &mut pause).await;
                    // Nobody is left to open it for, and nothing to write.
                    let alone = Arc::strong_count(&self.keeper) == 1;
                    self.ended = alone && self.keeper.memory().waiting() == 0;
                }
            }
        }
    }

    async fn round(&self) -> Result<(), Failed> {
        if self.keeper.link() != Link::Open {
            self.keeper.open_late().await.map_err(Failed::Open)?;
        }
        self.keeper.write_some().await.map_err(Failed::Write)
    }

    async fn pause_after(&self, error: &Failed, pause: &mut Duration) {
        let keeper = &self.keeper;
        let waiting = {
            let mut memory = keeper.memory();
            memory.counts.store_failures += 1;
            memory.failed_rounds += 1;
            memory.waiting()
        };
        let store = keeper.store.name();
        let again_in = match error {
            Failed::Open(error) if !error.may_pass() => REFUSED_PAUSE,
            _ => *pause,
        };
        match error {
            Failed::Write(error) => tracing::error!(
                store,
                error = %format_args!("{error}{}", chain(error)),
                waiting,
                ?again_in,
                "tokens can't be written; requests are served, the tokens are kept in memory"
            ),
            Failed::Open(error) if error.may_pass() => tracing::error!(
                store,
                error = %format_args!("{error}{}", chain(error)),
                waiting,
                ?again_in,
                "the tokens' store can't be opened; requests are served, tokens are kept in memory"
            ),
            Failed::Open(error) => tracing::error!(
                store,
                error = %format_args!("{error}{}", chain(error)),
                waiting,
                ?again_in,
                "THE TOKENS' STORE IS NOT USED: what it was set up with is wrong, and nothing is \
                 written to it. Correct it and start the app again; until then tokens are kept in \
                 memory alone, and are lost when this process ends"
            ),
        }
        keeper.round_is_over();
        tokio::select! {
            () = keeper.clock.sleep(again_in) => {}
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
