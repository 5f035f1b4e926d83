//! Jobs that ran when their process ended.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    EngineContext, EngineError, Envelope, JobEngine as _, JobPolicy, JobRunner, PastAttempts,
    Report, ReportCode, Verdict,
};
use forge_remote_river::SqliteJobs;
use forge_remote_tests::stores::Folder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Runs jobs until the test ends them, one by one.
struct Script(UnboundedSender<(String, oneshot::Sender<Verdict>)>);

type Runs = UnboundedReceiver<(String, oneshot::Sender<Verdict>)>;

impl JobRunner for Script {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT)
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        let (end, ended) = oneshot::channel();
        let _ = self.0.send((envelope.key, end));
        Box::pin(async {
            match ended.await {
                Ok(verdict) => verdict,
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// Returns an engine on the file, its runs, and what serves.
async fn serve(
    path: &Path,
) -> (
    SqliteJobs,
    Runs,
    impl Future<Output = Result<(), EngineError>> + Send + use<>,
) {
    let engine = SqliteJobs::new(path);
    engine.open().await.unwrap();
    let (sender, runs) = unbounded_channel();
    let serving = engine.serve(EngineContext::new(
        Arc::new(Script(sender)),
        Arc::new(SystemClock::default()),
        Box::pin(std::future::pending()),
        Duration::ZERO,
    ));
    (engine, runs, serving)
}

async fn accept(engine: &SqliteJobs, key: &str) {
    let mut envelope = Envelope::new(key, "plain", "ari:1", Vec::new());
    envelope.accepted_at = SystemTime::now();
    envelope.max_attempts = 3;
    engine.accept(envelope).await.unwrap();
}

async fn next_of(runs: &mut Runs, key: &str) -> oneshot::Sender<Verdict> {
    let next = tokio::time::timeout(Duration::from_secs(10), runs.recv()).await;
    let (found, end) = next
        .unwrap_or_else(|_| panic!("{key} does not start"))
        .unwrap();
    assert_eq!(found, key);
    end
}

/// A handler whose calls Atlassian limited has completed its run: its process has survived it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_that_atlassian_limited_runs_together_with_others() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    // A process that ends while the job runs.
    let of_process = path.clone();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (engine, mut runs, serving) = serve(&of_process).await;
            tokio::spawn(serving);
            accept(&engine, "suspect").await;
            next_of(&mut runs, "suspect").await
        });
        runtime.shutdown_background();
    });
    process.join().unwrap();

    let (engine, mut runs, serving) = serve(&path).await;
    let serving = tokio::spawn(serving);
    let end = next_of(&mut runs, "suspect").await;
    let limited = Verdict::Later {
        after: Duration::from_secs(1),
        report: Report::new(ReportCode::RateLimited, Vec::new()),
        pauses_installation: true,
    };
    end.send(limited).unwrap();
    let _suspect = next_of(&mut runs, "suspect").await;
    accept(&engine, "other").await;
    next_of(&mut runs, "other").await;
    serving.abort();
}
