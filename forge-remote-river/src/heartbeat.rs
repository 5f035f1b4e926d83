//! The heartbeats of processes that run jobs, and corrections after the database's clock is set back.

use forge_remote::jobs::EngineError;

use crate::error::database_failed;
use crate::ledger::{Ledger, execute};
use crate::statements::{Statements as _, Value, values};
use crate::store::Store;
use crate::stored_call::QUEUE;

/// The largest step back of the database's clock that is ignored, in milliseconds.
const MAX_STEP: i64 = 10_000;
/// The largest age of the last heartbeat when the database's clock was set, in milliseconds.
const LAST_HEARTBEAT: i64 = 15_000;

impl<S: Store> Ledger<S> {
    /// Records a heartbeat of this process, and returns the database's time. If its clock was set back, even
    /// while no process ran, the first process that detects it moves the jobs.
    pub(crate) async fn heartbeat(&self, process: &str) -> Result<i64, EngineError> {
        let mut writing = self.begin().await?;
        let transaction = &mut writing.transaction;
        // One process at a time compares the clock with the last heartbeat of all.
        S::lock(transaction, "forge_remote_clock")
            .await
            .map_err(database_failed)?;
        let now = transaction.integer(S::NOW, values![]).await?;
        let now = now.unwrap_or_default();
        let last = transaction
            .integer(
                "SELECT time FROM forge_remote_clock WHERE one = 1",
                values![],
            )
            .await?;
        let last = last.unwrap_or(now);
        let heartbeat: &[(&str, &[Value<'_>])] = &[
            (
                "INSERT INTO forge_remote_process (id, heartbeat) VALUES ($1, $2)
                 ON CONFLICT (id) DO UPDATE SET heartbeat = excluded.heartbeat",
                values![process, now],
            ),
            (
                "INSERT INTO forge_remote_clock (one, time) VALUES (1, $1)
                 ON CONFLICT (one) DO UPDATE SET time = excluded.time",
                values![now],
            ),
        ];
        execute(transaction, heartbeat).await?;
        if last.saturating_sub(now) > MAX_STEP {
            tracing::warn!(
                seconds = (last - now) / 1000,
                "the database's clock was set back: the due times of waiting jobs are moved by the \
                 same amount"
            );
            // Otherwise they would wait until the clock is there again. A job that is due later keeps its time.
            let due_before = last + LAST_HEARTBEAT;
            let follow: &[(&str, &[Value<'_>])] = &[
                (S::ADVANCE_WAITING, values![last - now, QUEUE, due_before]),
                (
                    "UPDATE forge_remote_call SET due = $1 WHERE unfinished = 1 AND due > $1 AND due <= $2",
                    values![now, due_before],
                ),
                (
                    "UPDATE forge_remote_process SET heartbeat = $1 WHERE heartbeat > $1",
                    values![now],
                ),
                // A call that is limited still gets a new pause.
                ("DELETE FROM forge_remote_pause", values![]),
                // The leader elects itself again. If it has died, its term would last for as long.
                ("DELETE FROM river_leader", values![]),
            ];
            execute(transaction, follow).await?;
        }
        writing.commit().await?;
        Ok(now)
    }
}
