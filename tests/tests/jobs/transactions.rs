//! Jobs that are sent in a transaction of the app's, on real databases.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::jobs::{Accepted, Args, JobEngine, Jobs, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote::token::MemoryTokens;
use forge_remote_river::{InTransaction as _, PostgresJobs, SqliteJobs, TransactionError};
use forge_remote_tests::stores::{Folder, KEYS, postgres_url};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::log::Log;

#[job(key = "mail")]
async fn mail(log: State<Log>, Args(order): Args<String>) -> Result<()> {
    log.write(order);
    Ok(())
}

/// Hands its `Jobs` to the test.
#[endpoint(key = "hand-over", path = "/hand-over")]
async fn hand_over(jobs: Jobs, place: State<Arc<Mutex<Option<Jobs>>>>) -> Result<StatusCode> {
    *place.lock().unwrap() = Some(jobs);
    Ok(StatusCode::NO_CONTENT)
}

struct Running {
    log: Log,
    jobs: Jobs,
    _background: forge_remote::BackgroundTasks,
}

async fn start(engine: impl JobEngine) -> Running {
    engine.open().await.unwrap();
    let log = Log::new(true);
    let place: Arc<Mutex<Option<Jobs>>> = Arc::default();
    let app = App::empty()
        .handler(forge_remote::handler!(mail))
        .handler(forge_remote::handler!(hand_over))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(Tokens::new(MemoryTokens::new()).keys(KEYS[0]))
        .state(log.clone())
        .state(Arc::clone(&place))
        .jobs(engine);
    let harness = Harness::new(app).unwrap();
    let background = harness.start_background().unwrap();
    assert_eq!(harness.call("hand-over").send().await.status(), 204);
    let jobs = place.lock().unwrap().take().unwrap();
    Running {
        log,
        jobs,
        _background: background,
    }
}

async fn sqlite(folder: &Folder, name: &str) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(folder.file(name))
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    pool.execute("CREATE TABLE IF NOT EXISTS orders (name TEXT NOT NULL)")
        .await
        .unwrap();
    pool
}

/// The test of both databases: their transactions are of different types.
macro_rules! commits_and_rolls_back {
    ($running:expr, $begin:expr) => {{
        let running = $running;
        let send = |order: &str| running.jobs.send(mail::args(order.to_owned()));
        let insert = "INSERT INTO orders VALUES ('one')";

        let mut transaction = $begin.await.unwrap();
        transaction.execute(insert).await.unwrap();
        let sent = send("rolled back")
            .unique("key")
            .in_transaction(&mut transaction);
        assert!(matches!(sent.await, Ok(Accepted::New(_))));
        transaction.rollback().await.unwrap();

        // Its key is free again. Until the commit, the job does not run.
        let mut transaction = $begin.await.unwrap();
        let sent = send("committed")
            .unique("key")
            .in_transaction(&mut transaction);
        assert!(matches!(sent.await, Ok(Accepted::New(_))));
        let again = send("repeated")
            .unique("key")
            .in_transaction(&mut transaction);
        assert!(matches!(again.await, Ok(Accepted::Repeated(_))));
        // The tables of the app are still found.
        transaction.execute(insert).await.unwrap();
        assert_eq!(running.log.lines(), [""; 0]);
        transaction.commit().await.unwrap();
        assert_eq!(running.log.wait_for(1).await, ["committed"]);

        send("later").await.unwrap();
        assert_eq!(running.log.wait_for(2).await, ["committed", "later"]);
        let mut last = $begin.await.unwrap();
        let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
            .fetch_one(&mut *last)
            .await
            .unwrap();
        assert_eq!(orders, 1);
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_sent_if_the_transaction_commits_on_sqlite() {
    let folder = Folder::default();
    let pool = sqlite(&folder, "app.db").await;
    let running = start(SqliteJobs::new(folder.file("app.db"))).await;
    commits_and_rolls_back!(running, pool.begin_with("BEGIN IMMEDIATE"));
}

/// The app's tables are not in the engine's schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_sent_if_the_transaction_commits_on_postgres() {
    let (Some(own), Some(jobs)) = (postgres_url().await, postgres_url().await) else {
        return;
    };
    let pool: PgPool = PgPoolOptions::new().connect(&own).await.unwrap();
    pool.execute(AssertSqlSafe("CREATE TABLE orders (name TEXT NOT NULL)"))
        .await
        .unwrap();
    let running = start(PostgresJobs::new(jobs)).await;
    commits_and_rolls_back!(running, pool.begin());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_another_database_is_rejected() {
    let folder = Folder::default();
    let other = sqlite(&folder, "other.db").await;
    let running = start(SqliteJobs::new(folder.file("jobs.db"))).await;
    let mut transaction = other.begin().await.unwrap();
    let sent = running.jobs.send(mail::args("lost".to_owned()));
    let error = sent.in_transaction(&mut transaction).await.unwrap_err();
    assert!(
        matches!(error, TransactionError::OtherDatabase { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("jobs.db") && text.contains("same file"),
        "{text}"
    );

    let Some(url) = postgres_url().await else {
        return;
    };
    let pool: PgPool = PgPoolOptions::new().connect(&url).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let sent = running.jobs.send(mail::args("lost".to_owned()));
    let error = sent.in_transaction(&mut transaction).await.unwrap_err();
    assert!(
        matches!(error, TransactionError::OtherDatabase { .. }),
        "{error:?}"
    );
}

/// It would not see a job that another transaction has sent while it waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_a_key_needs_a_transaction_that_sees_others() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let pool: PgPool = PgPoolOptions::new().connect(&url).await.unwrap();
    let running = start(PostgresJobs::new(&url)).await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    let mut transaction = pool.begin_with(begin).await.unwrap();
    let send = |order: &str| running.jobs.send(mail::args(order.to_owned()));
    let sent = send("twice").unique("key").in_transaction(&mut transaction);
    let error = sent.await.unwrap_err();
    assert!(
        matches!(&error, TransactionError::Isolation { level } if level == "repeatable read"),
        "{error:?}"
    );
    let sent = send("once").in_transaction(&mut transaction);
    assert!(matches!(sent.await, Ok(Accepted::New(_))));
    transaction.commit().await.unwrap();
    assert_eq!(running.log.wait_for(1).await, ["once"]);
}

/// It has the jobs of another app, in a schema of the same name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_another_database_with_jobs_is_rejected() {
    let Some(own) = postgres_url().await else {
        return;
    };
    let (server, schema) = own.split_once("/postgres?options[search_path]=").unwrap();
    let running = start(PostgresJobs::new(&own)).await;
    let pool: PgPool = PgPoolOptions::new().connect(&own).await.unwrap();
    let create = format!("CREATE DATABASE other_{schema}");
    pool.execute(AssertSqlSafe(create)).await.unwrap();
    let other = format!("{server}/other_{schema}");
    let other_jobs = PostgresJobs::new(&other).schema(schema);
    other_jobs.open().await.unwrap();

    let pool: PgPool = PgPoolOptions::new().connect(&other).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let sent = running.jobs.send(mail::args("lost".to_owned()));
    let error = sent.in_transaction(&mut transaction).await.unwrap_err();
    assert!(
        matches!(error, TransactionError::OtherDatabase { .. }),
        "{error:?}"
    );
}

/// As `dev` does.
#[tokio::test]
async fn with_jobs_in_memory_the_job_is_sent_at_once() {
    let folder = Folder::default();
    let pool = sqlite(&folder, "app.db").await;
    let running = start(MemoryJobs::new()).await;
    let mut transaction = pool.begin().await.unwrap();
    let sent = running.jobs.send(mail::args("memory".to_owned()));
    sent.in_transaction(&mut transaction).await.unwrap();
    assert_eq!(running.log.wait_for(1).await, ["memory"]);
}
