//! Reading a file without changing it, for `doctor`.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};

use super::error::failed;
use super::schema::{MIGRATIONS, VERSION};
use crate::diagnostic::Check;
use crate::sqlite_file::{self, ClosedFile, check_file, check_folder, folder_of};
use crate::token::store::StoreError;
use crate::token::store::sql::check_schema;

/// Time limit of a writer that waits for another.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A file that is read without changing it.
pub(super) struct Look {
    pub(super) connection: SqliteConnection,
    is_wal: bool,
}

/// Reads the file without changing it, or any file next to it; `None` if it does not exist.
pub(super) async fn look(
    path: &Path,
    pool: Option<&SqlitePool>,
) -> Result<Option<Look>, StoreError> {
    if let Some(pool) = pool {
        let connection = pool.acquire().await.map_err(failed)?;
        let mut connection = connection.detach();
        let mode = sqlx::query_scalar("PRAGMA journal_mode");
        let mode: String = mode.fetch_one(&mut connection).await.map_err(failed)?;
        let is_wal = mode == "wal";
        return Ok(Some(Look { connection, is_wal }));
    }
    let found = sqlite_file::look(path).map_err(|error| {
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
        .filename(path)
        .read_only(true)
        .immutable(is_immutable)
        .busy_timeout(BUSY_TIMEOUT);
    let connection = options.connect().await.map_err(failed)?;
    Ok(Some(Look { connection, is_wal }))
}

/// Checks the file for `doctor`.
pub(super) async fn check(
    name: String,
    path: &Path,
    pool: Option<&SqlitePool>,
) -> Result<Vec<Check>, StoreError> {
    let Some(mut look) = look(path, pool).await? else {
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
    if let Err(error) = check_file(path) {
        let detail = format!("{name} is not writable ({error})");
        checks.push(Check::failed("store", detail, fix));
    } else if let Err(error) = check_folder(folder_of(path)) {
        let detail =
            format!("{name}: its log cannot be created: its directory is not writable ({error})");
        checks.push(Check::failed("store", detail, fix));
    }
    Ok(checks)
}
