//! The interface of the databases.

use std::future::Future;

use forge_remote::jobs::EngineError;
use riverqueue::{Client, ClientBuilder, InsertOpts};
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

use crate::error::database_failed;
use crate::lead::Lead;
use crate::statements::Statements;
use crate::stored_call::StoredCall;

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

    /// Selects the start of the sealed contents of unfinished and dead jobs, which shows their key, and their number. That
    /// of dead ones begins with `dead `.
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

/// An abandoned job that was released, or is dead.
#[derive(Debug)]
pub(crate) struct Reclaimed {
    pub(crate) job: i64,
    pub(crate) attempt: i64,
    pub(crate) is_dead: bool,
    /// River's arguments, as JSON.
    pub(crate) arguments: String,
}
