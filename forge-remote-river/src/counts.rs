//! Counts of jobs, for metrics and `doctor`.

use forge_remote::jobs::{EngineError, JobCounts, KeyCounts, LastAccepted};

use crate::ledger::Ledger;
use crate::statements::{Statements as _, values};
use crate::store::Store;
use crate::stored_call::{QUEUE, from_millis, key_id};

/// The prefix of the key of dead jobs in the rows of `KEY_COUNTS`.
const DEAD: &str = "dead ";

impl<S: Store> Ledger<S> {
    /// Counts the jobs, for each sample of the metrics: without the statements that begin a survey.
    pub(crate) async fn counts(&self) -> Result<JobCounts, EngineError> {
        let mut connection = self.connection().await?;
        let mut select = async |sql| {
            let selected = connection.integer(sql, values![QUEUE]).await?;
            Ok::<_, EngineError>(selected.unwrap_or_default())
        };
        let pending = select(
            "SELECT count(*) FROM river_job WHERE queue = $1
                 AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled')",
        )
        .await?;
        let dead =
            select("SELECT count(*) FROM river_job WHERE queue = $1 AND state = 'discarded'")
                .await?;
        let oldest = select(S::OLDEST_DUE).await?;
        let mut counts = JobCounts::default();
        counts.pending = pending.unsigned_abs();
        counts.dead = dead.unsigned_abs();
        counts.oldest_due = (oldest >= 0).then(|| from_millis(oldest));
        Ok(counts)
    }

    /// Counts the unfinished and dead jobs under each key.
    pub(crate) async fn key_counts(&self) -> Result<KeyCounts, EngineError> {
        let mut survey = self.survey().await?;
        let mut of_keys = KeyCounts::new();
        for (start, count) in survey.named_integers(S::KEY_COUNTS).await? {
            let dead = start.strip_prefix(DEAD);
            let Some(id) = key_id(dead.unwrap_or(&start)) else {
                continue;
            };
            let of_key = of_keys.entry(id).or_default();
            let counted = match dead {
                Some(_) => &mut of_key.dead,
                None => &mut of_key.unfinished,
            };
            *counted += count.unsigned_abs();
        }
        Ok(of_keys)
    }

    /// Returns when the last call of each handler was accepted, as far as calls are remembered.
    pub(crate) async fn last_accepted(&self) -> Result<LastAccepted, EngineError> {
        let mut survey = self.survey().await?;
        let last = survey
            .named_integers(
                "SELECT handler, max(accepted_at) FROM forge_remote_call GROUP BY handler",
            )
            .await?;
        let last = last.into_iter();
        Ok(last
            .map(|(handler, time)| (handler, from_millis(time)))
            .collect())
    }
}
