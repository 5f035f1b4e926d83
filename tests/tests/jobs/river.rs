//! The engines on River, beyond the conformance suite: versions of their tables, sessions, and shutdown under load.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    EngineContext, Envelope, JobEngine, JobPolicy, JobRunner, PastAttempts, Report, ReportCode,
    Verdict,
};
use forge_remote_river::{PostgresJobs, SqliteJobs};
use forge_remote_tests::engines::{TestEngine, postgres, sqlite};
use forge_remote_tests::stores::{Folder, execute_postgres, execute_sqlite, postgres_url};
use sqlx::{Connection as _, PgConnection};

const NEWER: &str = "INSERT INTO forge_remote_jobs_version VALUES (7)";

async fn check_rejected(engine: impl JobEngine) {
    let error = engine.open().await.unwrap_err().to_string();
    assert!(
        error.contains("version 7") && error.contains("deploy the newer version"),
        "{error}"
    );
}

/// As after a deployment that was taken back.
#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    SqliteJobs::new(&path).open().await.unwrap();
    execute_sqlite(&path, NEWER).await;
    check_rejected(SqliteJobs::new(&path)).await;

    let Some(url) = postgres_url().await else {
        return;
    };
    PostgresJobs::new(&url).open().await.unwrap();
    execute_postgres(&url, NEWER).await;
    check_rejected(PostgresJobs::new(&url)).await;
}

/// The tables of the versions that did not note it are taken over, with their jobs.
#[tokio::test]
async fn tables_without_a_version_are_migrated() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    let engine = SqliteJobs::new(&path);
    engine.open().await.unwrap();
    engine.accept(envelope("kept", "ari:1")).await.unwrap();
    drop(engine);
    execute_sqlite(&path, "DROP TABLE forge_remote_jobs_version").await;
    let engine = SqliteJobs::new(&path);
    engine.open().await.unwrap();
    let counts = engine.counts().await.unwrap().unwrap();
    assert_eq!(counts.pending, 1);
}

fn envelope(key: &str, installation: &str) -> Envelope {
    let mut envelope = Envelope::new(key, "limited", installation, Vec::new());
    envelope.accepted_at = std::time::SystemTime::now();
    envelope
}

/// Counts the runs of each job, which take a moment.
#[derive(Default)]
struct Counter(Mutex<BTreeMap<String, u32>>);

impl JobRunner for Counter {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT.with_per_installation(2))
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        *self.0.lock().unwrap().entry(envelope.key).or_default() += 1;
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Verdict::Done
        })
    }
}

/// The jobs of an installation end while workers claim them, are rejected and return them: each ends or runs once, and none
/// waits any more. Those of another installation all run.
async fn ends_under_load(engine: TestEngine) {
    const GOING: usize = 300;
    const STAYING: usize = 30;
    let connected = engine.connect();
    connected.open().await.unwrap();
    for number in 0..GOING {
        for (installation, jobs) in [("gone", GOING), ("stays", STAYING)] {
            if number < jobs {
                let key = format!("{installation}-{number}");
                let accepted = connected.accept(envelope(&key, &format!("ari:{installation}")));
                accepted.await.unwrap();
            }
        }
    }
    let counter = Arc::new(Counter::default());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let context = EngineContext::new(
        Arc::clone(&counter) as Arc<dyn JobRunner>,
        Arc::new(SystemClock::default()),
        Box::pin(async {
            let _ = stopped.await;
        }),
        Duration::from_secs(5),
    );
    let serving = tokio::spawn(connected.serve(context));
    let runs = || counter.0.lock().unwrap().clone();
    let until = async |holds: &dyn Fn(&BTreeMap<String, u32>) -> bool| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while !holds(&runs()) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{engine:?}: {:?}",
                runs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until(&|runs| runs.len() > 20).await;
    let mut ended = connected.end_installation("ari:gone").await.unwrap();
    assert!(ended > 200, "{engine:?}: {ended}");
    // A job that was claimed at that moment waits again, or runs.
    let pending = async || connected.counts().await.unwrap().unwrap().pending;
    while pending().await > 0 {
        ended += connected.end_installation("ari:gone").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stop);
    serving.await.unwrap().unwrap();
    let runs = runs();
    assert!(
        runs.values().all(|count| *count == 1),
        "{engine:?}: {runs:?}"
    );
    let of = |name: &str| runs.keys().filter(|key| key.starts_with(name)).count();
    assert_eq!(of("stays"), STAYING, "{engine:?}");
    assert_eq!(of("gone") as u64 + ended, GOING as u64, "{engine:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_an_installation_end_while_they_are_claimed_on_sqlite() {
    ends_under_load(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_an_installation_end_while_they_are_claimed_on_postgresql() {
    if let Some(engine) = postgres().await {
        ends_under_load(engine).await;
    }
}

/// A trigger records the settings of each session that stores a call, even after the sessions have
/// ended.
#[tokio::test]
async fn sessions_keep_their_settings_regardless_of_the_defaults() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let unsafe_url = format!(
        "{url}&options[synchronous_commit]=off&options[default_transaction_isolation]=serializable"
    );
    let engine = PostgresJobs::new(&unsafe_url);
    engine.open().await.unwrap();
    for statement in [
        "CREATE TABLE settings (commit TEXT, isolation TEXT, process INTEGER)",
        "CREATE FUNCTION note_settings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO settings VALUES (
                 current_setting('synchronous_commit'), current_setting('transaction_isolation'), pg_backend_pid()
             );
             RETURN NEW;
         END $$",
        "CREATE TRIGGER note_settings AFTER INSERT ON forge_remote_call
             FOR EACH ROW EXECUTE FUNCTION note_settings()",
    ] {
        execute_postgres(&url, statement).await;
    }
    engine.accept(envelope("first", "ari:1")).await.unwrap();
    execute_postgres(&url, "SELECT pg_terminate_backend(process) FROM settings").await;
    // A session that was ended may cost one call its acknowledgement.
    let mut stored = 0;
    for number in 0..20 {
        let accepted = engine.accept(envelope(&format!("later-{number}"), "ari:1"));
        stored += usize::from(accepted.await.is_ok());
    }
    assert!(stored >= 10, "{stored}");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let found: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT commit, isolation, count(DISTINCT process) FROM settings GROUP BY commit, isolation",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let [(commit, isolation, processes)] = &*found else {
        panic!("{found:?}");
    };
    assert_eq!(
        (commit.as_str(), isolation.as_str()),
        ("on", "read committed")
    );
    assert!(*processes > 1, "{found:?}");
}

/// `doctor` stops waiting for a slow count, which does not end the statement.
#[tokio::test]
async fn postgresql_ends_a_count_of_keys_once_its_client_is_gone() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let limited = format!("{url}&options[statement_timeout]=7s");
    let engine = PostgresJobs::new(&limited);
    engine.open().await.unwrap();
    // The format, the key's id, and the rest.
    let sealed = [1, 7].into_iter().chain([0; 40]).collect();
    let job = Envelope::new("sealed", "handler", "ari:1", sealed);
    engine.accept(job).await.unwrap();
    // A count finds the key only if the server ends it once its client is gone, and the role's own time limit holds.
    for statement in [
        "ALTER TABLE river_job RENAME TO stored_job",
        "CREATE VIEW river_job AS SELECT queue, state, jsonb_build_object(
             'sealed', CASE current_setting('client_connection_check_interval')
                 || current_setting('statement_timeout') WHEN '1s7s' THEN args ->> 'sealed' END
         ) AS args FROM stored_job",
    ] {
        execute_postgres(&url, statement).await;
    }
    let counts = engine.key_counts().await.unwrap().unwrap();
    let unfinished = counts.get("0700000000000000").map(|count| count.unfinished);
    assert_eq!(unfinished, Some(1), "{counts:?}");
}

/// On PostgreSQL 13 and on Windows, each attempt to set it would be an error in the server's log.
#[tokio::test]
async fn postgresql_counts_jobs_for_metrics_without_a_setting() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let engine = PostgresJobs::new(&url);
    engine.open().await.unwrap();
    engine.accept(envelope("one", "ari:1")).await.unwrap();
    for statement in [
        "ALTER TABLE river_job RENAME TO stored_job",
        "CREATE VIEW river_job AS SELECT * FROM stored_job
         WHERE current_setting('client_connection_check_interval') = '0'",
    ] {
        execute_postgres(&url, statement).await;
    }
    assert_eq!(engine.counts().await.unwrap().unwrap().pending, 1);
}

#[tokio::test]
async fn a_setting_that_postgresql_lacks_is_not_set() {
    let Some(url) = postgres_url().await else {
        return;
    };
    // A view of this schema hides the setting, as the server of an older version does.
    let old = format!("{url},pg_catalog");
    let engine = PostgresJobs::new(&old);
    engine.open().await.unwrap();
    let sealed = [1, 7].into_iter().chain([0; 40]).collect();
    let job = Envelope::new("sealed", "handler", "ari:1", sealed);
    engine.accept(job).await.unwrap();
    for statement in [
        "CREATE VIEW pg_settings AS SELECT * FROM pg_catalog.pg_settings
         WHERE name <> 'client_connection_check_interval'",
        "ALTER TABLE river_job RENAME TO stored_job",
        "CREATE VIEW river_job AS SELECT * FROM stored_job
         WHERE current_setting('client_connection_check_interval') = '0'",
    ] {
        execute_postgres(&url, statement).await;
    }
    let counts = engine.key_counts().await.unwrap().unwrap();
    let unfinished = counts.get("0700000000000000").map(|count| count.unfinished);
    assert_eq!(unfinished, Some(1), "{counts:?}");
}

/// A process that does not respond holds the lock of an installation: the jobs of others run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_that_is_locked_holds_up_no_other() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let engine = PostgresJobs::new(&url);
    engine.open().await.unwrap();
    let mut stuck = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('limited ari:stuck', 0))")
        .execute(&mut stuck)
        .await
        .unwrap();
    for number in 0..5 {
        for installation in ["stuck", "free"] {
            let key = format!("{installation}-{number}");
            let accepted = engine.accept(envelope(&key, &format!("ari:{installation}")));
            accepted.await.unwrap();
        }
    }
    let counter = Arc::new(Counter::default());
    let context = EngineContext::new(
        Arc::clone(&counter) as Arc<dyn JobRunner>,
        Arc::new(SystemClock::default()),
        Box::pin(std::future::pending()),
        Duration::ZERO,
    );
    let serving = tokio::spawn(engine.serve(context));
    let runs_of = |name: &str| {
        let runs = counter.0.lock().unwrap();
        runs.keys().filter(|key| key.starts_with(name)).count()
    };
    let until = async |name: &str| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while runs_of(name) < 5 {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{name}: {}",
                runs_of(name)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until("free").await;
    assert_eq!(runs_of("stuck"), 0);
    stuck.close().await.unwrap();
    until("stuck").await;
    serving.abort();
}

/// Gives up every job.
struct GivesUp;

impl JobRunner for GivesUp {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT)
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, _: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        let report = Report::new(ReportCode::Failed, Vec::new());
        Box::pin(async { Verdict::Dead { report } })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_job_is_kept_as_long_as_the_app_configures() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    for (keep, left) in [(3600_u64, 1), (0, 0)] {
        let engine = SqliteJobs::new(&path).keep_dead(Duration::from_secs(keep));
        engine.open().await.unwrap();
        let job = envelope("dead", "ari:1");
        engine.accept(job).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let context = EngineContext::new(
            Arc::new(GivesUp),
            Arc::new(SystemClock::default()),
            Box::pin(async {
                let _ = stopped.await;
            }),
            Duration::from_secs(5),
        );
        let serving = tokio::spawn(engine.serve(context));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while engine.counts().await.unwrap().unwrap().dead != left {
            assert!(tokio::time::Instant::now() < deadline, "kept {keep} s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(stop);
        serving.await.unwrap().unwrap();
    }
}

/// Runs one job after the other, and records the order.
#[derive(Default)]
struct Order(Mutex<Vec<String>>);

impl JobRunner for Order {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT)
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        self.0.lock().unwrap().push(envelope.installation_id);
        Box::pin(std::future::ready(Verdict::Done))
    }
}

/// When each of these jobs is accepted, no other one of its installation is due before it: it has the highest priority
/// until it becomes due. One worker, so that nothing is reserved for the other installation.
async fn a_job_among_many_that_become_due(engine: impl JobEngine) {
    const MANY: usize = 60;
    engine.open().await.unwrap();
    let delayed = async |number: usize, installation, due: SystemTime| {
        let mut job = envelope(&format!("{installation}-{number}"), installation);
        job.not_before = Some(due + Duration::from_millis(number as u64));
        engine.accept(job).await.unwrap();
    };
    // All have to be accepted before the first one is due.
    let begun = Instant::now();
    for number in 0..10 {
        let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
        delayed(number, "ari:measured", tomorrow).await;
    }
    let accepting = begun.elapsed() * 10;
    let due = SystemTime::now() + accepting + Duration::from_secs(2);
    for number in (0..MANY).rev() {
        delayed(number, "ari:many", due).await;
    }
    delayed(MANY, "ari:one", due).await;
    assert!(
        SystemTime::now() < due,
        "accepting took longer than {accepting:?}"
    );
    let order = Arc::new(Order::default());
    let context = EngineContext::new(
        Arc::clone(&order) as Arc<dyn JobRunner>,
        Arc::new(SystemClock::default()),
        Box::pin(std::future::pending()),
        Duration::ZERO,
    );
    let serving = tokio::spawn(engine.serve(context));
    let started = || order.0.lock().unwrap().clone();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while started().len() <= MANY {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", started());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = started().iter().position(|one| one == "ari:one");
    assert!(
        before <= Some(MANY / 2),
        "it started after {before:?} others"
    );
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_ranked_when_it_becomes_due() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    a_job_among_many_that_become_due(SqliteJobs::new(path).workers(1)).await;
    if let Some(url) = postgres_url().await {
        a_job_among_many_that_become_due(PostgresJobs::new(url).workers(1)).await;
    }
}
