//! What Forge sends, signed, to each of the app's handlers: once, again, and malformed.

#![allow(clippy::unwrap_used)]

use forge_remote::testing::Harness;
use issue_sync::{Mirror, app};
use serde_json::{Value, json};

fn harness() -> Harness {
    Harness::new(app().state(Mirror::default())).unwrap()
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
    assert_eq!(again.retried(1, "TIMEOUT_ERROR").send().await.status(), 200);
    assert_eq!(items(&harness).await[0]["summary"], "three");
    assert_eq!(items(&harness).await[1]["summary"], "old");

    let hook = |id: &str| json!({ "id": id, "link": "https://other.example.com/7" }).to_string();
    let answer = harness.call("hear").body(hook("10000")).send().await.json();
    assert_eq!(answer, json!({ "outputKey": "linked" }));
    let answer = harness.call("hear").body(hook("1")).send().await.json();
    assert_eq!(answer, json!({ "outputKey": "unknown" }));
    let answer = harness.call("hear").body("{").send().await.json();
    assert_eq!(answer, json!({ "outputKey": "unreadable" }));

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
            .retried(count, "TIMEOUT_ERROR");
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
async fn what_cant_be_read_is_refused_with_a_reason_and_loses_nothing() {
    let harness = harness();
    assert_eq!(
        send(&harness, "follow", event("created", "one", "1000"))
            .await
            .0,
        200
    );
    for (body, content_type, status) in [
        ("{", "application/json", 400),
        ("", "application/json", 400),
        (
            r#"{"eventType":"avi:jira:created:issue"}"#,
            "application/json",
            422,
        ),
        (
            r#"{"eventType":"avi:jira:created:issue","issue":{"id":1}}"#,
            "application/json",
            422,
        ),
        ("a=b", "application/x-www-form-urlencoded", 415),
    ] {
        let call = harness
            .call("follow")
            .body(body)
            .header("content-type", content_type);
        let answer = call.send().await;
        assert_eq!(answer.status(), status, "{body}: {}", answer.text());
        assert!(
            answer.json()["error"]["message"].is_string(),
            "{}",
            answer.text()
        );
    }
    // Hopeless, and said so: Forge doesn't send it again.
    assert_eq!(send(&harness, "tell", json!({ "issue": {} })).await.0, 204);
    assert_eq!(items(&harness).await[0]["summary"], "one");
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
