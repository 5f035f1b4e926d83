//! Waiting until rows are written.

use std::sync::Arc;
use std::time::Duration;

use super::start_writing;
use crate::token::cache::Memory;
use crate::token::keeper::Keeper;
use crate::token::limits::FIRST_PAUSE;
use crate::token::store::StoreError;

impl Keeper {
    /// Waits until no row waits to be written, and the records that are newer than tokens have been read; the error is that
    /// of a failed round.
    pub(in crate::token) async fn flush(self: &Arc<Self>) -> Result<(), StoreError> {
        self.memory().retry_rejected();
        self.settle(Memory::waiting).await?;
        self.settle_reads().await?;
        // A token that has to replace the record that was read is written again.
        self.settle(Memory::waiting).await
    }

    /// Flushes for this long, while failures are retried. At the end of the process, a call of the store gets less time.
    pub(in crate::token) async fn flush_within(
        self: &Arc<Self>,
        time: Duration,
        is_end: bool,
    ) -> Result<(), StoreError> {
        let _ending = is_end.then(|| Ending::begin(self));
        let mut failed = StoreError::new(format!("no response within {time:?}"));
        let flushing = async {
            loop {
                match self.flush().await {
                    Ok(()) => return,
                    Err(error) => failed = error,
                }
                tokio::time::sleep(FIRST_PAUSE).await;
            }
        };
        // The rest shows whether it was in time.
        let _ = tokio::time::timeout(time, flushing).await;
        let (waiting, unread) = {
            let memory = self.memory();
            (memory.waiting(), memory.unread())
        };
        if waiting > 0 {
            return Err(failed);
        }
        if unread > 0 {
            tracing::warn!(
                store = self.store.name(),
                unread,
                "the records that are newer than tokens could not be read in time: if one is of a removal, other instances \
                 do not know the installation's token until Forge calls again"
            );
        }
        Ok(())
    }

    /// Waits until `waiting` returns 0; the error is that of a failed round.
    pub(in crate::token) async fn settle(
        self: &Arc<Self>,
        waiting: impl Fn(&Memory) -> usize,
    ) -> Result<(), StoreError> {
        let mut rounds = self.rounds.subscribe();
        let failed_before = self.memory().failed_rounds;
        loop {
            // Before the check, so that a round that ends from here on wakes this task.
            rounds.mark_unchanged();
            let (waiting, failed) = {
                let memory = self.memory();
                // The remaining rows are set aside, because the store rejects them.
                let is_idle = !memory.writing && !memory.has_work(self.clock.elapsed());
                let failed = memory.failed_rounds > failed_before || is_idle;
                (waiting(&memory), failed)
            };
            if waiting == 0 {
                return Ok(());
            }
            if failed {
                let store = self.store.name();
                return Err(StoreError::new(format!(
                    "{waiting} changes are not yet written to {store}; they are retried"
                )));
            }
            start_writing(self);
            self.hurry.notify_one();
            // This cannot fail: `self` holds the sender.
            let _ = rounds.changed().await;
        }
    }
}

/// Shows that the process is about to end, until it is dropped.
struct Ending<'a>(&'a Keeper);

impl<'a> Ending<'a> {
    fn begin(keeper: &'a Keeper) -> Self {
        keeper.ending.send_modify(|ending| *ending += 1);
        Self(keeper)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ending.send_modify(|ending| *ending -= 1);
    }
}
