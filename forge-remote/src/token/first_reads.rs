//! Reading the records of first tokens again, after they are written: an older record of a removal may have won, and
//! has to be known here. A separate task, so that no write waits for it.

use std::sync::Arc;

use super::keeper::Keeper;

/// Starts the task that reads, if a first token was written and no task is running.
pub(super) fn start_reading(keeper: &Arc<Keeper>) {
    {
        let mut memory = keeper.memory();
        if memory.reading || memory.unread.is_empty() {
            return;
        }
        memory.reading = true;
    }
    let reading = Reading {
        keeper: Arc::clone(keeper),
        ended: false,
    };
    tokio::spawn(reading.run());
}

/// The task that reads until no record is left.
struct Reading {
    keeper: Arc<Keeper>,
    ended: bool,
}

impl Reading {
    async fn run(mut self) {
        while let Some(id) = self.next() {
            if let Err(error) = self.keeper.look_up(&id).await {
                // The others are not tried, as each might take as long; all are read when they are next used.
                tracing::debug!(%error, "first tokens could not be read again");
                return;
            }
            self.keeper.memory().unread.remove(&id);
        }
    }

    fn next(&mut self) -> Option<String> {
        // A process that is about to end uses no result.
        let is_ending = *self.keeper.ending.borrow();
        let mut memory = self.keeper.memory();
        if is_ending {
            memory.unread.clear();
        }
        let next = memory.unread.first().cloned();
        // Checked and ended under one lock, so that a later token starts a new task.
        self.ended = next.is_none();
        memory.reading = !self.ended;
        next
    }
}

impl Drop for Reading {
    /// Wakes the callers of `flush`. After a failure, a panic or the runtime's end, the next token starts another task.
    fn drop(&mut self) {
        if !self.ended {
            let mut memory = self.keeper.memory();
            memory.unread.clear();
            memory.reading = false;
        }
        self.keeper.round_is_over();
    }
}
