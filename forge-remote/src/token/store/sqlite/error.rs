//! SQLite's errors.

use std::error::Error as _;

use crate::token::store::StoreError;

/// SQLite's primary result codes. Source: <https://sqlite.org/rescode.html>
const SQLITE_BUSY: u32 = 5;
const SQLITE_READONLY: u32 = 8;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;

/// Converts an error of the driver.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
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

/// Returns whether another connection locks the file.
pub(super) fn is_busy(error: &StoreError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let code = cause
        .and_then(sqlx::Error::as_database_error)
        .and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}
