//! The engine in an SQLite file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forge_remote::diagnostic::Check;
use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobCounts, JobEngine, JobInspector,
    LastAccepted, Repeats,
};
use riverqueue::migrate::SqliteMigrator;
use riverqueue::{Client, ClientBuilder, InsertOpts};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{Database, Durability, Lacking, Look, River, Settings};
use crate::engine_type::engine_type;
use crate::file::{check_file, check_folder, folder_of, is_wal, make_private};
use crate::in_transaction::{TransactionError, engine_as, sealed};
use crate::inspector::Inspector;
use crate::ledger::{Abandoned, Ledger, Reclaimed, Store, Writing, failed};
use crate::quarantine::MAX_GIVEN_BACK;
use crate::ranking::rank_statements;
use crate::stored_call::StoredCall;
use crate::tables::{TableState, too_new};
use crate::upkeep::log_reclaimed;

/// Time limits of a writer that waits for another, and of a call that waits for a connection. Forge waits
/// 5 seconds for the response.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_CONNECTIONS: u32 = 6;

/// Jobs in an SQLite file, for apps on one machine (feature `sqlite`).
///
/// A missing file is created, readable by its owner only. Several processes of one machine may share it;
/// it must not be on a network file system. A lock file `….lock` next to it shows whether another process uses it. A
/// job that another process stored, or a [transaction of yours](crate::InTransaction), starts within half a second.
/// Use a separate file, not the token store's, which has other durability settings. To send jobs in your
/// [transactions](crate::InTransaction), use the file of your own tables.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote_river::SqliteJobs;
///
/// let app = App::new().jobs(SqliteJobs::new("jobs.db"));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct SqliteJobs(Arc<River<SqliteFile>>);

impl fmt::Debug for SqliteJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteJobs")
            .field(&self.0.database.path)
            .finish()
    }
}

impl SqliteJobs {
    /// Creates an engine on this file, which is opened when the app starts to serve.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self(Arc::new(River::new(
            SqliteFile { path },
            Settings::default(),
        )))
    }
}

engine_type!(SqliteJobs);

/// The file.
#[derive(Clone)]
pub(crate) struct SqliteFile {
    path: PathBuf,
}

impl Database for SqliteFile {
    type Store = SqliteStore;
    /// The shared lock that shows that this process runs jobs.
    type Presence = File;

    fn name(&self) -> String {
        format!("SQLite, {}", self.path.display())
    }

    async fn look(&self) -> Result<Option<Look<SqliteStore>>, EngineError> {
        let path = self.path.display();
        let unreadable = format!(
            "{path} can't be read: make it readable for the app's user, or name the file of the jobs if this is another's"
        );
        let is_wal = match is_wal(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let folder = folder_of(&self.path);
                if !folder.is_dir() {
                    return Err(failed("its folder does not exist: create it", error));
                }
                return match check_folder(folder) {
                    Ok(()) => Ok(None),
                    Err(error) => Err(failed(
                        "the file does not exist, and can't be created: make its folder writable for the app's user",
                        error,
                    )),
                };
            }
            is_wal => is_wal.map_err(|error| failed(&unreadable, error))?,
        };
        if let Err(error) = check_file(&self.path) {
            return Err(failed(&format!("{path} can't be written"), error));
        }
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            // Nobody uses a file without a log, and a reader would leave an empty one.
            .immutable(is_wal && !self.sibling("-wal").exists())
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_lazy_with(options);
        let migrations = SqliteMigrator::new(pool.clone()).validate(None).await;
        let migrations = migrations.map_err(|error| failed(&unreadable, error))?;
        let store = SqliteStore {
            pool,
            turn: Arc::new(Semaphore::new(1)),
        };
        Ok(Some(Look {
            ledger: Ledger { store },
            migrations_left: migrations.unapplied.len(),
            missing_tables: 0,
            lacking: check_folder(folder_of(&self.path)).err().map(|error| Lacking {
                what: format!("its write-ahead log and lock file can't be created: its folder is not writable \
                               ({error})"),
                fix: "make the folder writable for the app's user",
            }),
            durability: match is_wal {
                true => Durability::Durable("journal_mode is WAL, synchronous is FULL".to_owned()),
                false => Durability::DurableAfterLaunch("journal_mode is not WAL".to_owned()),
            },
        }))
    }

    async fn open(&self) -> Result<Ledger<SqliteStore>, EngineError> {
        let cannot = |error| {
            let path = self.path.display();
            failed(
                &format!("{path} can't be created or written: check its path and permissions"),
                error,
            )
        };
        make_private(&self.path).map_err(cannot)?;
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A call is acknowledged once it is stored: it has to survive a power cut.
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            // On a full disk SQLite rolls back without being asked. sqlx then counts a transaction
            // that SQLite has not, for as long as the connection lives, and can begin no other.
            .before_acquire(|connection, _| {
                let is_usable = !sqlx::Connection::is_in_transaction(connection);
                Box::pin(std::future::ready(Ok(is_usable)))
            })
            .connect_lazy_with(options);
        let store = SqliteStore {
            pool,
            turn: Arc::new(Semaphore::new(1)),
        };
        // One process at a time migrates.
        let lock = self.lock_file(".setup").map_err(cannot)?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
        let _lock = lock
            .map_err(std::io::Error::other)
            .and_then(|locked| locked)
            .map_err(cannot)?;
        let not_migrated = format!(
            "the tables can't be migrated in {}: it has to be an SQLite file, on a disk with space",
            self.path.display()
        );
        let ledger = Ledger { store };
        let state = ledger.table_state().await;
        let state = state.map_err(|error| failed(&not_migrated, error))?;
        if let TableState::Ahead(version) = state {
            return Err(too_new(version));
        }
        SqliteMigrator::new(ledger.store.pool.clone())
            .migrate_up()
            .await
            .map_err(|error| failed(&not_migrated, error))?;
        let migrated = ledger.migrate().await;
        migrated.map_err(|error| failed(&not_migrated, error))?;
        Ok(ledger)
    }

    /// Releases the jobs of ended processes, if no other process uses the file.
    async fn enter(&self, ledger: &Ledger<SqliteStore>) -> Result<File, EngineError> {
        let cannot = |error| failed("the lock file can't be used", error);
        let lock = self.lock_file(".lock").map_err(cannot)?;
        if lock.try_lock().is_ok() {
            log_reclaimed(&ledger.reclaim(Abandoned::All).await?);
            // The leader is dead as well; its term would last for 10 seconds.
            sqlx::query("DELETE FROM river_leader")
                .execute(&ledger.store.pool)
                .await
                .map_err(|error| failed("the database failed", error))?;
            lock.unlock().map_err(cannot)?;
        }
        let lock = tokio::task::spawn_blocking(move || lock.lock_shared().map(|()| lock)).await;
        lock.map_err(std::io::Error::other)
            .and_then(|locked| locked)
            .map_err(cannot)
    }
}

impl SqliteFile {
    /// Returns the path of a file next to it.
    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn lock_file(&self, suffix: &str) -> std::io::Result<File> {
        let path = self.sibling(suffix);
        make_private(&path)?;
        OpenOptions::new().write(true).open(path)
    }
}

impl sealed::Transaction for Transaction<'_, Sqlite> {
    type Engine = SqliteJobs;

    fn engine_of(&self, engine: &dyn JobEngine) -> Result<SqliteJobs, TransactionError> {
        engine_as(engine, OTHER_FILE)
    }

    async fn insert(
        &mut self,
        engine: &SqliteJobs,
        envelope: &Envelope,
    ) -> Result<Accepted, TransactionError> {
        let file: Option<String> =
            sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'")
                .fetch_optional(&mut **self)
                .await
                .map_err(|error| failed("the database failed", error))?;
        let own = std::fs::canonicalize(&engine.0.database.path).ok();
        let theirs = file.and_then(|file| std::fs::canonicalize(file).ok());
        if own.is_none() || own != theirs {
            return Err(TransactionError::OtherDatabase {
                engine: engine.name(),
                fix: OTHER_FILE,
            });
        }
        Ok(engine.0.accept_in(self, envelope).await?)
    }
}

const OTHER_FILE: &str = "use the same file for both, `SqliteJobs::new(\"app.db\")`";

/// The tables in the file.
#[derive(Clone)]
pub(crate) struct SqliteStore {
    pool: SqlitePool,
    /// Transactions of this process take turns, first come first served; SQLite itself lets waiting
    /// writers poll.
    turn: Arc<Semaphore>,
}

impl Store for SqliteStore {
    type Database = Sqlite;
    type Turn = Option<OwnedSemaphorePermit>;

    const NOW: &'static str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
    const OLDEST_DUE: &'static str =
        "SELECT coalesce(CAST(unixepoch(min(scheduled_at), 'subsec') * 1000 AS INTEGER), -1)
         FROM river_job WHERE queue = $1 AND state IN ('available', 'pending', 'retryable', 'scheduled')";

    const ADVANCE_WAITING: &'static str = "UPDATE river_job SET scheduled_at = max(
             strftime('%Y-%m-%d %H:%M:%f', 'now'),
             strftime('%Y-%m-%d %H:%M:%f', scheduled_at, (-$1 / 1000.0) || ' seconds')
         )
         WHERE queue = $2 AND state IN ('available', 'retryable', 'scheduled')
             AND scheduled_at > strftime('%Y-%m-%d %H:%M:%f', 'now')
             AND NOT (attempt = 0 AND EXISTS (
                 SELECT 1 FROM forge_remote_call AS call
                 WHERE call.job_id = river_job.id AND call.due > $3
             ))";
    rank_statements!(
        "strftime('%Y-%m-%d %H:%M:%f', $2 / 1000.0, 'unixepoch')",
        "strftime('%Y-%m-%d %H:%M:%f', $3 / 1000.0, 'unixepoch')",
        ""
    );
    const RELEASE: Option<&'static str> = None;
    const RUNNING: &'static str =
        "SELECT json_extract(attempted_by, '$[#-1]'), id FROM river_job WHERE state = 'running'";
    const DISOWN: &'static str =
        "UPDATE river_job SET attempted_by = jsonb_insert(attempted_by, '$[#]', '')
         WHERE id = $1 AND state = 'running'";
    const CANCEL_WAITING: &'static str =
        "UPDATE river_job SET state = 'cancelled', finalized_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
         WHERE id IN (
             SELECT call.job_id FROM forge_remote_call AS call
             JOIN river_job AS job ON job.id = call.job_id
             WHERE call.installation = $1 AND call.unfinished = 1
                 AND job.state IN ('available', 'pending', 'retryable', 'scheduled')
             LIMIT $2
         ) AND state IN ('available', 'pending', 'retryable', 'scheduled')";
    const EXISTS: &'static str = "SELECT count(*) FROM sqlite_master WHERE name = $1";

    fn client(&self) -> ClientBuilder {
        Client::builder(self.pool.clone())
    }

    /// SQLite has no notifications: River would read a table of them ten times a second.
    fn worker(&self) -> ClientBuilder {
        self.client().without_notifications()
    }

    async fn connection(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.pool.acquire().await
    }

    async fn begin(&self) -> Result<Writing<Self>, sqlx::Error> {
        // The semaphore is never closed; without a turn, SQLite's own lock still holds.
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        let transaction = riverqueue::database::begin_sqlite_write(&self.pool).await?;
        Ok(Writing { transaction, turn })
    }

    /// A write transaction has the whole file.
    async fn lock(_: &mut Transaction<'_, Sqlite>, _: &str) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn insert(
        client: &Client,
        transaction: &mut Transaction<'_, Sqlite>,
        call: StoredCall,
        options: InsertOpts,
    ) -> Result<i64, riverqueue::Error> {
        let inserted = client.insert(call).opts(options).tx(transaction).await?;
        Ok(inserted.id())
    }

    async fn reclaim(
        transaction: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<Reclaimed>, sqlx::Error> {
        let rows = sqlx::query(
            "WITH abandoned AS MATERIALIZED (
             SELECT job.id,
                 json_extract(job.metadata, '$.cancel_attempted_at') IS NOT NULL AS cancelled,
                 call.slot IS job.attempt AS started,
                 job.attempt - (call.slot IS NOT job.attempt) AS spent,
                 coalesce(json_extract(job.metadata, '$.\"forge_remote:given_back\"'), 0) AS given_back,
                 sum(call.slot IS job.attempt) OVER (
                     PARTITION BY json_extract(job.attempted_by, '$[#-1]')
                 ) AS together
             FROM river_job AS job
             JOIN forge_remote_call AS call ON call.job_id = job.id
             WHERE job.state = 'running' AND json_extract(job.attempted_by, '$[#-1]') NOT IN (
                 SELECT id FROM forge_remote_process
             )
         ), judged AS MATERIALIZED (
             SELECT *, CASE WHEN NOT started THEN 0
                 WHEN together > 1 AND given_back < $1 THEN 1 ELSE -given_back END AS more
             FROM abandoned
         )
         UPDATE river_job SET
             attempt = judged.spent,
             max_attempts = max_attempts + judged.more,
             state = CASE WHEN judged.cancelled THEN 'cancelled'
                 WHEN judged.spent >= max_attempts + judged.more THEN 'discarded' ELSE 'available' END,
             finalized_at = CASE WHEN judged.cancelled OR judged.spent >= max_attempts + judged.more
                 THEN strftime('%Y-%m-%d %H:%M:%f', 'now') END,
             scheduled_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
             metadata = CASE WHEN judged.started
                 THEN jsonb_set(metadata, '$.\"river:rescue_count\"',
                     coalesce(json_extract(metadata, '$.\"river:rescue_count\"'), 0) + 1,
                     '$.\"forge_remote:given_back\"', judged.given_back + judged.more)
                 ELSE metadata END
         FROM judged WHERE river_job.id = judged.id
         RETURNING river_job.id, river_job.attempt, state = 'discarded', json(args)",
        )
        .bind(MAX_GIVEN_BACK)
        .fetch_all(&mut **transaction)
        .await?;
        let reclaimed = rows.iter().map(|row| {
            Ok(Reclaimed {
                job: row.try_get(0)?,
                attempt: row.try_get(1)?,
                is_dead: row.try_get::<i64, _>(2)? != 0,
                arguments: row.try_get(3)?,
            })
        });
        reclaimed.collect()
    }
}
