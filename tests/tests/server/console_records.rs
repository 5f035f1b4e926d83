//! The calls that the console of `dev` records, and their assignment to handlers.

use std::process::Command;

use forge_remote_tests::stores::Folder;
use serde_json::{Value, json};

use super::console_calls::{get, jobs_app, logged, made, post, until};

/// A page can call several endpoints by one key.
#[tokio::test]
async fn endpoints_that_share_a_key_and_a_path_are_distinguished() {
    let folder = Folder::default();
    let dev = jobs_app(&folder);
    for (id, function, method) in [
        ("votes (GET /votes)", "count_votes", "Get"),
        ("votes (PUT /votes)", "vote", "Put"),
    ] {
        let path = format!(
            "handlers/{}/call",
            id.replace(' ', "%20").replace('/', "%2F")
        );
        let call = made(&dev, &path, json!({})).await;
        let is_it = |call: &Value| {
            assert_eq!(call["method"], method.to_uppercase(), "{call}");
            let names = (&call["handler"], &call["key"]);
            assert_eq!(names, (&json!(id), &json!("votes")));
        };
        is_it(&call);
        let again = made(&dev, &format!("calls/{}/again", call["id"]), json!({})).await;
        is_it(&again);
        let test = again["rust_test"].as_str().unwrap();
        let link = format!("call_method(Method::{method}, \"votes\")");
        assert!(
            test.contains(&format!("async fn {function}_")) && test.contains(&link),
            "{test}"
        );
        let command = again["invoke_command"].as_str().unwrap();
        let command = command.replace("cargo run --", env!("CARGO_BIN_EXE_jobs_app"));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let calls = get(&dev, "calls").await;
        let last = calls["calls"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["origin"], "invoke", "{command}: {errors}");
        is_it(&last);
    }
}

/// An app with its own traces names them as forge-remote does.
#[tokio::test]
async fn a_span_of_the_app_with_a_trace_id_hides_no_line() {
    let folder = Folder::default();
    let dev = jobs_app(&folder);
    let call = made(
        &dev,
        "handlers/index/call",
        json!({ "body": "{\"how\": \"waits\"}" }),
    )
    .await;
    let path = format!("calls/{}", call["id"]);
    until(&dev, &path, |call| logged(call, "waits for its release")).await;
    made(&dev, "handlers/release/call", json!({})).await;
    until(&dev, &path, |call| logged(call, "was released")).await;
}

#[tokio::test]
async fn the_source_of_a_token_is_the_call_that_brought_it_last() {
    let folder = Folder::default();
    let dev = jobs_app(&folder);
    let source = async || get(&dev, "tokens").await["installations"][0]["source"].clone();
    // The trigger of `keep_tokens_fresh` is called at the start.
    until(&dev, "tokens", |tokens| {
        tokens["installations"][0]["source"] == "forge"
    })
    .await;
    made(&dev, "handlers/votes/call", json!({})).await;
    assert_eq!(source().await, "page");
    made(&dev, "handlers/tokens-hourly-trigger/call", json!({})).await;
    assert_eq!(source().await, "forge");
}

/// Nobody reads the calls that the local APIs have received.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn writes_to_local_apis_are_not_kept() {
    let folder = Folder::default();
    let dev = jobs_app(&folder);
    made(&dev, "handlers/flood/call", json!({})).await;
    let before = dev.memory();
    for _ in 0..4 {
        let call = made(&dev, "handlers/flood/call", json!({})).await;
        assert_eq!(
            (&call["status"], call["outgoing"].as_array().unwrap().len()),
            (&json!(200), 4)
        );
    }
    let grown = dev.memory().saturating_sub(before);
    assert!(
        grown < 40 * 1024 * 1024,
        "64 MiB were written; dev grew by {grown} bytes"
    );
}

#[tokio::test]
async fn a_call_that_no_command_can_make_says_why() {
    let folder = Folder::default();
    let dev = jobs_app(&folder);
    for (new, reason) in [
        (
            json!({ "forgery": "expired" }),
            "A forged call has no command to copy",
        ),
        (
            json!({ "body": "a\0b" }),
            "The body has a NUL character, which no command can have",
        ),
        (
            json!({ "body": "x".repeat(200_000) }),
            "The body is too large for a command",
        ),
    ] {
        let call = made(&dev, "handlers/release/call", new).await;
        assert_eq!(
            (&call["invoke_command"], &call["no_command"]),
            (&json!(""), &json!(reason))
        );
    }
    let call = made(&dev, "handlers/release/call", json!({ "body": "x" })).await;
    assert_eq!(
        (&call["no_command"], &call["no_test"]),
        (&Value::Null, &Value::Null)
    );
    let (status, _) = post(&dev, "handlers/slowest/call", json!({})).await;
    assert_eq!(status, 404);
}
