//! `doctor` on stores and engines: it finds their faults, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::client::AtlassianClient;
use forge_remote::handler;
use forge_remote::jobs::{Envelope, JobEngine as _};
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::{SqliteTokens, TokenStore as _};
use forge_remote_river::SqliteJobs;
use forge_remote_tests::encoding::b64;
use forge_remote_tests::jwks_server::JwksServer;
use forge_remote_tests::jws::{APP_ID, seconds};
use forge_remote_tests::report::skipped;
use forge_remote_tests::stores::{Folder, KEYS};
use forge_remote_tests::token_app::{HOUR, MINUTE, ONE, OTHER, ari};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::process::Command;

use crate::doctor::{app_in, deployment, keys_at, lines, placed};

/// The app's environment with files in its folder.
const FILES: [(&str, &str); 2] = [("SQLITE", "tokens.db"), ("JOBS", "jobs.db")];

/// Writes the manifest of the app with this environment.
pub(crate) async fn deployed(environment: &[(&str, &str)]) -> Folder {
    let folder = deployment().await;
    let mut command = app_in(&folder, &["manifest", "--write"]);
    let written = command.envs(environment.iter().copied()).output().await;
    assert!(written.unwrap().status.success());
    folder
}

/// Runs `doctor`, and returns its exit status and its report.
pub(crate) async fn doctor(folder: &Folder, environment: &[(&str, &str)]) -> (i32, String) {
    let keys = JwksServer::start(keys_at(0)).await;
    let mut command = app_in(folder, &["doctor"]);
    let output = command
        .env("FORGE_REMOTE_JWKS_URL", keys.url())
        .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

/// Returns the lines of a check, each with that of its fix.
pub(crate) fn all_lines<'a>(text: &'a str, check: &str) -> Vec<String> {
    let all: Vec<&'a str> = text.lines().collect();
    let is_of = |line: &str| line.get(6..).is_some_and(|rest| rest.starts_with(check));
    let found = all.iter().enumerate().filter(|(_, line)| is_of(line));
    found
        .map(|(at, line)| format!("{line}\n{}", all.get(at + 1).unwrap_or(&"")))
        .collect()
}

/// Returns the names and the contents of the files in a folder.
fn snapshot(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, fs::read(file.path()).unwrap())
        })
        .collect()
}

/// Checks that the files are those of an earlier snapshot.
fn check_unchanged(folder: &Folder, before: &BTreeMap<String, Vec<u8>>) {
    let after = snapshot(folder);
    let names = before.keys().chain(after.keys());
    let changed: BTreeSet<&String> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .collect();
    assert!(changed.is_empty(), "something was written: {changed:?}");
}

/// Creates both files as a launch of the app does.
async fn launch(folder: &Folder) {
    let tokens = SqliteTokens::new(folder.file("tokens.db"));
    tokens.open().await.unwrap();
    let jobs = SqliteJobs::new(folder.file("jobs.db"));
    jobs.open().await.unwrap();
    drop((tokens, jobs));
    closed(folder, "tokens.db").await;
    closed(folder, "jobs.db").await;
}

/// Waits until nothing has the file open: connections close in the background. The last one deletes the log, which stays
/// if two of them close at once.
async fn closed(folder: &Folder, file: &str) {
    let log = folder.file(&format!("{file}-wal"));
    for _ in 0..1000 {
        if !log.exists() {
            return;
        }
        run(folder, file, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{file} is still open");
}

pub(crate) async fn run(folder: &Folder, file: &str, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(folder.file(file));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_file_is_reported_and_not_created() {
    let folder = deployed(&FILES).await;
    let before = snapshot(&folder);
    let (status, text) = doctor(&folder, &FILES).await;
    let migrations = all_lines(&text, "migrations");
    assert_eq!(migrations.len(), 2, "{text}");
    for (line, file) in migrations.iter().zip(["tokens.db", "jobs.db"]) {
        assert!(line.starts_with("warn"), "{text}");
        assert!(
            line.contains(file) && line.contains("does not exist"),
            "{text}"
        );
        assert!(
            line.contains("fix: start the app, which creates it"),
            "{text}"
        );
    }
    check_unchanged(&folder, &before);
    // A deployment before its first launch.
    assert_eq!(status, 0, "{text}");
}

/// The launch creates the file, and no folder.
#[tokio::test]
async fn a_missing_folder_fails() {
    let environment = [("SQLITE", "data/tokens.db"), ("JOBS", "data/jobs.db")];
    let folder = deployed(&environment).await;
    let (status, text) = doctor(&folder, &environment).await;
    let found = all_lines(&text, "store");
    assert_eq!(found.len(), 2, "{text}");
    for (line, file) in found.iter().zip(["data/tokens.db", "data/jobs.db"]) {
        assert!(line.starts_with("FAIL") && line.contains(file), "{text}");
        assert!(line.contains("its directory does not exist"), "{text}");
    }
    assert_eq!(status, 1, "{text}");
    fs::create_dir(folder.file("data")).unwrap();
    let (status, text) = doctor(&folder, &environment).await;
    assert_eq!(all_lines(&text, "migrations").len(), 2, "{text}");
    assert_eq!(status, 0, "{text}");
}

/// Returns `doctor` as a user who does not own the directory, and gives this user its files: an app's user in a
/// directory of root. `None` if no other user can be taken. Root itself may write everywhere.
async fn as_other_user(folder: &Folder) -> Option<Command> {
    const NOBODY: u32 = 65_534;
    let app = env!("CARGO_BIN_EXE_plain_app");
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
        return Some(Command::new(app));
    }
    for name in snapshot(folder).into_keys() {
        chown(folder.file(&name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", app]);
    let mut tried = Command::new("setpriv");
    tried.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        app,
        "--help",
    ]);
    if tried
        .output()
        .await
        .is_ok_and(|tried| tried.status.success())
    {
        return Some(command);
    }
    skipped(
        "no other user can run the app: setpriv is missing, or the directory of the build is closed",
    );
    None
}

/// Runs `doctor` with files in the directory, which it may not write.
async fn doctor_in_closed(folder: &Folder, command: Command) -> (Option<i32>, String) {
    let keys = JwksServer::start(keys_at(0)).await;
    let mut command = placed(command, folder, &["doctor"]);
    let output = command
        .env("FORGE_REMOTE_JWKS_URL", keys.url())
        .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
        .envs(FILES)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

/// SQLite creates the file, its log and its lock in the folder.
#[tokio::test]
async fn a_folder_that_is_not_writable_fails() {
    for (exists, expected) in [
        (false, "cannot be created: make its directory writable"),
        (true, "its directory is not writable"),
    ] {
        let folder = deployed(&FILES).await;
        if exists {
            launch(&folder).await;
        }
        let before = snapshot(&folder);
        let Some(command) = as_other_user(&folder).await else {
            return;
        };
        let (status, text) = doctor_in_closed(&folder, command).await;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let found = all_lines(&text, "store");
        assert_eq!(found.len(), 2, "{text}");
        for (line, file) in found.iter().zip(["tokens.db", "jobs.db"]) {
            assert!(line.starts_with("FAIL") && line.contains(file), "{text}");
            assert!(line.contains(expected), "{text}");
            assert!(line.contains("ermission denied"), "{text}");
            assert!(line.contains("fix: "), "{text}");
        }
        assert_eq!(status, Some(1), "{text}");
        check_unchanged(&folder, &before);
    }
}

#[tokio::test]
async fn a_file_that_is_not_writable_fails() {
    let folder = deployed(&FILES).await;
    launch(&folder).await;
    for file in ["tokens.db", "jobs.db"] {
        fs::set_permissions(folder.file(file), Permissions::from_mode(0o444)).unwrap();
    }
    let Some(command) = as_other_user(&folder).await else {
        return;
    };
    let (status, text) = doctor_in_closed(&folder, command).await;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let found = all_lines(&text, "store");
    assert_eq!(found.len(), 2, "{text}");
    assert!(found[0].contains("tokens.db` is not writable"), "{text}");
    assert!(found[1].contains("jobs.db cannot be written"), "{text}");
    assert_eq!(status, Some(1), "{text}");
}

#[tokio::test]
async fn current_files_pass_and_stay_as_they_are() {
    let folder = deployed(&FILES).await;
    launch(&folder).await;
    let before = snapshot(&folder);
    let (status, text) = doctor(&folder, &FILES).await;
    for check in ["migrations", "durability"] {
        let lines = all_lines(&text, check);
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.starts_with("ok  ")), "{text}");
    }
    let durability = all_lines(&text, "durability");
    assert!(
        durability[1].contains("journal_mode is WAL, synchronous is FULL"),
        "{text}"
    );
    assert!(lines(&text, "jobs").0.starts_with("ok  "), "{text}");
    assert!(
        lines(&text, "jobs").0.contains("0 unfinished; 0 dead"),
        "{text}"
    );
    let (line, fix) = lines(&text, "tokens");
    assert!(
        line.starts_with("warn") && line.contains("no installation"),
        "{text}"
    );
    assert!(fix.contains("keep_tokens_fresh"), "{text}");
    assert_eq!(status, 0, "{text}");
    check_unchanged(&folder, &before);
}

#[tokio::test]
async fn schemas_that_are_not_current_are_reported() {
    for (file, statement, verdict, detail) in [
        (
            "tokens.db",
            "DELETE FROM forge_remote_schema",
            "warn",
            "left to do: 1 migration of 1",
        ),
        (
            "tokens.db",
            "INSERT INTO forge_remote_schema VALUES (7)",
            "FAIL",
            "version 7",
        ),
        (
            "jobs.db",
            "DELETE FROM river_migration WHERE version = 8",
            "warn",
            "left to do: 1 migration of River's",
        ),
        (
            "jobs.db",
            "DROP INDEX forge_remote_call_finished",
            "warn",
            "left to do: 1 missing table or index",
        ),
        (
            "jobs.db",
            "DELETE FROM forge_remote_jobs_version",
            "warn",
            "left to do: 1 step of the tables' own migration",
        ),
        (
            "jobs.db",
            "INSERT INTO forge_remote_jobs_version VALUES (7)",
            "FAIL",
            "version 7",
        ),
    ] {
        let folder = deployed(&FILES).await;
        launch(&folder).await;
        run(&folder, file, statement).await;
        closed(&folder, file).await;
        let before = snapshot(&folder);
        let (status, text) = doctor(&folder, &FILES).await;
        let found = all_lines(&text, "migrations");
        let found = found.iter().find(|line| line.contains(file)).unwrap();
        assert!(
            found.starts_with(verdict) && found.contains(detail),
            "{text}"
        );
        assert!(found.contains("fix: "), "{text}");
        assert_eq!(status, i32::from(verdict == "FAIL"), "{text}");
        check_unchanged(&folder, &before);
    }
}

#[tokio::test]
async fn a_file_without_a_write_ahead_log_is_reported() {
    for file in ["tokens.db", "jobs.db"] {
        let folder = deployed(&FILES).await;
        launch(&folder).await;
        run(&folder, file, "PRAGMA journal_mode = DELETE").await;
        closed(&folder, file).await;
        let before = snapshot(&folder);
        let (_, text) = doctor(&folder, &FILES).await;
        let found = all_lines(&text, "durability");
        let found = found.iter().find(|line| line.contains(file)).unwrap();
        assert!(found.starts_with("warn"), "{text}");
        assert!(
            found.contains("journal_mode is not WAL") && found.contains("fix: "),
            "{text}"
        );
        check_unchanged(&folder, &before);
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_database_fails() {
    for file in ["tokens.db", "jobs.db"] {
        let folder = deployed(&FILES).await;
        launch(&folder).await;
        fs::write(
            folder.file(file),
            "text, and no database at all\n".repeat(100),
        )
        .unwrap();
        let (status, text) = doctor(&folder, &FILES).await;
        let (line, fix) = lines(&text, "store");
        assert!(line.starts_with("FAIL") && line.contains(file), "{text}");
        assert!(fix.contains("fix: "), "{text}");
        assert_eq!(status, 1, "{text}");
    }
}

/// A handler with the name of `plain_app`'s.
#[scheduled_trigger(interval = "hour", key = "renew-trigger", auth = system)]
async fn renew() {}

/// An app that stores the tokens that it gets, on a clock that is set.
async fn keeping(folder: &Folder, clock: &TestClock, key: &str) -> (Harness, Tokens) {
    let store = SqliteTokens::new(folder.file("tokens.db"));
    let tokens = Tokens::new(store).keys(key);
    let app = App::empty()
        .app_id(APP_ID)
        .handler(handler!(renew))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .clock(clock.clone())
        .client(AtlassianClient::new())
        .token_store(tokens.clone());
    let harness = Harness::new(app.connect().await.unwrap()).unwrap();
    (harness, tokens)
}

/// Delivers a token that was issued this long ago and lives 4 hours.
pub(crate) async fn deliver(
    folder: &Folder,
    installation: &str,
    age: Duration,
    key: &str,
) -> String {
    let clock = TestClock::new();
    let issued = SystemTime::now() - age;
    clock.set(issued);
    let (harness, tokens) = keeping(folder, &clock, key).await;
    let claims = format!(
        r#"{{"iat":{},"exp":{}}}"#,
        seconds(issued),
        seconds(issued + 4 * HOUR)
    );
    let token = format!("{}.{}.{}", b64("{}"), b64(claims), b64("signature"));
    let call = harness
        .call("renew-trigger")
        .fit(|fit| fit.installation(installation));
    let response = call.header("x-forge-oauth-system", &token).send().await;
    assert_eq!(response.status(), 200, "{response:?}");
    tokens.flush().await.unwrap();
    token
}

const TOKENS: [(&str, &str); 2] = [("SQLITE", "tokens.db"), ("SYSTEM", "1")];

#[tokio::test]
async fn tokens_are_counted_with_their_ages() {
    let folder = deployed(&TOKENS).await;
    let tokens = [
        deliver(&folder, ONE, 90 * MINUTE, KEYS[0]).await,
        deliver(&folder, OTHER, 30 * MINUTE, KEYS[0]).await,
    ];
    let (status, text) = doctor(&folder, &TOKENS).await;
    let (line, _) = lines(&text, "tokens");
    assert!(line.starts_with("ok  "), "{text}");
    assert!(
        line.contains("2 installations; the oldest valid token is 90 min old"),
        "{text}"
    );
    assert!(
        line.contains("the next one expires in 149 min") || line.contains("expires in 2 h"),
        "{text}"
    );
    assert!(
        tokens.iter().all(|token| !text.contains(token.as_str())),
        "{text}"
    );
    assert_eq!(status, 0, "{text}");
    // `renew` alone brings tokens, every day, and was called half an hour ago.
    let schedules = all_lines(&text, "schedules");
    assert!(
        schedules[0].starts_with("ok  ") && schedules[0].contains("issued 30 min ago"),
        "{text}"
    );
}

#[tokio::test]
async fn expired_tokens_are_reported_with_their_installations() {
    let folder = deployed(&TOKENS).await;
    deliver(&folder, ONE, 5 * HOUR, KEYS[0]).await;
    deliver(&folder, OTHER, MINUTE, KEYS[0]).await;
    let (status, text) = doctor(&folder, &TOKENS).await;
    let (line, fix) = lines(&text, "tokens");
    assert!(line.starts_with("warn"), "{text}");
    assert!(line.contains(&format!("1 expired: {}", ari(ONE))), "{text}");
    assert!(!line.contains(&ari(OTHER)), "{text}");
    assert!(fix.contains("keep_tokens_fresh"), "{text}");
    assert_eq!(status, 0, "{text}");
}

#[tokio::test]
async fn tokens_of_another_key_fail() {
    let folder = deployed(&TOKENS).await;
    deliver(&folder, ONE, MINUTE, KEYS[1]).await;
    closed(&folder, "tokens.db").await;
    let before = snapshot(&folder);
    let (status, text) = doctor(&folder, &TOKENS).await;
    let (line, fix) = lines(&text, "tokens");
    assert!(
        line.starts_with("FAIL") && line.contains("sealed under another key"),
        "{text}"
    );
    assert!(fix.contains("FORGE_REMOTE_TOKEN_KEY"), "{text}");
    assert_eq!(status, 1, "{text}");
    check_unchanged(&folder, &before);
}

#[tokio::test]
async fn a_missing_key_fails() {
    let folder = deployed(&FILES).await;
    launch(&folder).await;
    let environment = [FILES[0], FILES[1], ("FORGE_REMOTE_TOKEN_KEY", "")];
    let (status, text) = doctor(&folder, &environment).await;
    for check in ["tokens", "jobs"] {
        let (line, fix) = lines(&text, check);
        assert!(
            line.starts_with("FAIL") && line.contains("FORGE_REMOTE_TOKEN_KEY"),
            "{text}"
        );
        assert!(fix.contains("fix: set"), "{text}");
    }
    assert_eq!(status, 1, "{text}");
}

/// Stores a call of the durable schedule.
async fn store_call(jobs: &SqliteJobs, accepted_at: SystemTime) {
    let mut envelope = Envelope::new("key", "index-trigger", ari(ONE), vec![1]);
    envelope.accepted_at = accepted_at;
    jobs.accept(envelope).await.unwrap();
}

#[tokio::test]
async fn the_last_calls_of_durable_schedules_are_shown() {
    for (age, verdict, detail) in [
        (None, "warn", "no call of `index-trigger` is stored"),
        (
            Some(90 * MINUTE),
            "ok  ",
            "`index-trigger` was stored 90 min ago",
        ),
        (Some(3 * HOUR), "warn", "`index-trigger` was stored 3 h ago"),
    ] {
        let folder = deployed(&FILES).await;
        launch(&folder).await;
        let jobs = SqliteJobs::new(folder.file("jobs.db"));
        jobs.open().await.unwrap();
        if let Some(age) = age {
            store_call(&jobs, SystemTime::now() - age).await;
        }
        // The app runs meanwhile.
        let (status, text) = doctor(&folder, &FILES).await;
        drop(jobs);
        let schedules = all_lines(&text, "schedules");
        let line = schedules
            .iter()
            .find(|line| line.contains("index-trigger"))
            .unwrap();
        assert!(line.starts_with(verdict) && line.contains(detail), "{text}");
        assert_eq!(
            line.contains("fix: check that the manifest"),
            verdict == "warn",
            "{text}"
        );
        // The other one is not durable.
        assert!(
            schedules
                .iter()
                .any(|line| line.starts_with("? ") && line.contains("`tick-trigger`")),
            "{text}"
        );
        assert_eq!(status, 0, "{text}");
    }
}

#[tokio::test]
async fn a_dead_job_is_a_warning() {
    let folder = deployed(&FILES).await;
    launch(&folder).await;
    let jobs = Arc::new(SqliteJobs::new(folder.file("jobs.db")));
    jobs.open().await.unwrap();
    store_call(&jobs, SystemTime::now() - HOUR).await;
    let (_, text) = doctor(&folder, &FILES).await;
    assert!(
        lines(&text, "jobs")
            .0
            .contains("1 unfinished, the oldest is due for"),
        "{text}"
    );
    run(
        &folder,
        "jobs.db",
        "UPDATE river_job SET state = 'discarded', finalized_at = CURRENT_TIMESTAMP",
    )
    .await;
    let (status, text) = doctor(&folder, &FILES).await;
    let (line, fix) = lines(&text, "jobs");
    assert!(
        line.starts_with("warn") && line.contains("1 dead"),
        "{text}"
    );
    assert!(fix.contains("`jobs list --state dead`"), "{text}");
    assert_eq!(status, 0, "{text}");
}
