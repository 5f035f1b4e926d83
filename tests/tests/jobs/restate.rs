//! Restate as the engine of jobs: processes and servers that are killed, and who may call the listener.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    Accepted, EngineContext, Envelope, JobEngine as _, JobPolicy, JobRunner, JobState,
    PastAttempts, Report, ReportCode, Verdict,
};
use forge_remote_restate::RestateJobs;
use forge_remote_tests::restate_server::RestateServer;
use forge_remote_tests::store_servers::free_port;
use forge_remote_tests::stores::Folder;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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

/// A handler with `per_installation = 1`. It sends the key of each call that it runs, and when.
struct OneByOne {
    verdict: fn(&str) -> Verdict,
    runs: UnboundedSender<(String, Instant)>,
}

impl OneByOne {
    fn new(verdict: fn(&str) -> Verdict) -> (Arc<Self>, UnboundedReceiver<(String, Instant)>) {
        let (runs, seen) = unbounded_channel();
        (Arc::new(Self { verdict, runs }), seen)
    }
}

impl JobRunner for OneByOne {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT.with_per_installation(1))
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        let _ = self.runs.send((envelope.key.clone(), Instant::now()));
        Box::pin(async move { (self.verdict)(&envelope.key) })
    }
}

/// Returns that a job runs again after this time.
fn later(after: Duration, pauses_installation: bool) -> Verdict {
    Verdict::Later {
        after,
        report: Report::new(ReportCode::NoToken, Vec::new()),
        pauses_installation,
    }
}

/// Returns the context of an app that never stops.
fn context(runner: Arc<impl JobRunner + 'static>) -> EngineContext {
    let clock = Arc::new(SystemClock::default());
    let stop = Box::pin(std::future::pending());
    EngineContext::new(runner, clock, stop, Duration::ZERO)
}

/// Returns the bytes of an invocation's journal.
async fn journal_size(server: &RestateServer, id: &str) -> i64 {
    let sql = format!(
        "SELECT CAST(SUM(raw_length) AS BIGINT) AS bytes FROM sys_journal WHERE id = '{id}'"
    );
    let response = reqwest::Client::new()
        .post(format!("{}/query", server.admin_url()))
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(serde_json::json!({ "query": sql }).to_string())
        .send();
    let body = response.await.unwrap().text().await.unwrap();
    let rows: serde_json::Value = serde_json::from_str(&body).unwrap();
    rows["rows"][0]["bytes"].as_i64().expect(&body)
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
    let inspector = engine.inspector().unwrap();
    let mut jobs = BTreeMap::new();
    // How often each job may have been running when its process was killed.
    let mut interrupted: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..6 {
        let before = lines(&output);
        let mut process = worker(&server, &output);
        for number in 0..10 {
            let key = format!("job-{round}-{number}");
            let Accepted::New(id) = engine.accept(envelope(&key, 9)).await.unwrap() else {
                panic!("a new job is a repetition");
            };
            jobs.insert(key, id);
        }
        // In another phase of the work each time.
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        process.kill().await.unwrap();
        if round == 3 {
            server.crash().await;
        }
        let after = lines(&output);
        for (key, id) in &jobs {
            let start = format!("start {key}");
            let has_run = after.get(&start) > before.get(&start);
            // A server that has just started does not show all of its tables yet.
            let asking = Instant::now();
            let job = loop {
                match inspector.find(id.clone()).await {
                    Ok(Some(job)) => break job,
                    other => assert!(asking.elapsed() < PATIENCE, "{other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            if has_run && job.state != JobState::Done {
                *interrupted.entry(key.clone()).or_default() += 1;
            }
        }
    }
    let _last = worker(&server, &output);
    let is_done = |key: &String| lines(&output).contains_key(&format!("done {key}"));
    let waiting = Instant::now();
    while !jobs.keys().all(is_done) {
        let missing: Vec<&String> = jobs.keys().filter(|key| !is_done(key)).collect();
        assert!(waiting.elapsed() < PATIENCE, "not done: {missing:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Only what ran at a kill runs again.
    let done = lines(&output);
    for key in jobs.keys() {
        let runs = done[&format!("done {key}")];
        let kills = interrupted.get(key).copied().unwrap_or_default();
        assert!(runs <= 1 + kills, "{key}: {runs} runs, {kills} kills");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_for_the_next_job_of_the_installation() {
    const PAUSE: Duration = Duration::from_secs(2);
    let Some(server) = RestateServer::start().await else {
        return;
    };
    let engine = server.engine();
    engine.open().await.unwrap();
    for number in 0..4 {
        let key = format!("job-{number}");
        engine.accept(envelope(&key, 9)).await.unwrap();
    }
    let (runner, mut runs) = OneByOne::new(|_| later(PAUSE, true));
    let serving = tokio::spawn(engine.serve(context(runner)));
    let (first, began) = runs.recv().await.unwrap();
    let (second, at) = runs.recv().await.unwrap();
    let pause = at - began;
    assert!(pause >= PAUSE, "{second} ran {pause:?} after {first}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_job_does_not_store_its_call_again() {
    const ROUNDS: i64 = 5;
    let Some(server) = RestateServer::start().await else {
        return;
    };
    let engine = server.engine();
    engine.open().await.unwrap();
    let (runner, mut runs) = OneByOne::new(|_| later(Duration::from_millis(20), false));
    let serving = tokio::spawn(engine.serve(context(runner)));
    let mut large = envelope("large", 9);
    large.sealed = vec![7; 200_000];
    let Accepted::New(id) = engine.accept(large).await.unwrap() else {
        panic!("a new job is a repetition");
    };
    let mut sizes = Vec::new();
    for _ in 0..2 {
        for _ in 0..ROUNDS {
            runs.recv().await.unwrap();
        }
        sizes.push(journal_size(&server, &id).await);
    }
    let round = (sizes[1] - sizes[0]) / ROUNDS;
    assert!(round < 5_000, "{round} bytes for each round: {sizes:?}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_not_cut_off_before_its_states() {
    let Some(server) = RestateServer::start().await else {
        return;
    };
    let engine = server.engine();
    engine.open().await.unwrap();
    let (runner, _runs) = OneByOne::new(|key| match key.split('-').next() {
        Some("dead") => Verdict::Dead {
            report: Report::new(ReportCode::Failed, Vec::new()),
        },
        Some("waits") => later(Duration::from_secs(3600), false),
        _ => Verdict::Done,
    });
    let serving = tokio::spawn(engine.serve(context(runner)));
    let inspector = engine.inspector().unwrap();
    let expected = [
        ("dead-1", JobState::Dead),
        ("waits-1", JobState::Waiting),
        ("done-1", JobState::Done),
        ("done-2", JobState::Done),
        ("done-3", JobState::Done),
    ];
    let mut ids = Vec::new();
    for (key, state) in expected {
        let Accepted::New(id) = engine.accept(envelope(key, 1)).await.unwrap() else {
            panic!("a new job is a repetition");
        };
        let waiting = Instant::now();
        loop {
            let job = inspector.find(id.clone()).await.unwrap().unwrap();
            let has_run = state != JobState::Waiting || job.last.is_some();
            if job.state == state && has_run {
                break;
            }
            assert!(waiting.elapsed() < PATIENCE, "{job:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ids.push(id);
    }
    let list = async |states: &[JobState], handler: Option<&str>, limit| {
        let handler = handler.map(str::to_owned);
        let jobs = inspector.list(states.to_vec(), handler, limit).await;
        let jobs = jobs.unwrap().into_iter().map(|job| job.id);
        jobs.collect::<Vec<String>>()
    };
    let newest = |indices: &[usize]| -> Vec<String> {
        indices.iter().map(|index| ids[*index].clone()).collect()
    };
    assert_eq!(list(&[JobState::Dead], None, 1).await, newest(&[0]));
    assert_eq!(list(&[JobState::Waiting], None, 1).await, newest(&[1]));
    let done = list(&[JobState::Done], Some("index"), 2).await;
    assert_eq!(done, newest(&[4, 3]));
    let unfinished = [JobState::Waiting, JobState::Running, JobState::Dead];
    assert_eq!(list(&unfinished, None, 9).await, newest(&[1, 0]));
    assert_eq!(list(&JobState::ALL, Some("inde_"), 9).await, newest(&[]));
    assert_eq!(list(&[], None, 9).await, newest(&[]));
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let engine = RestateJobs::new("http://127.0.0.1:1", "http://127.0.0.1:1")
        .listen(address, format!("http://{address}"));
    let serving = tokio::spawn(engine.serve(context(Arc::new(NoHandlers))));
    tokio::task::yield_now().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut received = Vec::new();
    let closed = silent.read_to_end(&mut received);
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    closed
        .expect("the connection is open after a minute")
        .unwrap();
    serving.abort();
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
        // They have no retry, and get the attempt of the crash back.
        engine.accept(envelope(&key, 1)).await.unwrap();
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
    let listening = tokio::spawn(unregistered.serve(context(Arc::new(NoHandlers))));
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
