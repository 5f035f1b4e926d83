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
    KeyCounts, LastAccepted, Repeats,
};
use forge_remote::sqlite_file::{
    self, ClosedFile, check_file, check_folder, folder_of, make_private, sibling,
};
use riverqueue::migrate::SqliteMigrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};

use crate::engine::{CrashSafety, Database, Inspection, Lacking, River, Settings};
use crate::engine_type::engine_type;
use crate::error::{database_failed, failed};
use crate::in_transaction::{TransactionError, engine_as, sealed};
use crate::inspector::Inspector;
use crate::ledger::Ledger;
use crate::reclaim::Abandoned;
use crate::sqlite_store::SqliteStore;
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
    type Lock = File;

    fn name(&self) -> String {
        format!("SQLite, {}", self.path.display())
    }

    async fn inspect(&self) -> Result<Option<Inspection<SqliteStore>>, EngineError> {
        let path = self.path.display();
        let unreadable = format!(
            "{path} cannot be read: make it readable for the app's user, or name the file of the jobs if this is another's"
        );
        let found = sqlite_file::look(&self.path)
            .map_err(|error| failed(error.advice.unwrap_or(&unreadable), error.source))?;
        let Some(ClosedFile {
            is_wal,
            is_immutable,
        }) = found
        else {
            return Ok(None);
        };
        if let Err(error) = check_file(&self.path) {
            return Err(failed(&format!("{path} cannot be written"), error));
        }
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .immutable(is_immutable)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_lazy_with(options);
        let migrations = SqliteMigrator::new(pool.clone()).validate(None).await;
        let migrations = migrations.map_err(|error| failed(&unreadable, error))?;
        let store = SqliteStore::new(pool);
        Ok(Some(Inspection {
            ledger: Ledger { store },
            migrations_left: migrations.unapplied.len(),
            missing_tables: 0,
            lacking: check_folder(folder_of(&self.path)).err().map(|error| Lacking {
                what: format!("its write-ahead log and lock file cannot be created: its directory is not writable \
                               ({error})"),
                fix: "make the directory writable for the app's user",
            }),
            durability: match is_wal {
                true => CrashSafety::Durable("journal_mode is WAL, synchronous is FULL".to_owned()),
                false => CrashSafety::DurableAfterLaunch("journal_mode is not WAL".to_owned()),
            },
        }))
    }

    async fn open(&self) -> Result<Ledger<SqliteStore>, EngineError> {
        let cannot = |error| {
            let path = self.path.display();
            failed(
                &format!("{path} cannot be created or written: check its path and permissions"),
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
        let store = SqliteStore::new(pool);
        // One process at a time migrates.
        let lock = self.lock_file(".setup").map_err(cannot)?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
        let _lock = lock
            .map_err(std::io::Error::other)
            .and_then(|locked| locked)
            .map_err(cannot)?;
        let not_migrated = format!(
            "the tables cannot be migrated in {}: it has to be an SQLite file, on a disk with space",
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
        let cannot = |error| failed("the lock file cannot be used", error);
        let lock = self.lock_file(".lock").map_err(cannot)?;
        if lock.try_lock().is_ok() {
            log_reclaimed(&ledger.reclaim(Abandoned::All).await?);
            // The leader is dead as well; its term would last for 10 seconds.
            sqlx::query("DELETE FROM river_leader")
                .execute(&ledger.store.pool)
                .await
                .map_err(database_failed)?;
            lock.unlock().map_err(cannot)?;
        }
        let lock = tokio::task::spawn_blocking(move || lock.lock_shared().map(|()| lock)).await;
        lock.map_err(std::io::Error::other)
            .and_then(|locked| locked)
            .map_err(cannot)
    }
}

impl SqliteFile {
    fn lock_file(&self, suffix: &str) -> std::io::Result<File> {
        let path = sibling(&self.path, suffix);
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
                .map_err(database_failed)?;
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
