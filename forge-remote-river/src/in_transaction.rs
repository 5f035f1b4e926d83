//! Jobs that are sent if a transaction of the app commits.

use std::any::Any;

use forge_remote::jobs::{
    Accepted, EngineError, Envelope, JobEngine, MemoryJobs, SendError, SendJob,
};

/// Sends a job in your transaction: the job is sent if and only if the transaction commits.
///
/// The app's engine must be the one of the transaction's database: [`SqliteJobs`](crate::SqliteJobs) on the same
/// file, or [`PostgresJobs`](crate::PostgresJobs) in the same database; its tables may be in another schema.
///
/// ```
/// use forge_remote::jobs::{Args, Jobs};
/// use forge_remote::prelude::*;
/// use forge_remote_river::InTransaction as _;
/// # #[cfg(feature = "sqlite")] mod example {
/// # use super::*;
/// # use forge_remote::jobs::{Args, Jobs};
/// # use forge_remote_river::InTransaction as _;
///
/// #[job]
/// async fn mail_invoice(Args(order): Args<i64>) -> Result<()> {
///     println!("order {order}");
///     Ok(())
/// }
///
/// #[endpoint]
/// async fn place_order(jobs: Jobs, State(db): State<sqlx::SqlitePool>) -> Result<StatusCode> {
///     let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
///     let order = sqlx::query("INSERT INTO orders DEFAULT VALUES").execute(&mut *transaction).await?;
///     jobs.send(mail_invoice::args(order.last_insert_rowid())).in_transaction(&mut transaction).await?;
///     transaction.commit().await?;
///     Ok(StatusCode::CREATED)
/// }
/// # }
/// # fn main() {}
/// ```
///
/// - After an error, roll the transaction back: the job may be partially written.
/// - Another transaction that sends a job with the same [`unique`](SendJob::unique) key waits until this one ends. On
///   PostgreSQL, both need the isolation level READ COMMITTED, the default.
/// - SQLite: begin with `BEGIN IMMEDIATE`, because a transaction that reads before it writes fails when
///   another one wrote meanwhile. The job is as durable as your own connection's commits
///   (`synchronous = FULL` survives a power cut), and starts within half a second after the commit.
/// - PostgreSQL: the job is as durable as your own transaction: with `synchronous_commit = off`, a power cut may lose both.
/// - With [`MemoryJobs`], which `dev` and the test kit use, the job is sent at once.
pub trait InTransaction: sealed::Sealed + Sized {
    /// Sends the job in this sqlx transaction. It runs after the commit.
    ///
    /// # Errors
    ///
    /// The app's engine is not on the transaction's database, or the database failed.
    fn in_transaction<T: JobTransaction>(
        self,
        transaction: &mut T,
    ) -> impl Future<Output = Result<Accepted, TransactionError>> + Send;
}

impl InTransaction for SendJob {
    async fn in_transaction<T: JobTransaction>(
        self,
        transaction: &mut T,
    ) -> Result<Accepted, TransactionError> {
        let memory = {
            let engine: &dyn Any = self.engine();
            engine.downcast_ref::<MemoryJobs>().cloned()
        };
        if let Some(memory) = memory {
            return Ok(memory.accept(self.into_envelope().await?).await?);
        }
        let engine = transaction.engine_of(self.engine())?;
        let envelope = self.into_envelope().await?;
        transaction.insert(&engine, &envelope).await
    }
}

/// A transaction in which jobs can be sent: sqlx's `Transaction<Sqlite>` or `Transaction<Postgres>`.
pub trait JobTransaction: sealed::Transaction {}

impl<T: sealed::Transaction> JobTransaction for T {}

/// Why a job is not sent in a transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The job cannot be sent at all.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The transaction belongs to a different database than the app's engine.
    #[error(
        "the transaction belongs to a different database than the app's jobs, which are in \
             {engine}: {fix}"
    )]
    OtherDatabase {
        /// The engine's name.
        engine: String,
        /// The fix.
        fix: &'static str,
    },
    /// The job is [`unique`](SendJob::unique), and the transaction's isolation level hides commits of other
    /// transactions.
    #[error(
        "a transaction with the isolation level `{level}` cannot send a job with `unique`: begin it with READ COMMITTED"
    )]
    Isolation {
        /// The transaction's level.
        level: String,
    },
    /// The database failed: roll the transaction back.
    #[error("the job is not stored: roll the transaction back")]
    Engine(#[from] EngineError),
}

pub(crate) mod sealed {
    use super::{Accepted, Envelope, JobEngine, SendJob, TransactionError};

    pub trait Sealed {}

    impl Sealed for SendJob {}

    pub trait Transaction: Send {
        /// The engine on this kind of database.
        type Engine: Send + Sync;

        /// Returns the app's engine, if it is on this kind of database.
        fn engine_of(&self, engine: &dyn JobEngine) -> Result<Self::Engine, TransactionError>;

        /// Inserts a job.
        fn insert(
            &mut self,
            engine: &Self::Engine,
            envelope: &Envelope,
        ) -> impl Future<Output = Result<Accepted, TransactionError>> + Send;
    }
}

/// Returns the app's engine as this type.
pub(crate) fn engine_as<E: JobEngine + Clone>(
    engine: &dyn JobEngine,
    fix: &'static str,
) -> Result<E, TransactionError> {
    let any: &dyn Any = engine;
    let found = any.downcast_ref::<E>().cloned();
    found.ok_or_else(|| TransactionError::OtherDatabase {
        engine: engine.name(),
        fix,
    })
}
