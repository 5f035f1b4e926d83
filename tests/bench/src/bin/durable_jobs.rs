//! Durable jobs in the SQLite file `JOBS_DB`: an app whose handler does nothing, and with the argument
//! `drain`, `backlog` or `fairness` the engine alone, which prints one figure.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    EngineContext, Envelope, JobEngine, JobPolicy, JobRunner, PastAttempts, Verdict,
};
use forge_remote::prelude::*;
use forge_remote_river::SqliteJobs;
use tokio::sync::{mpsc, oneshot};

const DRAINED: usize = 10_000;
/// The backlog of an installation.
const WAITING: usize = 3000;

/// Does nothing, because only the work around it is measured.
#[scheduled_trigger(interval = "hour", endpoint = "tick", path = "/tick", durable)]
async fn tick() {}

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::var("JOBS_DB")?;
    match std::env::args().nth(1).as_deref() {
        Some("drain") => println!("{:.0}", drain(&SqliteJobs::new(file).workers(50)).await),
        Some("backlog") => println!("{:.0}", backlog(&SqliteJobs::new(file)).await),
        Some("fairness") => println!("{:.1}", fairness(&SqliteJobs::new(file)).await),
        _ => {
            let app =
                App::new().remote(Remote::new("backend").base_url("https://backend.example.com"));
            app.jobs(SqliteJobs::new(file)).run().await?;
        }
    }
    Ok(())
}

/// Reports each start; a run takes this long.
struct Runs(
    mpsc::UnboundedSender<(Envelope, Instant)>,
    Duration,
    AtomicUsize,
);

impl JobRunner for Runs {
    fn policy(&self, handler: &str) -> Option<JobPolicy> {
        let policy = JobPolicy::DEFAULT;
        Some(match handler {
            "limited" => policy.with_per_installation(2),
            _ => policy,
        })
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        Box::pin(async move {
            self.2.fetch_add(1, Ordering::Relaxed);
            let _ = self.0.send((envelope, Instant::now()));
            if !self.1.is_zero() {
                tokio::time::sleep(self.1).await;
            }
            Verdict::Done
        })
    }
}

/// Serves the engine until the sender is dropped.
fn serve(
    engine: &SqliteJobs,
    work: Duration,
) -> (
    mpsc::UnboundedReceiver<(Envelope, Instant)>,
    oneshot::Sender<()>,
) {
    let (starts, started) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let stopped = Box::pin(async {
        let _ = stopped.await;
    });
    let runs = Arc::new(Runs(starts, work, AtomicUsize::new(0)));
    let clock = Arc::new(SystemClock::default());
    let grace = Duration::from_secs(1);
    tokio::spawn(engine.serve(EngineContext::new(runs, clock, stopped, grace)));
    (started, stop)
}

async fn accept(engine: &SqliteJobs, key: String, handler: &str, installation: &str) {
    let mut envelope = Envelope::new(key, handler, installation, vec![0; 2048]);
    envelope.accepted_at = SystemTime::now();
    engine.accept(envelope).await.unwrap();
}

/// Returns how many jobs that do nothing run in a second.
async fn drain(engine: &SqliteJobs) -> f64 {
    engine.open().await.unwrap();
    for number in 0..DRAINED {
        let installation = format!("ari:{}", number % 100);
        accept(engine, format!("drain-{number}"), "plain", &installation).await;
    }
    let started = Instant::now();
    let (mut starts, _stop) = serve(engine, Duration::ZERO);
    for _ in 0..DRAINED {
        starts.recv().await.unwrap();
    }
    DRAINED as f64 / started.elapsed().as_secs_f64()
}

/// Returns how many jobs of two installations that may run two each at once, for 5 ms, run in a second
/// while thousands wait.
async fn backlog(engine: &SqliteJobs) -> f64 {
    engine.open().await.unwrap();
    for number in 0..2 * WAITING {
        let installation = format!("ari:{}", number % 2);
        accept(engine, format!("waits-{number}"), "limited", &installation).await;
    }
    let started = Instant::now();
    let (mut starts, _stop) = serve(engine, Duration::from_millis(5));
    for _ in 0..WAITING {
        starts.recv().await.unwrap();
    }
    WAITING as f64 / started.elapsed().as_secs_f64()
}

/// Returns by how many milliseconds, at the median, 2,000 waiting jobs of an installation that may run
/// two at once delay the jobs of another.
async fn fairness(engine: &SqliteJobs) -> f64 {
    engine.open().await.unwrap();
    for number in 0..2000 {
        accept(engine, format!("slow-{number}"), "limited", "ari:slow").await;
    }
    let (mut starts, _stop) = serve(engine, Duration::from_millis(100));
    // The queue is full of them.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut delays = Vec::new();
    for number in 0..50 {
        let key = format!("fast-{number}");
        let sent = Instant::now();
        accept(engine, key.clone(), "limited", "ari:fast").await;
        loop {
            let (envelope, at) = starts.recv().await.unwrap();
            if envelope.key == key {
                delays.push(at.duration_since(sent).as_secs_f64() * 1e3);
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    delays.sort_by(f64::total_cmp);
    delays[delays.len() / 2]
}
