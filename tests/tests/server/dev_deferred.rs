//! `dev --once` waits for the work that is done after the response: durable handlers, jobs, spawned work.

use std::process::Command;

use serde_json::Value;

fn dev(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deferred_app"));
    command
        .args(["dev", "--once"])
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env_remove("FORGE_REMOTE_MANIFEST")
        .env_remove("CARGO_MANIFEST_DIR")
        .env("RUST_LOG", "info")
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The first line about the work of a place: its start, without the columns' spaces.
fn line_of(text: &str, place: &str) -> String {
    let (key, run) = run_of(place);
    let is_it = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(key) && line.contains(run) && !line.contains("POST")
    };
    let found = text.lines().find(is_it);
    let words = found.unwrap_or_else(|| panic!("{place} is not in\n{text}"));
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The key and the name of a place's run.
fn run_of(place: &str) -> (&'static str, &'static str) {
    match place {
        "DURABLE" => ("index", "job "),
        "JOB" => ("copy", "job "),
        _ => ("spawn", "spawned work"),
    }
}

const PLACES: [&str; 3] = ["DURABLE", "JOB", "SPAWNED"];

#[test]
fn work_after_the_response_has_run_when_dev_ends() {
    for _ in 0..5 {
        let (status, text, log) = dev(&[], &[]);
        assert_eq!(status, Some(0), "{text}\n{log}");
        for place in PLACES {
            assert!(text.contains(&format!("{place} is done\n")), "{text}");
            let line = line_of(&text, place);
            assert!(line.starts_with("ok ") && line.ends_with(" done"), "{line}");
        }
        // Below the call that stored it.
        let at = |what: &str| text.find(what).unwrap();
        assert!(
            at("POST /send") < at("job 1") && at("POST /index") < at("job 2"),
            "{text}"
        );
    }
}

#[test]
fn failed_work_after_the_response_fails_dev() {
    for place in PLACES {
        for (how, reason) in [
            ("fails", "the disk is full"),
            ("panics", "the index is torn"),
        ] {
            let (status, text, log) = dev(&[], &[(place, how)]);
            assert_eq!(status, Some(1), "{place} {how}: {text}\n{log}");
            assert!(
                line_of(&text, place).starts_with("FAIL "),
                "{place} {how}: {text}"
            );
            let reason = format!("{place}: {reason}");
            assert!(text.contains(&reason), "{place} {how}: {text}");
            for other in PLACES.iter().filter(|other| **other != place) {
                assert!(
                    line_of(&text, other).starts_with("ok "),
                    "{place} {how}: {text}"
                );
            }
            if place != "SPAWNED" {
                assert!(text.contains("its next attempt would be in "), "{text}");
            }
        }
    }
}

#[test]
fn work_that_does_not_end_is_a_failure() {
    let (status, text, _) = dev(&[], &[("SPAWNED", "waits")]);
    assert_eq!(status, Some(1), "{text}");
    let line = line_of(&text, "SPAWNED");
    assert!(
        line.starts_with("FAIL ") && line.ends_with(" running"),
        "{text}"
    );
    assert!(text.contains("it is cancelled at the end"), "{text}");

    let (_, text, _) = dev(&[], &[("JOB", "repeats")]);
    assert!(
        text.contains("the call has stored more than 500 jobs"),
        "{text}"
    );
}

/// The work of an earlier call, which ends in a later one, is not the later one's.
#[test]
fn late_work_is_not_that_of_the_next_call() {
    let (status, text, _) = dev(&[], &[("SPAWNED", "late")]);
    assert_eq!(status, Some(1), "{text}");
    let line = line_of(&text, "SPAWNED");
    assert!(line.ends_with(" running"), "{text}");
    let is_next = |line: &&str| line.contains("spawn-next") && !line.contains("POST");
    let next = text.lines().filter(is_next).map(str::split_whitespace);
    let next = next.map(|words| words.collect::<Vec<_>>().join(" "));
    let next = Vec::from_iter(next);
    assert_eq!(next, ["ok spawn-next spawned work done"], "{text}");
}

/// A made-up body that a durable handler rejects is no failure, as for any other handler.
#[test]
fn a_durable_handler_may_need_a_body() {
    let (status, text, _) = dev(&[], &[("DURABLE", "rejects")]);
    assert_eq!(status, Some(0), "{text}");
    assert!(line_of(&text, "DURABLE").starts_with("body "), "{text}");
    assert!(
        text.contains("set one with `App::sample_body(\"index\", json)`"),
        "{text}"
    );
    let (status, text, _) = dev(&[], &[("DURABLE", "rejects"), ("EVENT_BODY", "1")]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("DURABLE is done"), "{text}");
}

#[test]
fn runs_are_printed_as_json() {
    let (status, text, _) = dev(&["--json"], &[("JOB", "fails")]);
    assert_eq!(status, Some(1), "{text}");
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let run = |key: &str| {
        let mut runs = lines.iter().filter(|line| line.get("run").is_some());
        runs.find(|run| run["key"] == key).unwrap()
    };
    assert_eq!(run("index")["outcome"], "passed");
    assert_eq!(run("spawn")["run"], "spawned work");
    let copy = run("copy");
    assert_eq!(
        (&copy["outcome"], &copy["status"]),
        (&"failed".into(), &"failed".into())
    );
    assert!(
        copy["notes"][0]
            .as_str()
            .unwrap()
            .contains("the disk is full"),
        "{copy}"
    );
}
