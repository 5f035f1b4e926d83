//! The engine in PostgreSQL.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine};
use riverqueue::migrate::PostgresMigrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use crate::engine::{Database, River, Settings};
use crate::ledger::{TABLES, failed, impl_ledger};

/// Time limit of a call that waits for a connection. Forge waits 5 seconds for the response.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_CONNECTIONS: u32 = 10;
const SCHEMA: &str = "forge_remote_jobs";
/// The advisory lock of the migration.
const MIGRATION_LOCK: i64 = 0x666f_7267_6572_656d;
/// The largest difference between this machine's clock and the database's. Beyond it, River would take
/// running jobs for abandoned ones.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// Jobs in PostgreSQL, for apps on several machines (feature `postgres`).
///
/// Its tables are in a schema of their own, `forge_remote_jobs`, which is created. The URL is that of
/// [`sqlx`](https://docs.rs/sqlx/latest/sqlx/postgres/struct.PgConnectOptions.html). A connection pooler has to
/// keep sessions: PgBouncer's transaction mode does not work.
///
/// ```no_run
/// use forge_remote::prelude::*;
/// use forge_remote_river::PostgresJobs;
///
/// # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// let app = App::new().jobs(PostgresJobs::new(std::env::var("DATABASE_URL")?));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresJobs(Arc<River<PostgresUrl>>);

/// Writes nothing of the URL, which may have a password.
impl fmt::Debug for PostgresJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresJobs").finish_non_exhaustive()
    }
}

impl PostgresJobs {
    /// Creates an engine on this database, which is connected when the app starts to serve.
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let schema = SCHEMA.to_owned();
        Self(Arc::new(River::new(PostgresUrl { url, schema }, Settings::default())))
    }

    /// Sets the schema of the tables (default: `forge_remote_jobs`), which is created if it is missing.
    #[must_use]
    pub fn schema(self, schema: impl Into<String>) -> Self {
        let mut database = self.0.database.clone();
        database.schema = schema.into();
        Self(Arc::new(River::new(database, self.0.settings.clone())))
    }

    /// Sets how many jobs run at once in this process (default: 20, at least 1).
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        self.with(|settings| settings.workers = workers.max(1))
    }

    /// Sets how long a delivery's key is remembered, so that Forge's retries of it are recognised (default:
    /// 24 hours).
    #[must_use]
    pub fn remember(self, time: Duration) -> Self {
        self.with(|settings| settings.remember = time)
    }

    /// Sets how long dead jobs are kept (default: 30 days).
    #[must_use]
    pub fn keep_dead(self, time: Duration) -> Self {
        self.with(|settings| settings.keep_dead = time)
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings.clone();
        change(&mut settings);
        Self(Arc::new(River::new(self.0.database.clone(), settings)))
    }
}

impl JobEngine for PostgresJobs {
    fn name(&self) -> String {
        "PostgreSQL".to_owned()
    }

    fn open(&self) -> BoxFuture<Result<(), EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.open().await })
    }

    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.accept(&envelope).await })
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.serve(context).await })
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
            .outlives_process()
            .limits_installations()
            .spans_machines()
    }
}

/// The database and the schema.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    url: String,
    schema: String,
}

impl Database for PostgresUrl {
    type Ledger = PostgresLedger;
    type Presence = ();

    async fn open(&self) -> Result<PostgresLedger, EngineError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.schema.is_empty() || self.schema.len() > 63 || !self.schema.chars().all(is_name) {
            return Err(EngineError::new(
                "the schema's name is not 1 to 63 letters, digits and `_`",
            ));
        }
        let options: PgConnectOptions = self
            .url
            .parse()
            .map_err(|error| failed("the URL of the database is invalid", error))?;
        let options = options.options([("search_path", &*self.schema)]);
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        check_clock(&pool).await?;
        let fail = |error| failed("the tables can't be created", error);
        // One instance at a time migrates.
        let mut connection = pool
            .acquire()
            .await
            .map_err(|error| failed("PostgreSQL can't be reached", error))?;
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
        let migrated = self.migrate(&pool, &mut connection).await;
        let unlocked = sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *connection)
            .await;
        migrated?;
        unlocked.map_err(fail)?;
        drop(connection);
        Ok(PostgresLedger { pool })
    }

    async fn enter(&self, ledger: &PostgresLedger) -> Result<(), EngineError> {
        check_clock(&ledger.pool).await
    }
}

impl PostgresUrl {
    async fn migrate(
        &self,
        pool: &PgPool,
        connection: &mut PgConnection,
    ) -> Result<(), EngineError> {
        let fail = |error| failed("the tables can't be created", error);
        let exists: Option<String> = sqlx::query_scalar("SELECT to_regnamespace($1)::text")
            .bind(&self.schema)
            .fetch_one(&mut *connection)
            .await
            .map_err(fail)?;
        if exists.is_none() {
            // The name has only letters, digits and `_`.
            sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA \"{}\"", self.schema)))
                .execute(&mut *connection)
                .await
                .map_err(fail)?;
        }
        PostgresMigrator::new(pool.clone())
            .migrate_up()
            .await
            .map_err(|error| failed("River's tables can't be migrated", error))?;
        for statement in TABLES {
            sqlx::query(*statement)
                .execute(&mut *connection)
                .await
                .map_err(fail)?;
        }
        Ok(())
    }
}

/// Checks this machine's clock against the database's.
async fn check_clock(pool: &PgPool) -> Result<(), EngineError> {
    let sent = SystemTime::now();
    let theirs: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(pool)
        .await
        .map_err(|error| failed("PostgreSQL can't be reached", error))?;
    let took = sent.elapsed().unwrap_or_default();
    let ours = (sent + took / 2)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let skew = (theirs - ours.as_secs_f64()).abs() - took.as_secs_f64() / 2.0;
    if skew > MAX_SKEW.as_secs_f64() {
        return Err(EngineError::new(format!(
            "this machine's clock and the database's differ by {skew:.0} seconds: set them by NTP; at most {} are \
             allowed, because a job that runs would be taken for an abandoned one",
            MAX_SKEW.as_secs()
        )));
    }
    if skew > 1.0 {
        tracing::warn!(seconds = skew, "this machine's clock and the database's differ");
    }
    Ok(())
}

/// The tables in the schema.
#[derive(Clone)]
pub(crate) struct PostgresLedger {
    pool: PgPool,
}

impl PostgresLedger {
    async fn begin(&self) -> Result<Writing, sqlx::Error> {
        riverqueue::database::begin_postgres(&self.pool)
            .await
            .map(Writing)
    }
}

/// A transaction.
struct Writing(Transaction<'static, Postgres>);

impl Writing {
    fn river(&mut self) -> &mut Transaction<'static, Postgres> {
        &mut self.0
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}

impl Deref for Writing {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Excludes transactions on the same key or group until the end of this one.
async fn lock(transaction: &mut Writing, name: &str) -> Result<(), sqlx::Error> {
    // A lock's name cannot contain the separator of a group.
    let name = name.replace('\0', "\u{1}");
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl_ledger!(PostgresLedger, lock: lock);
