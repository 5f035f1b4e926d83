//! The schema of the file, and its migration.

use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;

use super::error::failed;
use crate::token::store::StoreError;
use crate::token::store::sql::steps_left;

/// The steps of the schema's migration: only ever appended to.
pub(super) const MIGRATIONS: &[&[&str]] = &[&[
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

pub(super) const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM forge_remote_schema";

/// Creates the tables, or does the steps of the migration that are left.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    // One instance at a time migrates; the others find the new version.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
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
