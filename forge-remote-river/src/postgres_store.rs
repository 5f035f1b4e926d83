//! The tables in PostgreSQL.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forge_remote::jobs::EngineError;
use riverqueue::{Client, ClientBuilder, InsertOpts};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Postgres, Row as _, Transaction};

use crate::error::failed;
use crate::lead::Lead;
use crate::quarantine::MAX_GIVEN_BACK;
use crate::ranking::rank_statements;
use crate::store::{Reclaimed, Store, WriteTransaction};
use crate::stored_call::StoredCall;

/// Time limit of a call that waits for a connection. Forge waits 5 seconds for the response.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The connections for heartbeats and admissions of a process that runs jobs.
const UPKEEP_CONNECTIONS: u32 = 2;

/// The tables in the schema.
#[derive(Clone)]
pub(crate) struct PostgresStore {
    pub(crate) pool: PgPool,
    /// The search path, by which the tables are found in the app's own transaction.
    pub(crate) search_path: String,
    /// A random text that identifies this database and schema in such a transaction.
    pub(crate) identity: Option<String>,
}

impl Store for PostgresStore {
    type Database = Postgres;
    type Turn = ();

    const NOW: &'static str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    const OLDEST_DUE: &'static str =
        "SELECT coalesce((extract(epoch FROM min(scheduled_at)) * 1000)::bigint, -1)
         FROM river_job WHERE queue = $1 AND state IN ('available', 'pending', 'retryable', 'scheduled')";

    const ADVANCE_WAITING: &'static str = "UPDATE river_job SET scheduled_at = greatest(
             now(),
             scheduled_at - make_interval(secs => $1::bigint / 1000.0)
         )
         WHERE queue = $2 AND state IN ('available', 'retryable', 'scheduled') AND scheduled_at > now()
             AND NOT (attempt = 0 AND EXISTS (
                 SELECT 1 FROM forge_remote_call AS call
                 WHERE call.job_id = river_job.id AND call.due > $3
             ))";
    rank_statements!(
        "to_timestamp($2::bigint / 1000.0)",
        "to_timestamp($3::bigint / 1000.0)",
        "FOR UPDATE OF job SKIP LOCKED"
    );
    // One that an operator has cancelled is for River to end.
    const RELEASE: Option<&'static str> = Some(
        "UPDATE river_job SET state = 'available', attempt = $3::bigint,
             scheduled_at = now() + make_interval(secs => $4::bigint / 1000.0)
         WHERE id = $1 AND state = 'running' AND attempt = $2 AND NOT metadata ? 'cancel_attempted_at'",
    );
    const RUNNING: &'static str =
        "SELECT coalesce(attempted_by[array_upper(attempted_by, 1)], ''), id
         FROM river_job WHERE state = 'running'";
    const DISOWN: &'static str =
        "UPDATE river_job SET attempted_by = array_append(attempted_by, '')
         WHERE id = $1 AND state = 'running'";
    const CANCEL_WAITING: &'static str =
        "UPDATE river_job SET state = 'cancelled', finalized_at = now()
         WHERE id IN (
             SELECT call.job_id FROM forge_remote_call AS call
             JOIN river_job AS job ON job.id = call.job_id
             WHERE call.installation = $1 AND call.unfinished = 1
                 AND job.state IN ('available', 'pending', 'retryable', 'scheduled')
             LIMIT $2
         ) AND state IN ('available', 'pending', 'retryable', 'scheduled')";
    const KEY_COUNTS: &'static str =
        "SELECT CASE state WHEN 'discarded' THEN 'dead ' ELSE '' END || coalesce(substr(args ->> 'sealed', 1, 12), ''),
             count(*) FROM river_job
         WHERE queue = 'forge_remote'
             AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
         GROUP BY 1";
    const EXISTS: &'static str = "SELECT (to_regclass($1) IS NOT NULL)::int::bigint";

    fn client(&self) -> ClientBuilder {
        Client::builder(self.pool.clone())
    }

    async fn lead(&self) -> Result<Lead, EngineError> {
        lead(&self.pool).await
    }

    fn apart(&self) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(UPKEEP_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with((*self.pool.connect_options()).clone());
        Self {
            pool,
            ..self.clone()
        }
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.pool.acquire().await
    }

    async fn begin_survey(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        // A client that stops waiting does not end its statement: the server has to see that it is gone.
        // PostgreSQL 13 has no such setting, and on Windows it cannot be set.
        // Source: <https://www.postgresql.org/docs/current/runtime-config-connection.html>
        let mut setting = sqlx::Acquire::begin(&mut transaction).await?;
        let set = "SELECT set_config(name, '1s', true) FROM pg_settings
             WHERE name = 'client_connection_check_interval'";
        match sqlx::query(set).execute(&mut *setting).await {
            Ok(_) => setting.commit().await?,
            Err(_) => setting.rollback().await?,
        }
        Ok(transaction)
    }

    async fn begin(&self) -> Result<WriteTransaction<Self>, sqlx::Error> {
        let mut transaction = riverqueue::database::begin_postgres(&self.pool).await?;
        // A transaction of the app that sends a `unique` job can hold the lock of its key for long.
        sqlx::query("SET LOCAL lock_timeout = '3s'")
            .execute(&mut *transaction)
            .await?;
        Ok(WriteTransaction {
            transaction,
            turn: (),
        })
    }

    async fn lock(
        transaction: &mut Transaction<'_, Postgres>,
        name: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(name)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    async fn lock_soon(
        transaction: &mut Transaction<'_, Postgres>,
        name: &str,
    ) -> Result<bool, sqlx::Error> {
        // A job that waits for a process that does not respond must not delay the others.
        const TRY: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))";
        let is_free: bool = sqlx::query_scalar(TRY)
            .bind(name)
            .fetch_one(&mut **transaction)
            .await?;
        if is_free {
            return Ok(true);
        }
        // Dropped without a commit, it rolls back.
        let mut waiting = sqlx::Acquire::begin(&mut *transaction).await?;
        sqlx::query("SET LOCAL lock_timeout = '200ms'")
            .execute(&mut *waiting)
            .await?;
        match Self::lock(&mut waiting, name).await {
            Ok(()) => {
                waiting.commit().await?;
                sqlx::query("SET LOCAL lock_timeout = '3s'")
                    .execute(&mut **transaction)
                    .await?;
                Ok(true)
            }
            Err(error) if is_lock_timeout(&error) => {
                waiting.rollback().await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn insert(
        client: &Client,
        transaction: &mut Transaction<'_, Postgres>,
        call: StoredCall,
        options: InsertOpts,
    ) -> Result<i64, riverqueue::Error> {
        let inserted = client.insert(call).opts(options).tx(transaction).await?;
        Ok(inserted.id())
    }

    async fn reclaim(
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<Vec<Reclaimed>, sqlx::Error> {
        let rows = sqlx::query(
            "WITH abandoned AS (
             SELECT job.id,
                 job.metadata ->> 'cancel_attempted_at' IS NOT NULL AS cancelled,
                 call.slot IS NOT DISTINCT FROM job.attempt AS started,
                 CASE WHEN call.slot IS NOT DISTINCT FROM job.attempt
                     THEN job.attempt ELSE job.attempt - 1 END AS spent,
                 coalesce((job.metadata ->> 'forge_remote:given_back')::bigint, 0) AS given_back,
                 job.attempted_by[array_upper(job.attempted_by, 1)] AS process
             FROM river_job AS job
             JOIN forge_remote_call AS call ON call.job_id = job.id
             WHERE job.state = 'running' AND NOT EXISTS (
                 SELECT 1 FROM forge_remote_process AS process
                 WHERE process.id = job.attempted_by[array_upper(job.attempted_by, 1)]
             )
             FOR UPDATE OF job SKIP LOCKED
         ), counted AS (
             SELECT *, count(*) FILTER (WHERE started) OVER (PARTITION BY process) AS together
             FROM abandoned
         ), judged AS (
             SELECT *, CASE WHEN NOT started THEN 0
                 WHEN together > 1 AND given_back < $1 THEN 1 ELSE -given_back END AS more
             FROM counted
         )
         UPDATE river_job SET
             attempt = judged.spent,
             max_attempts = max_attempts + judged.more,
             state = CASE WHEN judged.cancelled THEN 'cancelled'::river_job_state
                 WHEN judged.spent >= max_attempts + judged.more THEN 'discarded'::river_job_state
                 ELSE 'available'::river_job_state END,
             finalized_at = CASE WHEN judged.cancelled OR judged.spent >= max_attempts + judged.more
                 THEN now() END,
             scheduled_at = now(),
             metadata = CASE WHEN judged.started
                 THEN metadata || jsonb_build_object(
                     'river:rescue_count', coalesce((metadata ->> 'river:rescue_count')::bigint, 0) + 1,
                     'forge_remote:given_back', judged.given_back + judged.more
                 )
                 ELSE metadata END
         FROM judged WHERE river_job.id = judged.id
         RETURNING river_job.id, river_job.attempt::bigint, state = 'discarded', args::text",
        )
        .bind(MAX_GIVEN_BACK)
        .fetch_all(&mut **transaction)
        .await?;
        let reclaimed = rows.iter().map(|row| {
            Ok(Reclaimed {
                job: row.try_get(0)?,
                attempt: row.try_get(1)?,
                is_dead: row.try_get(2)?,
                arguments: row.try_get(3)?,
            })
        });
        reclaimed.collect()
    }
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("55P03")
}

/// Compares this machine's clock with the database's.
pub(crate) async fn lead(pool: &PgPool) -> Result<Lead, EngineError> {
    let sent = SystemTime::now();
    let theirs: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(pool)
        .await
        .map_err(|error| failed("PostgreSQL cannot be reached", error))?;
    let took = sent.elapsed().unwrap_or_default();
    let ours = (sent + took / 2)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let lead = ours.as_secs_f64() - theirs;
    let uncertain = took.as_secs_f64() / 2.0;
    Ok(Lead((lead.abs() - uncertain).max(0.0).copysign(lead)))
}

/// Returns an error if this machine's clock and the database's differ by too much.
pub(crate) async fn check_clock(pool: &PgPool) -> Result<Lead, EngineError> {
    let lead = lead(pool).await?;
    lead.check().map(|()| lead)
}
