//! The tables in addition to River's, in both databases, and their version.

use forge_remote::jobs::EngineError;

use crate::ledger::{Ledger, execute};
use crate::statements::{Statements as _, Value, values};
use crate::store::Store;

/// The steps of the migration of the tables: only ever appended to. Each statement may run again, so that a table or an index
/// that was dropped by hand is created again.
///
/// These are not sqlx migrations, whose table an app that sends jobs in its own transactions may have for its own.
pub(crate) const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE IF NOT EXISTS forge_remote_call (
        job_id BIGINT NOT NULL PRIMARY KEY,
        delivery_key TEXT NOT NULL,
        handler TEXT NOT NULL,
        installation TEXT NOT NULL,
        accepted_at BIGINT NOT NULL,
        due BIGINT NOT NULL,
        unfinished BIGINT NOT NULL DEFAULT 1,
        slot BIGINT
    )",
    "CREATE INDEX IF NOT EXISTS forge_remote_call_key
        ON forge_remote_call (delivery_key, accepted_at)",
    "CREATE INDEX IF NOT EXISTS forge_remote_call_unfinished
        ON forge_remote_call (installation, handler, job_id, due) WHERE unfinished = 1",
    "CREATE INDEX IF NOT EXISTS forge_remote_call_started
        ON forge_remote_call (installation, handler) WHERE unfinished = 1 AND slot IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS forge_remote_call_finished
        ON forge_remote_call (accepted_at) WHERE unfinished = 0",
    "CREATE TABLE IF NOT EXISTS forge_remote_pause (
        handler TEXT NOT NULL,
        installation TEXT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (handler, installation)
    )",
    // The database's time at the last heartbeat of any process.
    "CREATE TABLE IF NOT EXISTS forge_remote_clock (
        one BIGINT NOT NULL PRIMARY KEY,
        time BIGINT NOT NULL
    )",
    // Processes that run jobs, and the last heartbeat of each.
    "CREATE TABLE IF NOT EXISTS forge_remote_process (
        id TEXT NOT NULL PRIMARY KEY,
        heartbeat BIGINT NOT NULL
    )",
]];

/// PostgreSQL alone: a random text that identifies this database and schema in a transaction of the app.
#[cfg(feature = "postgres")]
pub(crate) const IDENTITY: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS forge_remote_database (id TEXT NOT NULL PRIMARY KEY)",
    "INSERT INTO forge_remote_database (id)
     SELECT md5(random()::text || clock_timestamp()::text)
     WHERE NOT EXISTS (SELECT 1 FROM forge_remote_database)",
];

/// Has a row for each step that is done. The token store, which may be in the same database, has a separate table.
const VERSION_TABLE: &str = "forge_remote_jobs_version";
pub(crate) const CREATE_VERSION_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS forge_remote_jobs_version (
    version BIGINT NOT NULL PRIMARY KEY
)";

/// How the tables compare with this version of the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableState {
    Current,
    /// This many steps are not done yet.
    Behind(usize),
    /// A newer version of the crate has migrated them to this version.
    Ahead(i64),
}

impl TableState {
    fn of(version: i64) -> Self {
        match usize::try_from(version) {
            Ok(done) if done <= MIGRATIONS.len() => match MIGRATIONS.len() - done {
                0 => Self::Current,
                left => Self::Behind(left),
            },
            _ => Self::Ahead(version),
        }
    }
}

/// Returns the error for tables of a newer version, which may have changed what this one relies on.
pub(crate) fn too_new(version: i64) -> EngineError {
    EngineError::new(format!(
        "the tables of the jobs have the version {version}, and this version of forge-remote-river knows {}: deploy \
         the newer version of the app that migrated them",
        MIGRATIONS.len()
    ))
}

impl<S: Store> Ledger<S> {
    /// Returns how the tables compare with this version of the crate, without changing them.
    pub(crate) async fn table_state(&self) -> Result<TableState, EngineError> {
        Ok(TableState::of(self.table_version().await?))
    }

    /// Does the steps that are left. The caller excludes other instances.
    pub(crate) async fn migrate(&self) -> Result<(), EngineError> {
        let version = self.table_version().await?;
        let missing = self.missing_tables().await?;
        for (number, statements) in (1..).zip(MIGRATIONS) {
            if number <= version && missing == 0 {
                continue;
            }
            let mut writing = self.begin().await?;
            let transaction = &mut writing.transaction;
            for statement in statements.iter().chain(&[CREATE_VERSION_TABLE]) {
                let statement: &[(&str, &[Value<'_>])] = &[(*statement, values![])];
                execute(transaction, statement).await?;
            }
            let done: &[(&str, &[Value<'_>])] = &[(
                "INSERT INTO forge_remote_jobs_version (version) VALUES ($1) ON CONFLICT DO NOTHING",
                values![number],
            )];
            execute(transaction, done).await?;
            writing.commit().await?;
        }
        Ok(())
    }

    /// Returns how many of this crate's tables and indexes are missing.
    pub(crate) async fn missing_tables(&self) -> Result<usize, EngineError> {
        let mut connection = self.connection().await?;
        let mut missing = 0;
        for statement in MIGRATIONS.concat() {
            let rest = statement.split_once("IF NOT EXISTS ");
            let name = rest.and_then(|(_, rest)| rest.split_whitespace().next());
            let found = connection
                .integer(S::EXISTS, values![name.unwrap_or_default()])
                .await?;
            missing += usize::from(found != Some(1));
        }
        Ok(missing)
    }

    /// Returns the version of the tables; 0 without them, or if an earlier version of the crate did not note it.
    async fn table_version(&self) -> Result<i64, EngineError> {
        let mut connection = self.connection().await?;
        let exists = connection
            .integer(S::EXISTS, values![VERSION_TABLE])
            .await?;
        if exists != Some(1) {
            return Ok(0);
        }
        let version = "SELECT max(version) FROM forge_remote_jobs_version";
        let version = connection.integer(version, values![]).await?;
        Ok(version.unwrap_or_default())
    }
}
