//! The tables in an SQLite file.

use std::sync::Arc;

use riverqueue::{Client, ClientBuilder, InsertOpts};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Row as _, Sqlite, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::quarantine::MAX_GIVEN_BACK;
use crate::ranking::rank_statements;
use crate::store::{Reclaimed, Store, WriteTransaction};
use crate::stored_call::StoredCall;

/// The tables in the file.
#[derive(Clone)]
pub(crate) struct SqliteStore {
    pub(crate) pool: SqlitePool,
    /// Transactions of this process take turns, first come first served; SQLite itself lets waiting
    /// writers poll.
    turn: Arc<Semaphore>,
}

impl SqliteStore {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Self { pool, turn }
    }
}

impl Store for SqliteStore {
    type Database = Sqlite;
    type Turn = Option<OwnedSemaphorePermit>;

    const NOW: &'static str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
    const OLDEST_DUE: &'static str =
        "SELECT coalesce(CAST(unixepoch(min(scheduled_at), 'subsec') * 1000 AS INTEGER), -1)
         FROM river_job WHERE queue = $1 AND state IN ('available', 'pending', 'retryable', 'scheduled')";

    const ADVANCE_WAITING: &'static str = "UPDATE river_job SET scheduled_at = max(
             strftime('%Y-%m-%d %H:%M:%f', 'now'),
             strftime('%Y-%m-%d %H:%M:%f', scheduled_at, (-$1 / 1000.0) || ' seconds')
         )
         WHERE queue = $2 AND state IN ('available', 'retryable', 'scheduled')
             AND scheduled_at > strftime('%Y-%m-%d %H:%M:%f', 'now')
             AND NOT (attempt = 0 AND EXISTS (
                 SELECT 1 FROM forge_remote_call AS call
                 WHERE call.job_id = river_job.id AND call.due > $3
             ))";
    rank_statements!(
        "strftime('%Y-%m-%d %H:%M:%f', $2 / 1000.0, 'unixepoch')",
        "strftime('%Y-%m-%d %H:%M:%f', $3 / 1000.0, 'unixepoch')",
        ""
    );
    const RELEASE: Option<&'static str> = None;
    const RUNNING: &'static str =
        "SELECT json_extract(attempted_by, '$[#-1]'), id FROM river_job WHERE state = 'running'";
    const DISOWN: &'static str =
        "UPDATE river_job SET attempted_by = jsonb_insert(attempted_by, '$[#]', '')
         WHERE id = $1 AND state = 'running'";
    const CANCEL_WAITING: &'static str =
        "UPDATE river_job SET state = 'cancelled', finalized_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
         WHERE id IN (
             SELECT call.job_id FROM forge_remote_call AS call
             JOIN river_job AS job ON job.id = call.job_id
             WHERE call.installation = $1 AND call.unfinished = 1
                 AND job.state IN ('available', 'pending', 'retryable', 'scheduled')
             LIMIT $2
         ) AND state IN ('available', 'pending', 'retryable', 'scheduled')";
    const KEY_COUNTS: &'static str = "SELECT CASE state WHEN 'discarded' THEN 'dead ' ELSE '' END
                 || coalesce(substr(json_extract(args, '$.sealed'), 1, 12), ''),
             count(*) FROM river_job
         WHERE queue = 'forge_remote'
             AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
         GROUP BY 1";
    const EXISTS: &'static str = "SELECT count(*) FROM sqlite_master WHERE name = $1";

    fn client(&self) -> ClientBuilder {
        Client::builder(self.pool.clone())
    }

    fn worker(&self) -> ClientBuilder {
        // SQLite has no notifications: River would read a table of them ten times a second.
        self.client().without_notifications()
    }

    async fn connection(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.pool.acquire().await
    }

    async fn begin_survey(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin().await
    }

    async fn begin(&self) -> Result<WriteTransaction<Self>, sqlx::Error> {
        // The semaphore is never closed; without a turn, SQLite's own lock still holds.
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        let transaction = riverqueue::database::begin_sqlite_write(&self.pool).await?;
        Ok(WriteTransaction { transaction, turn })
    }

    async fn lock(_: &mut Transaction<'_, Sqlite>, _: &str) -> Result<(), sqlx::Error> {
        // A write transaction has the whole file.
        Ok(())
    }

    async fn insert(
        client: &Client,
        transaction: &mut Transaction<'_, Sqlite>,
        call: StoredCall,
        options: InsertOpts,
    ) -> Result<i64, riverqueue::Error> {
        let inserted = client.insert(call).opts(options).tx(transaction).await?;
        Ok(inserted.id())
    }

    async fn reclaim(
        transaction: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<Reclaimed>, sqlx::Error> {
        let rows = sqlx::query(
            "WITH abandoned AS MATERIALIZED (
             SELECT job.id,
                 json_extract(job.metadata, '$.cancel_attempted_at') IS NOT NULL AS cancelled,
                 call.slot IS job.attempt AS started,
                 job.attempt - (call.slot IS NOT job.attempt) AS spent,
                 coalesce(json_extract(job.metadata, '$.\"forge_remote:given_back\"'), 0) AS given_back,
                 sum(call.slot IS job.attempt) OVER (
                     PARTITION BY json_extract(job.attempted_by, '$[#-1]')
                 ) AS together
             FROM river_job AS job
             JOIN forge_remote_call AS call ON call.job_id = job.id
             WHERE job.state = 'running' AND json_extract(job.attempted_by, '$[#-1]') NOT IN (
                 SELECT id FROM forge_remote_process
             )
         ), judged AS MATERIALIZED (
             SELECT *, CASE WHEN NOT started THEN 0
                 WHEN together > 1 AND given_back < $1 THEN 1 ELSE -given_back END AS more
             FROM abandoned
         )
         UPDATE river_job SET
             attempt = judged.spent,
             max_attempts = max_attempts + judged.more,
             state = CASE WHEN judged.cancelled THEN 'cancelled'
                 WHEN judged.spent >= max_attempts + judged.more THEN 'discarded' ELSE 'available' END,
             finalized_at = CASE WHEN judged.cancelled OR judged.spent >= max_attempts + judged.more
                 THEN strftime('%Y-%m-%d %H:%M:%f', 'now') END,
             scheduled_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
             metadata = CASE WHEN judged.started
                 THEN jsonb_set(metadata, '$.\"river:rescue_count\"',
                     coalesce(json_extract(metadata, '$.\"river:rescue_count\"'), 0) + 1,
                     '$.\"forge_remote:given_back\"', judged.given_back + judged.more)
                 ELSE metadata END
         FROM judged WHERE river_job.id = judged.id
         RETURNING river_job.id, river_job.attempt, state = 'discarded', json(args)",
        )
        .bind(MAX_GIVEN_BACK)
        .fetch_all(&mut **transaction)
        .await?;
        let reclaimed = rows.iter().map(|row| {
            Ok(Reclaimed {
                job: row.try_get(0)?,
                attempt: row.try_get(1)?,
                is_dead: row.try_get::<i64, _>(2)? != 0,
                arguments: row.try_get(3)?,
            })
        });
        reclaimed.collect()
    }
}
