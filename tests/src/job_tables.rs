//! The tables of forge-remote-river, as another program reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use crate::stores::{execute_postgres, execute_sqlite};

/// A database of jobs.
#[derive(Clone, Debug)]
pub enum JobTables {
    /// The file of `SqliteJobs`.
    Sqlite(PathBuf),
    /// The URL of `PostgresJobs`.
    Postgres(String),
}

/// An attempt that has begun.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BegunAttempt {
    /// The process, as River names it.
    pub process: String,
    /// The job.
    pub job: i64,
    /// The number of the attempt.
    pub number: i64,
}

/// An attempt has begun once its slot is stored, and has ended once River has stored its result.
macro_rules! begun {
    ($process:literal) => {
        concat!(
            "SELECT ",
            $process,
            ", job.id, CAST(job.attempt AS BIGINT)
             FROM river_job AS job JOIN forge_remote_call AS call ON call.job_id = job.id
             WHERE job.state = 'running' AND call.slot = job.attempt"
        )
    };
}
const BEGUN_SQLITE: &str = begun!("json_extract(job.attempted_by, '$[#-1]')");
const BEGUN_POSTGRES: &str = begun!("job.attempted_by[array_upper(job.attempted_by, 1)]");

const END_PAUSES_SQLITE: &str = "UPDATE river_job
     SET state = 'available', scheduled_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE state = 'retryable'";
const END_PAUSES_POSTGRES: &str =
    "UPDATE river_job SET state = 'available', scheduled_at = now() WHERE state = 'retryable'";

impl JobTables {
    /// Returns the attempts that have begun, and whose end is not stored.
    pub async fn begun(&self) -> Vec<BegunAttempt> {
        let rows: Vec<(String, i64, i64)> = match self {
            Self::Sqlite(path) => {
                let mut connection = read_only(path).await;
                let rows = sqlx::query_as(BEGUN_SQLITE).fetch_all(&mut connection);
                rows.await.unwrap()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query_as(BEGUN_POSTGRES).fetch_all(&mut connection);
                rows.await.unwrap()
            }
        };
        let attempt = |(process, job, number)| BegunAttempt {
            process,
            job,
            number,
        };
        rows.into_iter().map(attempt).collect()
    }

    /// Returns how many jobs have a slot and have not begun.
    pub async fn reserved(&self) -> i64 {
        const RESERVED: &str = "SELECT count(*) FROM forge_remote_call WHERE slot < 0";
        match self {
            Self::Sqlite(path) => {
                let mut connection = read_only(path).await;
                let count = sqlx::query_scalar(RESERVED).fetch_one(&mut connection);
                count.await.unwrap()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let count = sqlx::query_scalar(RESERVED).fetch_one(&mut connection);
                count.await.unwrap()
            }
        }
    }

    /// Makes the jobs that wait for a retry available.
    pub async fn end_pauses(&self) {
        match self {
            Self::Sqlite(path) => execute_sqlite(path, END_PAUSES_SQLITE).await,
            Self::Postgres(url) => execute_postgres(url, END_PAUSES_POSTGRES).await,
        }
    }

    /// Returns the processes that run jobs, each with the time of its last heartbeat, in milliseconds since 1970.
    pub async fn heartbeats(&self) -> BTreeMap<String, i64> {
        const HEARTBEATS: &str = "SELECT id, heartbeat FROM forge_remote_process";
        let rows: Vec<(String, i64)> = match self {
            Self::Sqlite(path) => {
                let mut connection = read_only(path).await;
                let rows = sqlx::query_as(HEARTBEATS).fetch_all(&mut connection);
                rows.await.unwrap()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query_as(HEARTBEATS).fetch_all(&mut connection);
                rows.await.unwrap()
            }
        };
        rows.into_iter().collect()
    }
}

/// It recovers nothing in the file, which is left to the app.
async fn read_only(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(10));
    options.connect().await.unwrap()
}
