//! How soon a job starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{EngineContext, Envelope, JobPolicy, JobRunner, PastAttempts, Verdict};
use forge_remote_tests::engines::{TestEngine, memory, postgres, sqlite};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Notes when each job starts.
struct Stopwatch(UnboundedSender<Instant>);

impl JobRunner for Stopwatch {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT)
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, _: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        let _ = self.0.send(Instant::now());
        Box::pin(std::future::ready(Verdict::Done))
    }
}

/// Each job is sent when the one before is done, as in an idle app: nothing else has the engine look for jobs, but
/// for its own look every half a second.
async fn starts_at_once(engine: TestEngine) {
    let connected = engine.connect();
    connected.open().await.unwrap();
    let (started, mut starts) = unbounded_channel();
    let context = EngineContext::new(
        Arc::new(Stopwatch(started)),
        Arc::new(SystemClock::default()),
        Box::pin(std::future::pending()),
        Duration::ZERO,
    );
    let serving = tokio::spawn(connected.serve(context));
    let mut delays = Vec::new();
    for number in 0..11 {
        let mut envelope = Envelope::new(format!("{number}"), "plain", "ari:1", Vec::new());
        envelope.accepted_at = std::time::SystemTime::now();
        connected.accept(envelope).await.unwrap();
        let accepted = Instant::now();
        let start = starts.recv().await.unwrap();
        delays.push(start.saturating_duration_since(accepted));
        // The steps after the run have ended by then, and the engine's own look is 350 ms away.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    serving.abort();
    delays.sort_unstable();
    assert!(
        delays[delays.len() / 2] < Duration::from_millis(300),
        "{engine:?}: {delays:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_starts_at_once_in_memory() {
    starts_at_once(memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_starts_at_once_on_sqlite() {
    starts_at_once(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_starts_at_once_on_postgresql() {
    if let Some(engine) = postgres().await {
        starts_at_once(engine).await;
    }
}
