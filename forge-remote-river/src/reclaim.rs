//! The jobs of ended processes, removed installations and past deliveries: releasing, ending and forgetting them.

use std::time::Duration;

use forge_remote::jobs::EngineError;

use crate::error::failed;
use crate::ledger::{Ledger, execute};
use crate::statements::{Statements as _, Value, values};
use crate::store::{Reclaimed, Store};
use crate::stored_call::millis;

/// How many rows a transaction that tidies up changes at most.
const AT_ONCE: i64 = 1000;

/// Which running jobs are abandoned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Abandoned<'a> {
    /// All: no other process uses the file.
    #[cfg(feature = "sqlite")]
    All,
    /// Those of processes that have not shown for this time that they live.
    Silent(Duration),
    /// These, which name this process but do not run in it.
    Lost(&'a [i64]),
}

impl<S: Store> Ledger<S> {
    /// Returns the jobs that the database takes for running in this process.
    pub(crate) async fn claimed_by(&self, process: &str) -> Result<Vec<i64>, EngineError> {
        let mut connection = self.connection().await?;
        let running = connection.named_integers(S::RUNNING).await?;
        let own = running.into_iter().filter(|(owner, _)| owner == process);
        Ok(own.map(|(_, job)| job).collect())
    }

    /// Releases abandoned jobs.
    pub(crate) async fn reclaim(
        &self,
        abandoned: Abandoned<'_>,
    ) -> Result<Vec<Reclaimed>, EngineError> {
        let mut writing = self.begin().await?;
        let silent_since = match abandoned {
            // No heartbeat is so far in the future.
            #[cfg(feature = "sqlite")]
            Abandoned::All => i64::MAX,
            Abandoned::Lost(jobs) => {
                for job in jobs {
                    let transaction = &mut writing.transaction;
                    transaction.execute(S::DISOWN, values![*job]).await?;
                }
                i64::MIN
            }
            Abandoned::Silent(time) => {
                let now = self.now(&mut writing).await?;
                now.saturating_sub(millis(time))
            }
        };
        writing
            .transaction
            .execute(
                "DELETE FROM forge_remote_process WHERE heartbeat < $1",
                values![silent_since],
            )
            .await?;
        let reclaimed = S::reclaim(&mut writing.transaction)
            .await
            .map_err(|error| failed("abandoned jobs cannot be released", error))?;
        for job in &reclaimed {
            // It may have ended in a process that died before River stored the result: it runs again.
            let unfinished = "UPDATE forge_remote_call SET unfinished = 1 WHERE job_id = $1";
            let transaction = &mut writing.transaction;
            transaction.execute(unfinished, values![job.job]).await?;
        }
        writing.commit().await?;
        Ok(reclaimed)
    }

    /// Records every job whose end was missed, and deletes pauses that are over.
    pub(crate) async fn sweep(&self) -> Result<(), EngineError> {
        let mut writing = self.begin().await?;
        let now = self.now(&mut writing).await?;
        let sweep: &[(&str, &[Value<'_>])] = &[
            (
                "UPDATE forge_remote_call SET unfinished = 0
                 WHERE unfinished = 1 AND NOT EXISTS (
                     SELECT 1 FROM river_job AS job WHERE job.id = forge_remote_call.job_id
                         AND job.state NOT IN ('cancelled', 'completed', 'discarded')
                 )",
                values![],
            ),
            (
                "DELETE FROM forge_remote_pause WHERE until < $1",
                values![now],
            ),
        ];
        execute(&mut writing.transaction, sweep).await?;
        writing.commit().await
    }

    /// Ends some waiting jobs of an installation, and returns how many. 0 shows the end: workers claim some of the
    /// selected ones meanwhile, so a smaller number than the most does not.
    pub(crate) async fn end_waiting(&self, installation: &str) -> Result<u64, EngineError> {
        let mut writing = self.begin().await?;
        let ended = writing
            .transaction
            .execute(S::CANCEL_WAITING, values![installation, AT_ONCE])
            .await?;
        writing
            .transaction
            .execute(
                // No call has the empty key: a job that is sent once the app is installed again is not a
                // duplicate.
                "UPDATE forge_remote_call SET unfinished = 0, delivery_key = ''
                 WHERE installation = $1 AND unfinished = 1 AND EXISTS (
                     SELECT 1 FROM river_job AS job
                     WHERE job.id = forge_remote_call.job_id AND job.state = 'cancelled'
                 )",
                values![installation],
            )
            .await?;
        writing.commit().await?;
        Ok(ended)
    }

    /// Deletes some calls that were accepted before this time and whose jobs River has deleted, and returns
    /// whether there may be more. A dead job that River keeps can be retried.
    pub(crate) async fn forget(&self, accepted_before: i64) -> Result<bool, EngineError> {
        let mut writing = self.begin().await?;
        let deleted = writing
            .transaction
            .execute(
                "DELETE FROM forge_remote_call WHERE job_id IN (
                     SELECT job_id FROM forge_remote_call AS call
                     WHERE unfinished = 0 AND accepted_at < $1 AND NOT EXISTS (
                         SELECT 1 FROM river_job AS job WHERE job.id = call.job_id
                     )
                     ORDER BY accepted_at LIMIT $2
                 )",
                values![accepted_before, AT_ONCE],
            )
            .await?;
        writing.commit().await?;
        Ok(deleted >= AT_ONCE.unsigned_abs())
    }
}
