//! `doctor`: the faults of a deployment are found, each with its fix.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Output;
use std::time::{Duration, SystemTime};

use forge_remote::fit::STAGING_KEYS;
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, published};
use forge_remote_tests::stores::{Folder, KEYS};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// Returns a response with these keys, and the date of a clock that differs by some seconds.
pub(crate) fn keys_at(offset: i64) -> JwksResponse {
    let by = Duration::from_secs(offset.unsigned_abs());
    let now = SystemTime::now();
    let date = httpdate::fmt_http_date(if offset < 0 { now - by } else { now + by });
    let body = published().to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    JwksResponse::Bytes([head.as_bytes(), body.as_bytes()].concat())
}

/// The published keys, from a cache that has had them for this time.
fn cached_keys(age: u64) -> JwksResponse {
    let JwksResponse::Bytes(bytes) = keys_at(-i64::try_from(age).unwrap()) else {
        unreachable!("keys_at responds with bytes");
    };
    let text = String::from_utf8(bytes).unwrap();
    JwksResponse::Bytes(
        text.replacen("date:", &format!("age: {age}\r\ndate:"), 1)
            .into_bytes(),
    )
}

/// A directory with the manifest of `plain_app`.
pub(crate) async fn deployment() -> Folder {
    let folder = Folder::default();
    let app = format!("app:\n  id: {APP_ID}\n  runtime:\n    name: nodejs22.x\n");
    fs::write(folder.file("manifest.yml"), app).unwrap();
    let written = app_in(&folder, &["manifest", "--write"])
        .output()
        .await
        .unwrap();
    assert!(written.status.success());
    folder
}

pub(crate) fn app_in(folder: &Folder, arguments: &[&str]) -> Command {
    placed(
        Command::new(env!("CARGO_BIN_EXE_plain_app")),
        folder,
        arguments,
    )
}

/// Runs a command of `plain_app` in a directory, with an empty environment.
pub(crate) fn placed(mut command: Command, folder: &Folder, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("FORGE_REMOTE_APP_ID")
        .env_remove("FORGE_REMOTE_MANIFEST");
    command
}

pub(crate) async fn doctor(folder: &Folder, response: JwksResponse) -> (Option<i32>, String) {
    let keys = JwksServer::start(response).await;
    let mut command = app_in(folder, &["doctor"]);
    let Output { status, stdout, .. } = command
        .env("FORGE_REMOTE_JWKS_URL", keys.url())
        .output()
        .await
        .unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

/// Returns the line of a check, with the line of its fix.
pub(crate) fn lines<'a>(text: &'a str, check: &str) -> (&'a str, &'a str) {
    let mut all = text.lines();
    let line = all
        .by_ref()
        .find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(check)));
    (
        line.unwrap_or_else(|| panic!("no {check} in\n{text}")),
        all.next().unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_sound_deployment_passes() {
    let folder = deployment().await;
    let (status, text) = doctor(&folder, keys_at(0)).await;
    assert_eq!(status, Some(0), "{text}");
    for check in ["handlers", "manifest", "app id", "clock", "open files"] {
        assert!(lines(&text, check).0.starts_with("ok "), "{check}: {text}");
    }
    // The tests have only their own keys.
    let (line, fix) = lines(&text, "keys");
    assert!(
        line.starts_with("warn") && line.ends_with("which is not Atlassian's set"),
        "{text}"
    );
    assert!(fix.contains("fix: remove FORGE_REMOTE_JWKS_URL"), "{text}");
    // Its schedule is not durable, so no store has its calls.
    assert!(lines(&text, "schedules").0.starts_with("? "), "{text}");
    assert!(text.ends_with("sound, with 1 warning\n"), "{text}");
}

#[tokio::test]
async fn a_clock_that_differs_is_reported() {
    let folder = deployment().await;
    for (offset, verdict, word) in [
        (-60, "FAIL", "ahead of"),
        (60, "FAIL", "behind"),
        (20, "warn", "behind"),
    ] {
        let (status, text) = doctor(&folder, keys_at(offset)).await;
        let (line, fix) = lines(&text, "clock");
        assert!(line.starts_with(verdict) && line.contains(word), "{text}");
        assert!(fix.contains("fix: synchronize the clock"), "{text}");
        assert_eq!(status, Some(i32::from(verdict == "FAIL")), "{text}");
    }
}

#[tokio::test]
async fn the_age_of_a_cached_key_set_is_no_difference_of_clocks() {
    let folder = deployment().await;
    let (status, text) = doctor(&folder, cached_keys(1800)).await;
    assert!(lines(&text, "clock").0.starts_with("ok "), "{text}");
    assert_eq!(status, Some(0), "{text}");
    let JwksResponse::Bytes(bytes) = keys_at(0) else {
        unreachable!("keys_at responds with bytes");
    };
    let dateless = String::from_utf8(bytes)
        .unwrap()
        .replacen("date:", "x-date:", 1);
    let (status, text) = doctor(&folder, JwksResponse::Bytes(dateless.into_bytes())).await;
    assert!(lines(&text, "clock").0.starts_with("? "), "{text}");
    assert_eq!(status, Some(0), "{text}");
}

#[tokio::test]
async fn a_key_set_that_is_not_one_is_reported() {
    let folder = deployment().await;
    for (response, expected) in [
        (
            JwksResponse::Text(404, "text/plain", "no".to_owned()),
            "responded with 404",
        ),
        (JwksResponse::json("{\"keys\": []}"), "0 usable keys"),
        (JwksResponse::json("<html>"), "not a JSON Web Key Set"),
        (JwksResponse::Reset, "cannot be fetched"),
    ] {
        let (status, text) = doctor(&folder, response).await;
        let (line, fix) = lines(&text, "keys");
        assert!(
            line.starts_with("FAIL") && line.contains(expected),
            "{text}"
        );
        assert!(fix.contains("FORGE_REMOTE_JWKS_URL"), "{text}");
        assert_eq!(status, Some(1));
        assert!(text.contains("not sound: 1 check failed"), "{text}");
    }
}

/// Runs `doctor` with this environment, and a commercial key set whose clock is right.
async fn doctor_with(folder: &Folder, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let keys = JwksServer::start(keys_at(0)).await;
    let mut command = app_in(folder, &["doctor"]);
    let command = command.env("FORGE_REMOTE_JWKS_URL", keys.url());
    let output = command.envs(environment.iter().copied()).output().await;
    let Output { status, stdout, .. } = output.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

/// Returns the lines of a check.
fn all<'a>(text: &'a str, check: &str) -> Vec<&'a str> {
    let is_of = |line: &&str| line.get(6..).is_some_and(|rest| rest.starts_with(check));
    text.lines().filter(is_of).collect()
}

/// Each cloud that the app accepts has a separate key set.
#[tokio::test]
async fn the_key_sets_of_other_clouds_are_checked() {
    let folder = deployment().await;
    let isolated = JwksServer::start(keys_at(0)).await;
    let url = isolated.url();
    let (status, text) = doctor_with(&folder, &[("ISOLATED", &url)]).await;
    let keys = all(&text, "keys");
    assert_eq!(keys.len(), 2, "{text}");
    assert!(
        keys[0].starts_with("warn") && keys[1].starts_with("ok "),
        "{text}"
    );
    let expected = format!("the isolated cloud `orange`: 2 keys from {url}");
    assert!(keys[1].contains(&expected), "{text}");
    let clocks = all(&text, "clock");
    assert_eq!(clocks.len(), 1, "{text}");
    assert!(
        clocks[0].contains("agrees with the hosts of 2 key sets"),
        "{text}"
    );
    assert_eq!(status, Some(0), "{text}");

    isolated.set_response(keys_at(60));
    let (status, text) = doctor_with(&folder, &[("ISOLATED", &url)]).await;
    let clocks = all(&text, "clock");
    assert_eq!(clocks.len(), 1, "{text}");
    assert!(clocks[0].starts_with("FAIL"), "{text}");
    assert!(
        clocks[0].contains("`orange`: this machine's clock is"),
        "{text}"
    );
    assert_eq!(status, Some(1), "{text}");

    isolated.set_response(JwksResponse::json("{\"keys\": []}"));
    let (status, text) = doctor_with(&folder, &[("ISOLATED", &url)]).await;
    let keys = all(&text, "keys");
    assert!(keys[0].starts_with("warn"), "{text}");
    assert!(
        keys[1].starts_with("FAIL") && keys[1].contains("0 usable keys"),
        "{text}"
    );
    assert_eq!(status, Some(1), "{text}");

    // Nothing is fetched from the Internet: no proxy listens there.
    let environment = [("STAGING", "1"), ("HTTPS_PROXY", "http://127.0.0.1:1")];
    let (status, text) = doctor_with(&folder, &environment).await;
    let keys = all(&text, "keys");
    assert_eq!(keys.len(), 2, "{text}");
    let expected = format!("FAIL  keys        the staging cloud: {STAGING_KEYS} cannot be fetched");
    assert!(keys[1].starts_with(&expected), "{text}");
    assert_eq!(status, Some(1), "{text}");
}

/// `App::key_source` replaces the URL, which is not fetched.
#[tokio::test]
async fn the_apps_own_source_of_keys_is_checked() {
    let folder = deployment().await;
    let own = JwksServer::start(keys_at(0)).await;
    let url = own.url();
    let down = ("FORGE_REMOTE_JWKS_URL", "http://127.0.0.1:1/jwks.json");
    let (status, text) = doctor_with(&folder, &[("KEY_SOURCE", &url), down]).await;
    let keys = all(&text, "keys");
    assert_eq!(keys.len(), 1, "{text}");
    assert!(
        keys[0].starts_with("warn") && keys[0].contains(&url),
        "{text}"
    );
    assert!(lines(&text, "clock").0.starts_with("ok "), "{text}");
    assert_eq!(status, Some(0), "{text}");

    own.set_response(keys_at(-60));
    let (status, text) = doctor_with(&folder, &[("KEY_SOURCE", &url), down]).await;
    assert!(lines(&text, "clock").0.starts_with("FAIL"), "{text}");
    assert_eq!(status, Some(1), "{text}");

    own.set_response(JwksResponse::Text(404, "text/plain", "no".to_owned()));
    let (status, text) = doctor_with(&folder, &[("KEY_SOURCE", &url), down]).await;
    let (line, fix) = lines(&text, "keys");
    assert!(line.starts_with("FAIL") && line.contains("404"), "{text}");
    assert!(fix.contains("`App::key_source`"), "{text}");
    assert_eq!(status, Some(1), "{text}");

    let (status, text) = doctor_with(&folder, &[("KEY_SOURCE", "vault"), down]).await;
    assert!(
        lines(&text, "keys").0.contains("2 keys from the vault"),
        "{text}"
    );
    assert!(lines(&text, "clock").0.starts_with("? "), "{text}");
    assert_eq!(status, Some(0), "{text}");
}

/// A server that accepts and never responds ends as a failed line, when its time is over.
#[tokio::test]
async fn silent_servers_fail_in_bounded_time() {
    let folder = deployment().await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let [keys, postgres, redis] = [
        format!("http://{address}/jwks.json"),
        format!("postgres://nobody@{address}/none"),
        format!("redis://{address}"),
    ];
    let tokens_in_postgres = [("POSTGRES", &*postgres), ("JOBS", &*postgres)];
    let tokens_in_redis = [("REDIS", &*redis)];
    for (environment, stores) in [(&tokens_in_postgres[..], 2), (&tokens_in_redis[..], 1)] {
        let mut command = app_in(&folder, &["doctor", "--timeout", "0.3"]);
        command
            .env("FORGE_REMOTE_JWKS_URL", &keys)
            .env("FORGE_REMOTE_TOKEN_KEY", KEYS[0])
            .envs(environment.iter().copied())
            .kill_on_drop(true);
        let output = timeout(Duration::from_secs(20), command.output()).await;
        let output = output.expect("it ends").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (line, fix) = lines(&text, "keys");
        assert!(
            line.starts_with("FAIL") && line.contains("timed out"),
            "{text}"
        );
        assert!(fix.contains("fix: allow the connection"), "{text}");
        let silent = all(&text, "store");
        assert_eq!(silent.len(), stores, "{text}");
        let expected = "no response within 300ms";
        assert!(
            silent
                .iter()
                .all(|line| line.starts_with("FAIL") && line.contains(expected)),
            "{text}"
        );
        assert_eq!(output.status.code(), Some(1), "{text}");
    }
    for wrong in ["0", "-1", "soon", "601"] {
        let option = format!("--timeout={wrong}");
        let output = app_in(&folder, &["doctor", &option]).output().await;
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("expected seconds"), "{text}");
    }
}

#[tokio::test]
async fn the_manifest_and_the_app_id_are_checked() {
    let folder = deployment().await;
    let manifest = folder.file("manifest.yml");
    let sound = fs::read_to_string(&manifest).unwrap();
    for (text, check, verdict) in [
        (
            sound.replace("interval: hour", "interval: day"),
            "manifest",
            "FAIL",
        ),
        (sound.replace("modules:", "modules: ["), "manifest", "FAIL"),
        (sound.replace("ari:cloud", "ari:clod"), "app id", "FAIL"),
    ] {
        fs::write(&manifest, text).unwrap();
        let (status, text) = doctor(&folder, keys_at(0)).await;
        let (line, fix) = lines(&text, check);
        assert!(line.starts_with(verdict) && fix.contains("fix: "), "{text}");
        assert_eq!(status, Some(1));
    }
    fs::remove_file(&manifest).unwrap();
    let (_, text) = doctor(&folder, keys_at(0)).await;
    assert!(lines(&text, "manifest").0.starts_with("warn"), "{text}");
    assert!(lines(&text, "app id").0.starts_with("FAIL"), "{text}");
}

#[tokio::test]
async fn few_open_files_are_a_warning() {
    let folder = deployment().await;
    let keys = JwksServer::start(keys_at(0)).await;
    let mut shell = Command::new("sh");
    let script = format!(
        "ulimit -n 128; exec {} doctor",
        env!("CARGO_BIN_EXE_plain_app")
    );
    shell.args(["-c", &script]).current_dir(folder.path());
    shell
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("FORGE_REMOTE_MANIFEST");
    let output = shell
        .env("FORGE_REMOTE_JWKS_URL", keys.url())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (line, fix) = lines(&text, "open files");
    assert!(line.starts_with("warn") && line.contains("128"), "{text}");
    assert!(fix.contains("ulimit"), "{text}");
    assert!(text.contains("sound, with 2 warnings"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

/// A reader of the report depends on each member: a change of one needs another `version`.
#[tokio::test]
async fn the_report_in_json_has_a_version() {
    let folder = deployment().await;
    let keys = JwksServer::start(keys_at(20)).await;
    let mut command = app_in(&folder, &["doctor", "--json"]);
    let output = command
        .env("FORGE_REMOTE_JWKS_URL", keys.url())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let text = text.replace(&keys.url(), "KEYS").replace(APP_ID, "APP");
    let mut report: Value = serde_json::from_str(&text).unwrap();
    for check in report["checks"].as_array_mut().unwrap() {
        let detail = check["detail"].as_str().unwrap();
        let digits = |one: char| if one.is_ascii_digit() { '0' } else { one };
        let mut detail: String = detail.chars().map(digits).collect();
        while detail.contains("00") {
            detail = detail.replace("00", "0");
        }
        check["detail"] = detail.into();
    }
    let passed = |check: &str, detail: &str| json!({ "check": check, "state": "passed", "detail": detail, "fix": null });
    let expected = json!({
        "version": 1,
        "sound": true,
        "checks": [
            passed("handlers", "0 handler"),
            passed("manifest", "manifest.yml matches the code"),
            passed("app id", "APP"),
            {
                "check": "keys",
                "state": "warning",
                "detail": "0 keys from KEYS in 0 ms, which is not Atlassian's set",
                "fix": "remove FORGE_REMOTE_JWKS_URL, `App::jwks_url` and `App::key_source`, unless it mirrors Atlassian's \
                    set: every holder of a private key of it can act as any installation",
            },
            {
                "check": "clock",
                "state": "warning",
                "detail": "this machine's clock is 0 s behind that of the key set's host",
                "fix": "synchronize the clock (NTP): Forge's tokens are valid for 25 seconds",
            },
            passed("open files", "0"),
            {
                "check": "schedules",
                "state": "unknown",
                "detail": "no store shows when Forge last called `tick-trigger`",
                "fix": "the metric `forge_remote.schedule.last_seen_age` and the log show it; calls of durable \
                    handlers are stored",
            },
        ],
    });
    assert_eq!(report, expected, "{report:#}");
}
