//! The ranks of jobs that become due: a job that was sent for later, or waits for its retry, gets its priority when it is
//! due, by the queue that its installation has then.

use std::convert::Infallible;
use std::time::Duration;

use forge_remote::__engines::with_causes;
use forge_remote::jobs::EngineError;

use crate::admission::BACKLOG_STEPS;
use crate::ledger::{Ledger, execute};
use crate::statements::{Statements as _, Value, values};
use crate::store::Store;
use crate::stored_call::QUEUE;

const INTERVAL: Duration = Duration::from_secs(1);
/// How long before it is due a job gets its rank, in milliseconds. A job that is delayed by less keeps the priority of
/// its acceptance.
const LOOK_AHEAD: i64 = 4_000;

/// Ranks jobs, in passes.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    /// Jobs that are due until this time are ranked, by the database's clock, in milliseconds since 1970.
    until: i64,
}

impl Ranking {
    /// Ranks the jobs that become due, repeatedly.
    pub(crate) async fn run<S: Store>(mut self, ledger: &Ledger<S>) -> Infallible {
        loop {
            self.pass(ledger).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Ranks the jobs that become due soon, and have not been ranked by this process. If the database fails, the next
    /// pass ranks them.
    pub(crate) async fn pass<S: Store>(&mut self, ledger: &Ledger<S>) {
        match ledger.rank(self.until).await {
            Ok(until) => self.until = until,
            Err(error) => {
                tracing::debug!(error = %with_causes(&error), "jobs that become due cannot be ranked yet");
            }
        }
    }
}

impl<S: Store> Ledger<S> {
    /// Sets the priorities of the jobs that become due after a time and soon, and returns the time until which it has.
    async fn rank(&self, since: i64) -> Result<i64, EngineError> {
        let mut connection = self.connection().await?;
        let now = connection.integer(S::NOW, values![]).await?;
        let until = now.unwrap_or_default() + LOOK_AHEAD;
        // A clock that was set back has had jobs follow it.
        let since = if since > until { 0 } else { since };
        let any = connection
            .integer(S::BECOMES_DUE, values![QUEUE, since, until])
            .await?;
        // A transaction that writes waits for it.
        drop(connection);
        if any.is_some() {
            let [second, third, fourth] = BACKLOG_STEPS;
            let rank: &[(&str, &[Value<'_>])] =
                &[(S::RANK, values![QUEUE, since, until, second, third, fourth])];
            let mut writing = self.begin().await?;
            execute(&mut writing.transaction, rank).await?;
            writing.commit().await?;
        }
        Ok(until)
    }
}

/// Returns the statements [`Store::BECOMES_DUE`] and [`Store::RANK`], with `$2` and `$3` as times of the database, and
/// its lock of the rows.
macro_rules! rank_statements {
    ($since:literal, $until:literal, $lock:literal) => {
        const BECOMES_DUE: &'static str = concat!(
            "SELECT CAST(1 AS BIGINT) FROM river_job WHERE queue = $1 AND state IN ('available', 'retryable', 'scheduled')
                 AND priority IN (1, 2, 3, 4) AND scheduled_at > ", $since, " AND scheduled_at <= ", $until, "
             LIMIT 1"
        );
        const RANK: &'static str = concat!(
            "WITH becoming_due AS MATERIALIZED (
                 SELECT job.id, job.scheduled_at, call.installation
                 FROM river_job AS job JOIN forge_remote_call AS call ON call.job_id = job.id
                 WHERE job.queue = $1 AND job.state IN ('available', 'retryable', 'scheduled')
                     AND job.priority IN (1, 2, 3, 4)
                     AND job.scheduled_at > ", $since, " AND job.scheduled_at <= ", $until, "
                 ", $lock, "
             ), queue AS MATERIALIZED (
                 SELECT installation, (
                     SELECT count(*) FROM (
                         SELECT 1 FROM forge_remote_call AS call JOIN river_job AS job ON job.id = call.job_id
                         WHERE call.installation = one.installation AND call.unfinished = 1
                             AND job.state IN ('available', 'retryable', 'scheduled')
                             AND job.scheduled_at <= ", $since, "
                         LIMIT $6
                     ) AS due
                 ) AS length
                 FROM (SELECT DISTINCT installation FROM becoming_due) AS one
             ), ahead AS (
                 SELECT id, queue.length - 1 + row_number() OVER (
                     PARTITION BY becoming_due.installation ORDER BY scheduled_at, id
                 ) AS jobs
                 FROM becoming_due JOIN queue ON queue.installation = becoming_due.installation
             ), ranked AS MATERIALIZED (
                 SELECT id, CASE WHEN jobs >= $6 THEN 4 WHEN jobs >= $5 THEN 3 WHEN jobs >= $4 THEN 2 ELSE 1 END AS rank
                 FROM ahead
             )
             UPDATE river_job SET priority = ranked.rank FROM ranked
             WHERE river_job.id = ranked.id AND river_job.priority <> ranked.rank
                 AND river_job.state IN ('available', 'retryable', 'scheduled')"
        );
    };
}
pub(crate) use rank_statements;
