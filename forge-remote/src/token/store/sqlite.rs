//! The token store in an SQLite file.

use std::collections::{BTreeSet, HashMap};
use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Row as _, Sqlite};

use super::interface::{
    MAX_LEAD_MILLIS, PageRequest, SealedToken, StoreError, StoreFuture, TokenStore, from_millis,
    to_millis,
};
use super::rows::{BadRow, checks_of, readable};
use super::sql::{check_schema, latest, listed, steps_left};
use crate::diagnostic::Check;
use crate::fit::BoxFuture;
use crate::sqlite_file::{self, ClosedFile, check_file, check_folder, folder_of, make_private};

/// Time limit of a writer that waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for opening a file that others use, and the pause between two attempts.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const MAX_CONNECTIONS: u32 = 4;
/// The most rows of one statement, because SQLite limits its parameters (to 32,766).
const MAX_ROWS: usize = 128;
/// The steps of the schema's migration: only ever appended to.
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

const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM forge_remote_schema";

/// The id of the key check, which is a row among the tokens: deleting all rows, because the key is lost,
/// deletes it as well.
const KEY_CHECK_ID: &str = "";

/// A record's sites.
macro_rules! sites {
    () => {
        "(
            SELECT group_concat(cloud_id) FROM forge_remote_token_sites AS sites
            WHERE sites.installation_id = forge_remote_tokens.installation_id
        )"
    };
}

/// The columns that [`token`] reads.
macro_rules! select {
    () => {
        concat!(
            "SELECT installation_id, expires_at, sealed, ",
            sites!(),
            " FROM forge_remote_tokens"
        )
    };
}

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
            match self.migrate().await {
                Err(error) if is_busy(&error) && started.elapsed() < OPEN_TIMEOUT => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Reads the file without changing it, or any file next to it; `None` if it does not exist.
    async fn look(&self) -> Result<Option<Look>, StoreError> {
        if let Some(pool) = self.pool.get() {
            let connection = pool.acquire().await.map_err(failed)?;
            let mut connection = connection.detach();
            let mode = sqlx::query_scalar("PRAGMA journal_mode");
            let mode: String = mode.fetch_one(&mut connection).await.map_err(failed)?;
            let is_wal = mode == "wal";
            return Ok(Some(Look { connection, is_wal }));
        }
        let found = sqlite_file::look(&self.path).map_err(|error| {
            let unreadable = "the file cannot be read: check its permissions";
            StoreError::new(error.advice.unwrap_or(unreadable)).with_source(error.source)
        })?;
        let Some(ClosedFile {
            is_wal,
            is_immutable,
        }) = found
        else {
            return Ok(None);
        };
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .immutable(is_immutable)
            .busy_timeout(BUSY_TIMEOUT);
        let connection = options.connect().await.map_err(failed)?;
        Ok(Some(Look { connection, is_wal }))
    }

    async fn check_now(self) -> Result<Vec<Check>, StoreError> {
        let name = self.name();
        let Some(mut look) = self.look().await? else {
            return Ok(vec![Check::pending(
                "migrations",
                format!("{name} does not exist"),
                "start the app, which creates it; if it has run before, it used another path: a relative one begins \
                 at the working directory",
            )]);
        };
        let has_schema = "SELECT count(*) FROM sqlite_master WHERE name = 'forge_remote_schema'";
        let has_schema: i64 = sqlx::query_scalar(has_schema)
            .fetch_one(&mut look.connection)
            .await
            .map_err(failed)?;
        let done = match has_schema {
            0 => 0,
            _ => sqlx::query_scalar(VERSION)
                .fetch_one(&mut look.connection)
                .await
                .map_err(failed)?,
        };
        let durability = match look.is_wal {
            true => Check::passed(
                "durability",
                format!(
                    "{name}: journal_mode is WAL, synchronous is NORMAL: a power cut loses the last tokens at most"
                ),
            ),
            false => Check::pending(
                "durability",
                format!("{name}: journal_mode is not WAL"),
                "start the app, which sets it; no other program may reset it",
            ),
        };
        // A file without tables has no journal mode to report.
        let mut checks = vec![check_schema(&name, done, MIGRATIONS)];
        if done > 0 {
            checks.push(durability);
        }
        let fix = "make the file and its directory writable for the app's user";
        if let Err(error) = check_file(&self.path) {
            let detail = format!("{name} is not writable ({error})");
            checks.push(Check::failed("store", detail, fix));
        } else if let Err(error) = check_folder(folder_of(&self.path)) {
            let detail = format!(
                "{name}: its log cannot be created: its directory is not writable ({error})"
            );
            checks.push(Check::failed("store", detail, fix));
        }
        Ok(checks)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        // One instance at a time migrates; the others find the new version.
        let mut transaction = self
            .pool()
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)?;
        // A separate table, because the file may be the app's, which may use `user_version`.
        sqlx::query("CREATE TABLE IF NOT EXISTS forge_remote_schema (version INTEGER NOT NULL)")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let row = sqlx::query(VERSION)
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

/// Writes records of different installations by few statements: each one wakes the connection's thread and
/// waits for it, which costs more than a row. Returns the installations that have a later record.
async fn put_rows(
    connection: &mut SqliteConnection,
    tokens: &[SealedToken],
) -> Result<Vec<String>, StoreError> {
    let mut put = QueryBuilder::<Sqlite>::new(
        "INSERT INTO forge_remote_tokens (installation_id, expires_at, sealed) ",
    );
    put.push_values(tokens, |mut row, token| {
        row.push_bind(&token.installation_id)
            .push_bind(to_millis(token.expires_at))
            .push_bind(&token.sealed);
    });
    put.push(
        " ON CONFLICT (installation_id) DO UPDATE
         SET expires_at = excluded.expires_at, sealed = excluded.sealed
         WHERE forge_remote_tokens.expires_at <= excluded.expires_at
            -- true for values that are not numbers, too
            OR forge_remote_tokens.expires_at > excluded.expires_at + ",
    );
    put.push_bind(MAX_LEAD_MILLIS);
    put.push(concat!(" RETURNING installation_id, ", sites!()));
    // Its text depends on the number of rows, so only two of them are worth a place among the prepared statements.
    let is_frequent = [1, MAX_ROWS].contains(&tokens.len());
    let written = put.build_query_as().persistent(is_frequent);
    let written: Vec<(String, Option<String>)> =
        written.fetch_all(&mut *connection).await.map_err(failed)?;
    let sites: HashMap<&str, Option<&str>> = written
        .iter()
        .map(|(id, sites)| (id.as_str(), sites.as_deref()))
        .collect();
    let is_moved = |token: &&SealedToken| {
        let sites = sites.get(token.installation_id.as_str());
        sites.is_some_and(|sites| !are_sites(*sites, token))
    };
    let moved: Vec<&SealedToken> = tokens.iter().filter(is_moved).collect();
    put_sites(connection, &moved).await?;
    let ids = tokens.iter().map(|token| &token.installation_id);
    Ok(ids
        .filter(|id| !sites.contains_key(id.as_str()))
        .cloned()
        .collect())
}

/// Returns whether these sites, as [`sites!`] returns them, are a token's.
fn are_sites(sites: Option<&str>, token: &SealedToken) -> bool {
    let sites: BTreeSet<&str> = sites.iter().flat_map(|ids| ids.split(',')).collect();
    sites == token.cloud_ids.iter().map(String::as_str).collect()
}

/// Writes the sites of records that were just written. Rows of unchanged sites are not written again.
async fn put_sites(
    connection: &mut SqliteConnection,
    tokens: &[&SealedToken],
) -> Result<(), StoreError> {
    if tokens.is_empty() {
        return Ok(());
    }
    let sites = tokens.iter().flat_map(|token| {
        let sites = token.cloud_ids.iter();
        sites.map(|cloud_id| (cloud_id, &token.installation_id))
    });
    let sites: Vec<(&String, &String)> = sites.collect();
    let mut remove = QueryBuilder::<Sqlite>::new(
        "DELETE FROM forge_remote_token_sites WHERE installation_id IN (",
    );
    let mut ids = remove.separated(", ");
    for token in tokens {
        ids.push_bind(&token.installation_id);
    }
    remove.push(")");
    if !sites.is_empty() {
        remove.push(" AND (cloud_id, installation_id) NOT IN (");
        remove.push_values(&sites, |mut row, (cloud_id, id)| {
            row.push_bind(*cloud_id).push_bind(*id);
        });
        remove.push(")");
    }
    let remove = remove.build().persistent(false);
    remove.execute(&mut *connection).await.map_err(failed)?;
    if sites.is_empty() {
        return Ok(());
    }
    let mut add = QueryBuilder::<Sqlite>::new(
        "INSERT OR IGNORE INTO forge_remote_token_sites (cloud_id, installation_id) ",
    );
    add.push_values(&sites, |mut row, (cloud_id, id)| {
        row.push_bind(*cloud_id).push_bind(*id);
    });
    let add = add.build().persistent(false);
    add.execute(connection).await.map_err(failed).map(drop)
}

/// A file that is read without changing it.
struct Look {
    connection: SqliteConnection,
    is_wal: bool,
}

fn failed(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    // The low byte is the primary code.
    let code = code.map(|code| code & 0xff);
    let advice = match code {
        Some(SQLITE_BUSY) => "; another process or the app itself locks the file for too long",
        Some(SQLITE_READONLY) => "; the file and its directory have to be writable",
        Some(SQLITE_FULL) => "; the disk is full",
        _ => "",
    };
    let is_setup = matches!(
        code,
        Some(SQLITE_READONLY | SQLITE_CANTOPEN | SQLITE_NOTADB)
    );
    let failed = StoreError::new(format!("SQLite failed{advice}")).with_source(error);
    if is_setup { failed.permanent() } else { failed }
}

/// SQLite's primary result codes. Source: <https://sqlite.org/rescode.html>
const SQLITE_BUSY: u32 = 5;
const SQLITE_READONLY: u32 = 8;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;

fn is_busy(error: &StoreError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let code = cause
        .and_then(sqlx::Error::as_database_error)
        .and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

/// Reads a row of `select!`.
fn token(row: &SqliteRow) -> Result<SealedToken, BadRow> {
    let id: String = row
        .try_get(0)
        .map_err(|error| BadRow::of("", error.to_string()))?;
    let bad = |error: sqlx::Error| BadRow::of(&id, error.to_string());
    let sites: Option<String> = row.try_get(3).map_err(bad)?;
    Ok(SealedToken {
        expires_at: from_millis(row.try_get(1).map_err(bad)?),
        sealed: row.try_get(2).map_err(bad)?,
        cloud_ids: sites
            .iter()
            .flat_map(|sites| sites.split(','))
            .map(str::to_owned)
            .collect(),
        installation_id: id,
    })
}

impl TokenStore for SqliteTokens {
    fn name(&self) -> String {
        format!("SQLite `{}`", self.path.display())
    }

    fn open(&self) -> StoreFuture<()> {
        Box::pin(self.clone().open_now())
    }

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        checks_of(self.name(), self.clone().check_now())
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
                None => match this.look().await? {
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
