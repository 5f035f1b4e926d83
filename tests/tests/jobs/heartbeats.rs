//! The heartbeats by which a process shows that it lives.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    EngineContext, Envelope, JobEngine as _, JobPolicy, JobRunner, PastAttempts, Repeats, Verdict,
};
use forge_remote_river::PostgresJobs;
use forge_remote_tests::job_tables::JobTables;
use forge_remote_tests::stores::postgres_url;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Runs jobs that do not end.
struct Endless(UnboundedSender<String>);

impl JobRunner for Endless {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT)
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        let _ = self.0.send(envelope.key);
        Box::pin(std::future::pending())
    }
}

fn envelope(key: &str) -> Envelope {
    let mut envelope = Envelope::new(key, "plain", "ari:1", Vec::new());
    envelope.accepted_at = SystemTime::now();
    envelope.repeats = Repeats::Within(Duration::from_secs(3600));
    envelope
}

/// Calls that wait for a lock have all connections. The process shows that it lives nevertheless: its jobs would start a second
/// time elsewhere. And it does not take the wait for a wrong clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_calls_wait_for_the_database_lives() {
    const CALLS: u32 = 400;
    /// How long a call waits for a connection or the lock.
    const LONGEST_WAIT: Duration = Duration::from_secs(3);
    let Some(url) = postgres_url().await else {
        return;
    };
    let engine = PostgresJobs::new(&url);
    engine.open().await.unwrap();
    engine.accept(envelope("runs")).await.unwrap();
    let (sender, mut runs) = unbounded_channel();
    let serving = tokio::spawn(engine.serve(EngineContext::new(
        Arc::new(Endless(sender)),
        Arc::new(SystemClock::default()),
        Box::pin(std::future::pending()),
        Duration::ZERO,
    )));
    assert_eq!(runs.recv().await.as_deref(), Some("runs"));

    let mut holder = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('held', 0))")
        .execute(&mut holder)
        .await
        .unwrap();
    let calls = (0..CALLS).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move {
            // One after another, so that the oldest in the line always waits for long.
            tokio::time::sleep(LONGEST_WAIT * number / CALLS).await;
            loop {
                let rejected = engine.accept(envelope("held")).await.unwrap_err();
                assert!(!rejected.to_string().is_empty());
            }
        })
    });
    let calls: Vec<_> = calls.collect();
    let tables = JobTables::Postgres(url);
    let heartbeat = async || tables.heartbeats().await.into_values().next().unwrap();
    let (mut last, mut seen, mut count) = (heartbeat().await, Instant::now(), 0);
    while count < 4 {
        let next = heartbeat().await;
        if next > last {
            (last, seen, count) = (next, Instant::now(), count + 1);
        }
        // A heartbeat is due every 5 seconds; a process without one for 30 seconds loses its jobs.
        assert!(
            seen.elapsed() < Duration::from_secs(20),
            "{count} heartbeats, and none for 20 seconds"
        );
        assert!(!serving.is_finished(), "it does not serve any more");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(runs.try_recv().is_err(), "a job ran twice");
    for call in calls {
        call.abort();
    }
    serving.abort();
}
