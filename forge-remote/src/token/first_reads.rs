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
        current: None,
        ended: false,
    };
    tokio::spawn(reading.run());
}

/// The task that reads until no record is left.
struct Reading {
    keeper: Arc<Keeper>,
    /// The installation whose record is being read.
    current: Option<String>,
    ended: bool,
}

impl Reading {
    async fn run(mut self) {
        while let Some(id) = self.next() {
            self.current = Some(id.clone());
            if let Err(error) = self.keeper.look_up(&id).await {
                // The others are not tried now, as each might take as long.
                tracing::debug!(%error, "the records of first tokens could not be read again; the reading is retried after the next write");
                return;
            }
            self.current = None;
        }
    }

    /// Takes the next one, so that a token that is written during the read is read again.
    fn next(&mut self) -> Option<String> {
        let mut memory = self.keeper.memory();
        let next = memory.unread.pop_first();
        // Checked and ended under one lock, so that a later token starts a new task.
        self.ended = next.is_none();
        memory.reading = !self.ended;
        next
    }
}

impl Drop for Reading {
    /// Wakes the callers of `flush`. After a failure, a panic or the runtime's end, the next write starts another task.
    fn drop(&mut self) {
        {
            let mut memory = self.keeper.memory();
            memory.unread.extend(self.current.take());
            if !self.ended {
                memory.reading = false;
            }
        }
        self.keeper.round_is_over();
    }
}
