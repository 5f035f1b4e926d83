//! Writing off the requests' path: one task, which also opens a store that couldn't be opened at
//! launch.

mod bisection;
mod flush;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use rows::Row;

use crate::error::chain;
use crate::token::cache::{Link, Memory};
use crate::token::connecting::connect;
use crate::token::error::OpenError;
use crate::token::keeper::Keeper;
use crate::token::limits::{FIRST_PAUSE, MAX_PAUSE};
use crate::token::store::StoreError;

/// The number of tokens written at once.
const BATCH: usize = 128;
/// How long a round waits for more tokens after the one before: this many times the duration of that one, with an upper
/// bound. Few rounds with many rows cost less than many with few.
const GATHERING_FACTOR: u32 = 32;
const MAX_GATHERING: Duration = Duration::from_millis(20);
/// The pause between two attempts to open a store with a permanent problem.
const REJECTED_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Starts the task that writes, if rows are waiting and no task is running.
pub(in crate::token) fn start_writing(keeper: &Arc<Keeper>) {
    // Without a runtime the rows wait for the next token or for `flush`.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    {
        let mut memory = keeper.memory();
        if memory.gathering && keeper.has_gathered(&memory) {
            memory.gathering = false;
            keeper.hurry.notify_one();
        }
        if memory.writing || !memory.has_work(keeper.clock.elapsed()) {
            return;
        }
        memory.writing = true;
    }
    // Not under the lock: a runtime that is ending drops the task at once, and its drop locks.
    let writing = WriterTask::new(Arc::clone(keeper));
    runtime.spawn(writing.run());
}

impl Keeper {
    /// Opens a store that could not be opened at launch.
    async fn open_late(&self) -> Result<(), OpenError> {
        let opened = connect(self).await;
        let link = match &opened {
            Ok(()) => Link::Open,
            Err(error) if error.is_transient() => Link::Waiting,
            Err(_) => Link::Rejected,
        };
        self.memory().link = link;
        if link == Link::Open {
            tracing::info!(store = self.store.name(), "the token store is open now");
        }
        opened
    }

    /// Writes one round: some removals and some tokens. Only the task that writes calls it, so that
    /// changes of the store are sequential.
    async fn write_some(self: &Arc<Self>) -> Result<(), StoreError> {
        let rows = self.take_rows().await?;
        if rows.is_empty() {
            return Ok(());
        }
        match self.write_rows(&rows).await {
            Ok(()) => Ok(()),
            Err(error) => self.write_apart(rows, error).await,
        }
    }

    /// Returns the next rows to write, without the rows that are set aside.
    async fn take_rows(&self) -> Result<Vec<Row>, StoreError> {
        let elapsed = self.clock.elapsed();
        let has_removals = {
            let mut memory = self.memory();
            memory.skip_ended(elapsed);
            !memory.unremoved.is_empty()
        };
        let time = match has_removals {
            true => self.read_server_time().await?,
            false => None,
        };
        let now = time.unwrap_or_else(|| self.clock.now());
        let mut memory = self.memory();
        let memory = &mut *memory;
        let due = |id: &String| {
            let rejected = memory.rejected.get(id);
            rejected.is_none_or(|rejected| rejected.retry_at <= elapsed)
        };
        let mut rows = Vec::new();
        for id in memory.unremoved.iter().filter(|id| due(id)).take(BATCH) {
            let Some(removal) = memory.removals.get_mut(id) else {
                continue;
            };
            // Instances compare it with their deliveries, so it needs the time that they share. A
            // removal that is written again is dated already.
            if let (Some(time), None) = (time, removal.written) {
                removal.date(time - elapsed.saturating_sub(removal.known));
            }
            if removal.is_overdue(elapsed) {
                removal.renew(now);
            }
            rows.push(Row::Removal(id.clone(), removal.clone()));
        }
        let waiting = memory.unwritten.iter().map(|(_, id)| id);
        let waiting = waiting.filter(|id| due(id)).take(BATCH);
        let entries = waiting.filter_map(|id| memory.entries.get(id).cloned());
        rows.extend(entries.map(Row::Token));
        Ok(rows)
    }

    /// Returns whether enough tokens wait for a round: a batch, or half of what memory holds. More could be dropped
    /// while they wait.
    fn has_gathered(&self, memory: &Memory) -> bool {
        memory.unwritten.len() >= BATCH.min(self.limit / 2)
    }
}

impl Memory {
    fn has_work(&self, elapsed: Duration) -> bool {
        self.link != Link::Open || self.has_due(elapsed)
    }
}

/// The task that writes until no row waits.
struct WriterTask {
    keeper: Arc<Keeper>,
    ended: bool,
}

/// The error of a failed round.
enum Failed {
    Open(OpenError),
    Write(StoreError),
}

impl WriterTask {
    fn new(keeper: Arc<Keeper>) -> Self {
        Self {
            keeper,
            ended: false,
        }
    }

    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        self.gather().await;
        while !self.ended {
            let began = self.keeper.clock.elapsed();
            match self.round().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.complete(began);
                    if !self.ended {
                        self.gather().await;
                    }
                }
                Err(error) => {
                    self.pause_after(&error, &mut pause).await;
                    // No other handle is left, and no row waits.
                    let alone = Arc::strong_count(&self.keeper) == 1;
                    self.ended = alone && self.keeper.memory().waiting() == 0;
                }
            }
        }
    }

    /// Waits for more tokens if a round has just ended: until a batch is full, or somebody waits for the tokens to be
    /// written, or the process is about to end. The first token after a while is written at once.
    async fn gather(&self) {
        let keeper = &self.keeper;
        let wait = {
            let mut memory = keeper.memory();
            let wait = memory.next_round.saturating_sub(keeper.clock.elapsed());
            let is_urgent = *keeper.ending.borrow() > 0
                || keeper.has_gathered(&memory)
                || !memory.unremoved.is_empty();
            memory.gathering = !is_urgent && !wait.is_zero();
            if !memory.gathering {
                return;
            }
            wait
        };
        tokio::select! {
            () = keeper.clock.sleep(wait) => {}
            () = keeper.hurry.notified() => {}
        }
        keeper.memory().gathering = false;
    }

    /// Records a round that has succeeded, and ends the task if no row waits.
    fn complete(&mut self, began: Duration) {
        let elapsed = self.keeper.clock.elapsed();
        let took = elapsed.saturating_sub(began);
        {
            let mut memory = self.keeper.memory();
            memory.next_round = elapsed + MAX_GATHERING.min(took * GATHERING_FACTOR);
            // Checked and ended under one lock, so that a later token starts a new task.
            self.ended = !memory.has_work(elapsed);
            memory.writing = !self.ended;
        }
        self.keeper.round_is_over();
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
        let retry_in = match error {
            Failed::Open(error) if !error.is_transient() => REJECTED_PAUSE,
            _ => *pause,
        };
        match error {
            Failed::Write(error) => tracing::error!(
                store,
                error = %format_args!("{error}{}", chain(error)),
                waiting,
                ?retry_in,
                "tokens cannot be written to the store; requests are served, tokens are kept in memory"
            ),
            Failed::Open(error) if error.is_transient() => tracing::error!(
                store,
                error = %format_args!("{error}{}", chain(error)),
                waiting,
                ?retry_in,
                "the token store cannot be opened; requests are served, tokens are kept in memory"
            ),
            Failed::Open(error) => tracing::error!(
                store,
                error = %format_args!("{error}{}", chain(error)),
                waiting,
                ?retry_in,
                "the token store is not used because its configuration is wrong: correct it and restart the app; \
                 until then tokens are only in memory, and are lost when this process ends"
            ),
        }
        keeper.round_is_over();
        tokio::select! {
            () = keeper.clock.sleep(retry_in) => {}
            () = keeper.hurry.notified() => {}
        }
        *pause = (*pause * 2).min(MAX_PAUSE);
    }
}

impl Drop for WriterTask {
    /// Handles a panic or the runtime's end: the next token starts another task.
    fn drop(&mut self) {
        if !self.ended {
            let mut memory = self.keeper.memory();
            memory.writing = false;
            memory.gathering = false;
            // Waiting callers get an error, and do not start another task at once.
            memory.failed_rounds += 1;
            drop(memory);
            self.keeper.round_is_over();
        }
    }
}
