//! The data that this crate stores in addition to River's jobs: keys of deliveries, slots and pauses
//! of installations.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use forge_remote::jobs::{Accepted, EngineError, Envelope};
use riverqueue::jiff::Timestamp;
use riverqueue::{Client, InsertOpts};
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

use crate::admission::{Admission, Applicant, decide, priority};
use crate::error::{database_failed, failed};
use crate::statements::{Statements, Value, values};
use crate::store::{Store, WriteTransaction};
use crate::stored_call::{QUEUE, StoredCall, millis, to_millis};

/// No value of `unfinished`, which is 0 or 1.
const NEVER: i64 = -1;
/// The shortest wait of a released job. River stores the run's end meanwhile: later it would take that for the end of the
/// next run, because it does not compare attempts. It tries three times, for 10 seconds each.
const SHORTEST_RELEASE: Duration = Duration::from_secs(35);

/// The end of a run after which the job waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) attempt: i64,
    /// How many attempts are spent.
    pub(crate) spent: i64,
    pub(crate) wait: Duration,
}

/// The database of an engine.
#[derive(Clone)]
pub(crate) struct Ledger<S> {
    pub(crate) store: S,
}

impl<S: Store> Ledger<S> {
    pub(crate) async fn begin(&self) -> Result<WriteTransaction<S>, EngineError> {
        self.store.begin().await.map_err(database_failed)
    }

    /// Returns a connection that reads.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<S::Database>, EngineError> {
        self.store.connection().await.map_err(database_failed)
    }

    /// Begins a transaction that reads whole tables, for `doctor`.
    pub(crate) async fn survey(&self) -> Result<Transaction<'static, S::Database>, EngineError> {
        self.store.begin_survey().await.map_err(database_failed)
    }

    /// Stores a call, unless it repeats another.
    pub(crate) async fn accept(
        &self,
        client: &Client,
        envelope: &Envelope,
    ) -> Result<Accepted, EngineError> {
        let mut writing = self.begin().await?;
        let accepted = Self::accept_in(&mut writing.transaction, client, envelope).await?;
        // A repetition has written nothing, but its transaction ends before the next writer's turn.
        writing.commit().await?;
        Ok(accepted)
    }

    /// Stores a call in this transaction, unless it repeats another.
    pub(crate) async fn accept_in(
        transaction: &mut Transaction<'_, S::Database>,
        client: &Client,
        envelope: &Envelope,
    ) -> Result<Accepted, EngineError> {
        let accepted_at = to_millis(envelope.accepted_at);
        let locked = S::lock(transaction, &envelope.key).await;
        locked.map_err(database_failed)?;
        if let Some((window, or_unfinished)) = envelope.repeats.window() {
            let after = accepted_at.saturating_sub(millis(window));
            let unfinished = if or_unfinished { 1 } else { NEVER };
            let first = transaction
                .integer(
                    "SELECT job_id FROM forge_remote_call AS call
                     WHERE delivery_key = $1 AND (accepted_at > $2 OR unfinished = $3 AND EXISTS (
                         SELECT 1 FROM river_job AS job WHERE job.id = call.job_id
                             AND job.state NOT IN ('cancelled', 'completed', 'discarded')
                     ))
                     ORDER BY accepted_at DESC LIMIT 1",
                    values![&envelope.key, after, unfinished],
                )
                .await?;
            if let Some(job) = first {
                return Ok(Accepted::Repeated(job.to_string()));
            }
        }
        let due = to_millis(envelope.due());
        // A later job is ranked when it becomes due.
        let backlog = transaction
            .integer(
                "SELECT count(*) FROM (
                     SELECT 1 FROM forge_remote_call
                     WHERE installation = $1 AND unfinished = 1 AND due <= $2 LIMIT 500
                 ) AS backlog",
                values![&envelope.installation_id, accepted_at.max(due)],
            )
            .await?;
        let mut options = InsertOpts::default()
            .with_queue(QUEUE)
            .with_priority(priority(backlog.unwrap_or_default()))
            .with_max_attempts(i32::try_from(envelope.max_attempts).unwrap_or(i32::MAX));
        if let Some(time) = envelope.not_before {
            let time = Timestamp::from_millisecond(to_millis(time));
            let time = time.map_err(|error| failed("the time of a job is out of range", error))?;
            options = options.with_scheduled_at(time);
        }
        let job = S::insert(client, transaction, StoredCall(envelope.clone()), options)
            .await
            .map_err(|error| failed("River could not insert the job", error))?;
        transaction
            .execute(
                "INSERT INTO forge_remote_call
                     (job_id, delivery_key, handler, installation, accepted_at, due)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                values![
                    job,
                    &envelope.key,
                    &envelope.handler,
                    &envelope.installation_id,
                    accepted_at,
                    due
                ],
            )
            .await?;
        Ok(Accepted::New(job.to_string()))
    }

    /// Decides which of the calls may run, and records that these start: until then, a process that
    /// ends costs them no attempt.
    pub(crate) async fn admit(
        &self,
        applicants: &[Applicant],
    ) -> Result<Vec<Admission>, EngineError> {
        let mut writing = self.begin().await?;
        let now = self.now(&mut writing).await?;
        // In one order, so that two instances do not wait for each other.
        let groups: BTreeSet<String> = applicants.iter().filter_map(Applicant::group).collect();
        let mut busy = BTreeSet::new();
        for group in &groups {
            let locked = S::lock_soon(&mut writing.transaction, group).await;
            if !locked.map_err(database_failed)? {
                busy.insert(group);
            }
        }
        let mut admissions = Vec::with_capacity(applicants.len());
        // Rejected applicants of one group share a count: their positions differ by a few jobs.
        let mut ahead = HashMap::new();
        for applicant in applicants {
            let is_busy = |group| busy.contains(&group);
            if !busy.is_empty() && applicant.group().is_some_and(is_busy) {
                admissions.push(Admission::Busy);
                continue;
            }
            let decided = decide(&mut *writing.transaction, applicant, now, &mut ahead).await?;
            admissions.push(decided);
        }
        writing.commit().await?;
        Ok(admissions)
    }

    /// Pauses a handler for an installation.
    pub(crate) async fn pause(
        &self,
        handler: &str,
        installation: &str,
        time: Duration,
    ) -> Result<(), EngineError> {
        let mut writing = self.begin().await?;
        let until = self.now(&mut writing).await?.saturating_add(millis(time));
        let pause: &[(&str, &[Value<'_>])] = &[(
            "INSERT INTO forge_remote_pause (handler, installation, until) VALUES ($1, $2, $3)
             ON CONFLICT (handler, installation) DO UPDATE SET until = excluded.until
             WHERE excluded.until > forge_remote_pause.until",
            values![handler, installation, until],
        )];
        execute(&mut writing.transaction, pause).await?;
        writing.commit().await
    }

    /// Releases a job instead of River, which would compute its due time by this machine's clock, although the
    /// database's clock decides. River leaves a job alone that does not run any more.
    pub(crate) async fn release(&self, job: i64, release: Release) -> Result<(), EngineError> {
        let Some(statement) = S::RELEASE else {
            return Ok(());
        };
        let Release {
            attempt,
            spent,
            wait,
        } = release;
        let wait = millis(wait.max(SHORTEST_RELEASE));
        self.write(&[(statement, values![job, attempt, spent, wait])])
            .await
    }

    /// Records that the finished jobs do not run again.
    pub(crate) async fn finish(&self, jobs: &[i64]) -> Result<(), EngineError> {
        let mut writing = self.begin().await?;
        for job in jobs {
            let finish = "UPDATE forge_remote_call SET unfinished = 0 WHERE job_id = $1";
            writing.transaction.execute(finish, values![*job]).await?;
        }
        writing.commit().await
    }

    /// Returns a job's slot: the run of its attempt is not counted, or does not begin. This comes before the release of
    /// River's row: the same attempt may start again at once, in another process.
    pub(crate) async fn hand_back(&self, job: i64, attempt: i64) -> Result<(), EngineError> {
        self.write(&[(
            "UPDATE forge_remote_call SET slot = NULL WHERE job_id = $1 AND abs(slot) = $2",
            values![job, attempt],
        )])
        .await
    }

    /// Releases the key of a job that ended because the app was uninstalled: a job that is sent once it is installed
    /// again is not a duplicate.
    pub(crate) async fn release_key(&self, job: i64) -> Result<(), EngineError> {
        self.write(&[(
            "UPDATE forge_remote_call SET delivery_key = '' WHERE job_id = $1",
            values![job],
        )])
        .await
    }

    /// Records that a job runs again after all.
    pub(crate) async fn reopen(&self, job: i64) -> Result<(), EngineError> {
        self.write(&[(
            "UPDATE forge_remote_call SET unfinished = 1 WHERE job_id = $1",
            values![job],
        )])
        .await
    }

    /// Runs statements in one transaction.
    async fn write(&self, statements: &[(&'static str, &[Value<'_>])]) -> Result<(), EngineError> {
        let mut writing = self.begin().await?;
        execute(&mut writing.transaction, statements).await?;
        writing.commit().await
    }

    /// Returns the database's time.
    pub(crate) async fn now(&self, writing: &mut WriteTransaction<S>) -> Result<i64, EngineError> {
        let now = writing.transaction.integer(S::NOW, values![]).await?;
        Ok(now.unwrap_or_default())
    }
}

/// Runs statements in a transaction.
pub(crate) async fn execute<D: sqlx::Database<Connection: Statements>>(
    transaction: &mut Transaction<'_, D>,
    statements: &[(&'static str, &[Value<'_>])],
) -> Result<(), EngineError> {
    for (sql, values) in statements {
        transaction.execute(sql, values).await?;
    }
    Ok(())
}
