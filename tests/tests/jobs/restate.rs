//! Restate as the engine of jobs: processes and servers that are killed, and who may call the listener.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    Accepted, EngineContext, Envelope, JobEngine as _, JobPolicy, JobRunner, JobState,
    PastAttempts, Verdict,
};
use forge_remote_restate::RestateJobs;
use forge_remote_tests::restate_server::RestateServer;
use forge_remote_tests::stores::Folder;
use tokio::process::{Child, Command};

/// Time limit for the jobs that are left after the last kill.
const PATIENCE: Duration = Duration::from_secs(60);

fn worker(server: &RestateServer, output: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_restate_worker"))
        .envs(server.variables())
        .env("JOBS_OUT", output)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn envelope(key: &str, max_attempts: u32) -> Envelope {
    let mut envelope = Envelope::new(key, "index", "ari:1", b"sealed".to_vec());
    envelope.accepted_at = SystemTime::now();
    envelope.max_attempts = max_attempts;
    envelope
}

struct NoHandlers;

impl JobRunner for NoHandlers {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        None
    }

    fn longest_timeout(&self) -> Duration {
        Duration::ZERO
    }

    fn run(self: Arc<Self>, _: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        Box::pin(std::future::pending())
    }
}

/// Returns the context of an app without handlers.
fn context() -> EngineContext {
    let clock = Arc::new(SystemClock::default());
    let stop = Box::pin(std::future::pending());
    EngineContext::new(Arc::new(NoHandlers), clock, stop, Duration::ZERO)
}

/// Returns how often each line was written.
fn lines(output: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(output).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_processes_are_killed() {
    let Some(mut server) = RestateServer::start().await else {
        return;
    };
    let folder = Folder::default();
    let output = folder.file("lines");
    let engine = server.engine();
    engine.open().await.unwrap();
    let mut keys = Vec::new();
    for round in 0..6 {
        let mut process = worker(&server, &output);
        for number in 0..10 {
            let key = format!("job-{round}-{number}");
            engine.accept(envelope(&key, 9)).await.unwrap();
            keys.push(key);
        }
        // In another phase of the work each time.
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        process.kill().await.unwrap();
        if round == 3 {
            server.crash().await;
        }
    }
    let _last = worker(&server, &output);
    let is_done = |key: &String| lines(&output).contains_key(&format!("done {key}"));
    let waiting = Instant::now();
    while !keys.iter().all(is_done) {
        let missing: Vec<&String> = keys.iter().filter(|key| !is_done(key)).collect();
        assert!(waiting.elapsed() < PATIENCE, "not done: {missing:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = lines(&output).into_iter();
    let runs: usize = done
        .filter(|(line, _)| line.starts_with("done "))
        .map(|(_, count)| count)
        .sum();
    // At most those in flight run again: as many as a process has places.
    assert!(
        runs <= keys.len() + 6 * 20,
        "{runs} runs of {} jobs",
        keys.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ends_its_process_is_dead_after_its_attempts() {
    let Some(server) = RestateServer::start().await else {
        return;
    };
    let folder = Folder::default();
    let output = folder.file("lines");
    let engine = server.engine();
    engine.open().await.unwrap();
    let Accepted::New(poison) = engine.accept(envelope("poison", 3)).await.unwrap() else {
        panic!("a new job is a repetition");
    };
    for number in 0..5 {
        let key = format!("neighbour-{number}");
        engine.accept(envelope(&key, 9)).await.unwrap();
    }
    let inspector = engine.inspector().unwrap();
    let mut process = worker(&server, &output);
    let waiting = Instant::now();
    loop {
        let job = inspector.find(poison.clone()).await.unwrap().unwrap();
        let all_done =
            (0..5).all(|number| lines(&output).contains_key(&format!("done neighbour-{number}")));
        if job.state == JobState::Dead && all_done {
            assert_eq!(job.attempts, 3);
            break;
        }
        assert!(
            waiting.elapsed() < PATIENCE,
            "{job:?}: {:?}",
            lines(&output)
        );
        if process.try_wait().unwrap().is_some() {
            process = worker(&server, &output);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lines(&output).get("start poison"), Some(&3));
}

#[tokio::test]
async fn only_the_server_may_call_the_listener() {
    let engine = || RestateJobs::new("http://127.0.0.1:1", "http://127.0.0.1:1");
    // Anything that reaches the address could run jobs.
    let open = engine().listen(([0, 0, 0, 0], 0), "http://app:9080").open();
    let error = open.await.unwrap_err();
    assert!(error.to_string().contains("identity_key"), "{error}");
    let wrong = engine().identity_key("publickeyv1_").open().await;
    let error = wrong.unwrap_err();
    assert!(error.to_string().contains("publickeyv1_"), "{error}");
    let Some(server) = RestateServer::start().await else {
        return;
    };
    let other = RestateServer::start().await.unwrap();
    // The other server's signature is not of the key that the engine expects.
    let engine = server.engine_with_key_of(&other);
    let error = engine.open().await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    server.engine().open().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_accepts_nothing() {
    let engine = RestateJobs::new("http://127.0.0.1:1", "http://127.0.0.1:1");
    let error = engine.accept(envelope("key", 1)).await.unwrap_err();
    assert!(error.to_string().contains("accept a job"), "{error}");
    let Some(server) = RestateServer::start().await else {
        return;
    };
    // The app's URL is not registered.
    let error = server
        .engine()
        .accept(envelope("key", 1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_server_is_for_one_app() {
    let Some(server) = RestateServer::start().await else {
        return;
    };
    server.engine().open().await.unwrap();
    server.engine().open().await.unwrap();
    let (address, other) = server.engine_elsewhere();
    let error = other.open().await.unwrap_err().to_string();
    assert!(error.contains("one environment of one app"), "{error}");
    // The app has moved: its error names the request that moves the deployment.
    let path = error.split('`').find(|part| part.starts_with("PATCH "));
    let path = path.unwrap().trim_start_matches("PATCH ");
    let unregistered = other.clone().register_by_hand();
    unregistered.open().await.unwrap();
    let listening = tokio::spawn(unregistered.serve(context()));
    let body = format!("{{\"uri\": \"http://{address}\"}}");
    assert!(error.contains(&body), "{error}");
    let moved = reqwest::Client::new()
        .patch(format!("{}{path}", server.admin_url()))
        .header("content-type", "application/json")
        .body(body)
        .send();
    let moved = moved.await.unwrap();
    let status = moved.status();
    assert!(
        status.is_success(),
        "{status}: {}",
        moved.text().await.unwrap()
    );
    listening.abort();
    let _ = listening.await;
    other.open().await.unwrap();
}
