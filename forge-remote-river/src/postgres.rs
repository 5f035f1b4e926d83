//! The engine in PostgreSQL.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forge_remote::diagnostic::Check;
use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobCounts, JobEngine, JobInspector,
    LastAccepted, Repeats,
};
use riverqueue::migrate::PostgresMigrator;
use riverqueue::{Client, ClientBuilder, InsertOpts};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, Transaction};

use crate::engine::{Database, Durability, GUARANTEES, Look, River, Settings};
use crate::in_transaction::{TransactionError, engine_as, sealed};
use crate::inspector::Inspector;
use crate::ledger::{Ledger, Reclaimed, Store, Writing, failed};
use crate::rights::lacking;
use crate::stored_call::StoredCall;
use crate::tables::{IDENTITY, TABLES};

/// Time limit of a call that waits for a connection. Forge waits 5 seconds for the response.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_CONNECTIONS: u32 = 10;
const SCHEMA: &str = "forge_remote_jobs";
/// The advisory lock of the migration.
const MIGRATION_LOCK: i64 = 0x666f_7267_6572_656d;
/// The largest difference between this machine's clock and the database's: River dates retries by the one, and claims
/// jobs by the other.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// Jobs in PostgreSQL, for apps on several machines (feature `postgres`).
///
/// Its tables are in a schema of their own, `forge_remote_jobs`, which is created, or in the one that the
/// URL names (`?options[search_path]=my_schema`). The URL is that of
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
        let database = PostgresUrl { url, schema: None };
        Self(Arc::new(River::new(database, Settings::default())))
    }

    /// Sets the schema of the tables (default: the URL's, or `forge_remote_jobs`), which is created if it is
    /// missing.
    #[must_use]
    pub fn schema(self, schema: impl Into<String>) -> Self {
        let mut database = self.0.database.clone();
        database.schema = Some(schema.into());
        Self(Arc::new(River::new(database, self.0.settings.clone())))
    }

    /// Sets how many jobs run at once in this process (default: 20, at least 1).
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        self.with(|settings| settings.workers = workers.max(1))
    }

    /// Sets how long the key of a call or job is remembered, so that Forge's retries, occurrences of a schedule
    /// and jobs that are sent once are recognised (default and least: 26 hours, the
    /// [longest window](forge_remote::jobs::Repeats::LONGEST_WINDOW)).
    #[must_use]
    pub fn remember(self, time: Duration) -> Self {
        self.with(|settings| settings.remember = time.max(Repeats::LONGEST_WINDOW))
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

    fn counts(&self) -> BoxFuture<Result<Option<JobCounts>, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.counts().await.map(Some) })
    }

    fn end_installation(&self, installation_id: &str) -> BoxFuture<Result<u64, EngineError>> {
        let (river, installation) = (Arc::clone(&self.0), installation_id.to_owned());
        Box::pin(async move { river.end_installation(&installation).await })
    }

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        let (name, river) = (self.name(), Arc::clone(&self.0));
        Box::pin(async move { river.checks(&name).await })
    }

    fn last_accepted(&self) -> BoxFuture<Result<Option<LastAccepted>, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.last_accepted().await.map(Some) })
    }

    fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
        Some(Arc::new(Inspector(Arc::clone(&self.0))))
    }

    fn guarantees(&self) -> Guarantees {
        GUARANTEES.spans_machines()
    }
}

/// The database and the schema.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    url: String,
    schema: Option<String>,
}

impl Database for PostgresUrl {
    type Store = PostgresStore;
    type Presence = ();

    async fn look(&self) -> Result<Option<Look<PostgresStore>>, EngineError> {
        let (pool, schema) = self.pool()?;
        clock_skew(&pool).await?;
        let fail = |error| failed("the database failed", error);
        let mut connection = pool.acquire().await.map_err(fail)?;
        let search_path = search_path(&mut connection).await.map_err(fail)?;
        let lacking = lacking(schema, &mut connection).await.map_err(fail)?;
        let identity = identity(&mut connection).await.map_err(fail)?;
        let settings: (String, String, bool) = sqlx::query_as(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery()",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(fail)?;
        drop(connection);
        let (fsync, commit, is_standby) = settings;
        if is_standby {
            return Err(EngineError::new(
                "it is a standby: the URL has to lead to the primary",
            ));
        }
        let migrations = PostgresMigrator::new(pool.clone()).validate(None).await;
        let migrations =
            migrations.map_err(|error| failed("River's tables can't be read", error))?;
        let missing_tables = usize::from(identity.is_none());
        let settings = format!("fsync is {fsync}, synchronous_commit is {commit}");
        Ok(Some(Look {
            ledger: Ledger {
                store: PostgresStore {
                    pool,
                    search_path,
                    identity,
                },
            },
            migrations_left: migrations.unapplied.len(),
            missing_tables,
            lacking,
            durability: match (&*fsync, &*commit) {
                ("off", _) => Durability::Lost(settings, "set `fsync = on` in postgresql.conf"),
                (_, "off") => Durability::Lost(
                    settings,
                    "set `synchronous_commit = on`: `ALTER ROLE … SET`, `ALTER DATABASE … SET`, or postgresql.conf",
                ),
                _ => Durability::Durable(settings),
            },
        }))
    }

    async fn open(&self) -> Result<Ledger<PostgresStore>, EngineError> {
        let (pool, schema) = self.pool()?;
        clock_skew(&pool).await?;
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
        let migrated = migrate(schema, &pool, &mut connection).await;
        let unlocked = sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *connection)
            .await;
        migrated?;
        unlocked.map_err(fail)?;
        let search_path = search_path(&mut connection).await.map_err(fail)?;
        let identity = identity(&mut connection).await.map_err(fail)?;
        drop(connection);
        Ok(Ledger {
            store: PostgresStore {
                pool,
                search_path,
                identity,
            },
        })
    }

    async fn enter(&self, ledger: &Ledger<PostgresStore>) -> Result<(), EngineError> {
        let skew = clock_skew(&ledger.store.pool).await?;
        if skew > 1.0 {
            tracing::warn!(
                seconds = skew,
                "this machine's clock and the database's differ"
            );
        }
        Ok(())
    }
}

impl PostgresUrl {
    /// Returns a pool, and the schema that is created if it is missing; `None` for one that the URL names.
    fn pool(&self) -> Result<(PgPool, Option<&str>), EngineError> {
        let mut options: PgConnectOptions = self
            .url
            .parse()
            .map_err(|error| failed("the URL of the database is invalid", error))?;
        let of_url = options
            .get_options()
            .filter(|options| options.contains("search_path"));
        let schema = match (&self.schema, of_url) {
            (None, Some(_)) => None,
            (schema, _) => Some(schema.as_deref().unwrap_or(SCHEMA)),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some(schema) = schema {
            if schema.is_empty() || schema.len() > 63 || !schema.chars().all(is_name) {
                return Err(EngineError::new(
                    "the schema's name is not 1 to 63 letters, digits and `_`",
                ));
            }
            options = options.options([("search_path", schema)]);
        }
        // A call is acknowledged once it is stored, whatever the default of the database or the role is.
        options = options.options([("synchronous_commit", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok((pool, schema))
    }
}

async fn migrate(
    schema: Option<&str>,
    pool: &PgPool,
    connection: &mut PgConnection,
) -> Result<(), EngineError> {
    let fail = |error| failed("the tables can't be created", error);
    if let Some(schema) = schema {
        let exists: Option<String> = sqlx::query_scalar("SELECT to_regnamespace($1)::text")
            .bind(schema)
            .fetch_one(&mut *connection)
            .await
            .map_err(fail)?;
        if exists.is_none() {
            // The name has only letters, digits and `_`.
            sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\"")))
                .execute(&mut *connection)
                .await
                .map_err(fail)?;
        }
    }
    PostgresMigrator::new(pool.clone())
        .migrate_up()
        .await
        .map_err(|error| failed("River's tables can't be migrated", error))?;
    for statement in TABLES.iter().chain(IDENTITY) {
        sqlx::query(*statement)
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
    }
    Ok(())
}

/// Returns the random text of the database's; `None` for one without jobs.
async fn identity(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let is_there: bool =
        sqlx::query_scalar("SELECT to_regclass('forge_remote_database') IS NOT NULL")
            .fetch_one(&mut *connection)
            .await?;
    if !is_there {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT id FROM forge_remote_database")
        .fetch_optional(connection)
        .await
}

/// Returns by how many seconds the clocks differ, or an error beyond [`MAX_SKEW`].
async fn clock_skew(pool: &PgPool) -> Result<f64, EngineError> {
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
             allowed, because a retry that one writes would be due at another time for the other",
            MAX_SKEW.as_secs()
        )));
    }
    Ok(skew)
}

impl sealed::Transaction for Transaction<'_, Postgres> {
    type Engine = PostgresJobs;

    fn engine_of(&self, engine: &dyn JobEngine) -> Result<PostgresJobs, TransactionError> {
        engine_as(engine, OTHER_DATABASE)
    }

    async fn insert(
        &mut self,
        engine: &PostgresJobs,
        envelope: &Envelope,
    ) -> Result<Accepted, TransactionError> {
        let fail = |error| failed("the database failed", error);
        let store = &engine.0.already_opened()?.ledger.store;
        // The tables are found by the engine's path, which holds until the job is written.
        let previous = search_path(self).await.map_err(fail)?;
        set_search_path(self, &store.search_path)
            .await
            .map_err(fail)?;
        let accepted = match identity(self).await.map_err(fail)? == store.identity {
            true => Ok(engine.0.accept_in(self, envelope).await?),
            false => Err(TransactionError::OtherDatabase {
                engine: engine.name(),
                fix: OTHER_DATABASE,
            }),
        };
        set_search_path(self, &previous).await.map_err(fail)?;
        accepted
    }
}

const OTHER_DATABASE: &str = "use the same database for both, `PostgresJobs::new(url)`";

async fn search_path(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_setting('search_path')")
        .fetch_one(connection)
        .await
}

/// Sets the search path until the transaction ends.
async fn set_search_path(connection: &mut PgConnection, path: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(path)
        .execute(connection)
        .await
        .map(|_| ())
}

/// The tables in the schema.
#[derive(Clone)]
pub(crate) struct PostgresStore {
    pool: PgPool,
    search_path: String,
    /// See [`IDENTITY`].
    identity: Option<String>,
}

impl Store for PostgresStore {
    type Database = Postgres;
    type Turn = ();

    const NOW: &'static str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    const OLDEST_DUE: &'static str =
        "SELECT coalesce((extract(epoch FROM min(scheduled_at)) * 1000)::bigint, -1)
         FROM river_job WHERE queue = $1 AND state IN ('available', 'pending', 'retryable', 'scheduled')";

    const ADVANCE_WAITING: &'static str = "UPDATE river_job SET scheduled_at = greatest(
             now(),
             scheduled_at - make_interval(secs => $1::bigint / 1000.0)
         )
         WHERE queue = $2 AND state IN ('available', 'retryable', 'scheduled') AND scheduled_at > now()
             AND NOT (attempt = 0 AND EXISTS (
                 SELECT 1 FROM forge_remote_call AS call
                 WHERE call.job_id = river_job.id AND call.due > $3
             ))";
    const RUNNING: &'static str =
        "SELECT coalesce(attempted_by[array_upper(attempted_by, 1)], ''), id
         FROM river_job WHERE state = 'running'";
    const DISOWN: &'static str =
        "UPDATE river_job SET attempted_by = array_append(attempted_by, '')
         WHERE id = $1 AND state = 'running'";
    const CANCEL_WAITING: &'static str =
        "UPDATE river_job SET state = 'cancelled', finalized_at = now()
         WHERE id IN (
             SELECT call.job_id FROM forge_remote_call AS call
             JOIN river_job AS job ON job.id = call.job_id
             WHERE call.installation = $1 AND call.unfinished = 1
                 AND job.state IN ('available', 'pending', 'retryable', 'scheduled')
             LIMIT $2
         ) AND state IN ('available', 'pending', 'retryable', 'scheduled')";
    const EXISTS: &'static str = "SELECT (to_regclass($1) IS NOT NULL)::int::bigint";

    fn client(&self) -> ClientBuilder {
        Client::builder(self.pool.clone())
    }

    async fn check_clock(&self) -> Result<(), EngineError> {
        clock_skew(&self.pool).await.map(|_| ())
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.pool.acquire().await
    }

    async fn begin(&self) -> Result<Writing<Self>, sqlx::Error> {
        let mut transaction = riverqueue::database::begin_postgres(&self.pool).await?;
        // A transaction of the app's that sends a job once can hold the lock of its key for long.
        sqlx::query("SET LOCAL lock_timeout = '3s'")
            .execute(&mut *transaction)
            .await?;
        Ok(Writing {
            transaction,
            turn: (),
        })
    }

    async fn lock(
        transaction: &mut Transaction<'_, Postgres>,
        name: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(name)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    async fn insert(
        client: &Client,
        transaction: &mut Transaction<'_, Postgres>,
        call: StoredCall,
        options: InsertOpts,
    ) -> Result<i64, riverqueue::Error> {
        let inserted = client.insert(call).opts(options).tx(transaction).await?;
        Ok(inserted.id())
    }

    async fn reclaim(
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<Vec<Reclaimed>, sqlx::Error> {
        let rows = sqlx::query(
            "WITH abandoned AS (
             SELECT job.id,
                 job.metadata ->> 'cancel_attempted_at' IS NOT NULL AS cancelled,
                 call.slot IS NOT DISTINCT FROM job.attempt AS started,
                 CASE WHEN call.slot IS NOT DISTINCT FROM job.attempt
                     THEN job.attempt ELSE job.attempt - 1 END AS spent
             FROM river_job AS job
             JOIN forge_remote_call AS call ON call.job_id = job.id
             WHERE job.state = 'running' AND NOT EXISTS (
                 SELECT 1 FROM forge_remote_process AS process
                 WHERE process.id = job.attempted_by[array_upper(job.attempted_by, 1)]
             )
             FOR UPDATE OF job SKIP LOCKED
         )
         UPDATE river_job SET
             attempt = abandoned.spent,
             state = CASE WHEN abandoned.cancelled THEN 'cancelled'::river_job_state
                 WHEN abandoned.spent >= max_attempts THEN 'discarded'::river_job_state
                 ELSE 'available'::river_job_state END,
             finalized_at = CASE WHEN abandoned.cancelled OR abandoned.spent >= max_attempts THEN now() END,
             scheduled_at = now(),
             metadata = CASE WHEN abandoned.started
                 THEN jsonb_set(metadata, '{river:rescue_count}',
                     to_jsonb(coalesce((metadata ->> 'river:rescue_count')::bigint, 0) + 1))
                 ELSE metadata END
         FROM abandoned WHERE river_job.id = abandoned.id
         RETURNING river_job.id, river_job.attempt::bigint, state = 'discarded', args::text",
        )
        .fetch_all(&mut **transaction)
        .await?;
        let reclaimed = rows.iter().map(|row| {
            Ok(Reclaimed {
                job: row.try_get(0)?,
                attempt: row.try_get(1)?,
                is_dead: row.try_get(2)?,
                arguments: row.try_get(3)?,
            })
        });
        reclaimed.collect()
    }
}
