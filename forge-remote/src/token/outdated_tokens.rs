//! Reading the records that were newer than a token when it was written: another instance's removal or later token, which
//! has to be known here. A separate task, so that no write waits for it.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Memory;
use super::keeper::Keeper;
use super::limits::{FIRST_PAUSE, MAX_PAUSE};
use super::store::StoreError;

/// Starts the task that reads, if a record is newer than a token and no task is running.
pub(super) fn start_reading(keeper: &Arc<Keeper>) {
    // Without a runtime the records wait for the next token or for `flush`.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    {
        let mut memory = keeper.memory();
        if memory.reading || memory.unread.is_empty() {
            return;
        }
        memory.reading = true;
    }
    // Not under the lock: a runtime that is ending drops the task at once, and its drop locks.
    let reading = Reading {
        keeper: Arc::clone(keeper),
        current: None,
        ended: false,
    };
    runtime.spawn(reading.run());
}

impl Keeper {
    /// Waits until the records that are newer than tokens have been read; the error is that of a failed read, which is
    /// retried.
    pub(super) async fn settle_reads(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut rounds = self.rounds.subscribe();
        let failed_before = self.memory().failed_reads;
        loop {
            // Before the check, so that a read that fails from here on wakes this task.
            rounds.mark_unchanged();
            let (unread, failed) = {
                let memory = self.memory();
                (memory.unread(), memory.failed_reads > failed_before)
            };
            if unread == 0 {
                return Ok(());
            }
            if failed {
                let store = self.store.name();
                return Err(StoreError::new(format!(
                    "{unread} records of other instances are not yet read from {store}; the reads are retried"
                )));
            }
            start_reading(self);
            self.hurry_reading.notify_one();
            // This cannot fail: `self` holds the sender.
            let _ = rounds.changed().await;
        }
    }
}

impl Memory {
    /// Returns the number of records that are newer than a token and are not yet read.
    pub(super) fn unread(&self) -> usize {
        // The one that is being read is no longer in the set.
        self.unread.len() + usize::from(self.reading)
    }
}

/// The task that reads until no record is left.
struct Reading {
    keeper: Arc<Keeper>,
    /// The installation whose record is being read, or whose read has failed.
    current: Option<String>,
    ended: bool,
}

impl Reading {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while let Some(id) = self.next() {
            self.current = Some(id.clone());
            match self.keeper.look_up(&id).await {
                Ok(_) => {
                    self.current = None;
                    pause = FIRST_PAUSE;
                }
                // It would fail again. Forge's next token for the installation is written as usual.
                Err(error) if error.is_unreadable() => self.current = None,
                Err(error) => {
                    self.pause_after(&error, &mut pause).await;
                    if self.is_alone() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes the next one, so that a token that is written during the read is read again. After a failure it is another
    /// one: a record that cannot be read does not hold up the rest.
    fn next(&mut self) -> Option<String> {
        let mut memory = self.keeper.memory();
        let failed = self.current.take();
        let later = failed.as_deref().and_then(|failed| {
            let later = (Bound::Excluded(failed), Bound::Unbounded);
            memory.unread.range::<str, _>(later).next().cloned()
        });
        memory.unread.extend(failed);
        let next = match later {
            Some(id) => memory.unread.take(&id),
            None => memory.unread.pop_first(),
        };
        // Checked and ended under one lock, so that a later token starts a new task.
        self.ended = next.is_none();
        memory.reading = !self.ended;
        next
    }

    async fn pause_after(&self, error: &StoreError, pause: &mut Duration) {
        let keeper = &self.keeper;
        keeper.memory().failed_reads += 1;
        tracing::debug!(%error, retry_in = ?*pause, "the records of other instances cannot be read yet");
        keeper.round_is_over();
        tokio::select! {
            () = keeper.clock.sleep(*pause) => {}
            () = keeper.hurry_reading.notified() => {}
        }
        *pause = (*pause * 2).min(MAX_PAUSE);
    }

    /// Returns whether only the tasks have the keeper: nobody looks its tokens up any more.
    fn is_alone(&self) -> bool {
        let tasks = 1 + usize::from(self.keeper.memory().writing);
        Arc::strong_count(&self.keeper) <= tasks
    }
}

impl Drop for Reading {
    /// Wakes the callers of `flush`. After a panic or the runtime's end, the next write starts another task.
    fn drop(&mut self) {
        {
            let mut memory = self.keeper.memory();
            memory.unread.extend(self.current.take());
            if !self.ended {
                memory.reading = false;
                // Waiting callers get an error, and do not start another task at once.
                memory.failed_reads += 1;
            }
        }
        self.keeper.round_is_over();
    }
}
