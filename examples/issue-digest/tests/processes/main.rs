//! Durable work survives killed processes: the example as a process, with real signatures and databases.

#![allow(clippy::unwrap_used)]

mod at_once;
mod crashes;
mod database_killed;
mod deliveries;
#[cfg(target_os = "linux")]
mod full_disk;
mod killed;
mod operator;
#[cfg(target_os = "linux")]
mod stepped_clock;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use forge_remote_tests::http::{Call, send};
use forge_remote_tests::job_tables::JobTables;
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, Fit, INSTALLATION_ID, published};
use forge_remote_tests::stores::{Folder, KEYS, postgres_url};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The state that the processes of a test share.
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
        Some(Self::postgres_at(postgres_url().await?).await)
    }

    async fn postgres_at(url: String) -> Self {
        Self {
            postgres: Some(url),
            ..Self::sqlite().await
        }
    }

    fn with_work(mut self, millis: u64) -> Self {
        self.work = Duration::from_millis(millis);
        self
    }

    fn report(&self) -> PathBuf {
        self.folder.file("report")
    }

    fn job_tables(&self) -> JobTables {
        match &self.postgres {
            Some(url) => JobTables::Postgres(url.clone()),
            None => JobTables::Sqlite(self.folder.file("jobs.db")),
        }
    }

    async fn start(&self) -> App {
        self.start_as(Command::new(env!("CARGO_BIN_EXE_issue-digest")))
            .await
    }

    /// Runs a command of the example, and returns its exit status and its output.
    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let program = Command::new(env!("CARGO_BIN_EXE_issue-digest"));
        self.run_as(program, arguments).await
    }

    async fn run_as(&self, mut program: Command, arguments: &[&str]) -> (i32, String) {
        let output = self
            .configured(&mut program)
            .args(arguments)
            .output()
            .await
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    }

    fn configured<'a>(&self, program: &'a mut Command) -> &'a mut Command {
        if let Some(url) = &self.postgres {
            program.env("DATABASE_URL", url);
        }
        program
            .env("DIGEST_DB", self.folder.file("jobs.db"))
            .env("DIGEST_TOKENS", self.folder.file("tokens.db"))
            .env("DIGEST_OUT", self.report())
            .env("DIGEST_WORK_MS", self.work.as_millis().to_string())
            .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .env("FORGE_REMOTE_JWKS_URL", self.keys.url())
    }

    async fn start_as(&self, mut program: Command) -> App {
        let mut child = self
            .configured(&mut program)
            .env_remove("FORGE_REMOTE_MANIFEST")
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

    /// Returns the runs so far: the event's id, the attempt, and `start`, `done` or `failed`.
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

    /// Waits until an event has begun this many attempts. The pauses before retries are skipped.
    async fn until_attempts(&self, id: &str, attempts: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while self.count(id, "start") < attempts {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{id}: {:?}",
                self.runs()
            );
            self.job_tables().end_pauses().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the result of each attempt is stored.
    async fn until_no_attempt_runs(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while !self.job_tables().begun().await.is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", self.runs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until these events are done, as long as any is done now and then.
    async fn wait_until_done(&self, ids: &[String]) {
        let (mut missing, mut progress) = (usize::MAX, tokio::time::Instant::now());
        loop {
            let runs = self.runs();
            let done = runs.iter().filter(|run| run.2 == "done");
            let done: BTreeSet<&str> = done.map(|run| &*run.0).collect();
            let still = ids.iter().filter(|id| !done.contains(id.as_str())).count();
            if still == 0 {
                return;
            }
            if still < missing {
                (missing, progress) = (still, tokio::time::Instant::now());
            }
            assert!(
                progress.elapsed() < Duration::from_secs(60),
                "{missing} of {} are missing",
                ids.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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

/// Returns the ARI of an installation, another one for each number.
fn installation(number: u32) -> String {
    let prefix = &INSTALLATION_ID[..INSTALLATION_ID.len() - 4];
    format!("{prefix}{number:04x}")
}

async fn deliver(address: SocketAddr, id: &str, installation: &str, retries: u32) -> Option<u16> {
    deliver_at(SystemTime::now(), address, id, installation, retries).await
}

/// Delivers an event with a token of this time.
async fn deliver_at(
    time: SystemTime,
    address: SocketAddr,
    id: &str,
    installation: &str,
    retries: u32,
) -> Option<u16> {
    let fit = Fit::backend(time, "changes")
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
