//! Jobs that ran when their process ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    EngineContext, EngineError, Envelope, JobEngine as _, JobPolicy, JobRunner, PastAttempts,
    Report, ReportCode, Verdict,
};
use forge_remote_river::SqliteJobs;
use forge_remote_tests::job_tables::JobTables;
use forge_remote_tests::stores::{Folder, execute_sqlite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Runs jobs until the test ends them, one by one.
struct Script {
    policy: JobPolicy,
    runs: UnboundedSender<Run>,
}

/// A run that has begun.
struct Run {
    key: String,
    /// How many attempts were counted before.
    past: u32,
    end: oneshot::Sender<Verdict>,
}

type Runs = UnboundedReceiver<Run>;

impl JobRunner for Script {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(self.policy)
    }

    fn longest_timeout(&self) -> Duration {
        self.policy.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, past: PastAttempts) -> BoxFuture<Verdict> {
        let (end, ended) = oneshot::channel();
        let _ = self.runs.send(Run {
            key: envelope.key,
            past: past.count,
            end,
        });
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
    serve_until(path, JobPolicy::DEFAULT, Box::pin(std::future::pending())).await
}

async fn serve_until(
    path: &Path,
    policy: JobPolicy,
    stop: BoxFuture<()>,
) -> (
    SqliteJobs,
    Runs,
    impl Future<Output = Result<(), EngineError>> + Send + use<>,
) {
    let engine = SqliteJobs::new(path);
    engine.open().await.unwrap();
    let (sender, runs) = unbounded_channel();
    let script = Script {
        policy,
        runs: sender,
    };
    let serving = engine.serve(EngineContext::new(
        Arc::new(script),
        Arc::new(SystemClock::default()),
        stop,
        Duration::from_secs(5),
    ));
    (engine, runs, serving)
}

async fn accept(engine: &SqliteJobs, key: &str) {
    let mut envelope = Envelope::new(key, "plain", "ari:1", Vec::new());
    envelope.accepted_at = SystemTime::now();
    envelope.max_attempts = 3;
    engine.accept(envelope).await.unwrap();
}

/// Returns the next run of a job; those of others before it end.
async fn next_of(runs: &mut Runs, key: &str) -> Run {
    let next = async {
        loop {
            let run = runs.recv().await.unwrap();
            if run.key == key {
                return run;
            }
            let _ = run.end.send(Verdict::Done);
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(10), next).await;
    next.unwrap_or_else(|_| panic!("{key} does not start"))
}

/// A handler whose calls Atlassian limited has completed its run: its process has survived it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_that_atlassian_limited_runs_together_with_others() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    die_after(run_alone(path.clone(), "suspect"));

    let (engine, mut runs, serving) = serve(&path).await;
    let serving = tokio::spawn(serving);
    let end = next_of(&mut runs, "suspect").await.end;
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

/// Runs this in a process that dies at its end.
fn die_after(life: impl Future<Output = ()> + Send + 'static) {
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(life);
        runtime.shutdown_background();
    });
    process.join().unwrap();
}

/// Accepts a job, and returns while it runs.
async fn run_alone(path: PathBuf, key: &'static str) {
    let (engine, mut runs, serving) = serve(&path).await;
    tokio::spawn(serving);
    accept(&engine, key).await;
    next_of(&mut runs, key).await;
}

/// Serves until the run of a job has ended with this verdict, and the engine has stopped.
async fn end_next(path: &Path, key: &str, verdict: Verdict) {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = Box::pin(async {
        let _ = stopped.await;
    });
    let (engine, mut runs, serving) = serve_until(path, JobPolicy::DEFAULT, stopped).await;
    let serving = tokio::spawn(serving);
    accept(&engine, key).await;
    next_of(&mut runs, key).await.end.send(verdict).unwrap();
    // The engine stores the result before it stops.
    drop(stop);
    serving.await.unwrap().unwrap();
}

/// A process claims the job, as River does, and dies before the run begins.
const CLAIM_AND_DIE: &str = "UPDATE river_job SET state = 'running', attempt = attempt + 1,
     attempted_by = jsonb_insert(coalesce(attempted_by, jsonb('[]')), '$[#]', 'gone')";

/// The run of an attempt that waits again has not spent it: the slot is returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_before_the_next_run_begins_costs_no_attempt() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    let later = Verdict::Later {
        after: Duration::from_secs(3600),
        report: Report::new(ReportCode::NoToken, Vec::new()),
        pauses_installation: false,
    };
    end_next(&path, "waits", later).await;
    execute_sqlite(&path, CLAIM_AND_DIE).await;
    let (_engine, mut runs, serving) = serve(&path).await;
    let serving = tokio::spawn(serving);
    assert_eq!(next_of(&mut runs, "waits").await.past, 0);
    serving.abort();
}

/// A suspect that waits for an empty process has a slot, and has not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserved_slot_counts_towards_the_limit_and_costs_no_attempt() {
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    let limited = JobPolicy::DEFAULT.with_per_installation(1);
    let of_process = path.clone();
    die_after(async move {
        let never = Box::pin(std::future::pending());
        let (engine, mut runs, serving) = serve_until(&of_process, limited, never).await;
        tokio::spawn(serving);
        accept(&engine, "first").await;
        let _first = next_of(&mut runs, "first").await;
        execute_sqlite(&of_process, "UPDATE forge_remote_call SET slot = -slot").await;
        accept(&engine, "second").await;
        let second = tokio::time::timeout(Duration::from_millis(500), runs.recv()).await;
        assert!(second.is_err(), "two jobs run");
    });

    let (_engine, mut runs, serving) = serve(&path).await;
    let serving = tokio::spawn(serving);
    // The slot was only reserved.
    assert_eq!(next_of(&mut runs, "first").await.past, 0);
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_that_waits_for_an_empty_process_has_spent_no_attempt() {
    const END_PAUSE: &str =
        "UPDATE river_job SET scheduled_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
         WHERE state = 'scheduled'";
    let folder = Folder::default();
    let path = folder.file("jobs.db");
    die_after(run_alone(path.clone(), "suspect"));
    let of_process = path.clone();
    die_after(async move {
        let (engine, mut runs, serving) = serve(&of_process).await;
        tokio::spawn(serving);
        // The suspect runs alone at first.
        let run = next_of(&mut runs, "suspect").await;
        assert_eq!(run.past, 1);
        let limited = Verdict::Later {
            after: Duration::from_secs(3600),
            report: Report::new(ReportCode::NoToken, Vec::new()),
            pauses_installation: false,
        };
        run.end.send(limited).unwrap();
        accept(&engine, "other").await;
        let _other = next_of(&mut runs, "other").await;
        let tables = JobTables::Sqlite(of_process.clone());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while tables.reserved().await != 1 {
            let now = tokio::time::Instant::now();
            assert!(now < deadline, "it does not wait for an empty process");
            execute_sqlite(&of_process, END_PAUSE).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let (_engine, mut runs, serving) = serve(&path).await;
    let serving = tokio::spawn(serving);
    assert_eq!(next_of(&mut runs, "suspect").await.past, 1);
    serving.abort();
}
