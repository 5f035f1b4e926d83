//! Stored tokens survive killed and restarted processes, and several processes share a store.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use forge_remote::token::{PageRequest, PostgresTokens, RedisTokens, SqliteTokens, TokenStore};
use forge_remote_tests::encoding::b64;
use forge_remote_tests::fake_api::{SITE, Server, respond};
use forge_remote_tests::http::{Call, send};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, Fit, INSTALLATION_ID, published, seconds};
use forge_remote_tests::stores::{
    Folder, KEYS, in_seconds, oauth, postgres_url, redis_url, sealed,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Starts a Confluence whose only page has the request's token as its title.
async fn confluence() -> Server {
    Server::start(|_, request| {
        let path = format!("/ex/confluence/{SITE}/wiki/api/v2/pages");
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", path.as_str())
        );
        let token = request.header("authorization").strip_prefix("Bearer ");
        let title = mark(token.unwrap_or_default());
        respond(
            200,
            json!({ "results": [{ "title": title }], "_links": {} }),
        )
    })
    .await
}

/// The app, run as a process.
struct App {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    address: std::net::SocketAddr,
    confluence: String,
}

impl App {
    async fn start(keys: &JwksServer, confluence: &Server, store: &[(&str, &str)]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_tokens_app"));
        Self::start_as(program, keys, confluence, store).await
    }

    async fn start_as(
        mut program: Command,
        keys: &JwksServer,
        confluence: &Server,
        store: &[(&str, &str)],
    ) -> Self {
        let mut child = program
            .envs(store.iter().copied())
            .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
            .env("CONFLUENCE", &confluence.origin)
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .env("FORGE_REMOTE_JWKS_URL", keys.url())
            .env_remove("FORGE_REMOTE_MANIFEST")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
        };
        Self {
            child,
            input,
            lines,
            address,
            confluence: format!("{}/ex/confluence/{SITE}", confluence.origin),
        }
    }

    /// Delivers a system token with a real signature.
    async fn deliver(&self, token: &str) -> String {
        let context =
            json!([{ "name": "confluence", "apiBaseUrl": self.confluence, "cloudId": SITE }]);
        let fit = Fit::backend(SystemTime::now(), "tick")
            .claim("/app/apiBaseUrl", self.confluence.as_str())
            .claim("/app/installation/contexts", context)
            .token();
        let call = Call::post("/tick")
            .bearer(&fit)
            .header("x-forge-oauth-system", token);
        let response = send(self.address, &call).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.excerpt());
        fit
    }

    /// Returns the page title that the background task reads for the installation.
    async fn read_title(&mut self) -> String {
        self.send_line(INSTALLATION_ID).await
    }

    async fn send_line(&mut self, line: &str) -> String {
        let line = format!("{line}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.lines.next_line().await.unwrap().unwrap()
    }

    /// Repeats the read until it returns this.
    async fn wait_for_title(&mut self, expected: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let response = self.read_title().await;
            if response == expected {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{response} instead of {expected}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lifts the limit on the size of the process's files.
    #[cfg(target_os = "linux")]
    async fn lift_limit(&self) {
        let unlimited = Command::new("prlimit")
            .args(["--fsize=unlimited", "--pid"])
            .arg(self.child.id().unwrap().to_string())
            .status();
        assert!(unlimited.await.unwrap().success());
    }

    /// Kills the process with SIGKILL.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn mark(token: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    format!("token {}", b64(hash))
}

/// Waits until the file contains a token with this expiry. The returned store keeps the file open,
/// because the last one to close it removes its log.
async fn written(file: &Path, ends: SystemTime) -> SqliteTokens {
    let store = SqliteTokens::new(file);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        // Without its tables the store returns an error.
        let stored = store.get(INSTALLATION_ID).await.ok().flatten();
        if stored.is_some_and(|stored| stored.expires_at == ends) {
            return store;
        }
        assert!(tokio::time::Instant::now() < deadline, "it isn't written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_killed_app_has_its_token_after_a_restart() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let confluence = confluence().await;
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let store = [("SQLITE", file.to_str().unwrap())];

    let mut app = App::start(&keys, &confluence, &store).await;
    assert!(
        app.read_title()
            .await
            .starts_with("none: no system token is kept")
    );
    let ends = in_seconds(7200);
    let token = oauth(ends, "plainly-visible");
    app.deliver(&token).await;
    let still_open = written(&file, ends).await;
    app.kill().await;

    // The token is not readable in the files, including the log.
    let bytes = folder.bytes();
    for secret in [
        &token,
        &b64("plainly-visible"),
        "plainly-visible",
        "apiBaseUrl",
    ] {
        assert!(
            !bytes
                .windows(secret.len())
                .any(|at| at == secret.as_bytes()),
            "{secret}"
        );
    }
    #[cfg(unix)]
    for name in ["tokens.db", "tokens.db-wal", "tokens.db-shm"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.file(name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    drop(still_open);

    let mut app = App::start(&keys, &confluence, &store).await;
    assert_eq!(app.read_title().await, mark(&token));
}

/// With all crates logging at trace level, no token is in the log.
#[tokio::test]
async fn no_token_is_logged_at_trace() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let confluence = confluence().await;
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let mut stores = vec![vec![("SQLITE", file.to_str().unwrap().to_owned())]];
    if let Some(url) = postgres_url().await {
        stores.push(vec![("POSTGRES", url)]);
    }
    if let Some((url, _)) = redis_url() {
        let prefix = format!("trace-{}:", std::process::id());
        stores.push(vec![("REDIS", format!("{url}#{prefix}"))]);
    }
    for (at, store) in stores.iter().enumerate() {
        let store: Vec<(&str, &str)> = store
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let log = folder.file(&format!("log-{at}"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_tokens_app"));
        program
            .env("RUST_LOG", "trace")
            .env("LOG_EVERYTHING", "1")
            .stderr(std::fs::File::create(&log).unwrap());
        let mut app = App::start_as(program, &keys, &confluence, &store).await;
        let token = oauth(in_seconds(7200), "plainly-visible");
        let fit = app.deliver(&token).await;
        app.wait_for_title(&mark(&token)).await;
        // One process writes the token to the store, and another reads it.
        let mut program = Command::new(env!("CARGO_BIN_EXE_tokens_app"));
        program
            .env("RUST_LOG", "trace")
            .env("LOG_EVERYTHING", "1")
            .stderr(std::fs::File::options().append(true).open(&log).unwrap());
        let mut other = App::start_as(program, &keys, &confluence, &store).await;
        other.wait_for_title(&mark(&token)).await;
        app.kill().await;
        other.kill().await;

        let text = std::fs::read_to_string(&log).unwrap();
        for target in ["hyper", "reqwest"] {
            assert!(text.contains(target), "nothing of {target} was logged");
        }
        if at < 2 && !store.iter().any(|(name, _)| *name == "REDIS") {
            assert!(text.contains("sqlx"), "nothing of sqlx was logged");
        }
        let parts = [&token, &fit].map(|token| token.rsplit('.').next().unwrap().to_owned());
        for secret in [&token, &fit, &parts[0], &parts[1]] {
            assert!(!text.contains(secret.as_str()), "{store:?}: {secret}");
        }
    }
}

#[tokio::test]
async fn commands_need_neither_store_nor_key() {
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let run = async |arguments: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_tokens_app"))
            .args(arguments)
            .env("SQLITE", &file)
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env_remove("FORGE_REMOTE_MANIFEST")
            .env_remove("FORGE_REMOTE_TOKEN_KEY")
            .stdin(Stdio::null())
            .output();
        let output = command.await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), text)
    };
    for arguments in [
        &["routes"][..],
        &["manifest", "--stdout"],
        &["dev", "--once"],
    ] {
        let (status, text) = run(arguments).await;
        assert_eq!(status, 0, "{arguments:?}: {text}");
    }
    // Without a key it does not serve, and the error says how to make one.
    let (status, text) = run(&[]).await;
    assert_eq!(status, 1);
    assert!(
        text.contains("FORGE_REMOTE_TOKEN_KEY") && text.contains("openssl rand -base64 32"),
        "{text}"
    );
    assert!(!file.exists());
}

/// Checks that a token that one instance receives is available to the other.
async fn two_instances(store: &[(&str, &str)]) {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let confluence = confluence().await;
    let mut one = App::start(&keys, &confluence, store).await;
    let mut other = App::start(&keys, &confluence, store).await;
    let token = oauth(in_seconds(7200), "first");
    one.deliver(&token).await;
    assert_eq!(one.read_title().await, mark(&token));
    other.wait_for_title(&mark(&token)).await;
    one.kill().await;
    other.kill().await;

    let mut again = App::start(&keys, &confluence, store).await;
    assert_eq!(again.read_title().await, mark(&token));
}

#[tokio::test]
async fn two_instances_share_one_sqlite_file() {
    let folder = Folder::default();
    two_instances(&[("SQLITE", folder.file("tokens.db").to_str().unwrap())]).await;
}

#[tokio::test]
async fn two_instances_share_one_postgresql() {
    if let Some(url) = postgres_url().await {
        two_instances(&[("POSTGRES", &url)]).await;
    }
}

#[tokio::test]
async fn two_instances_share_one_redis() {
    if let Some((url, prefix)) = redis_url() {
        two_instances(&[("REDIS", &format!("{url}#{prefix}"))]).await;
    }
}

/// Repeatedly launches several processes at once on an empty store.
async fn launched_at_once(variables: &[(&str, &str)]) {
    let launch = |_| {
        Command::new(env!("CARGO_BIN_EXE_tokens_writer"))
            .envs(variables.iter().copied())
            .arg("9999999999")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut writers: Vec<Child> = (0..6).map(launch).collect();
    for mut writer in writers.drain(..) {
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap();
        writer.start_kill().unwrap();
        let output = writer.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(line.as_deref(), Some("writing"), "{text}");
    }
}

#[tokio::test]
async fn processes_launch_at_once_on_an_sqlite_file() {
    let folder = Folder::default();
    for round in 0..8 {
        let file = folder.file(&format!("{round}.db"));
        launched_at_once(&[("SQLITE", file.to_str().unwrap())]).await;
    }
}

/// The app itself has the file open and writes to it, without a write-ahead log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_launch_at_once_on_an_sqlite_file_that_the_app_uses() {
    let folder = Folder::default();
    for round in 0..3 {
        let file = folder.file(&format!("{round}.db"));
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let app = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let create = sqlx::query("CREATE TABLE of_the_app (number INTEGER)");
        create.execute(&app).await.unwrap();
        let writing = app.clone();
        let writer = tokio::spawn(async move {
            for number in 0_i64.. {
                let mut transaction = writing.begin_with("BEGIN IMMEDIATE").await.unwrap();
                let insert = sqlx::query("INSERT INTO of_the_app VALUES (?1)").bind(number);
                insert.execute(&mut *transaction).await.unwrap();
                transaction.commit().await.unwrap();
            }
        });
        launched_at_once(&[("SQLITE", file.to_str().unwrap())]).await;
        assert!(!writer.is_finished());
        writer.abort();
        let check: (String,) = sqlx::query_as("PRAGMA integrity_check")
            .fetch_one(&app)
            .await
            .unwrap();
        assert_eq!(check.0, "ok");
    }
}

#[tokio::test]
async fn processes_launch_at_once_on_an_empty_postgresql() {
    for _ in 0..4 {
        if let Some(url) = postgres_url().await {
            launched_at_once(&[("POSTGRES", &url)]).await;
        }
    }
}

/// A limit on the size of the app's files acts like a full disk, until it is lifted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_costs_no_request_and_no_token() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let confluence = confluence().await;
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let store = [("SQLITE", file.to_str().unwrap())];
    let mut program = Command::new("sh");
    // In units of 512 or 1024 bytes, depending on the shell.
    let limited = "trap '' XFSZ; ulimit -S -f 300; exec \"$0\"";
    program.args(["-c", limited, env!("CARGO_BIN_EXE_tokens_app")]);
    program.stderr(Stdio::piped());
    let mut app = App::start_as(program, &keys, &confluence, &store).await;
    let mut log = BufReader::new(app.child.stderr.take().unwrap()).lines();

    for turn in 1.. {
        let token = oauth(in_seconds(7200 + turn), &turn.to_string());
        app.deliver(&token).await;
        // The background task has the token, written or not.
        assert_eq!(app.read_title().await, mark(&token));
        if app.send_line("failures").await != "0" {
            break;
        }
        assert!(turn < 1000, "the disk is never full");
    }
    let line = loop {
        let line = log.next_line().await.unwrap().unwrap();
        if line.contains("tokens cannot be written") {
            break line;
        }
    };
    assert!(line.contains("disk"), "{line}");
    // The file still contains a valid token.
    let stored = SqliteTokens::new(&file);
    assert!(stored.get(INSTALLATION_ID).await.unwrap().is_some());

    app.lift_limit().await;
    let ends = in_seconds(9000);
    let newest = oauth(ends, "newest");
    app.deliver(&newest).await;
    written(&file, ends).await;
    app.kill().await;
    let mut app = App::start(&keys, &confluence, &store).await;
    assert_eq!(app.read_title().await, mark(&newest));
}

/// The write-ahead log has no room for the tables, until the limit is lifted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_app_that_launches_on_a_full_disk_opens_its_store_later() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let confluence = confluence().await;
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    // While this is open, the log is not emptied.
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let fill = "CREATE TABLE of_the_app AS SELECT zeroblob(1000000) AS zeros";
    sqlx::query(fill).execute(&other).await.unwrap();

    let mut program = Command::new("sh");
    let limited = "trap '' XFSZ; ulimit -S -f 300; exec \"$0\"";
    program.args(["-c", limited, env!("CARGO_BIN_EXE_tokens_app")]);
    program.stderr(Stdio::piped());
    let store = [("SQLITE", file.to_str().unwrap())];
    let mut app = App::start_as(program, &keys, &confluence, &store).await;
    let mut log = BufReader::new(app.child.stderr.take().unwrap()).lines();
    let ends = in_seconds(7200);
    app.deliver(&oauth(ends, "")).await;
    // Twice, so that a connection is used again after it failed.
    for _ in 0..2 {
        while !log
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .contains("cannot be opened")
        {}
    }
    app.lift_limit().await;
    written(&file, ends).await;
}

/// The kills of a writer in one test.
const KILLS: u64 = 200;

/// Kills a writer repeatedly at a random moment. Each time every installation has an uncorrupted
/// token that is not older than before. Every fourth time the writer has first written all of them, so
/// that something is written on a slow machine, too.
async fn killed_at_any_moment(
    kills: u64,
    connect: impl AsyncFn() -> Box<dyn TokenStore>,
    variables: &[(&str, &str)],
) {
    let start = in_seconds(10_000);
    let store = connect().await;
    let first = (0..20).map(|at| sealed(at, start));
    store.put(first.collect()).await.unwrap();
    drop(store);

    let mut before = [start; 20];
    let mut moved = 0;
    for round in 0..kills {
        let newest = before.iter().max().unwrap();
        let mut writer = Command::new(env!("CARGO_BIN_EXE_tokens_writer"))
            .envs(variables.iter().copied())
            .arg(seconds(*newest).to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "writing");
        if round % 4 == 0 {
            assert_eq!(lines.next_line().await.unwrap().unwrap(), "written");
        }
        let mut chance = [0];
        aws_lc_rs::rand::fill(&mut chance).unwrap();
        // Up to 6 ms: the random moment is the test; nothing is awaited.
        tokio::time::sleep(Duration::from_micros(u64::from(chance[0]) * 25)).await;
        writer.kill().await.unwrap();

        let store = connect().await;
        let listed = store.list(PageRequest::first(100)).await.unwrap();
        assert_eq!(listed.tokens.len(), 20, "round {round}");
        for (at, token) in listed.tokens.iter().enumerate() {
            assert!(
                *token == sealed(at, token.expires_at),
                "round {round}: {at}"
            );
            assert!(token.expires_at >= before[at], "round {round}: {at}");
            moved += u64::from(token.expires_at > before[at]);
            before[at] = token.expires_at;
        }
    }
    assert!(moved >= kills / 4 * 20, "{moved}");
}

async fn opened(store: impl TokenStore) -> Box<dyn TokenStore> {
    store.open().await.unwrap();
    Box::new(store)
}

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_an_old_or_a_new_token_in_sqlite() {
    // Several files at the same time.
    const FILES: u64 = 4;
    let killed = (0..FILES).map(async |_| {
        let folder = Folder::default();
        let file = folder.file("tokens.db");
        let connect = async || opened(SqliteTokens::new(&file)).await;
        killed_at_any_moment(
            KILLS / FILES,
            connect,
            &[("SQLITE", file.to_str().unwrap())],
        )
        .await;
    });
    futures_util::future::join_all(killed).await;
}

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_an_old_or_a_new_token_in_postgresql() {
    if let Some(url) = postgres_url().await {
        let connect = async || opened(PostgresTokens::new(&url)).await;
        killed_at_any_moment(KILLS, connect, &[("POSTGRES", &url)]).await;
    }
}

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_an_old_or_a_new_token_in_redis() {
    if let Some((url, prefix)) = redis_url() {
        let connect = async || opened(RedisTokens::new(&url).prefix(&prefix)).await;
        let url = format!("{url}#{prefix}");
        let variables = [("REDIS", url.as_str())];
        killed_at_any_moment(KILLS, connect, &variables).await;
    }
}
