//! The token store in PostgreSQL.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sqlx::postgres::{PgArguments, PgConnectOptions, PgExecutor, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

use super::interface::{
    MAX_LEAD_MILLIS, PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore,
    from_millis, to_millis,
};
use super::rows::{BadRow, checks_of, readable};
use super::sql::{check_schema, latest, listed, steps_left};
use crate::diagnostic::Check;
use crate::fit::BoxFuture;

/// Time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The lock of instances that migrate the schema: `frToken1`.
const SCHEMA_LOCK: i64 = 0x6672_546f_6b65_6e31;
/// The steps of the schema's migration: only ever appended to.
const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE forge_remote_tokens (
        installation_id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        expires_at BIGINT NOT NULL, -- milliseconds since 1970
        cloud_ids TEXT[] NOT NULL,
        sealed BYTEA NOT NULL
    )",
    "CREATE INDEX forge_remote_tokens_by_end ON forge_remote_tokens (expires_at)",
    "CREATE INDEX forge_remote_tokens_by_site ON forge_remote_tokens USING GIN (cloud_ids)",
]];

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS forge_remote_schema (version BIGINT NOT NULL)";
/// Begins a write with time limits. Together with the limit of connecting, it ends before its caller
/// stops waiting, so that a write reported as failed is not executed later, possibly after a removal.
/// The limits are local to the transaction, because a proxy may share the connection.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '4s'; SET LOCAL lock_timeout = '3s'";
/// Regardless of the defaults of the database or the role, a transaction that waited for a lock sees what its
/// holder has committed.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// The id of the key check, which is a row among the tokens: deleting all rows, because the key is lost,
/// deletes it as well.
const KEY_CHECK_ID: &str = "";

/// The columns that [`token`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT installation_id, expires_at, cloud_ids, sealed FROM forge_remote_tokens ",
            $rest
        )
    };
}

/// A token store in PostgreSQL, for apps of several instances (feature `postgres`).
///
/// The first instance creates missing tables. If the app's role may not create tables, another role
/// has to run the statements of [`schema`](Self::schema). Then the app's role needs these grants, and
/// `USAGE` on the schema:
///
/// ```sql
/// GRANT SELECT ON forge_remote_schema TO app;
/// GRANT SELECT, INSERT, UPDATE, DELETE ON forge_remote_tokens TO app;
/// ```
///
/// A proxy that pools connections by transaction has to support prepared statements, as PgBouncer
/// does from 1.21 on with a `max_prepared_statements` above 0.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::PostgresTokens;
///
/// let url = "postgres://app:secret@db.example.com/app?sslmode=verify-full";
/// let app = App::new().token_store(PostgresTokens::new(url));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct PostgresTokens {
    options: Result<PgConnectOptions, Arc<str>>,
    connections: u32,
    pool: Arc<OnceLock<PgPool>>,
}

impl fmt::Debug for PostgresTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresTokens").field(&self.name()).finish()
    }
}

impl PostgresTokens {
    /// Creates a store in the database with this URL: `postgres://user:password@host/database`. It
    /// connects later. TLS is used if the server supports it; `?sslmode=verify-full` requires it.
    pub fn new(url: impl AsRef<str>) -> Self {
        // The parser's error may contain a part of the URL, and with it the password.
        let options = url
            .as_ref()
            .parse::<PgConnectOptions>()
            .map_err(|_| Arc::from("its URL is not valid: expected postgres://user@host/database"));
        Self {
            options: options.map(|options| options.application_name("forge-remote")),
            connections: 4,
            pool: Arc::default(),
        }
    }

    /// Sets the maximum number of connections of an instance (default: 4).
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Returns the pool, which is created at the first call, because it needs a runtime.
    fn pool(&self) -> Result<PgPool, StoreError> {
        let options = match &self.options {
            Ok(options) => options,
            Err(problem) => return Err(StoreError::new(&**problem).permanent()),
        };
        let pool = self.pool.get_or_init(|| {
            PgPoolOptions::new()
                .max_connections(self.connections)
                .acquire_timeout(CONNECT_TIMEOUT)
                .connect_lazy_with(options.clone())
        });
        Ok(pool.clone())
    }

    /// Returns the statements that create the tables, for a role with that permission: in the first
    /// schema of the `search_path` of the app's role. A later version may have more statements.
    ///
    /// ```
    /// println!("{}", forge_remote::token::PostgresTokens::schema());
    /// ```
    pub fn schema() -> String {
        let versions = (1..).zip(MIGRATIONS).flat_map(|(version, step)| {
            let done = format!("INSERT INTO forge_remote_schema (version) VALUES ({version})");
            step.iter().map(|&part| part.to_owned()).chain([done])
        });
        std::iter::once(SCHEMA.to_owned())
            .chain(versions)
            .map(|statement| statement + ";\n")
            .collect()
    }

    async fn check_now(self) -> Result<Vec<Check>, StoreError> {
        let (name, pool) = (self.name(), self.pool()?);
        let done = existing_version(&pool).await?.unwrap_or(0);
        if let Some((lacking, fix)) = lacking_rights(&pool, done).await? {
            let detail = format!("{name}: {lacking}");
            return Ok(vec![Check::failed("store", detail, fix)]);
        }
        let mut checks = vec![check_schema(&name, done, MIGRATIONS)];
        let settings = "SELECT current_setting('fsync'), pg_is_in_recovery()";
        let settings = sqlx::query(settings)
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        let fsync: String = settings.try_get(0).map_err(failed)?;
        let is_standby: bool = settings.try_get(1).map_err(failed)?;
        let durability = format!("{name}: fsync is {fsync}");
        checks.push(match &*fsync {
            "off" => Check::failed(
                "durability",
                format!("{durability}: a crash of the machine can destroy the database"),
                "set `fsync = on` in postgresql.conf",
            ),
            _ => Check::passed("durability", durability),
        });
        if is_standby {
            let fix = "use the URL of the primary server";
            checks.push(Check::failed("store", format!("{name} is a standby"), fix));
        }
        Ok(checks)
    }

    async fn migrate(self) -> Result<(), StoreError> {
        let pool = self.pool()?;
        // If the schema is up to date, no permission to create tables is needed.
        if let Some(done) = existing_version(&pool).await?
            && steps_left(done, MIGRATIONS)?.next().is_none()
        {
            return Ok(());
        }
        let mut transaction = pool.begin_with(BEGIN).await.map_err(failed)?;
        // One instance at a time migrates; the others find the new version.
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SCHEMA_LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        // Suppresses the notice that a table exists already.
        sqlx::query("SET LOCAL client_min_messages = warning")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query(SCHEMA)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let done = version(&mut *transaction).await?;
        for (version, step) in steps_left(done, MIGRATIONS)? {
            for &statement in step {
                let statement = sqlx::query(statement);
                statement.execute(&mut *transaction).await.map_err(failed)?;
            }
            sqlx::query("INSERT INTO forge_remote_schema (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Executes one statement that writes; returns the number of changed rows.
    async fn write(&self, statement: Query<'_, Postgres, PgArguments>) -> Result<u64, StoreError> {
        let begin = self.pool()?.begin_with(BEGIN_WRITE).await;
        let mut transaction = begin.map_err(failed)?;
        let done = statement.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected())
    }

    /// Runs a statement that writes, and returns the rows that it returns.
    async fn write_returning(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let begin = self.pool()?.begin_with(BEGIN_WRITE).await;
        let mut transaction = begin.map_err(failed)?;
        let rows = statement.fetch_all(&mut *transaction).await;
        let rows = rows.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(rows)
    }

    async fn put_all(self, tokens: Vec<SealedToken>) -> Result<Vec<String>, StoreError> {
        // One statement may contain each row only once; sorted, so that two writers cannot deadlock.
        let rows = latest(tokens);
        let mut outdated: BTreeSet<String> = rows.keys().cloned().collect();
        let mut columns = (vec![], vec![], vec![], vec![]);
        for (id, token) in rows {
            columns.0.push(id);
            columns.1.push(to_millis(token.expires_at));
            // The arrays of an array must have equal lengths; ids have no commas.
            columns.2.push(token.cloud_ids.join(","));
            columns.3.push(token.sealed);
        }
        let put = sqlx::query(
            "INSERT INTO forge_remote_tokens (installation_id, expires_at, cloud_ids, sealed)
             SELECT id, ends, string_to_array(sites, ','), sealed
             FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BYTEA[])
                  AS new (id, ends, sites, sealed)
             ORDER BY id COLLATE \"C\"
             ON CONFLICT (installation_id) DO UPDATE
             SET expires_at = EXCLUDED.expires_at, cloud_ids = EXCLUDED.cloud_ids,
                 sealed = EXCLUDED.sealed
             WHERE forge_remote_tokens.expires_at <= EXCLUDED.expires_at
                OR forge_remote_tokens.expires_at > EXCLUDED.expires_at + $5
             RETURNING installation_id",
        )
        .bind(columns.0)
        .bind(columns.1)
        .bind(columns.2)
        .bind(columns.3)
        .bind(MAX_LEAD_MILLIS);
        for row in self.write_returning(put).await? {
            let written: String = row.try_get(0).map_err(failed)?;
            outdated.remove(&written);
        }
        Ok(outdated.into_iter().collect())
    }
}

/// Returns the schema's version; `None` without a schema.
async fn existing_version(pool: &PgPool) -> Result<Option<i64>, StoreError> {
    let exists = "SELECT to_regclass('forge_remote_schema') IS NOT NULL";
    let row = sqlx::query(exists).fetch_one(pool).await.map_err(failed)?;
    match row.try_get(0).map_err(failed)? {
        true => version(pool).await.map(Some),
        false => Ok(None),
    }
}

/// Returns the schema's version.
async fn version(executor: impl PgExecutor<'_>) -> Result<i64, StoreError> {
    sqlx::query("SELECT COALESCE(MAX(version), 0) FROM forge_remote_schema")
        .fetch_one(executor)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)
}

/// Returns the privileges on a schema of this version that the store needs and the role lacks, and the fix.
async fn lacking_rights(
    pool: &PgPool,
    done: i64,
) -> Result<Option<(String, &'static str)>, StoreError> {
    // A schema that is missing or that the role may not use is not part of the path.
    let privileges = "SELECT current_user::text, current_schema()::text, has_schema_privilege(current_schema(), 'CREATE')";
    let privileges = sqlx::query(privileges)
        .fetch_one(pool)
        .await
        .map_err(failed)?;
    let role: String = privileges.try_get(0).map_err(failed)?;
    let schema: Option<String> = privileges.try_get(1).map_err(failed)?;
    let may_create: Option<bool> = privileges.try_get(2).map_err(failed)?;
    let Some(schema) = schema else {
        return Ok(Some((
            format!("the role `{role}` may use no schema of its `search_path`, or none exists"),
            "create the schema, and grant USAGE on it to the role",
        )));
    };
    if usize::try_from(done).is_ok_and(|done| done < MIGRATIONS.len()) {
        return Ok((may_create != Some(true)).then(|| {
            (
                format!("the tables are missing, and the role `{role}` may not create them in the schema `{schema}`"),
                "grant CREATE on the schema to the role, or let another role run the statements of \
                 `PostgresTokens::schema`",
            )
        }));
    }
    let lacking = "SELECT string_agg(need, ', ') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS need
         WHERE NOT has_table_privilege('forge_remote_tokens', need)";
    let lacking = sqlx::query(lacking).fetch_one(pool).await.map_err(failed)?;
    let lacking: Option<String> = lacking.try_get(0).map_err(failed)?;
    Ok(lacking.map(|lacking| {
        (
            format!("the role `{role}` lacks {lacking} on `forge_remote_tokens`"),
            "grant SELECT, INSERT, UPDATE and DELETE on `forge_remote_tokens` to the role",
        )
    }))
}

/// Converts an error of PostgreSQL, with advice for its code.
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn failed(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.as_deref().unwrap_or_default();
    let advice = match code {
        "42501" => {
            "; its role lacks a permission: grant CREATE on the schema, so that it can create the \
             tables; or let another role create them, with the grants in the documentation of \
             `PostgresTokens`"
        }
        "42P01" => "; were its tables dropped? They are created when the app starts",
        "55P03" | "57014" => "; another client locks its rows, or the server is too slow",
        "26000" | "42P05" => {
            "; does a proxy pool connections by transaction? It has to support prepared statements \
             (PgBouncer: `max_prepared_statements`)"
        }
        "25006" => "; this is a standby: its URL must lead to the primary",
        _ => "",
    };
    // Authentication (28), a missing database (3D) or schema (3F), permissions.
    let classes = ["28", "3D", "3F", "42501"];
    let is_setup = classes.iter().any(|class| code.starts_with(class));
    let failed = StoreError::new(format!("PostgreSQL failed{advice}")).with_source(error);
    if is_setup { failed.permanent() } else { failed }
}

/// Reads a row of `select!`.
fn token(row: &PgRow) -> Result<SealedToken, BadRow> {
    let id: String = row
        .try_get(0)
        .map_err(|error| BadRow::of("", error.to_string()))?;
    let bad = |error: sqlx::Error| BadRow::of(&id, error.to_string());
    Ok(SealedToken {
        expires_at: from_millis(row.try_get(1).map_err(bad)?),
        cloud_ids: row.try_get(2).map_err(bad)?,
        sealed: row.try_get(3).map_err(bad)?,
        installation_id: id,
    })
}

impl TokenStore for PostgresTokens {
    fn name(&self) -> String {
        match &self.options {
            Ok(options) => {
                let database = options.get_database().unwrap_or("its user's database");
                format!("PostgreSQL `{database}` on {}", options.get_host())
            }
            Err(_) => "PostgreSQL".to_owned(),
        }
    }

    fn open(&self) -> StoreFuture<()> {
        Box::pin(self.clone().migrate())
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
                "INSERT INTO forge_remote_tokens (installation_id, expires_at, cloud_ids, sealed)
                 VALUES ($1, $2, '{}', $3)
                 ON CONFLICT (installation_id) DO UPDATE SET sealed = EXCLUDED.sealed
                 WHERE forge_remote_tokens.sealed = $4",
            );
            let swap = swap
                .bind(KEY_CHECK_ID)
                .bind(i64::MAX)
                .bind(new)
                .bind(expected);
            this.write(swap).await?;
            sqlx::query("SELECT sealed FROM forge_remote_tokens WHERE installation_id = $1")
                .bind(KEY_CHECK_ID)
                .fetch_one(&this.pool()?)
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
            let rows = sqlx::query(select!("WHERE installation_id = $1"))
                .bind(id)
                .fetch_all(&this.pool()?)
                .await
                .map_err(failed)?;
            Ok(rows.first().map(token).transpose()?)
        })
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        let (this, id) = (self.clone(), cloud_id.to_owned());
        Box::pin(async move {
            let rows = sqlx::query(select!("WHERE cloud_ids @> $1 ORDER BY installation_id"))
                .bind(vec![id])
                .fetch_all(&this.pool()?)
                .await
                .map_err(failed)?;
            Ok(readable(&this.name(), rows.iter().map(token).collect()))
        })
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        let this = self.clone();
        Box::pin(async move {
            let rows = sqlx::query(select!(
                "WHERE installation_id > $1 AND expires_at < $2 ORDER BY installation_id LIMIT $3"
            ))
            .bind(page.after.unwrap_or_else(|| KEY_CHECK_ID.to_owned()))
            .bind(page.ends_before.map_or(i64::MAX, to_millis))
            .bind(i64::from(page.limit))
            .fetch_all(&this.pool()?)
            .await
            .map_err(failed)?;
            let rows = rows.iter().map(token).collect();
            Ok(listed(&this.name(), rows, page.limit))
        })
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        let this = self.clone();
        Box::pin(async move {
            let replace = sqlx::query(
                "UPDATE forge_remote_tokens SET expires_at = $2, cloud_ids = $3, sealed = $4
                 WHERE installation_id = $1 AND sealed = $5",
            );
            let replace = replace
                .bind(new.installation_id)
                .bind(to_millis(new.expires_at))
                .bind(new.cloud_ids)
                .bind(new.sealed)
                .bind(expected);
            Ok(this.write(replace).await? > 0)
        })
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let remove =
                "DELETE FROM forge_remote_tokens WHERE installation_id = $1 AND sealed = $2";
            let remove = sqlx::query(remove).bind(id).bind(expected);
            Ok(this.write(remove).await? > 0)
        })
    }

    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        let this = self.clone();
        Box::pin(async move {
            let millis = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
            let row = sqlx::query(millis).fetch_one(&this.pool()?).await;
            let millis = row.and_then(|row| row.try_get(0)).map_err(failed)?;
            Ok(Some(from_millis(millis)))
        })
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        let this = self.clone();
        Box::pin(async move {
            let purge = sqlx::query("DELETE FROM forge_remote_tokens WHERE expires_at < $1");
            this.write(purge.bind(to_millis(ended_before))).await
        })
    }
}
