//! The data that this crate stores in addition to River's jobs: keys of deliveries, slots and pauses
//! of installations.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use forge_remote::jobs::{Accepted, EngineError, Envelope, JobCounts, KeyCounts, LastAccepted};
use riverqueue::jiff::Timestamp;
use riverqueue::{Client, ClientBuilder, InsertOpts};
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

use crate::admission::{Admission, Applicant, decide, priority};
use crate::error::{database_failed, failed};
use crate::lead::Lead;
use crate::statements::{Statements, Value, values};
use crate::stored_call::{QUEUE, StoredCall, from_millis, key_id, millis, to_millis};

/// No value of `unfinished`, which is 0 or 1.
const NEVER: i64 = -1;
/// The prefix of the key of dead jobs in the rows of `KEY_COUNTS`.
const DEAD: &str = "dead ";
/// How many rows a transaction that tidies up changes at most.
const AT_ONCE: i64 = 1000;
/// The shortest wait of a released job. River stores the run's end meanwhile: later it would take that for the end of the
/// next run, because it does not compare attempts. It tries three times, for 10 seconds each.
const SHORTEST_RELEASE: Duration = Duration::from_secs(35);

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

/// An abandoned job that was released, or is dead.
#[derive(Debug)]
pub(crate) struct Reclaimed {
    pub(crate) job: i64,
    pub(crate) attempt: i64,
    pub(crate) is_dead: bool,
    /// River's arguments, as JSON.
    pub(crate) arguments: String,
}

/// The end of a run after which the job waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) attempt: i64,
    /// How many attempts are spent.
    pub(crate) spent: i64,
    pub(crate) wait: Duration,
}

/// A database with River's tables and those of this crate.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    type Database: sqlx::Database<Connection: Statements>;
    /// Held while a transaction writes.
    type Turn: Send;

    /// Selects the database's time, in milliseconds since 1970.
    const NOW: &'static str;
    /// Selects the earliest time of a waiting job in the queue `$1`, in milliseconds since 1970; -1 without one.
    const OLDEST_DUE: &'static str;

    /// Makes waiting jobs in the queue `$2` run `$1` milliseconds earlier, except jobs whose first run is due after
    /// `$3`.
    const ADVANCE_WAITING: &'static str;
    /// Cancels waiting jobs of the installation `$1`, at most `$2` of them.
    const CANCEL_WAITING: &'static str;
    /// Selects 1 if there is a table or an index with the name `$1`, otherwise 0.
    const EXISTS: &'static str;

    /// Selects the start of the sealed contents of unfinished and dead jobs, which shows their key, and their number.
    const KEY_COUNTS: &'static str;

    /// Selects a row if a job in the queue `$1` becomes due after `$2` and until `$3`, in milliseconds since 1970.
    const BECOMES_DUE: &'static str;
    /// Sets the priorities of these jobs, by the jobs of their installations ahead of them: 1, or 2, 3, 4 after `$4`, `$5`,
    /// `$6`.
    const RANK: &'static str;

    /// Makes the job `$1`, which runs its attempt `$2`, wait for `$4` milliseconds, with `$3` counted attempts. `None`
    /// for a database that has this machine's clock.
    const RELEASE: Option<&'static str>;

    /// Selects the process and the id of each running job.
    const RUNNING: &'static str;
    /// Makes the running job `$1` belong to no process.
    const DISOWN: &'static str;

    /// Compares this machine's clock with the database's.
    fn lead(&self) -> impl Future<Output = Result<Lead, EngineError>> + Send {
        std::future::ready(Ok(Lead::default()))
    }

    /// Returns the store with separate connections, so that a process's heartbeat does not wait for the calls that it
    /// accepts.
    fn apart(&self) -> Self {
        self.clone()
    }

    /// Returns a builder of River's client on this database.
    fn client(&self) -> ClientBuilder;

    /// Returns a builder of the client that runs jobs.
    fn worker(&self) -> ClientBuilder {
        self.client()
    }

    /// Returns a connection that reads.
    fn connection(
        &self,
    ) -> impl Future<Output = Result<PoolConnection<Self::Database>, sqlx::Error>> + Send;

    /// Begins a transaction that reads whole tables. The database ends its statements even if the caller has stopped
    /// waiting for them.
    fn begin_survey(
        &self,
    ) -> impl Future<Output = Result<Transaction<'static, Self::Database>, sqlx::Error>> + Send;

    /// Begins a transaction that writes.
    fn begin(&self) -> impl Future<Output = Result<WriteTransaction<Self>, sqlx::Error>> + Send;

    /// Excludes transactions on the same key or group until the end of this one.
    fn lock(
        transaction: &mut Transaction<'_, Self::Database>,
        name: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Excludes transactions as [`lock`](Self::lock) does; `false` if another one does not end soon.
    fn lock_soon(
        transaction: &mut Transaction<'_, Self::Database>,
        name: &str,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send {
        async move { Self::lock(transaction, name).await.map(|()| true) }
    }

    /// Inserts a River job, and returns its id.
    fn insert(
        client: &Client,
        transaction: &mut Transaction<'_, Self::Database>,
        call: StoredCall,
        options: InsertOpts,
    ) -> impl Future<Output = Result<i64, riverqueue::Error>> + Send;

    /// Releases the running jobs of processes that are not recorded. A job that had started has spent its attempt,
    /// and gets another one unless it is the one that ended the process: it ran alone there, or has ended with
    /// several.
    fn reclaim(
        transaction: &mut Transaction<'_, Self::Database>,
    ) -> impl Future<Output = Result<Vec<Reclaimed>, sqlx::Error>> + Send;
}

/// A transaction that writes, in its turn.
pub(crate) struct WriteTransaction<S: Store> {
    pub(crate) transaction: Transaction<'static, S::Database>,
    pub(crate) turn: S::Turn,
}

impl<S: Store> WriteTransaction<S> {
    pub(crate) async fn commit(self) -> Result<(), EngineError> {
        let Self { transaction, turn } = self;
        let committed = transaction.commit().await.map_err(database_failed);
        drop(turn);
        committed
    }
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

    /// Begins a transaction that reads whole tables.
    async fn survey(&self) -> Result<Transaction<'static, S::Database>, EngineError> {
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

    /// Counts the jobs.
    pub(crate) async fn counts(&self) -> Result<JobCounts, EngineError> {
        let mut survey = self.survey().await?;
        let mut select = async |sql| {
            let selected = survey.integer(sql, values![QUEUE]).await?;
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

    /// Runs statements in one transaction.
    async fn write(&self, statements: &[(&'static str, &[Value<'_>])]) -> Result<(), EngineError> {
        let mut writing = self.begin().await?;
        execute(&mut writing.transaction, statements).await?;
        writing.commit().await
    }

    /// Returns the database's time.
    async fn now(&self, writing: &mut WriteTransaction<S>) -> Result<i64, EngineError> {
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
