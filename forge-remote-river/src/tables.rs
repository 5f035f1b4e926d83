//! The tables beside River's.

/// The statements that create those of both databases, in their order.
pub(crate) const TABLES: &[&str] = &[
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
    // The database's time at the last beat of any process.
    "CREATE TABLE IF NOT EXISTS forge_remote_clock (
        one BIGINT NOT NULL PRIMARY KEY,
        time BIGINT NOT NULL
    )",
    // Processes that run jobs, and when each last showed that it lives.
    "CREATE TABLE IF NOT EXISTS forge_remote_process (
        id TEXT NOT NULL PRIMARY KEY,
        beat BIGINT NOT NULL
    )",
];

/// PostgreSQL alone: a random text, by which a transaction of the app's is known to be of this database and schema.
#[cfg(feature = "postgres")]
pub(crate) const IDENTITY: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS forge_remote_database (id TEXT NOT NULL PRIMARY KEY)",
    "INSERT INTO forge_remote_database (id)
     SELECT md5(random()::text || clock_timestamp()::text)
     WHERE NOT EXISTS (SELECT 1 FROM forge_remote_database)",
];
