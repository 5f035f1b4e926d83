//! The engine in PostgreSQL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use forge_remote::diagnostic::Check;
use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobCounts, JobEngine, JobInspector,
    KeyCounts, LastAccepted, Repeats,
};
use riverqueue::migrate::PostgresMigrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use crate::engine::{CrashSafety, Database, GUARANTEES, Inspection, River, Settings};
use crate::engine_type::engine_type;
use crate::error::{database_failed, failed};
use crate::in_transaction::{TransactionError, engine_as, sealed};
use crate::inspector::Inspector;
use crate::lead::Lead;
use crate::ledger::Ledger;
use crate::postgres_store::{ACQUIRE_TIMEOUT, PostgresStore, check_clock};
use crate::privileges::lacking;
use crate::tables::{IDENTITY, TableState, too_new};

const MAX_CONNECTIONS: u32 = 10;
const SCHEMA: &str = "forge_remote_jobs";
/// The advisory lock of the migration.
const MIGRATION_LOCK: i64 = 0x666f_7267_6572_656d;

/// Jobs in PostgreSQL, for apps on several machines (feature `postgres`).
///
/// Its tables are in the separate schema `forge_remote_jobs`, which is created, or in the one that the URL
/// names (`?options[search_path]=my_schema`). The URL is that of
/// [`sqlx`](https://docs.rs/sqlx/latest/sqlx/postgres/struct.PgConnectOptions.html). A connection pooler must
/// use session pooling; PgBouncer's transaction pooling does not work.
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
}

engine_type!(PostgresJobs);

/// The database and the schema.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    url: String,
    schema: Option<String>,
}

impl Database for PostgresUrl {
    type Store = PostgresStore;
    type Lock = ();

    fn name(&self) -> String {
        "PostgreSQL".to_owned()
    }

    fn guarantees(&self) -> Guarantees {
        GUARANTEES.spans_machines()
    }

    async fn inspect(&self) -> Result<Option<Inspection<PostgresStore>>, EngineError> {
        let (pool, schema) = self.pool()?;
        check_clock(&pool).await?;
        let mut connection = pool.acquire().await.map_err(database_failed)?;
        let search_path = search_path(&mut connection)
            .await
            .map_err(database_failed)?;
        let lacking = lacking(schema, &mut connection)
            .await
            .map_err(database_failed)?;
        let identity = identity(&mut connection).await.map_err(database_failed)?;
        let settings: (String, String, bool) = sqlx::query_as(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery()",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(database_failed)?;
        drop(connection);
        let (fsync, commit, is_standby) = settings;
        if is_standby {
            return Err(EngineError::new(
                "it is a standby: the URL has to lead to the primary",
            ));
        }
        let migrations = PostgresMigrator::new(pool.clone()).validate(None).await;
        let migrations =
            migrations.map_err(|error| failed("River's tables cannot be read", error))?;
        let missing_tables = usize::from(identity.is_none());
        let settings = format!("fsync is {fsync}, synchronous_commit is {commit}");
        Ok(Some(Inspection {
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
                ("off", _) => CrashSafety::Lost(settings, "set `fsync = on` in postgresql.conf"),
                (_, "off") => CrashSafety::Lost(
                    settings,
                    "set `synchronous_commit = on`: `ALTER ROLE … SET`, `ALTER DATABASE … SET`, or postgresql.conf",
                ),
                _ => CrashSafety::Durable(settings),
            },
        }))
    }

    async fn open(&self) -> Result<Ledger<PostgresStore>, EngineError> {
        let (pool, schema) = self.pool()?;
        check_clock(&pool).await?;
        let fail = |error| failed("the tables cannot be created", error);
        // One instance at a time migrates.
        let mut connection = pool
            .acquire()
            .await
            .map_err(|error| failed("PostgreSQL cannot be reached", error))?;
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
        let migrated = migrate(schema, pool, &mut connection).await;
        let unlocked = sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *connection)
            .await;
        let ledger = migrated?;
        unlocked.map_err(fail)?;
        Ok(ledger)
    }

    async fn enter(&self, ledger: &Ledger<PostgresStore>) -> Result<(), EngineError> {
        let Lead(seconds) = check_clock(&ledger.store.pool).await?;
        if seconds.abs() > 1.0 {
            tracing::warn!(seconds, "this machine's clock and the database's differ");
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
        // Regardless of the defaults of the database or the role, a call is acknowledged once it is stored, and a
        // transaction that waited for a lock sees the commit of its holder.
        options = options.options([
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok((pool, schema))
    }
}

async fn migrate(
    schema: Option<&str>,
    pool: PgPool,
    connection: &mut PgConnection,
) -> Result<Ledger<PostgresStore>, EngineError> {
    let fail = |error| failed("the tables cannot be created", error);
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
    let mut ledger = Ledger {
        store: PostgresStore {
            pool,
            search_path: search_path(connection).await.map_err(fail)?,
            identity: None,
        },
    };
    if let TableState::Ahead(version) = ledger.table_state().await? {
        return Err(too_new(version));
    }
    PostgresMigrator::new(ledger.store.pool.clone())
        .migrate_up()
        .await
        .map_err(|error| failed("River's tables cannot be migrated", error))?;
    ledger.migrate().await?;
    for statement in IDENTITY {
        sqlx::query(*statement)
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
    }
    ledger.store.identity = identity(connection).await.map_err(fail)?;
    Ok(ledger)
}

/// Returns the database's random identifier; `None` if it has no tables of jobs.
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
        let store = &engine.0.already_opened()?.ledger.store;
        if envelope.repeats.window().is_some() {
            check_isolation(self).await?;
        }
        // The tables are found by the engine's path, which holds until the job is written.
        let previous = search_path(self).await.map_err(database_failed)?;
        set_search_path(self, &store.search_path)
            .await
            .map_err(database_failed)?;
        let accepted = match identity(self).await.map_err(database_failed)? == store.identity {
            true => Ok(engine.0.accept_in(self, envelope).await?),
            false => Err(TransactionError::OtherDatabase {
                engine: engine.name(),
                fix: OTHER_DATABASE,
            }),
        };
        set_search_path(self, &previous)
            .await
            .map_err(database_failed)?;
        accepted
    }
}

/// Returns an error if a transaction that waited for another one would not see what that one has stored.
async fn check_isolation(connection: &mut PgConnection) -> Result<(), TransactionError> {
    let level: String = sqlx::query_scalar("SELECT current_setting('transaction_isolation')")
        .fetch_one(connection)
        .await
        .map_err(database_failed)?;
    match level.as_str() {
        "read committed" | "read uncommitted" => Ok(()),
        _ => Err(TransactionError::Isolation { level }),
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
