//! The console of `dev`: schedules by cron expressions, handlers that share a key, copied calls, stored calls.

use std::path::Path;
use std::process::Command;

use forge_remote_tests::app_command::app_command;
use forge_remote_tests::dev_process::DevProcess;
use forge_remote_tests::http::Call;
use forge_remote_tests::stores::Folder;
use serde_json::{Value, json};

pub(super) async fn get(dev: &DevProcess, path: &str) -> Value {
    let call = Call::new("GET", &format!("/console/api/{path}"));
    let (status, value) = dev.api(call).await;
    assert_eq!(status, 200, "{path}: {value}");
    value
}

pub(super) async fn post(dev: &DevProcess, path: &str, body: Value) -> (u16, Value) {
    let call = Call::post(&format!("/console/api/{path}"));
    dev.api(call.json(&body)).await
}

/// Makes a call by a path of the API, and returns everything that is recorded of it.
pub(super) async fn made(dev: &DevProcess, path: &str, body: Value) -> Value {
    let (status, made) = post(dev, path, body).await;
    assert_eq!(status, 200, "{path}: {made}");
    get(dev, &format!("calls/{}", made["id"])).await
}

async fn handler(dev: &DevProcess, id: &str) -> Value {
    let handlers = get(dev, "handlers").await;
    let mut handlers = handlers.as_array().unwrap().iter();
    handlers.find(|one| one["id"] == id).unwrap().clone()
}

/// Reads a path of the API until its value is as wanted.
pub(super) async fn until(
    dev: &DevProcess,
    path: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    for _ in 0..5000 {
        let value = get(dev, path).await;
        if is_wanted(&value) {
            return value;
        }
        tokio::task::yield_now().await;
    }
    panic!("{path} stays as it is: {}", get(dev, path).await);
}

pub(super) fn logged(call: &Value, message: &str) -> bool {
    let log = call["log"].as_array().unwrap();
    log.iter().any(|line| line["message"] == message)
}

/// Without an engine, an occurrence is run by the call of the clock; with one, it is stored first.
#[tokio::test]
async fn cron_schedules_are_listed_fired_and_paused() {
    for has_engine in [false, true] {
        let folder = Folder::default();
        let mut command = app_command(env!("CARGO_BIN_EXE_plain_app"), folder.path(), &["dev"]);
        command.env("CRON", "1");
        if has_engine {
            command.env("JOBS", folder.file("jobs.db"));
            command.env("SQLITE", folder.file("tokens.db"));
        }
        let dev = DevProcess::start(&mut command);
        let report = handler(&dev, "report-trigger").await;
        assert_eq!(
            report["cron"],
            json!({
                "expression": "30 2 29 2 *", "tz": "Europe/Berlin", "waits_for_clock": !has_engine,
            })
        );
        let next = report["next_calls"].as_array().unwrap();
        assert_eq!(next.len(), 5, "{report}");
        let times: Vec<u64> = next.iter().map(|one| one["at"].as_u64().unwrap()).collect();
        assert!(times.is_sorted_by(|one, other| one < other), "{times:?}");
        for one in next {
            let local = one["local"].as_str().unwrap();
            assert!(
                local.ends_with(" 02:30") || local.ends_with(" 03:00"),
                "{local}"
            );
        }

        let fire = async || {
            let call = made(&dev, "schedules/report-trigger/fire", json!({})).await;
            assert_eq!(call["status"], 202, "{call}");
            assert_eq!(call["fires"], "report-trigger");
            // Forge calls the clock, whose token it is.
            assert_eq!(call["claims"]["app"]["module"]["key"], "cron-clock");
            call["id"].clone()
        };
        let ran = async |count: usize, id: &Value| match has_engine {
            true => {
                until(&dev, "jobs?state=done", |jobs| {
                    let jobs = jobs["jobs"].as_array().unwrap().iter();
                    jobs.filter(|job| job["handler"] == "report-trigger")
                        .count()
                        == count
                })
                .await;
            }
            false => {
                let path = format!("calls/{id}");
                until(&dev, &path, |call| logged(call, "the handler has run")).await;
            }
        };
        // Each fires the handler, also of an occurrence that has run.
        for count in 1..=2 {
            ran(count, &fire().await).await;
        }
        for (action, is_paused) in [("pause", true), ("resume", false)] {
            let path = format!("schedules/report-trigger/{action}");
            assert_eq!(post(&dev, &path, json!({})).await.0, 200);
            let report = handler(&dev, "report-trigger").await;
            assert_eq!(report["is_paused"], is_paused);
            assert_eq!(handler(&dev, "hourly-trigger").await["is_paused"], false);
            // An occurrence that is fired by hand runs, as a paused interval's handler does.
            ran(if is_paused { 3 } else { 4 }, &fire().await).await;
        }
        let tick = made(&dev, "schedules/tick-trigger/fire", json!({})).await;
        assert_eq!(
            (&tick["key"], &tick["status"]),
            (&json!("tick-trigger"), &json!(200))
        );
        assert_eq!(tick["fires"], Value::Null);
        let (status, _) = post(&dev, "schedules/nothing/fire", json!({})).await;
        assert_eq!(status, 404);
    }
}

/// The header by which the local platform fires a schedule is of no effect in a call of Forge.
#[tokio::test]
async fn a_fired_call_is_copied_as_a_test_that_fires() {
    let folder = Folder::default();
    let mut command = app_command(env!("CARGO_BIN_EXE_plain_app"), folder.path(), &["dev"]);
    let dev = DevProcess::start(command.env("CRON", "1"));
    let call = made(&dev, "schedules/report-trigger/fire", json!({})).await;
    let test = call["rust_test"].as_str().unwrap();
    let header = r#".header("x-forge-remote-fire", "report-trigger")"#;
    assert!(
        test.contains(header) && test.contains("status(), 202)"),
        "{test}"
    );
    assert_eq!(call["invoke_command"], "");
    let reason = call["no_command"].as_str().unwrap();
    assert!(
        reason.starts_with("A fired schedule has no command"),
        "{reason}"
    );
    // Again fires again.
    let path = format!("calls/{}/again", call["id"]);
    let again = made(&dev, &path, json!({})).await;
    assert_eq!(again["fires"], "report-trigger");
}

fn events_app() -> DevProcess {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut command = app_command(env!("CARGO_BIN_EXE_events_app"), folder, &["dev"]);
    DevProcess::start(command.env("FORGE_REMOTE_MANIFEST", "none/manifest.yml"))
}

/// Forge's next step after a delivery of an event that fails, and after each of its retries.
const VERDICTS: [&str; 5] = [
    "Forge would retry in 60 s, up to 4 times",
    "Forge would retry in 60 s, up to 3 times",
    "Forge would retry in 60 s, up to 2 times",
    "Forge would retry in 60 s, for the last time",
    "Forge would not retry again: the call is lost",
];

/// A retry that is made again is the same retry, and a retry of a retry the next one.
#[tokio::test]
async fn a_retry_that_is_repeated_counts_on() {
    let dev = events_app();
    // The version is no object, so the handler rejects the body.
    let body = "{\"eventType\": \"avi:jira:created:version\",  \"version\": 7}";
    let path = "handlers/follow-trigger/call";
    let shown = |call: &Value| (call["retry"].as_u64().unwrap_or(0), call["verdict"].clone());
    let mut call = made(&dev, path, json!({ "body": body })).await;
    for (retry, verdict) in VERDICTS.into_iter().enumerate() {
        let again = format!("calls/{}/again", call["id"]);
        if retry > 0 {
            call = made(&dev, &again, json!({ "retry": retry })).await;
        }
        let expected = (retry as u64, json!(verdict));
        assert_eq!(shown(&call), expected, "{call}");
        let again = format!("calls/{}/again", call["id"]);
        let same = made(&dev, &again, json!({})).await;
        assert_eq!(shown(&same), expected, "{same}");
        assert_eq!(same["request"]["body"], call["request"]["body"]);
        // The sent body shows which retry it is, regardless of the caller.
        let new = json!({ "body": call["request"]["body"] });
        assert_eq!(shown(&made(&dev, path, new).await), expected);
    }
    let again = format!("calls/{}/again", call["id"]);
    // Every place that takes a retry's number has the same bounds.
    for path in [&again, path] {
        for number in [json!(0), json!(5), json!(-1)] {
            let (status, error) = post(&dev, path, json!({ "retry": number })).await;
            assert_eq!(status, 400, "{path} {number}");
            let error = error["error"].as_str().unwrap();
            assert!(error.contains("retry: "), "{path} {number}: {error}");
        }
        let (_, error) = post(&dev, path, json!({ "retry": 5 })).await;
        let bounds = "Forge retries a call 4 times at most: a retry has a number from 1 to 4";
        assert!(error.to_string().contains(bounds), "{error}");
    }
    let invoke = async |number: u32| {
        let path = "/invoke/follow-trigger";
        let call = Call::post(path).json(&json!({ "retry": number }));
        dev.send(call).await
    };
    assert_eq!(invoke(4).await.status, 200);
    for number in [0, 5, 99] {
        let response = invoke(number).await;
        assert_eq!(response.status, 400, "{number}");
        assert!(response.text().contains("from 1 to 4"), "{number}");
    }
}

/// Five hooks form one module.
#[tokio::test]
async fn handlers_that_share_a_key_are_distinct() {
    let dev = events_app();
    for (id, function) in [
        ("rollback", "rollback"),
        ("commit", "commit"),
        ("status", "status"),
    ] {
        let path = format!("/data-residency/{id}");
        let call = made(&dev, &format!("handlers/{id}/call"), json!({})).await;
        assert_eq!(
            (&call["path"], &call["handler"]),
            (&json!(path), &json!(id))
        );
        assert_eq!(call["key"], "data-residency");
        let again = made(&dev, &format!("calls/{}/again", call["id"]), json!({})).await;
        assert_eq!(
            (&again["path"], &again["handler"]),
            (&json!(path), &json!(id))
        );
        let test = again["rust_test"].as_str().unwrap();
        assert!(
            test.contains(&format!("async fn {function}_responds_with_200_")),
            "{test}"
        );
        assert!(test.contains(&format!(", {id:?})")), "{test}");
        let command = again["invoke_command"].as_str().unwrap();
        assert!(
            command.starts_with(&format!("cargo run -- invoke {id} ")),
            "{command}"
        );
    }
    let ids = get(&dev, "handlers").await;
    let ids: std::collections::BTreeSet<_> = ids
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 9, "{ids:?}");
}

/// The copied command makes the same call.
#[tokio::test]
async fn a_copied_command_sends_the_same_bytes() {
    let dev = events_app();
    let json = "{\"a\":  1.0, \"a\": 'it\"s' }";
    for (id, new) in [
        (
            "hook-webtrigger",
            json!({ "method": "POST", "body": "name=value&other=it's" }),
        ),
        (
            "hook-webtrigger",
            json!({ "method": "PUT", "body": "a\r\nb", "subpath": "/orders/7" }),
        ),
        (
            "hook-webtrigger",
            json!({ "method": "GET", "query": "a=b&c=d" }),
        ),
        ("greet", json!({ "body": json })),
        ("greet", json!({ "body": "" })),
        ("greet", json!({ "body": "--body" })),
        (
            "follow-trigger",
            json!({ "event": "avi:jira:deleted:issue", "retry": 3 }),
        ),
    ] {
        let call = made(&dev, &format!("handlers/{id}/call"), new.clone()).await;
        let command = call["invoke_command"].as_str().unwrap();
        let command = command.replace("cargo run --", env!("CARGO_BIN_EXE_events_app"));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let calls = get(&dev, "calls").await;
        let last = calls["calls"].as_array().unwrap().last().unwrap()["id"].clone();
        assert!(last.as_u64() > call["id"].as_u64(), "{command}: {errors}");
        let sent = get(&dev, &format!("calls/{last}")).await;
        for part in ["method", "path", "event", "retry", "status", "handler"] {
            assert_eq!(sent[part], call[part], "{part} of {command}: {errors}");
        }
        assert_eq!(
            sent["request"]["body"], call["request"]["body"],
            "{command}"
        );
        assert_eq!(sent["origin"], "invoke");
    }
}

#[tokio::test]
async fn copied_tests_have_distinct_names_and_expect_a_response() {
    let dev = events_app();
    let test = async |id: &str, new: Value| {
        let call = made(&dev, &format!("handlers/{id}/call"), new).await;
        call["rust_test"].as_str().unwrap().to_owned()
    };
    let name = |test: &str| {
        let (_, rest) = test.split_once("async fn ").unwrap();
        rest.split_once('(').unwrap().0.to_owned()
    };
    let mut names = std::collections::BTreeSet::new();
    for (id, new) in [
        ("greet", json!({ "body": "{}" })),
        ("greet", json!({ "body": "{ }" })),
        ("greet", json!({ "body": "" })),
        ("greet", json!({ "query": "a=b" })),
        ("hook-webtrigger", json!({ "method": "POST" })),
        ("hook-webtrigger", json!({ "method": "PUT" })),
        (
            "hook-webtrigger",
            json!({ "method": "PUT", "subpath": "/7" }),
        ),
        (
            "follow-trigger",
            json!({ "event": "avi:jira:deleted:issue" }),
        ),
        (
            "follow-trigger",
            json!({ "event": "avi:jira:deleted:issue", "retry": 1 }),
        ),
    ] {
        let first = test(id, new.clone()).await;
        assert!(names.insert(name(&first)), "{first}");
        assert_eq!(test(id, new).await, first, "the same call is the same test");
    }
    // An empty body is not the sample.
    let empty = test("greet", json!({ "body": "" })).await;
    assert!(empty.contains(".body(r#\"\"#)"), "{empty}");
    // An invalid path cannot be requested, so there is no response to expect.
    let call = made(
        &dev,
        "handlers/hook-webtrigger/call",
        json!({ "subpath": "a b" }),
    )
    .await;
    assert_eq!(
        (&call["status"], &call["rust_test"]),
        (&Value::Null, &json!("")),
        "{call}"
    );
    assert!(call["error"].is_string(), "{call}");
    let forged = made(&dev, "handlers/greet/call", json!({ "forgery": "expired" })).await;
    assert_eq!(
        (&forged["rust_test"], &forged["invoke_command"]),
        (&json!(""), &json!(""))
    );
}

/// Tests run in the package's directory, wherever `dev` was started.
#[tokio::test]
async fn a_copied_test_reads_the_fixtures_of_dev() {
    let folder = Folder::default();
    let fixtures = folder.file("fixtures.yml");
    std::fs::write(&fixtures, "pages: [{ id: 7, title: Mine }]").unwrap();
    let root = folder.path().parent().unwrap();
    let inside = Path::new(folder.path().file_name().unwrap()).join("fixtures.yml");
    for (package, read) in [
        (folder.path(), Path::new("fixtures.yml")),
        (root, &*inside),
        (&*folder.file("another"), &*fixtures),
    ] {
        let mut command = app_command(env!("CARGO_BIN_EXE_life_app"), root, &["dev"]);
        command.env("CARGO_MANIFEST_DIR", package);
        let dev = DevProcess::start(command.arg("--fixtures").arg(&inside));
        let call = made(&dev, "handlers/triage-trigger/call", json!({})).await;
        let test = call["rust_test"].as_str().unwrap();
        let line = format!("    apis.read_fixtures({read:?})?;\n    let call");
        assert!(test.contains(&line), "{test}");
    }
}

pub(super) fn jobs_app(folder: &Folder) -> DevProcess {
    DevProcess::start(&mut app_command(
        env!("CARGO_BIN_EXE_jobs_app"),
        folder.path(),
        &["dev"],
    ))
}

/// Failed jobs are listed regardless of the waiting ones, and the omitted ones are counted.
#[tokio::test]
async fn failed_jobs_are_listed_together_with_many_that_wait() {
    let folder = Folder::default();
    let dev = jobs_app(&folder);
    let call = async |id: &str, body: Value| {
        let new = json!({ "body": body.to_string() });
        let call = made(&dev, &format!("handlers/{id}/call"), new).await;
        assert_eq!(call["status"], 202, "{call}");
        call
    };
    let failing = call("index", json!({ "how": "fails" })).await;
    let counted = |count: u64| move |jobs: &Value| jobs["count"] == count;
    until(&dev, "jobs?state=failed", counted(1)).await;
    // The log of the run is in that of the call which was stored.
    let path = format!("calls/{}", failing["id"]);
    until(&dev, &path, |call| {
        call["log"].to_string().contains("the search index is down")
    })
    .await;
    call("export", json!({ "how": "hangs" })).await;
    until(&dev, "jobs?state=running", counted(1)).await;
    for number in 0..205 {
        call("export", json!({ "how": "quick", "number": number })).await;
    }
    let waiting = get(&dev, "jobs?state=waiting").await;
    assert_eq!(waiting["count"], 205);
    assert_eq!(waiting["jobs"].as_array().unwrap().len(), 200);
    let failed = get(&dev, "jobs?state=failed").await;
    assert_eq!(
        (&failed["count"], &failed["jobs"][0]["handler"]),
        (&json!(1), &json!("index"))
    );
    // No state is every state; a state that no job can have is an error, not an empty list.
    assert_eq!(get(&dev, "jobs").await["count"], 207);
    let path = "/console/api/jobs?state=finished";
    let (status, error) = dev.api(Call::new("GET", path)).await;
    assert_eq!(status, 400, "{error}");
    let error = error["error"].as_str().unwrap();
    assert!(error.contains("unknown variant `finished`"), "{error}");
}
