//! Tokens in PostgreSQL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};

use super::store::{
    Listed, Page, SealedToken, StoreError, Stored, TokenStore, from_millis, listed, steps_left,
    to_millis,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The lock that instances take in turns to bring the schema up to date: `frToken1`.
const SCHEMA_LOCK: i64 = 0x6672_546f_6b65_6e31;
/// The schema, step by step: only ever added to.
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

/// What [`token`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT installation_id, expires_at, cloud_ids, sealed FROM forge_remote_tokens ",
            $rest
        )
    };
}

/// Keeps tokens in PostgreSQL, for apps of several instances (feature `postgres`).
///
/// The tables are made when they aren't there, by whichever instance comes first. A proxy that
/// hands out connections by transaction (PgBouncer) has to support prepared statements.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::PostgresTokens;
///
/// let url = "postgres://app:secret@db.example.com/app?sslmode=verify-full";
/// let app = App::new().tokens(PostgresTokens::at(url));
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
    /// A store in the database with this URL: `postgres://user:password@host/database`. Nothing is
    /// connected yet. TLS is used when the server has it; `?sslmode=verify-full` insists.
    pub fn at(url: impl AsRef<str>) -> Self {
        // The error can hold a part of the URL, and with it the password.
        let options = url.as_ref().parse::<PgConnectOptions>().map_err(|_| {
            Arc::from("its URL can't be read: expected postgres://user@host/database")
        });
        Self {
            options: options.map(|options| options.application_name("forge-remote")),
            connections: 4,
            pool: Arc::default(),
        }
    }

    /// The most connections that an instance opens: 4 unless told otherwise.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Made when it is first used: it needs a runtime.
    fn pool(&self) -> Result<PgPool, StoreError> {
        let options = match &self.options {
            Ok(options) => options,
            Err(problem) => return Err(StoreError::new(&**problem).of_setup()),
        };
        let pool = self.pool.get_or_init(|| {
            PgPoolOptions::new()
                .max_connections(self.connections)
                .acquire_timeout(CONNECT)
                .connect_lazy_with(options.clone())
        });
        Ok(pool.clone())
    }

    async fn migrate(self) -> Result<(), StoreError> {
        let mut transaction = self.pool()?.begin().await.map_err(failed)?;
        // One instance at a time; the others find it done.
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SCHEMA_LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        // That a table is there already is no news.
        sqlx::query("SET LOCAL client_min_messages = warning")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("CREATE TABLE IF NOT EXISTS forge_remote_schema (version BIGINT NOT NULL)")
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
            sqlx::query("INSERT INTO forge_remote_schema (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn put_all(self, tokens: Vec<SealedToken>) -> Result<(), StoreError> {
        // One statement takes each row once; in order, so that two writers can't wait for each
        // other in a circle.
        let mut rows: BTreeMap<String, SealedToken> = BTreeMap::new();
        for token in tokens {
            let later = rows
                .get(&token.installation_id)
                .is_some_and(|row| row.expires_at > token.expires_at);
            if !later {
                rows.insert(token.installation_id.clone(), token);
            }
        }
        let mut columns = (vec![], vec![], vec![], vec![]);
        for (id, token) in rows {
            columns.0.push(id);
            columns.1.push(to_millis(token.expires_at));
            // An array of arrays would have to be a rectangle; ids have no commas.
            columns.2.push(token.cloud_ids.join(","));
            columns.3.push(token.sealed);
        }
        sqlx::query(
            "INSERT INTO forge_remote_tokens (installation_id, expires_at, cloud_ids, sealed)
             SELECT id, ends, string_to_array(sites, ','), sealed
             FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BYTEA[])
                  AS new (id, ends, sites, sealed)
             ORDER BY id COLLATE \"C\"
             ON CONFLICT (installation_id) DO UPDATE
             SET expires_at = EXCLUDED.expires_at, cloud_ids = EXCLUDED.cloud_ids,
                 sealed = EXCLUDED.sealed
             WHERE forge_remote_tokens.expires_at <= EXCLUDED.expires_at",
        )
        .bind(columns.0)
        .bind(columns.1)
        .bind(columns.2)
        .bind(columns.3)
        .execute(&self.pool()?)
        .await
        .map(drop)
        .map_err(failed)
    }
}

fn failed(error: sqlx::Error) -> StoreError {
    // SQLSTATE: who one is (28), a database that isn't there (3D), a schema (3F), rights (42501).
    let code = error.as_database_error().and_then(|error| error.code());
    let is_setup = code.is_some_and(|code| {
        code == "42501"
            || ["28", "3D", "3F"]
                .iter()
                .any(|class| code.starts_with(class))
    });
    let error = StoreError::new("PostgreSQL failed").caused_by(error);
    if is_setup { error.of_setup() } else { error }
}

/// A row of `select!`.
fn token(row: &PgRow) -> Result<SealedToken, sqlx::Error> {
    Ok(SealedToken {
        installation_id: row.try_get(0)?,
        expires_at: from_millis(row.try_get(1)?),
        cloud_ids: row.try_get(2)?,
        sealed: row.try_get(3)?,
    })
}

fn tokens(rows: &[PgRow]) -> Result<Vec<SealedToken>, StoreError> {
    rows.iter()
        .map(token)
        .collect::<Result<_, _>>()
        .map_err(failed)
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

    fn open(&self) -> Stored<()> {
        Box::pin(self.clone().migrate())
    }

    fn put(&self, tokens: Vec<SealedToken>) -> Stored<()> {
        Box::pin(self.clone().put_all(tokens))
    }

    fn get(&self, installation_id: &str) -> Stored<Option<SealedToken>> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let rows = sqlx::query(select!("WHERE installation_id = $1"))
                .bind(id)
                .fetch_all(&this.pool()?)
                .await
                .map_err(failed)?;
            Ok(tokens(&rows)?.pop())
        })
    }

    fn on_site(&self, cloud_id: &str) -> Stored<Vec<SealedToken>> {
        let (this, id) = (self.clone(), cloud_id.to_owned());
        Box::pin(async move {
            let rows = sqlx::query(select!("WHERE cloud_ids @> $1 ORDER BY installation_id"))
                .bind(vec![id])
                .fetch_all(&this.pool()?)
                .await
                .map_err(failed)?;
            tokens(&rows)
        })
    }

    fn list(&self, page: Page) -> Stored<Listed> {
        let this = self.clone();
        Box::pin(async move {
            let rows = sqlx::query(select!(
                "WHERE installation_id > $1 AND expires_at < $2 ORDER BY installation_id LIMIT $3"
            ))
            .bind(page.after.unwrap_or_default())
            .bind(page.ends_before.map_or(i64::MAX, to_millis))
            .bind(i64::from(page.limit))
            .fetch_all(&this.pool()?)
            .await
            .map_err(failed)?;
            Ok(listed(tokens(&rows)?, page.limit))
        })
    }

    fn remove(&self, installation_id: &str) -> Stored<()> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            sqlx::query("DELETE FROM forge_remote_tokens WHERE installation_id = $1")
                .bind(id)
                .execute(&this.pool()?)
                .await
                .map(drop)
                .map_err(failed)
        })
    }

    fn purge(&self, ended_before: SystemTime) -> Stored<u64> {
        let this = self.clone();
        Box::pin(async move {
            sqlx::query("DELETE FROM forge_remote_tokens WHERE expires_at < $1")
                .bind(to_millis(ended_before))
                .execute(&this.pool()?)
                .await
                .map(|deleted| deleted.rows_affected())
                .map_err(failed)
        })
    }
}
