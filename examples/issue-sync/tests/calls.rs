//! What Forge sends, signed, to each of the app's handlers: once, again, and malformed.

#![allow(clippy::unwrap_used)]

use aws_lc_rs::hmac;
use forge_remote::testing::{Harness, HarnessCall};
use issue_sync::{Guessable, Mirror, SIGNATURE_HEADER, Secret, app};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn harness() -> Harness {
    with(Secret::new(SECRET).unwrap())
}

fn with(secret: Secret) -> Harness {
    Harness::new(app().state(Mirror::default()).state(secret)).unwrap()
}

/// What the other tracker signs with a secret.
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

/// The other tracker's call of the web trigger's URL, as Forge passes it on.
fn hook(harness: &Harness, body: &str) -> HarnessCall {
    let call = harness.call("hear").body(body);
    call.header(SIGNATURE_HEADER, &signature(SECRET, body))
}

async fn send(harness: &Harness, key: &str, body: Value) -> (u16, Value) {
    let answer = harness.call(key).json(&body).send().await;
    (answer.status(), answer.json())
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
async fn a_work_item_is_followed_through_its_life() {
    let harness = harness();
    let life =
        json!({ "eventType": "avi:forge:installed:app", "id": "x", "app": { "version": "1.0.0" } });
    assert_eq!(send(&harness, "begin", life).await.0, 200);
    let batch = json!({ "queueName": "imports", "eventId": "e", "body": { "issues": [
        { "id": "9", "key": "DEV-0", "fields": { "summary": "old" } },
    ] } });
    assert_eq!(send(&harness, "import", batch).await.0, 200);
    assert_eq!(
        send(&harness, "follow", event("created", "one", "1000"))
            .await
            .0,
        200
    );
    assert_eq!(
        send(&harness, "follow", event("updated", "three", "3000"))
            .await
            .0,
        200
    );
    // Late, and again.
    assert_eq!(
        send(&harness, "follow", event("updated", "two", "2000"))
            .await
            .0,
        200
    );
    let again = harness
        .call("follow")
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
        let answer = hook(&harness, &body).send().await.json();
        assert_eq!(answer, json!({ "outputKey": output }));
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
            .call("tell")
            .json(&transition)
            .as_retry(count, "TIMEOUT_ERROR");
        assert_eq!(call.send().await.status(), 200);
    }
    assert_eq!(items(&harness).await[0]["transitions"], json!(["x1"]));

    assert_eq!(harness.call("reconcile").send().await.status(), 200);
    assert_eq!(
        send(&harness, "follow", event("deleted", "", "4000"))
            .await
            .0,
        200
    );
    assert_eq!(
        send(&harness, "follow", event("updated", "ghost", "3500"))
            .await
            .0,
        200
    );
    assert_eq!(items(&harness).await.as_array().unwrap().len(), 1);
    assert_eq!(harness.call("forget").send().await.status(), 200);
    assert_eq!(items(&harness).await, json!([]));
}

#[tokio::test]
async fn only_the_other_trackers_own_word_is_taken() {
    let harness = harness();
    send(&harness, "follow", event("created", "one", "1000")).await;
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
        let call = harness.call("hear").body(body.as_str());
        let answer = call.header(SIGNATURE_HEADER, signature).send().await.json();
        assert_eq!(answer, json!({ "outputKey": "unsigned" }), "{signature}");
    }
    let unsigned = harness.call("hear").body(body.as_str()).send().await;
    assert_eq!(unsigned.json(), json!({ "outputKey": "unsigned" }));
    assert_eq!(items(&harness).await[0]["link"], Value::Null);

    // In Forge's description the same signature is as good.
    let described = json!({
        "method": "POST", "path": "/x1/1", "userPath": "", "queryParameters": {}, "body": body,
        "headers": { SIGNATURE_HEADER.to_ascii_lowercase(): [right] },
    });
    assert_eq!(
        send(&harness, "hear", described).await.1,
        json!({ "outputKey": "linked" })
    );

    // Without a secret nobody is believed, whatever is signed with.
    let harness = with(Secret::default());
    let answer = hook(&harness, &body).send().await.json();
    assert_eq!(answer, json!({ "outputKey": "unsigned" }));
    assert_eq!(Secret::new("short").unwrap_err(), Guessable);
}

#[tokio::test]
async fn what_is_sent_again_changes_nothing() {
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
            ("begin", &life),
            ("follow", &event("created", "one", "1000")),
            ("import", &batch),
            ("tell", &transition),
        ] {
            let call = harness.call(key).json(body);
            let answer = call.as_retry(count, "TIMEOUT_ERROR").send().await;
            assert_eq!(answer.status(), 200, "{key}: {}", answer.text());
        }
        let items = items(&harness).await;
        assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
        assert_eq!(items[0]["summary"], "one");
        assert_eq!(items[0]["transitions"], json!(["x1"]));
    }
    for count in 0..3 {
        let call = harness.call("follow").json(&event("deleted", "", "4000"));
        assert_eq!(
            call.as_retry(count, "TIMEOUT_ERROR").send().await.status(),
            200
        );
        assert_eq!(items(&harness).await, json!([]));
    }
}

#[tokio::test]
async fn what_cant_be_read_is_refused_with_a_reason_and_loses_nothing() {
    let harness = harness();
    assert_eq!(
        send(&harness, "follow", event("created", "one", "1000"))
            .await
            .0,
        200
    );
    let before = items(&harness).await;
    const JSON: &str = "application/json";
    // Of each kind that reads a body.
    for (key, misfit) in [
        ("follow", r#"{"eventType":"avi:jira:created:issue"}"#),
        (
            "follow",
            r#"{"eventType":"avi:jira:created:issue","issue":{"id":1}}"#,
        ),
        ("follow", r#"{"eventType":"avi:jira:moved:issue"}"#),
        ("begin", r#"{"app":"2.0.0"}"#),
        ("import", r#"{"queueName":"imports"}"#),
        ("import", r#"{"body":{"issues":{}}}"#),
        ("find-copy", r#"{"context":{}}"#),
        ("mirrored", r#"{"clause":[]}"#),
        ("tell", r#"{"issue":"DEV-1"}"#),
    ] {
        for (body, content_type) in [
            ("{", JSON),
            ("", JSON),
            ("\u{0}", JSON),
            ("a=b", "application/x-www-form-urlencoded"),
            ("[]", JSON),
            ("null", JSON),
            (misfit, JSON),
            // The platform's content type is undocumented, so any is read.
            (misfit, "text/plain"),
        ] {
            let call = harness.call(key).body(body);
            let answer = call.header("content-type", content_type).send().await;
            let (status, text) = (answer.status(), answer.text());
            let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
            // A type of the framework reads any JSON; one of the app's own must fit.
            let expected: &[u16] = match key {
                _ if !is_json => &[400],
                "follow" | "import" | "find-copy" => &[422],
                _ => &[200, 204, 422],
            };
            println!("{key} {body}: {status}");
            assert!(expected.contains(&status), "{key} {body}: {status} {text}");
            if status >= 400 {
                assert!(answer.json()["error"]["message"].is_string(), "{text}");
            }
        }
    }
    // A web trigger's caller gets the reason by way of Forge.
    for body in ["{", "", "[]", r#"{"id":"10000"}"#] {
        let answer = hook(&harness, body).header("content-type", "text/plain");
        let answer = answer.send().await;
        assert_eq!(
            answer.json(),
            json!({ "outputKey": "unreadable" }),
            "{body}"
        );
    }
    // Hopeless, and said so: Forge doesn't send it again.
    assert_eq!(send(&harness, "tell", json!({ "issue": {} })).await.0, 204);
    assert_eq!(items(&harness).await, before);

    // A schedule has nothing to read.
    let call = harness.call("reconcile").body("{");
    let answer = call.header("content-type", "text/plain").send().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(items(&harness).await, before);
}

#[tokio::test]
async fn nobody_but_forge_is_heard() {
    let harness = harness();
    for handler in harness.app().registry().handlers() {
        let forged = harness
            .call(handler.endpoint())
            .fit(|fit| fit.set("/aud", "another".into()));
        assert_eq!(forged.send().await.status(), 401, "{}", handler.key());
    }
}
