//! What this crate stores beside River's jobs: keys of deliveries, slots and pauses of installations.

use std::time::Duration;

use forge_remote::jobs::{Accepted, EngineError, Envelope};
use riverqueue::{Client, ClientBuilder};

/// How many waiting calls of an installation lower the priority of its next one, by one step each.
pub(crate) const BACKLOG_STEPS: [i64; 3] = [20, 100, 500];

/// Whether a call may run now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// The installation has as many running as it may. This many of its calls wait ahead of this one.
    Full {
        ahead: i64,
    },
    /// The installation is paused until this time, in milliseconds since 1970.
    Paused {
        until: i64,
    },
}

/// A call that is due, and applies to run.
#[derive(Debug)]
pub(crate) struct Applicant {
    pub(crate) job: i64,
    pub(crate) attempt: i64,
    pub(crate) handler: String,
    pub(crate) installation: String,
    pub(crate) limit: Option<u32>,
}

/// Which running jobs are abandoned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Abandoned {
    /// All: no other process uses the file.
    #[cfg(feature = "sqlite")]
    All,
    /// Those of processes that have not shown for this time that they live.
    Silent(Duration),
}

/// An abandoned job that was handed back, or is dead.
#[derive(Debug)]
pub(crate) struct Reclaimed {
    pub(crate) job: i64,
    pub(crate) attempt: i64,
    pub(crate) is_dead: bool,
    /// River's arguments, as JSON.
    pub(crate) arguments: String,
}

/// The database of an engine.
pub(crate) trait Ledger: Clone + Send + Sync + 'static {
    /// Returns a builder of River's client on this database.
    fn client(&self) -> ClientBuilder;

    /// Stores a call, unless it repeats another.
    fn accept(
        &self,
        client: &Client,
        envelope: &Envelope,
    ) -> impl Future<Output = Result<Accepted, EngineError>> + Send;

    /// Decides which of the calls may run, and notes that these start: until then, a process that ends
    /// costs them no attempt.
    fn admit(
        &self,
        applicants: &[Applicant],
        now: i64,
    ) -> impl Future<Output = Result<Vec<Admission>, EngineError>> + Send;

    /// Pauses a handler for an installation.
    fn pause(
        &self,
        handler: &str,
        installation: &str,
        until: i64,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Notes that the finished jobs do not run again, and that the others' runs were handed back.
    fn settle(
        &self,
        finished: &[i64],
        handed_back: &[i64],
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Notes that a job runs again after all.
    fn reopen(&self, job: i64) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Notes that this process lives.
    fn beat(&self, process: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Hands back abandoned jobs. A job that had started has spent its attempt.
    fn reclaim(
        &self,
        abandoned: Abandoned,
    ) -> impl Future<Output = Result<Vec<Reclaimed>, EngineError>> + Send;

    /// Notes every job that ended unnoticed, and forgets finished calls that were accepted before this
    /// time, and pauses that are over.
    fn sweep(
        &self,
        now: i64,
        forget_before: i64,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
}

/// Returns River's priority of an installation's next call: 1 runs first.
pub(crate) fn priority(backlog: i64) -> i16 {
    let steps = BACKLOG_STEPS.iter().filter(|step| backlog >= **step);
    steps.fold(1, |priority, _| priority + 1)
}

/// Returns how long a call waits until it applies again, with this many ahead of it.
pub(crate) fn pause_behind(ahead: i64, limit: u32, run: Duration, job: i64) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(60);
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    let wait = run.checked_mul(ahead).unwrap_or(LONGEST) / limit.max(1);
    let wait = wait.clamp(SHORTEST, LONGEST);
    // Spread, so that calls that were refused together do not return together.
    wait + wait / 8 * u32::try_from(job.rem_euclid(8)).unwrap_or_default() / 8
}

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS forge_remote_call (
        job_id BIGINT NOT NULL PRIMARY KEY,
        delivery_key TEXT NOT NULL,
        handler TEXT NOT NULL,
        installation TEXT NOT NULL,
        accepted_at BIGINT NOT NULL,
        unfinished BIGINT NOT NULL DEFAULT 1,
        slot BIGINT
    )",
    "CREATE INDEX IF NOT EXISTS forge_remote_call_key
        ON forge_remote_call (delivery_key, accepted_at)",
    "CREATE INDEX IF NOT EXISTS forge_remote_call_unfinished
        ON forge_remote_call (installation, handler) WHERE unfinished = 1",
    "CREATE TABLE IF NOT EXISTS forge_remote_pause (
        handler TEXT NOT NULL,
        installation TEXT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (handler, installation)
    )",
    // Processes that run jobs, and when each last showed that it lives.
    "CREATE TABLE IF NOT EXISTS forge_remote_process (
        id TEXT NOT NULL PRIMARY KEY,
        beat BIGINT NOT NULL
    )",
];

pub(crate) fn failed(
    what: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> EngineError {
    EngineError::new(what.to_owned()).with_source(error)
}

/// Implements [`Ledger`] for a database. Both read `$1` as the first parameter.
macro_rules! impl_ledger {
    ($Ledger:ty, lock: $lock:ident, reclaim: $reclaim:ident, now: $now:literal) => {
        impl crate::ledger::Ledger for $Ledger {
            fn client(&self) -> riverqueue::ClientBuilder {
                riverqueue::Client::builder(self.pool.clone())
            }

            async fn accept(
                &self,
                client: &riverqueue::Client,
                envelope: &forge_remote::jobs::Envelope,
            ) -> Result<forge_remote::jobs::Accepted, forge_remote::jobs::EngineError> {
                use crate::ledger::failed;
                use crate::stored_call::{StoredCall, to_millis};
                use forge_remote::jobs::Accepted;

                let fail = |error| failed("the database failed", error);
                let call = StoredCall::new(envelope);
                let mut transaction = self.begin().await.map_err(fail)?;
                $lock(&mut transaction, &call.key).await.map_err(fail)?;
                if let Some((window, or_unfinished)) = envelope.repeats.window() {
                    let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
                    // `unfinished` is 0 or 1.
                    let first: Option<i64> = sqlx::query_scalar(
                        "SELECT job_id FROM forge_remote_call
                         WHERE delivery_key = $1 AND (accepted_at >= $2 OR unfinished = $3)
                         ORDER BY accepted_at DESC LIMIT 1",
                    )
                    .bind(&call.key)
                    .bind(call.accepted_at.saturating_sub(window))
                    .bind(if or_unfinished { 1_i64 } else { -1 })
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(fail)?;
                    if let Some(job) = first {
                        return Ok(Accepted::Repeated(job.to_string()));
                    }
                }
                let backlog: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM (
                         SELECT 1 FROM forge_remote_call
                         WHERE installation = $1 AND unfinished = 1 LIMIT 500
                     ) AS backlog",
                )
                .bind(&call.installation)
                .fetch_one(&mut *transaction)
                .await
                .map_err(fail)?;
                let mut options = riverqueue::InsertOpts::default()
                    .with_queue(crate::stored_call::QUEUE)
                    .with_priority(crate::ledger::priority(backlog))
                    .with_max_attempts(i32::try_from(envelope.max_attempts).unwrap_or(i32::MAX));
                if let Some(time) = envelope.not_before {
                    let time = riverqueue::jiff::Timestamp::from_millisecond(to_millis(time));
                    let time = time.map_err(|error| failed("the time of a job is out of range", error))?;
                    options = options.with_scheduled_at(time);
                }
                let inserted = client
                    .insert(call.clone())
                    .opts(options)
                    .tx(transaction.river())
                    .await
                    .map_err(|error| failed("River could not insert the job", error))?;
                let job = inserted.id();
                sqlx::query(
                    "INSERT INTO forge_remote_call
                         (job_id, delivery_key, handler, installation, accepted_at)
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(job)
                .bind(&call.key)
                .bind(&call.handler)
                .bind(&call.installation)
                .bind(call.accepted_at)
                .execute(&mut *transaction)
                .await
                .map_err(fail)?;
                transaction.commit().await.map_err(fail)?;
                Ok(Accepted::New(job.to_string()))
            }

            async fn admit(
                &self,
                applicants: &[crate::ledger::Applicant],
                now: i64,
            ) -> Result<Vec<crate::ledger::Admission>, forge_remote::jobs::EngineError> {
                use crate::ledger::{Admission, failed};

                let fail = |error| failed("the database failed", error);
                let mut transaction = self.begin().await.map_err(fail)?;
                // In one order, so that two instances do not wait for each other.
                let groups: std::collections::BTreeSet<String> = applicants
                    .iter()
                    .filter(|applicant| applicant.limit.is_some())
                    .map(|applicant| format!("{} {}", applicant.handler, applicant.installation))
                    .collect();
                for group in &groups {
                    $lock(&mut transaction, group).await.map_err(fail)?;
                }
                let mut admissions = Vec::with_capacity(applicants.len());
                for applicant in applicants {
                    let until: Option<i64> = sqlx::query_scalar(
                        "SELECT until FROM forge_remote_pause
                         WHERE handler = $1 AND installation = $2 AND until > $3",
                    )
                    .bind(&applicant.handler)
                    .bind(&applicant.installation)
                    .bind(now)
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(fail)?;
                    if let Some(until) = until {
                        admissions.push(Admission::Paused { until });
                        continue;
                    }
                    if let Some(limit) = applicant.limit {
                        // A slot counts while its run lasts: River's row is then still running, at the
                        // same attempt.
                        let running: i64 = sqlx::query_scalar(
                            "SELECT count(*) FROM forge_remote_call AS call
                             JOIN river_job AS job ON job.id = call.job_id
                             WHERE call.installation = $1 AND call.handler = $2 AND call.unfinished = 1
                                 AND call.slot IS NOT NULL AND call.job_id <> $3
                                 AND job.state = 'running' AND job.attempt = call.slot",
                        )
                        .bind(&applicant.installation)
                        .bind(&applicant.handler)
                        .bind(applicant.job)
                        .fetch_one(&mut *transaction)
                        .await
                        .map_err(fail)?;
                        if running >= i64::from(limit) {
                            let ahead: i64 = sqlx::query_scalar(
                                "SELECT count(*) FROM forge_remote_call
                                 WHERE installation = $1 AND handler = $2 AND unfinished = 1
                                     AND job_id < $3",
                            )
                            .bind(&applicant.installation)
                            .bind(&applicant.handler)
                            .bind(applicant.job)
                            .fetch_one(&mut *transaction)
                            .await
                            .map_err(fail)?;
                            admissions.push(Admission::Full { ahead });
                            continue;
                        }
                    }
                    sqlx::query("UPDATE forge_remote_call SET slot = $1 WHERE job_id = $2")
                        .bind(applicant.attempt)
                        .bind(applicant.job)
                        .execute(&mut *transaction)
                        .await
                        .map_err(fail)?;
                    admissions.push(Admission::Admitted);
                }
                transaction.commit().await.map_err(fail)?;
                Ok(admissions)
            }

            async fn pause(
                &self,
                handler: &str,
                installation: &str,
                until: i64,
            ) -> Result<(), forge_remote::jobs::EngineError> {
                sqlx::query(
                    "INSERT INTO forge_remote_pause (handler, installation, until) VALUES ($1, $2, $3)
                     ON CONFLICT (handler, installation) DO UPDATE SET until = excluded.until
                     WHERE excluded.until > forge_remote_pause.until",
                )
                .bind(handler)
                .bind(installation)
                .bind(until)
                .execute(&self.pool)
                .await
                .map_err(|error| crate::ledger::failed("the database failed", error))?;
                Ok(())
            }

            async fn settle(
                &self,
                finished: &[i64],
                handed_back: &[i64],
            ) -> Result<(), forge_remote::jobs::EngineError> {
                let fail = |error| crate::ledger::failed("the database failed", error);
                let mut transaction = self.begin().await.map_err(fail)?;
                for job in finished {
                    sqlx::query("UPDATE forge_remote_call SET unfinished = 0 WHERE job_id = $1")
                        .bind(job)
                        .execute(&mut *transaction)
                        .await
                        .map_err(fail)?;
                }
                for job in handed_back {
                    sqlx::query("UPDATE forge_remote_call SET slot = NULL WHERE job_id = $1")
                        .bind(job)
                        .execute(&mut *transaction)
                        .await
                        .map_err(fail)?;
                }
                transaction.commit().await.map_err(fail)
            }

            async fn reopen(&self, job: i64) -> Result<(), forge_remote::jobs::EngineError> {
                sqlx::query(
                    "UPDATE forge_remote_call SET unfinished = 1, slot = NULL WHERE job_id = $1",
                )
                .bind(job)
                .execute(&self.pool)
                .await
                .map_err(|error| crate::ledger::failed("the database failed", error))?;
                Ok(())
            }

            async fn beat(&self, process: &str) -> Result<(), forge_remote::jobs::EngineError> {
                sqlx::query(concat!(
                    "INSERT INTO forge_remote_process (id, beat) VALUES ($1, ",
                    $now,
                    ") ON CONFLICT (id) DO UPDATE SET beat = excluded.beat"
                ))
                .bind(process)
                .execute(&self.pool)
                .await
                .map_err(|error| crate::ledger::failed("the database failed", error))?;
                Ok(())
            }

            async fn reclaim(
                &self,
                abandoned: crate::ledger::Abandoned,
            ) -> Result<Vec<crate::ledger::Reclaimed>, forge_remote::jobs::EngineError> {
                let fail = |error| crate::ledger::failed("abandoned jobs can't be handed back", error);
                let mut transaction = self.begin().await.map_err(fail)?;
                let silence = match abandoned {
                    // No beat is in the future.
                    #[cfg(feature = "sqlite")]
                    crate::ledger::Abandoned::All => -i64::MAX / 4,
                    crate::ledger::Abandoned::Silent(time) => {
                        i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
                    }
                };
                sqlx::query(concat!("DELETE FROM forge_remote_process WHERE beat < ", $now, " - $1"))
                    .bind(silence)
                    .execute(&mut *transaction)
                    .await
                    .map_err(fail)?;
                let reclaimed = $reclaim(&mut transaction).await.map_err(fail)?;
                transaction.commit().await.map_err(fail)?;
                Ok(reclaimed)
            }

            async fn sweep(
                &self,
                now: i64,
                forget_before: i64,
            ) -> Result<(), forge_remote::jobs::EngineError> {
                let fail = |error| crate::ledger::failed("the database failed", error);
                sqlx::query(
                    "UPDATE forge_remote_call SET unfinished = 0
                     WHERE unfinished = 1 AND NOT EXISTS (
                         SELECT 1 FROM river_job AS job WHERE job.id = forge_remote_call.job_id
                             AND job.state NOT IN ('cancelled', 'completed', 'discarded')
                     )",
                )
                .execute(&self.pool)
                .await
                .map_err(fail)?;
                sqlx::query("DELETE FROM forge_remote_call WHERE unfinished = 0 AND accepted_at < $1")
                    .bind(forget_before)
                    .execute(&self.pool)
                    .await
                    .map_err(fail)?;
                sqlx::query("DELETE FROM forge_remote_pause WHERE until < $1")
                    .bind(now)
                    .execute(&self.pool)
                    .await
                    .map_err(fail)?;
                Ok(())
            }
        }
    };
}
pub(crate) use impl_ledger;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_falls_with_the_backlog() {
        assert_eq!(
            [0, 19, 20, 100, 499, 500, 9999].map(priority),
            [1, 1, 2, 3, 3, 4, 4]
        );
    }

    #[test]
    fn a_call_waits_for_those_ahead_of_it() {
        let run = Duration::from_secs(1);
        assert_eq!(pause_behind(0, 1, run, 8), Duration::from_millis(50));
        assert_eq!(pause_behind(10, 2, run, 8), Duration::from_secs(5));
        assert_eq!(pause_behind(i64::MAX, 1, run, 8), Duration::from_secs(60));
        assert!(pause_behind(10, 2, run, 7) > Duration::from_secs(5));
        assert!(pause_behind(10, 2, run, 7) < Duration::from_secs(6));
    }
}
