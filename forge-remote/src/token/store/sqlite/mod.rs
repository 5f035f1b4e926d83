//! The token store in an SQLite file.

mod checks;
mod error;
#[macro_use]
mod rows;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _};

use super::interface::{PageRequest, SealedToken, StoreError, StoreFuture, TokenStore, to_millis};
use super::rows::{checks_of, readable};
use super::sql::{latest, listed};
use crate::diagnostic::Check;
use crate::fit::BoxFuture;
use crate::sqlite_file::make_private;
use checks::{BUSY_TIMEOUT, check, look};
use error::{failed, is_busy};
use rows::{MAX_ROWS, put_rows, put_sites, token};
use schema::migrate;

/// Time limit for opening a file that others use, and the pause between two attempts.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const MAX_CONNECTIONS: u32 = 4;
/// The id of the key check, which is a row among the tokens: deleting all rows, because the key is lost,
/// deletes it as well.
const KEY_CHECK_ID: &str = "";

/// A token store in an SQLite file, for apps on one machine (feature `sqlite`).
///
/// A missing file is created, readable by its owner only. Several processes of that machine may share
/// it; it must not be on a network file system. It may be the app's existing database: the tables'
/// names begin with `forge_remote_`, and it is switched to a write-ahead log (`journal_mode = WAL`),
/// which needs a moment of exclusive access.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::SqliteTokens;
///
/// let app = App::new().token_store(SqliteTokens::new("tokens.db"));
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
    /// Creates a store in this file, which is opened later.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        Self {
            path: path.into(),
            pool: Arc::default(),
        }
    }

    /// Returns the pool, which is created at the first call, because it needs a runtime.
    fn pool(&self) -> SqlitePool {
        let pool = self.pool.get_or_init(|| {
            let options = SqliteConnectOptions::new()
                .filename(&self.path)
                // For a file that is a dangling link.
                .create_if_missing(true)
                .busy_timeout(BUSY_TIMEOUT)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                // With a write-ahead log, a killed process loses nothing; a power cut may lose the
                // last tokens, and Forge delivers them again.
                .synchronous(SqliteSynchronous::Normal);
            SqlitePoolOptions::new()
                .max_connections(MAX_CONNECTIONS)
                .acquire_timeout(BUSY_TIMEOUT)
                // On a full disk SQLite rolls back without being asked. sqlx then counts a transaction
                // that SQLite has not, for as long as the connection lives, and can begin no other.
                .before_acquire(|connection, _| {
                    let is_usable = !connection.is_in_transaction();
                    Box::pin(std::future::ready(Ok(is_usable)))
                })
                .connect_lazy_with(options)
        });
        pool.clone()
    }

    async fn open_now(self) -> Result<(), StoreError> {
        make_private(&self.path).map_err(|error| {
            StoreError::new("the file cannot be created or written: check its path and permissions")
                .with_source(error)
                .permanent()
        })?;
        // SQLite's busy timeout does not apply to a change of the journal mode, which happens in the
        // first of several processes, or while the app uses the file in another mode.
        let started = tokio::time::Instant::now();
        loop {
            match migrate(&self.pool()).await {
                Err(error) if is_busy(&error) && started.elapsed() < OPEN_TIMEOUT => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn put_all(self, tokens: Vec<SealedToken>) -> Result<Vec<String>, StoreError> {
        let tokens: Vec<SealedToken> = latest(tokens).into_values().collect();
        let mut transaction = self.pool().begin().await.map_err(failed)?;
        let mut outdated = Vec::new();
        for rows in tokens.chunks(MAX_ROWS) {
            outdated.extend(put_rows(&mut transaction, rows).await?);
        }
        transaction.commit().await.map_err(failed)?;
        Ok(outdated)
    }
}

impl TokenStore for SqliteTokens {
    fn name(&self) -> String {
        format!("SQLite `{}`", self.path.display())
    }

    fn open(&self) -> StoreFuture<()> {
        Box::pin(self.clone().open_now())
    }

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        let this = self.clone();
        checks_of(self.name(), async move {
            check(this.name(), &this.path, this.pool.get()).await
        })
    }

    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        let this = self.clone();
        Box::pin(async move {
            let swap = sqlx::query(
                "INSERT INTO forge_remote_tokens (installation_id, expires_at, sealed)
                 VALUES (?1, ?2, ?3)
                 ON CONFLICT (installation_id) DO UPDATE SET sealed = excluded.sealed
                 WHERE forge_remote_tokens.sealed = ?4",
            );
            swap.bind(KEY_CHECK_ID)
                .bind(i64::MAX)
                .bind(new)
                .bind(expected)
                .execute(&this.pool())
                .await
                .map_err(failed)?;
            sqlx::query("SELECT sealed FROM forge_remote_tokens WHERE installation_id = ?1")
                .bind(KEY_CHECK_ID)
                .fetch_one(&this.pool())
                .await
                .and_then(|row| row.try_get(0))
                .map_err(failed)
        })
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
        Box::pin(self.clone().put_all(tokens))
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let rows = sqlx::query(concat!(select!(), " WHERE installation_id = ?1"))
                .bind(id)
                .fetch_all(&this.pool())
                .await
                .map_err(failed)?;
            Ok(rows.first().map(token).transpose()?)
        })
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
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
            Ok(readable(&this.name(), rows.iter().map(token).collect()))
        })
    }

    fn list(&self, page: PageRequest) -> StoreFuture<super::TokenPage> {
        let this = self.clone();
        Box::pin(async move {
            let query = sqlx::query(concat!(
                select!(),
                " WHERE installation_id > ?1 AND (?2 IS NULL OR expires_at < ?2)
                  ORDER BY installation_id LIMIT ?3"
            ))
            .bind(page.after.unwrap_or_else(|| KEY_CHECK_ID.to_owned()))
            .bind(page.ends_before.map(to_millis))
            .bind(i64::from(page.limit));
            let rows = match this.pool.get() {
                Some(pool) => query.fetch_all(pool).await,
                // For `doctor`: a file that is not open is not changed.
                None => match look(&this.path, this.pool.get()).await? {
                    Some(mut look) => query.fetch_all(&mut look.connection).await,
                    None => Ok(Vec::new()),
                },
            };
            let rows = rows.map_err(failed)?;
            let rows = rows.iter().map(token).collect();
            Ok(listed(&this.name(), rows, page.limit))
        })
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        let this = self.clone();
        Box::pin(async move {
            let mut transaction = this.pool().begin().await.map_err(failed)?;
            let replaced = sqlx::query(
                "UPDATE forge_remote_tokens SET expires_at = ?2, sealed = ?3
                 WHERE installation_id = ?1 AND sealed = ?4",
            )
            .bind(&new.installation_id)
            .bind(to_millis(new.expires_at))
            .bind(&new.sealed)
            .bind(expected)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            let is_replaced = replaced.rows_affected() > 0;
            if is_replaced {
                put_sites(&mut transaction, &[&new]).await?;
            }
            transaction.commit().await.map_err(failed)?;
            Ok(is_replaced)
        })
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let remove =
                "DELETE FROM forge_remote_tokens WHERE installation_id = ?1 AND sealed = ?2";
            let removed = sqlx::query(remove).bind(id).bind(expected);
            let removed = removed.execute(&this.pool()).await.map_err(failed)?;
            Ok(removed.rows_affected() > 0)
        })
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
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
