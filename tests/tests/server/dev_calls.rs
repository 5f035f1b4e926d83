//! `dev` and `invoke` call each event of a trigger and each hook of a module, also as a retry.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use forge_remote_tests::app_command::{app_command, run};
use forge_remote_tests::dev_process::DevProcess;
use forge_remote_tests::http::{self, Call};
use forge_remote_tests::jws::Fit;
use forge_remote_tests::test_app::eventually;

fn app(arguments: &[&str]) -> Command {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut command = app_command(env!("CARGO_BIN_EXE_events_app"), folder, arguments);
    command
        .env("FORGE_REMOTE_MANIFEST", "none/manifest.yml")
        .env_remove("WITH_SAMPLE");
    command
}

fn line<'a>(text: &'a str, what: &str) -> &'a str {
    let found = text.lines().find(|line| line.contains(what));
    found.unwrap_or_else(|| panic!("{what} is not in\n{text}"))
}

#[test]
fn each_event_of_a_trigger_is_called_once_with_its_own_body() {
    let (good, text) = run(&mut app(&["dev", "--once"]));
    assert!(good, "{text}");
    for event in ["avi:jira:created:version", "avi:jira:deleted:issue"] {
        assert!(line(&text, event).starts_with("ok "), "{text}");
    }
    // An undocumented event is only a name, so a handler that needs more does not fail `dev`.
    assert!(
        line(&text, "avi:jira:invented:thing").starts_with("body"),
        "{text}"
    );
    line(&text, "App::sample_body(\"follow-trigger\", json)");
    for call in [
        "POST /data-residency/schedule",
        "GET /data-residency/status",
        "POST /data-residency/rollback",
    ] {
        assert!(line(&text, call).starts_with("ok "), "{text}");
    }
}

#[test]
fn the_output_is_aligned() {
    let (_, text) = run(&mut app(&["dev", "--once"]));
    let is_call = |line: &&str| {
        ["ok  ", "body", "FAIL"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let calls: Vec<&str> = text.lines().filter(is_call).collect();
    assert!(calls.len() >= 10, "{text}");
    // Verdict, key, call, status, duration, tokens.
    let columns = |line: &str| {
        let call = line.find("POST /").or(line.find("GET /"));
        (call, line.find(" ms  "), line.find("no tokens"))
    };
    for line in &calls {
        assert_eq!(columns(line), columns(calls[0]), "{text}");
        let (call, _) = line.split_once("no tokens").unwrap();
        assert!(call.len() <= 90, "{line}");
    }
}

#[test]
fn calls_are_printed_as_json() {
    let output = app(&["dev", "--once", "--json"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let calls: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(calls.len() >= 9, "{text}");
    for call in &calls {
        assert!(
            call["status"].is_u64() && call["elapsed_ms"].is_f64(),
            "{call}"
        );
        assert_eq!(call["origin"], "once");
    }
    let greet = calls.iter().find(|call| call["key"] == "greet").unwrap();
    assert_eq!(greet["outcome"], "passed");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("local Forge platform: http://127.0.0.1:"),
        "{errors}"
    );
}

#[test]
fn a_text_for_a_page_is_marked() {
    let (good, text) = run(&mut app(&["dev", "--once"]));
    assert!(good, "{text}");
    assert!(line(&text, "POST /greet").starts_with("ok "), "{text}");
    let marks = text.matches("a page's `invokeRemote` rejects this response: its body is not JSON");
    assert_eq!(marks.count(), 1, "{text}");
}

/// Jira shows the message of a JQL function to the user.
#[test]
fn the_error_of_a_successful_response_is_printed() {
    let (good, text) = run(&mut app(&["dev", "--once"]));
    assert!(good, "{text}");
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("POST /urgent"));
    assert!(lines.next().unwrap().starts_with("ok "), "{text}");
    assert_eq!(
        lines.next().unwrap().trim(),
        r#"the response reports an error: "there is no team \"text\"""#
    );
    assert_eq!(text.matches("reports an error").count(), 1, "{text}");
}

#[test]
fn a_sample_is_used_for_the_event_it_names() {
    let (good, text) = run(app(&["dev", "--once"]).env("WITH_SAMPLE", "1"));
    assert!(good, "{text}");
    for event in [
        "avi:jira:created:version",
        "avi:jira:deleted:issue",
        "avi:jira:invented:thing",
    ] {
        assert!(line(&text, event).starts_with("ok "), "{text}");
    }
}

/// Several samples for one event are a call each, and one without an event is sent for each other event.
#[test]
fn each_sample_is_sent() {
    for order in ["written", "reversed"] {
        let output = app(&["dev", "--once", "--json"])
            .env("WITH_SAMPLES", order)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let calls = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let calls: Vec<serde_json::Value> = calls.collect();
        let outcomes = |key: &str, event: Option<&str>| -> Vec<&str> {
            let of_event = calls
                .iter()
                .filter(|call| call["key"] == key && call["event"].as_str() == event);
            of_event
                .map(|call| call["outcome"].as_str().unwrap())
                .collect()
        };
        let of = |event| outcomes("follow-trigger", Some(event));
        assert_eq!(
            of("avi:jira:created:version"),
            ["passed", "passed"],
            "{order}: {text}"
        );
        // The handler accepts no body without an event, and this body is the app's own.
        assert_eq!(of("avi:jira:deleted:issue"), ["failed"], "{order}: {text}");
        assert_eq!(of("avi:jira:invented:thing"), ["failed"], "{order}: {text}");
        assert_eq!(
            outcomes("greet", None),
            ["passed", "passed"],
            "{order}: {text}"
        );
    }
}

/// For a pipe such as `invoke status | jq`.
#[test]
fn invoke_separates_the_response_from_its_own_line() {
    let dev = DevProcess::start(&mut app(&["dev"]));
    let output = app(&["invoke", "status", "--platform", &dev.platform])
        .output()
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(body["status"], "ready-to-commit", "{body}");
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("GET /data-residency/status  200"), "{line}");
}

#[test]
fn invoke_calls_every_hook_event_method_and_retry() {
    let dev = DevProcess::start(&mut app(&["dev"]));
    let invoke = |arguments: &[&str]| {
        let all = [&["invoke", "--platform", &dev.platform], arguments].concat();
        run(&mut app(&all))
    };
    // Five hooks form one module; each is listed by the name that calls it.
    let (_, keys) = dev.keys.rsplit_once("the keys: ").unwrap();
    let mut keys: Vec<&str> = keys.split(", ").collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "commit",
            "follow-trigger",
            "greet",
            "hook-webtrigger",
            "rollback",
            "schedule",
            "start",
            "status",
            "urgent-jql"
        ]
    );
    for (arguments, expected) in [
        (
            &["data-residency", "--method", "GET"][..],
            "ready-to-commit",
        ),
        (&["status"], "GET /data-residency/status"),
        (&["commit"], "POST /data-residency/commit"),
        (&["follow"], "version 10200 1.0, for the 0. time again"),
        (
            &[
                "follow",
                "--event",
                "avi:jira:deleted:issue",
                "--retry",
                "3",
            ],
            "issue DEV-1, for the 3. time again",
        ),
        (
            &["hook", "--method", "put", "--subpath", "orders/7"],
            "PUT /orders/7",
        ),
    ] {
        let (good, text) = invoke(arguments);
        assert!(good && text.contains(expected), "{arguments:?}\n{text}");
    }
    for (arguments, expected) in [
        (
            &["data-residency", "--method", "PATCH"][..],
            "no handler has the key",
        ),
        (
            &["hook", "--event", "avi:jira:deleted:issue"],
            "isn't called for events",
        ),
        (&["follow", "--retry", "0"], "a number from 1 to 4"),
        (&["nobody"], "the keys are: "),
    ] {
        let (good, text) = invoke(arguments);
        assert!(!good && text.contains(expected), "{arguments:?}\n{text}");
    }
    // An event that the handler does not declare.
    let (good, text) = invoke(&["follow", "--event", "avi:jira:created:board"]);
    assert!(!good && text.contains(" 422 "), "{text}");
    assert!(
        text.contains("Forge would not deliver this event"),
        "{text}"
    );
    let (_, text) = invoke(&["follow", "--event", "avi:jira:invented:thing"]);
    assert!(!text.contains("Forge would not"), "{text}");
}

/// A tunnel to `dev` brings Forge's own calls, which `dev` cannot verify: the log has the fix.
#[tokio::test]
async fn the_log_of_dev_says_how_to_receive_forges_calls() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dev_calls.log");
    let log = std::fs::File::create(&path).unwrap();
    let dev = DevProcess::logging_to(&mut app(&["dev"]), log);
    let fit = Fit::backend(SystemTime::now(), "tick").token();
    let call = Call::post("/greet").host(&dev.app_address().to_string());
    let response = http::send(dev.app_address(), &call.bearer(&fit)).await;
    let status = response.unwrap().status;
    assert!([401, 503].contains(&status), "{status}");
    let read = || std::fs::read_to_string(&path).unwrap();
    let hint = "for Forge's calls, run the app without `dev`";
    assert!(eventually(|| read().contains(hint)).await, "{}", read());
}
