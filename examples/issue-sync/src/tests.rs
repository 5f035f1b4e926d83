//! Signed calls to each of the app's handlers: valid ones, retries and malformed ones.

use std::time::Duration;

use crate::{Mirror, SIGNATURE_HEADER, Secret, WeakSecret, app};
use aws_lc_rs::hmac;
use forge_remote::testing::{Harness, HarnessCall, TestClock};
use forge_remote::token::MemoryTokens;
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn harness() -> Harness {
    harness_with(Secret::new(SECRET).unwrap())
}

fn harness_with(secret: Secret) -> Harness {
    let app = app(MemoryTokens::new(), Mirror::default());
    Harness::new(app.state(secret)).unwrap()
}

/// Returns the signature that the other tracker sends.
fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={hex}")
}

/// Returns the other tracker's webhook, as Forge forwards it.
fn webhook(harness: &Harness, body: &str) -> HarnessCall {
    let call = harness.call("tracker-webhook").body(body);
    call.header(SIGNATURE_HEADER, &signature(SECRET, body))
}

async fn send(harness: &Harness, key: &str, body: Value) -> (u16, Value) {
    let response = harness.call(key).json(&body).send().await;
    (response.status(), response.json())
}

fn event(what: &str, summary: &str, timestamp: &str) -> Value {
    json!({
        "eventType": format!("avi:jira:{what}:issue"), "timestamp": timestamp, "selfGenerated": false,
        "issue": { "id": "10000", "key": "DEV-1", "fields": { "summary": summary, "more": [1] } },
    })
}

async fn items(harness: &Harness) -> Value {
    harness.call("overview").send().await.json()["items"].clone()
}

#[tokio::test]
async fn a_work_item_is_synchronized_through_its_life() {
    let harness = harness();
    let life =
        json!({ "eventType": "avi:forge:installed:app", "id": "x", "app": { "version": "1.0.0" } });
    assert_eq!(send(&harness, "start-sync", life).await.0, 200);
    let batch = json!({ "queueName": "imports", "eventId": "e", "body": { "issues": [
        { "id": "9", "key": "DEV-0", "fields": { "summary": "old" } },
    ] } });
    assert_eq!(send(&harness, "import", batch).await.0, 200);
    assert_eq!(
        send(&harness, "sync-issue", event("created", "one", "1000"))
            .await
            .0,
        200
    );
    assert_eq!(
        send(&harness, "sync-issue", event("updated", "three", "3000"))
            .await
            .0,
        200
    );
    // A late event, and its retry.
    assert_eq!(
        send(&harness, "sync-issue", event("updated", "two", "2000"))
            .await
            .0,
        200
    );
    let again = harness
        .call("sync-issue")
        .json(&event("updated", "two", "2000"));
    assert_eq!(
        again.as_retry(1, "TIMEOUT_ERROR").send().await.status(),
        200
    );
    assert_eq!(items(&harness).await[0]["summary"], "three");
    assert_eq!(items(&harness).await[1]["summary"], "old");

    let link = |id: &str| json!({ "id": id, "link": "https://other.example.com/7" }).to_string();
    for (body, output) in [
        (link("10000"), "linked"),
        (link("1"), "unknown"),
        ("{".to_owned(), "unreadable"),
    ] {
        let response = webhook(&harness, &body).send().await.json();
        assert_eq!(response, json!({ "outputKey": output }));
    }

    let found = send(
        &harness,
        "find-copy",
        json!({ "issueKey": "DEV-1", "context": {} }),
    )
    .await;
    assert_eq!(found.1["link"], "https://other.example.com/7");
    assert_eq!(
        send(&harness, "find-copy", json!({ "issueKey": "NO-1" })).await,
        (200, Value::Null)
    );

    let clause = json!({ "precomputationId": "p", "clause": { "functionName": "mirrored", "arguments": [] } });
    assert_eq!(
        send(&harness, "mirrored", clause).await.1,
        json!({ "jql": "id in (10000)" })
    );

    let transition = json!({
        "issue": { "id": "10000", "key": "DEV-1" }, "transition": { "id": "11", "executionId": "x1" },
    });
    for count in 0..3 {
        let call = harness
            .call("record-transition")
            .json(&transition)
            .as_retry(count, "TIMEOUT_ERROR");
        assert_eq!(call.send().await.status(), 200);
    }
    assert_eq!(items(&harness).await[0]["transitions"], json!(["x1"]));

    assert_eq!(harness.call("reconcile").send().await.status(), 200);
    assert_eq!(
        send(&harness, "sync-issue", event("deleted", "", "4000"))
            .await
            .0,
        200
    );
    assert_eq!(
        send(&harness, "sync-issue", event("updated", "ghost", "3500"))
            .await
            .0,
        200
    );
    assert_eq!(items(&harness).await.as_array().unwrap().len(), 1);
}

/// Forge may call for an installation while it is uninstalled, so its copies are not deleted at once.
#[tokio::test]
async fn copies_are_deleted_once_the_uninstallation_has_settled() {
    let clock = TestClock::new();
    let app = app(MemoryTokens::new(), Mirror::default());
    let app = app.state(Secret::default()).clock(clock.clone());
    let harness = Harness::new(app).unwrap();
    let created = event("created", "one", "1000");
    assert_eq!(send(&harness, "sync-issue", created).await.0, 200);
    assert_eq!(harness.call("reconcile").send().await.status(), 200);
    assert_eq!(harness.call("end-sync").send().await.status(), 200);
    let items_after = async |minutes: u32| {
        for _ in 0..minutes {
            clock.advance(Duration::from_secs(60));
            // The callback needs some turns.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        items(&harness).await.as_array().unwrap().len()
    };
    // The test kit's installation is in Jira and Confluence, so that it may only have left one of them.
    assert_eq!(items_after(60).await, 1);
    assert_eq!(items_after(20).await, 0);
}

#[tokio::test]
async fn only_signed_webhooks_are_accepted() {
    let harness = harness();
    send(&harness, "sync-issue", event("created", "one", "1000")).await;
    let body = json!({ "id": "10000", "link": "https://evil.example.com" }).to_string();
    let right = signature(SECRET, &body);
    let wrong = [
        signature("another secret, of 32 characters", &body),
        signature(SECRET, "another body"),
        right.replace("sha256=", ""),
        right.replace("sha256=", "sha1="),
        right[..right.len() - 2].to_owned(),
        format!("{right}00"),
        "sha256=".to_owned(),
        "sha256=+f".to_owned(),
        String::new(),
    ];
    for signature in &wrong {
        let call = harness.call("tracker-webhook").body(body.as_str());
        let response = call.header(SIGNATURE_HEADER, signature).send().await.json();
        assert_eq!(response, json!({ "outputKey": "unsigned" }), "{signature}");
    }
    let unsigned = harness
        .call("tracker-webhook")
        .body(body.as_str())
        .send()
        .await;
    assert_eq!(unsigned.json(), json!({ "outputKey": "unsigned" }));
    assert_eq!(items(&harness).await[0]["link"], Value::Null);

    // The same signature is valid in Forge's description of a request.
    let described = json!({
        "method": "POST", "path": "/x1/1", "userPath": "", "queryParameters": {}, "body": body,
        "headers": { SIGNATURE_HEADER.to_ascii_lowercase(): [right] },
    });
    assert_eq!(
        send(&harness, "tracker-webhook", described).await.1,
        json!({ "outputKey": "linked" })
    );

    // Without a secret, every webhook is rejected.
    let harness = harness_with(Secret::default());
    let response = webhook(&harness, &body).send().await.json();
    assert_eq!(response, json!({ "outputKey": "unsigned" }));
    assert_eq!(Secret::new("short").unwrap_err(), WeakSecret);
}

#[tokio::test]
async fn retries_change_nothing() {
    let harness = harness();
    let life = json!({ "eventType": "avi:forge:upgraded:app", "app": { "version": "2.0.0" } });
    let batch = json!({ "queueName": "imports", "eventId": "e", "body": { "issues": [
        { "id": "10000", "key": "DEV-1", "fields": { "summary": "old" } },
    ] } });
    let transition = json!({
        "issue": { "id": "10000" }, "transition": { "executionId": "x1" },
    });
    for count in 0..3 {
        for (key, body) in [
            ("start-sync", &life),
            ("sync-issue", &event("created", "one", "1000")),
            ("import", &batch),
            ("record-transition", &transition),
        ] {
            let call = harness.call(key).json(body);
            let response = call.as_retry(count, "TIMEOUT_ERROR").send().await;
            assert_eq!(response.status(), 200, "{key}: {}", response.text());
        }
        let items = items(&harness).await;
        assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
        assert_eq!(items[0]["summary"], "one");
        assert_eq!(items[0]["transitions"], json!(["x1"]));
    }
    for count in 0..3 {
        let call = harness
            .call("sync-issue")
            .json(&event("deleted", "", "4000"));
        assert_eq!(
            call.as_retry(count, "TIMEOUT_ERROR").send().await.status(),
            200
        );
        assert_eq!(items(&harness).await, json!([]));
    }
}

#[tokio::test]
async fn malformed_bodies_are_rejected_with_a_reason() {
    let harness = harness();
    assert_eq!(
        send(&harness, "sync-issue", event("created", "one", "1000"))
            .await
            .0,
        200
    );
    let before = items(&harness).await;
    const JSON: &str = "application/json";
    // One handler of each kind that reads a body.
    for (key, misfit) in [
        ("sync-issue", r#"{"eventType":"avi:jira:created:issue"}"#),
        (
            "sync-issue",
            r#"{"eventType":"avi:jira:created:issue","issue":{"id":1}}"#,
        ),
        ("sync-issue", r#"{"eventType":"avi:jira:moved:issue"}"#),
        ("start-sync", r#"{"app":"2.0.0"}"#),
        ("import", r#"{"queueName":"imports"}"#),
        ("import", r#"{"body":{"issues":{}}}"#),
        ("find-copy", r#"{"context":{}}"#),
        ("mirrored", r#"{"clause":[]}"#),
        ("record-transition", r#"{"issue":"DEV-1"}"#),
    ] {
        for (body, content_type) in [
            ("{", JSON),
            ("", JSON),
            ("\u{0}", JSON),
            ("a=b", "application/x-www-form-urlencoded"),
            ("[]", JSON),
            ("null", JSON),
            (misfit, JSON),
            // The platform's content type is undocumented, so any is accepted.
            (misfit, "text/plain"),
        ] {
            let call = harness.call(key).body(body);
            let response = call.header("content-type", content_type).send().await;
            let (status, text) = (response.status(), response.text());
            let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
            // The framework's types read any JSON object; the app's types must fit.
            let expected: &[u16] = match key {
                _ if !is_json => &[400],
                "sync-issue" | "import" | "find-copy" => &[422],
                _ => &[200, 204, 422],
            };
            println!("{key} {body}: {status}");
            assert!(expected.contains(&status), "{key} {body}: {status} {text}");
            if status >= 400 {
                assert!(response.json()["error"]["message"].is_string(), "{text}");
            }
        }
    }
    // A web trigger's caller gets the reason through Forge.
    for body in ["{", "", "[]", r#"{"id":"10000"}"#] {
        let response = webhook(&harness, body).header("content-type", "text/plain");
        let response = response.send().await;
        assert_eq!(
            response.json(),
            json!({ "outputKey": "unreadable" }),
            "{body}"
        );
    }
    // A permanent error: 204, so that Forge does not retry.
    assert_eq!(
        send(&harness, "record-transition", json!({ "issue": {} }))
            .await
            .0,
        204
    );
    assert_eq!(items(&harness).await, before);

    // A schedule has no body to read.
    let call = harness.call("reconcile").body("{");
    let response = call.header("content-type", "text/plain").send().await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(items(&harness).await, before);
}

#[tokio::test]
async fn forged_calls_are_rejected() {
    let harness = harness();
    for handler in harness.app().registry().handlers() {
        let forged = harness
            .call(handler.endpoint())
            .fit(|fit| fit.set("/aud", "another".into()));
        assert_eq!(forged.send().await.status(), 401, "{}", handler.key());
    }
}
