//! Tokens signed by npm's `jose` are accepted, an attacker's are rejected, and `jose` verifies ours.
//!
//! Atlassian's own sample uses `jose`. `npm ci` in `tests/jose` installs it. Without it, or without
//! Node.js, these tests name what they skip and pass, except in CI.

use std::path::Path;
use std::process::Stdio;

use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, published, seconds};
use forge_remote_tests::report::{Report, skipped};
use forge_remote_tests::rsa::stranger;
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Runs `jose.mjs`; returns `None` when it cannot be run.
async fn jose(arguments: &[&str], input: &Value) -> Option<Value> {
    run("jose.mjs", arguments, input).await
}

/// Runs a script next to `jose`; returns `None` when it cannot be run.
pub(crate) async fn run(script: &str, arguments: &[&str], input: &Value) -> Option<Value> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("jose");
    let missing = if home.join("node_modules/jose").exists() {
        let version = Command::new("node")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .await;
        version
            .err()
            .map(|error| format!("node cannot be run ({error})"))
    } else {
        Some("tests/jose/node_modules is not there (`npm ci` in tests/jose)".to_owned())
    };
    if let Some(missing) = missing {
        skipped(&format!("`{script} {}`: {missing}", arguments.join(" ")));
        return None;
    }
    let mut child = Command::new("node")
        .arg(script)
        .args(arguments)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{script} failed, see above");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn valid_tokens_of_jose_are_accepted_and_others_rejected() {
    let app = TestApp::with(JwksResponse::json("{}"), |app| app).await;
    let now = seconds(app.now()).to_string();
    let Some(signed) = jose(&["sign", &now], &Value::Null).await else {
        return;
    };
    app.source
        .set_response(JwksResponse::Keys(signed["jwks"].clone()));
    app.clock.advance(std::time::Duration::from_secs(2));
    let cases = signed["cases"].as_array().unwrap();
    let token = |case: &Value| case["token"].as_str().unwrap().to_owned();
    assert!(
        app.status_becomes(&token(&cases[0]), 200).await,
        "the first good token"
    );

    let mut report = Report::new("tokens signed by jose");
    let (mut good, mut bad) = (0, 0);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let call = Call::post("/tick").bearer(&token(case));
        if case["status"] == json!(200) {
            good += 1;
            let fit = Fit::new(json!({}), case["claims"].clone());
            report.case(name, app.accepts(&call, &fit).await);
            continue;
        }
        bad += 1;
        let before = app.seen.count();
        let outcome = app.send(&call).await.and_then(|response| {
            let right = response.status == 401 && app.seen.count() == before;
            right
                .then_some(())
                .ok_or(format!("{}: {}", response.status, response.excerpt()))
        });
        report.case(name, outcome);
    }
    report.finish();
    assert!(good >= 6 && bad >= 30, "{good} good and {bad} bad tokens");
    // A valid one after all of them.
    assert_eq!(app.status(&token(&cases[0])).await, 200);
}

/// The test signer is checked too: jose accepts its valid FITs and rejects its invalid ones.
#[tokio::test]
async fn jose_accepts_the_valid_tokens_of_the_test_signer_only() {
    let now = std::time::SystemTime::now();
    for (fit, key, ok) in [
        (Fit::page(now), forge_remote_tests::rsa::first(), true),
        (
            Fit::backend(now, "tick"),
            forge_remote_tests::rsa::first(),
            true,
        ),
        (Fit::page(now), stranger(), false),
    ] {
        let input = json!({"jwks": published(), "token": fit.sign(key), "now": seconds(now)});
        let Some(verified) = jose(&["verify"], &input).await else {
            return;
        };
        assert_eq!(verified["ok"], json!(ok), "{verified}");
        if ok {
            assert_eq!(verified["payload"], fit.claims);
        } else {
            assert_eq!(
                verified["error"],
                json!("ERR_JWS_SIGNATURE_VERIFICATION_FAILED")
            );
        }
    }
}
