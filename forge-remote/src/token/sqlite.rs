//! Tokens in an SQLite file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};

use super::store::{
    Page, SealedToken, StoreError, Stored, TokenStore, from_millis, listed, steps_left, to_millis,
};

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 4;
/// The schema, step by step: only ever added to.
const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE forge_remote_tokens (
        installation_id TEXT NOT NULL PRIMARY KEY,
        expires_at INTEGER NOT NULL, -- milliseconds since 1970
        sealed BLOB NOT NULL
    )",
    "CREATE INDEX forge_remote_tokens_by_end ON forge_remote_tokens (expires_at)",
    "CREATE TABLE forge_remote_token_sites (
        cloud_id TEXT NOT NULL,
        installation_id TEXT NOT NULL
            REFERENCES forge_remote_tokens (installation_id) ON DELETE CASCADE,
        PRIMARY KEY (cloud_id, installation_id)
    ) WITHOUT ROWID",
    "CREATE INDEX forge_remote_token_sites_of ON forge_remote_token_sites (installation_id)",
]];

/// What [`token`] reads.
macro_rules! select {
    () => {
        "SELECT installation_id, expires_at, sealed, (
            SELECT group_concat(cloud_id) FROM forge_remote_token_sites AS sites
            WHERE sites.installation_id = forge_remote_tokens.installation_id
         ) FROM forge_remote_tokens"
    };
}

/// Keeps tokens in an SQLite file, for apps on one machine (feature `sqlite`).
///
/// The file is made when it isn't there, readable by its owner alone. Several processes of that
/// machine may share it; it must not lie on a network file system.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::SqliteTokens;
///
/// let app = App::new().tokens(SqliteTokens::at("tokens.db"));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct SqliteTokens {
    path: Arc<Path>,
    pool: Arc<OnceLock<SqlitePool>>,
}

impl fmt::Debug for SqliteTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteTokens").field(&self.path).finish()
    }
}

impl SqliteTokens {
    /// A store in this file. Nothing is opened yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        Self {
            path: path.into(),
            pool: Arc::default(),
        }
    }

    /// Made when it is first used: it needs a runtime.
    fn pool(&self) -> SqlitePool {
        let pool = self.pool.get_or_init(|| {
            let options = SqliteConnectOptions::new()
                .filename(&self.path)
                .busy_timeout(BUSY)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                // With a write-ahead log, a killed process loses nothing; a power cut may lose the
                // last moments, and Forge brings those tokens again.
                .synchronous(SqliteSynchronous::Normal);
            SqlitePoolOptions::new()
                .max_connections(CONNECTIONS)
                .acquire_timeout(BUSY)
                .connect_lazy_with(options)
        });
        pool.clone()
    }

    async fn migrate(self) -> Result<(), StoreError> {
        make_private(&self.path).map_err(|error| {
            StoreError::new("the file can't be made or written")
                .caused_by(error)
                .of_setup()
        })?;
        // One instance at a time; the others find it done.
        let mut transaction = self
            .pool()
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)?;
        // A table of its own: the file may be the app's, with a `user_version` of the app's.
        sqlx::query("CREATE TABLE IF NOT EXISTS forge_remote_schema (version INTEGER NOT NULL)")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let row = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM forge_remote_schema")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        let steps = steps_left(row.try_get(0).map_err(failed)?, MIGRATIONS)?;
        for (version, step) in steps {
            for &statement in step {
                let statement = sqlx::query(statement);
                statement.execute(&mut *transaction).await.map_err(failed)?;
            }
            sqlx::query("INSERT INTO forge_remote_schema (version) VALUES (?1)")
                .bind(version)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn put_all(self, tokens: Vec<SealedToken>) -> Result<(), StoreError> {
        let mut transaction = self.pool().begin().await.map_err(failed)?;
        for token in tokens {
            let put = sqlx::query(
                "INSERT INTO forge_remote_tokens (installation_id, expires_at, sealed)
                 VALUES (?1, ?2, ?3)
                 ON CONFLICT (installation_id) DO UPDATE
                 SET expires_at = excluded.expires_at, sealed = excluded.sealed
                 WHERE forge_remote_tokens.expires_at <= excluded.expires_at",
            )
            .bind(&token.installation_id)
            .bind(to_millis(token.expires_at))
            .bind(&token.sealed)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            if put.rows_affected() == 0 {
                continue;
            }
            sqlx::query("DELETE FROM forge_remote_token_sites WHERE installation_id = ?1")
                .bind(&token.installation_id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            for cloud_id in &token.cloud_ids {
                sqlx::query("INSERT OR IGNORE INTO forge_remote_token_sites VALUES (?1, ?2)")
                    .bind(cloud_id)
                    .bind(&token.installation_id)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
        }
        transaction.commit().await.map_err(failed)
    }
}

/// Made before SQLite makes it: the file's mode is also that of its log.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn failed(error: sqlx::Error) -> StoreError {
    // By the primary code: read-only, can't be opened, not a database.
    let code = error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<u32>().ok());
    let is_setup = code.is_some_and(|code| matches!(code & 0xff, 8 | 14 | 26));
    let error = StoreError::new("SQLite failed").caused_by(error);
    if is_setup { error.of_setup() } else { error }
}

/// A row of `select!`.
fn token(row: &SqliteRow) -> Result<SealedToken, sqlx::Error> {
    let sites: Option<String> = row.try_get(3)?;
    Ok(SealedToken {
        installation_id: row.try_get(0)?,
        expires_at: from_millis(row.try_get(1)?),
        sealed: row.try_get(2)?,
        cloud_ids: sites
            .iter()
            .flat_map(|sites| sites.split(','))
            .map(str::to_owned)
            .collect(),
    })
}

fn tokens(rows: &[SqliteRow]) -> Result<Vec<SealedToken>, StoreError> {
    rows.iter()
        .map(token)
        .collect::<Result<_, _>>()
        .map_err(failed)
}

impl TokenStore for SqliteTokens {
    fn name(&self) -> String {
        format!("SQLite `{}`", self.path.display())
    }

    fn open(&self) -> Stored<()> {
        Box::pin(self.clone().migrate())
    }

    fn put(&self, tokens: Vec<SealedToken>) -> Stored<()> {
        Box::pin(self.clone().put_all(tokens))
    }

    fn get(&self, installation_id: &str) -> Stored<Option<SealedToken>> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let rows = sqlx::query(concat!(select!(), " WHERE installation_id = ?1"))
                .bind(id)
                .fetch_all(&this.pool())
                .await
                .map_err(failed)?;
            Ok(tokens(&rows)?.pop())
        })
    }

    fn on_site(&self, cloud_id: &str) -> Stored<Vec<SealedToken>> {
        let (this, id) = (self.clone(), cloud_id.to_owned());
        Box::pin(async move {
            let rows = sqlx::query(concat!(
                select!(),
                " WHERE installation_id IN (
                    SELECT installation_id FROM forge_remote_token_sites WHERE cloud_id = ?1
                  ) ORDER BY installation_id"
            ))
            .bind(id)
            .fetch_all(&this.pool())
            .await
            .map_err(failed)?;
            tokens(&rows)
        })
    }

    fn list(&self, page: Page) -> Stored<super::Listed> {
        let this = self.clone();
        Box::pin(async move {
            let rows = sqlx::query(concat!(
                select!(),
                " WHERE installation_id > ?1 AND expires_at < ?2
                  ORDER BY installation_id LIMIT ?3"
            ))
            .bind(page.after.unwrap_or_default())
            .bind(page.ends_before.map_or(i64::MAX, to_millis))
            .bind(i64::from(page.limit))
            .fetch_all(&this.pool())
            .await
            .map_err(failed)?;
            Ok(listed(tokens(&rows)?, page.limit))
        })
    }

    fn remove(&self, installation_id: &str) -> Stored<()> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            sqlx::query("DELETE FROM forge_remote_tokens WHERE installation_id = ?1")
                .bind(id)
                .execute(&this.pool())
                .await
                .map(drop)
                .map_err(failed)
        })
    }

    fn purge(&self, ended_before: SystemTime) -> Stored<u64> {
        let this = self.clone();
        Box::pin(async move {
            sqlx::query("DELETE FROM forge_remote_tokens WHERE expires_at < ?1")
                .bind(to_millis(ended_before))
                .execute(&this.pool())
                .await
                .map(|deleted| deleted.rows_affected())
                .map_err(failed)
        })
    }
}
