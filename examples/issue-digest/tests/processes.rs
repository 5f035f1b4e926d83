//! Durable work survives killed processes: the example as a process, with real signatures and databases.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use forge_remote_tests::http::{Call, send};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, Fit, INSTALLATION_ID, published};
use forge_remote_tests::stores::{Folder, KEYS, postgres_url};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// What the processes of a test share.
struct Fixture {
    keys: JwksServer,
    folder: Folder,
    postgres: Option<String>,
    work: Duration,
}

impl Fixture {
    async fn sqlite() -> Self {
        Self {
            keys: JwksServer::start(JwksResponse::Keys(published())).await,
            folder: Folder::default(),
            postgres: None,
            work: Duration::ZERO,
        }
    }

    /// Returns `None` without a server.
    async fn postgres() -> Option<Self> {
        let postgres = Some(postgres_url().await?);
        Some(Self {
            postgres,
            ..Self::sqlite().await
        })
    }

    fn with_work(mut self, millis: u64) -> Self {
        self.work = Duration::from_millis(millis);
        self
    }

    fn report(&self) -> PathBuf {
        self.folder.file("report")
    }

    async fn start(&self) -> App {
        self.start_as(Command::new(env!("CARGO_BIN_EXE_issue-digest")))
            .await
    }

    /// Runs a command of the example, and returns its exit status and its output.
    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_issue-digest"));
        if let Some(url) = &self.postgres {
            program.env("DATABASE_URL", url);
        }
        let output = program
            .args(arguments)
            .env("DIGEST_DB", self.folder.file("jobs.db"))
            .env("DIGEST_TOKENS", self.folder.file("tokens.db"))
            .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
            .output()
            .await
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    }

    async fn start_as(&self, mut program: Command) -> App {
        if let Some(url) = &self.postgres {
            program.env("DATABASE_URL", url);
        }
        let mut child = program
            .env("DIGEST_DB", self.folder.file("jobs.db"))
            .env("DIGEST_TOKENS", self.folder.file("tokens.db"))
            .env("DIGEST_OUT", self.report())
            .env("DIGEST_WORK_MS", self.work.as_millis().to_string())
            .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .env("FORGE_REMOTE_JWKS_URL", self.keys.url())
            .env("FORGE_REMOTE_MANIFEST", "/nonexistent/manifest.yml")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
        };
        App {
            child,
            address,
            _output: lines,
        }
    }

    /// Returns the runs so far: the event's id, the attempt, and `start` or `done`.
    fn runs(&self) -> Vec<(String, u32, String)> {
        let text = std::fs::read_to_string(self.report()).unwrap_or_default();
        let run = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let (id, attempt) = (words.next().unwrap(), words.next().unwrap());
            (id, attempt.parse().unwrap(), words.next().unwrap())
        };
        text.lines().map(run).collect()
    }

    fn count(&self, id: &str, what: &str) -> usize {
        let runs = self.runs();
        runs.iter()
            .filter(|run| run.0 == id && run.2 == what)
            .count()
    }

    /// Waits until this holds.
    async fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while !holds(self) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: {:?}",
                self.runs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_until_done(&self, ids: &[String]) {
        let missing = |fixture: &Self| {
            let runs = fixture.runs();
            let is_done = |id: &&String| runs.iter().any(|run| run.0 == **id && run.2 == "done");
            ids.iter().filter(|id| !is_done(id)).count()
        };
        self.wait_until("not all is done", |fixture| missing(fixture) == 0)
            .await;
    }
}

/// The example, run as a process.
struct App {
    child: Child,
    address: SocketAddr,
    /// Kept open: the process may print to it.
    _output: Lines<BufReader<ChildStdout>>,
}

impl App {
    /// Delivers an event, and returns the status; `None` if the process is gone.
    async fn deliver(&self, id: &str) -> Option<u16> {
        deliver(self.address, id, INSTALLATION_ID, 0).await
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops the process as a deployment does, and waits until it ends.
    async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        assert!(self.child.wait().await.unwrap().success());
    }
}

async fn deliver(address: SocketAddr, id: &str, installation: &str, retries: u32) -> Option<u16> {
    let fit = Fit::backend(SystemTime::now(), "changes")
        .claim("/app/installationId", installation)
        .claim("/app/installation/id", installation)
        .token();
    let mut body =
        json!({ "eventType": "avi:jira:updated:issue", "id": id, "issue": { "id": "1" } });
    if retries > 0 {
        body["retryContext"] = json!({ "retryCount": retries, "retryReason": "TIMEOUT_ERROR" });
    }
    let call = Call::post("/events").bearer(&fit).json(&body);
    send(address, &call)
        .await
        .ok()
        .map(|response| response.status)
}

/// Kills the process at random moments while events arrive and run. Every accepted event is done.
async fn killed_at_any_moment(fixture: Fixture, rounds: u32) {
    let mut accepted = Vec::new();
    for round in 0..rounds {
        let app = fixture.start().await;
        let mut random = [0_u8; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let life = Duration::from_millis(20 + u64::from(u16::from_le_bytes(random)) % 250);
        let address = app.address;
        let deliveries = (0..4).map(|lane| {
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                for number in 0.. {
                    let id = format!("{round}-{lane}-{number}");
                    // Two installations, so that their limit of two does not hold everything up.
                    let installation = format!(
                        "{}{}",
                        &INSTALLATION_ID[..INSTALLATION_ID.len() - 1],
                        lane % 2
                    );
                    match deliver(address, &id, &installation, 0).await {
                        Some(202) => accepted.push(id),
                        Some(status) => assert_eq!(status, 503),
                        None => break,
                    }
                    if number > 8 {
                        break;
                    }
                }
                accepted
            })
        });
        let deliveries: Vec<_> = deliveries.collect();
        tokio::time::sleep(life).await;
        app.kill().await;
        for lane in deliveries {
            accepted.extend(lane.await.unwrap());
        }
    }
    assert!(
        // A slow machine accepts less before each kill.
        accepted.len() >= rounds as usize / 4,
        "{} accepted",
        accepted.len()
    );
    let app = fixture.start().await;
    fixture.wait_until_done(&accepted).await;
    app.stop().await;
    let runs = fixture.runs();
    let dones = runs.iter().filter(|run| run.2 == "done").count();
    eprintln!(
        "{} accepted, {dones} done, {} starts",
        accepted.len(),
        runs.len() - dones
    );
}

fn kill_rounds() -> u32 {
    let rounds = std::env::var("FORGE_REMOTE_KILL_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

#[tokio::test]
async fn nothing_accepted_is_lost_on_sqlite() {
    killed_at_any_moment(Fixture::sqlite().await.with_work(5), kill_rounds()).await;
}

/// The poison ends its process at each of its attempts; the neighbours lose at most one attempt each.
#[tokio::test]
async fn a_job_that_ends_its_process_is_dead_after_its_attempts() {
    let fixture = Fixture::sqlite().await.with_work(400);
    let neighbours: Vec<String> = (0..9).map(|number| format!("neighbour-{number}")).collect();
    let app = fixture.start().await;
    let installation =
        |number: usize| format!("{}{number}", &INSTALLATION_ID[..INSTALLATION_ID.len() - 1]);
    for (number, id) in neighbours.iter().enumerate() {
        let status = deliver(app.address, id, &installation(number), 0).await;
        assert_eq!(status, Some(202));
    }
    // It may end the process before it responds; the call is stored then, and is not repeated here.
    deliver(app.address, "poison-1", INSTALLATION_ID, 0).await;
    let mut running = Some(app);
    for _ in 0..20 {
        let mut app = match running.take() {
            Some(app) => app,
            None => fixture.start().await,
        };
        let ended = tokio::time::timeout(Duration::from_secs(15), async {
            let done = fixture.wait_until_done(&neighbours);
            tokio::select! {
                _ = app.child.wait() => true,
                () = done => fixture.count("poison-1", "start") < 4 && app.child.wait().await.is_ok(),
            }
        });
        if !ended.await.unwrap_or(false) {
            break;
        }
    }
    let app = fixture.start().await;
    fixture.wait_until_done(&neighbours).await;
    assert_eq!(
        fixture.count("poison-1", "start"),
        4,
        "{:?}",
        fixture.runs()
    );
    assert_eq!(fixture.count("poison-1", "done"), 0);
    app.stop().await;
}

/// Forge calls the clock of the cron schedules, and each call stores what is to run until the next one.
#[tokio::test]
async fn the_clock_of_the_schedules_is_served() {
    let fixture = Fixture::sqlite().await;
    let app = fixture.start().await;
    for _ in 0..3 {
        let fit = Fit::backend(SystemTime::now(), "cron-clock").token();
        let call = Call::post("/cron-clock").bearer(&fit).json(&json!({}));
        let response = send(app.address, &call).await.unwrap();
        assert!((200..300).contains(&response.status), "{response:?}");
    }
    assert_eq!(fixture.runs(), []);
    app.stop().await;
}

/// Forge repeats a delivery that it takes for failed; equal first deliveries are two events.
async fn deliveries(fixture: Fixture) {
    let app = fixture.start().await;
    for retries in 0..5 {
        let status = deliver(app.address, "repeated", INSTALLATION_ID, retries).await;
        assert_eq!(status, Some(202));
    }
    for _ in 0..2 {
        assert_eq!(app.deliver("equal").await, Some(202));
    }
    assert_eq!(app.deliver("last").await, Some(202));
    fixture
        .wait_until_done(&["repeated", "equal", "last"].map(str::to_owned))
        .await;
    fixture
        .wait_until("both", |fixture| fixture.count("equal", "done") == 2)
        .await;
    app.stop().await;
    // A retry of a finished one, after a restart.
    let app = fixture.start().await;
    assert_eq!(
        deliver(app.address, "repeated", INSTALLATION_ID, 4).await,
        Some(202)
    );
    assert_eq!(app.deliver("after").await, Some(202));
    fixture.wait_until_done(&["after".to_owned()]).await;
    app.stop().await;
    assert_eq!(fixture.count("repeated", "start"), 1);
    assert_eq!(fixture.count("equal", "start"), 2);
}

#[tokio::test]
async fn deliveries_of_one_event_run_once_on_sqlite() {
    deliveries(Fixture::sqlite().await).await;
}

#[tokio::test]
async fn deliveries_of_one_event_run_once_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        deliveries(fixture).await;
    }
}

/// The last killed process's jobs run again when it has been silent for 30 seconds.
#[tokio::test]
async fn nothing_accepted_is_lost_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        killed_at_any_moment(fixture.with_work(5), kill_rounds()).await;
    }
}

#[tokio::test]
async fn a_stop_spends_no_attempt_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        stopped_and_started(fixture.with_work(30)).await;
    }
}

#[tokio::test]
async fn a_stop_spends_no_attempt_on_sqlite() {
    stopped_and_started(Fixture::sqlite().await.with_work(30)).await;
}

/// Stops the process while events run: each is done, at its first attempt.
async fn stopped_and_started(fixture: Fixture) {
    let mut ids = Vec::new();
    for round in 0..5 {
        let app = fixture.start().await;
        for number in 0..10 {
            let id = format!("{round}-{number}");
            assert_eq!(app.deliver(&id).await, Some(202));
            ids.push(id);
        }
        app.stop().await;
    }
    let app = fixture.start().await;
    fixture.wait_until_done(&ids).await;
    app.stop().await;
    let attempts = fixture.runs().iter().map(|run| run.1).max();
    assert_eq!(attempts, Some(1), "{:?}", fixture.runs());
}

/// Two processes run the events of one installation, at most two at once together.
async fn limited(fixture: Fixture) {
    let (one, other) = (fixture.start().await, fixture.start().await);
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = number.to_string();
        let app = if number % 2 == 0 { &one } else { &other };
        assert_eq!(app.deliver(&id).await, Some(202));
        ids.push(id);
    }
    fixture.wait_until_done(&ids).await;
    one.stop().await;
    other.stop().await;
    let (mut running, mut most) = (0, 0);
    for (_, _, what) in fixture.runs() {
        running += if what == "start" { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!(most, 2, "{:?}", fixture.runs());
}

#[tokio::test]
async fn two_processes_keep_an_installations_limit_on_sqlite() {
    limited(Fixture::sqlite().await.with_work(50)).await;
}

#[tokio::test]
async fn two_processes_keep_an_installations_limit_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        limited(fixture.with_work(50)).await;
    }
}

#[tokio::test]
async fn a_failed_event_is_retried_until_it_is_dead() {
    let fixture = Fixture::sqlite().await;
    let app = fixture.start().await;
    assert_eq!(app.deliver("fail-1").await, Some(202));
    fixture
        .wait_until("retries", |fixture| fixture.count("fail-1", "start") == 4)
        .await;
    assert_eq!(app.deliver("after").await, Some(202));
    fixture.wait_until_done(&["after".to_owned()]).await;
    app.stop().await;
    let attempts: Vec<u32> = fixture
        .runs()
        .iter()
        .filter(|run| run.0 == "fail-1")
        .map(|run| run.1)
        .collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
}

/// Six processes start at once on an empty database.
async fn launched_at_once(fixture: Fixture) {
    let starting = std::iter::repeat_with(|| fixture.start()).take(6);
    let apps = futures(starting.collect()).await;
    for (number, app) in apps.iter().enumerate() {
        assert_eq!(app.deliver(&number.to_string()).await, Some(202));
    }
    let ids: Vec<String> = (0..6).map(|number| number.to_string()).collect();
    fixture.wait_until_done(&ids).await;
}

async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: BTreeMap<usize, T> = BTreeMap::new();
    std::future::poll_fn(|context| {
        for (at, future) in all.iter_mut().enumerate() {
            if !done.contains_key(&at)
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                done.insert(at, value);
            }
        }
        if done.len() == all.len() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_values().collect()
}

#[tokio::test]
async fn processes_launch_at_once_on_an_empty_sqlite_file() {
    launched_at_once(Fixture::sqlite().await).await;
}

#[tokio::test]
async fn processes_launch_at_once_on_an_empty_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        launched_at_once(fixture).await;
    }
}

/// A limit on the size of the app's files acts like a full disk, until it is lifted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_costs_503_and_no_event() {
    let fixture = Fixture::sqlite().await;
    let mut program = Command::new("sh");
    // In units of 512 or 1024 bytes, depending on the shell.
    let limited = "trap '' XFSZ; ulimit -S -f 1500; exec \"$0\"";
    program.args(["-c", limited, env!("CARGO_BIN_EXE_issue-digest")]);
    let app = fixture.start_as(program).await;
    let mut accepted = Vec::new();
    let padding = "x".repeat(20_000);
    for number in 0.. {
        let id = format!("{number}-{padding}");
        match app.deliver(&id).await {
            Some(202) => accepted.push(id),
            status => {
                assert_eq!(status, Some(503));
                break;
            }
        }
        assert!(number < 500, "the disk is never full");
    }
    // Every connection of the pool fails at least once.
    for number in 0..20 {
        let status = app.deliver(&format!("full-{number}-{padding}")).await;
        assert_eq!(status, Some(503));
    }
    let pid = app.child.id().unwrap().to_string();
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &pid])
        .status();
    assert!(lifted.await.unwrap().success());
    let last = "after-the-disk-was-full".to_owned();
    let mut status = app.deliver(&last).await;
    for _ in 0..50 {
        if status == Some(202) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        status = app.deliver(&last).await;
    }
    assert_eq!(status, Some(202));
    accepted.push(last);
    fixture.wait_until_done(&accepted).await;
}

/// An operator lists dead jobs, reads why, runs one again and discards it.
async fn operated(fixture: Fixture) {
    let app = fixture.start().await;
    assert_eq!(app.deliver("fail-1").await, Some(202));
    assert_eq!(app.deliver("good").await, Some(202));
    fixture
        .wait_until("retries", |fixture| fixture.count("fail-1", "start") == 4)
        .await;
    let dead = async || {
        let (status, text) = fixture
            .run(&["jobs", "list", "--state", "dead", "--json"])
            .await;
        assert_eq!(status, 0, "{text}");
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let jobs = loop {
        let jobs = dead().await;
        if !jobs.is_empty() {
            break jobs;
        }
        assert!(tokio::time::Instant::now() < deadline, "it is not dead");
    };
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(jobs[0]["handler"], "changes-trigger");
    assert_eq!(
        (&jobs[0]["attempts"], &jobs[0]["maxAttempts"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(jobs[0]["lastRun"], "failed");
    let id = jobs[0]["id"].as_str().unwrap();
    // The list has no text of the handler's error; `show` opens it.
    assert!(!jobs[0].to_string().contains("search index"));
    let (status, text) = fixture.run(&["jobs", "show", id]).await;
    assert!(
        status == 0 && text.contains("the search index is down"),
        "{text}"
    );

    let (status, text) = fixture.run(&["jobs", "retry", id]).await;
    assert_eq!((status, text.trim()), (0, &*format!("job {id} runs again")));
    fixture
        .wait_until("one more", |fixture| fixture.count("fail-1", "start") == 5)
        .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while dead().await.is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it is not dead again"
        );
    }
    let (status, text) = fixture.run(&["jobs", "discard", id]).await;
    assert_eq!(
        (status, text.trim()),
        (0, &*format!("job {id} is discarded"))
    );
    assert!(dead().await.is_empty());
    let (status, text) = fixture.run(&["jobs", "retry", id, "none"]).await;
    assert!(
        status == 1 && text.contains("`jobs list` shows the ids"),
        "{text}"
    );
    app.stop().await;
}

#[tokio::test]
async fn dead_jobs_are_listed_run_again_and_discarded_on_sqlite() {
    operated(Fixture::sqlite().await).await;
}

#[tokio::test]
async fn dead_jobs_are_listed_run_again_and_discarded_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        operated(fixture).await;
    }
}

#[tokio::test]
async fn a_missing_file_is_not_created_by_a_list() {
    let fixture = Fixture::sqlite().await;
    let (status, text) = fixture.run(&["jobs", "list"]).await;
    assert!(
        status != 0 && text.contains("jobs.db does not exist"),
        "{text}"
    );
    assert!(!fixture.folder.file("jobs.db").exists());
}
