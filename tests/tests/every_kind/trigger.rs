//! Events: bare and wrapped, with retries and filters.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{harness, response};

#[derive(Deserialize)]
#[serde(tag = "eventType")]
enum Change {
    #[serde(rename = "avi:jira:created:issue")]
    Created { issue: Issue },
    #[serde(rename = "avi:jira:deleted:issue")]
    Deleted { issue: Issue },
}

#[derive(Deserialize)]
struct Issue {
    key: String,
}

const CREATED: &str = "avi:jira:created:issue";

/// Returns what it saw, for the tests; Forge ignores the response.
#[trigger(
    events = [CREATED, "avi:jira:deleted:issue"],
    filter = "event.issue.fields.project.key == 'DEV'",
    on_error = "RECEIVE_AND_LOG",
    ignore_self,
    property_paths = ["issue.properties['k'].f"],
    auth = system
)]
async fn follow(
    retry: RetryContext,
    _token: SystemToken,
    Event(change): Event<Change>,
) -> Result<Json<Value>> {
    let (what, issue) = match change {
        Change::Created { issue } => ("created", issue),
        Change::Deleted { issue } => ("deleted", issue),
    };
    Ok(Json(json!([what, issue.key, retry.count, retry.reason])))
}

#[trigger(events = ["avi:forge:installed:app", "avi:forge:upgraded:app"])]
async fn installed(Event(event): Event<LifecycleEvent>) -> Result<Json<Value>> {
    Ok(Json(json!([
        event.event_type,
        event.app.version,
        event.rest.get("environment").is_some()
    ])))
}

#[trigger(unknown_events = ["avi:jira:invented:thing"])]
async fn unheard_of(Event(event): Event) -> Result<()> {
    if event.get("hopeless").is_some() {
        return Err(Error::permanent("nothing can be made of it"));
    }
    Err(Error::new("the database is down"))
}

#[trigger(filtered_events = [
    (event = "avi:jira:created:version", ignore_self),
    (
        event = "avi:jira:updated:version",
        filter = "event.version.released",
        on_error = "RECEIVE",
        fields = ["version.name"],
    ),
    (unknown_event = "avi:jira:invented:version", licensed_only),
])]
async fn versions(Event(event): Event) -> Json<Value> {
    Json(event["eventType"].clone())
}

#[tokio::test]
async fn an_event_is_read_bare_and_wrapped_with_its_retries() {
    let harness = harness();
    let event =
        json!({ "eventType": "avi:jira:deleted:issue", "issue": { "key": "DEV-2" }, "new": [1] });
    assert_eq!(
        response(&harness, "follow", event.clone()).await,
        (200, json!(["deleted", "DEV-2", 0, null]))
    );

    let again = harness
        .call("follow")
        .json(&event)
        .as_retry(2, "TIMEOUT_ERROR")
        .send()
        .await;
    assert_eq!(
        again.json(),
        json!(["deleted", "DEV-2", 2, "TIMEOUT_ERROR"])
    );

    let mut inner = event.clone();
    inner["retryContext"] =
        json!({ "retryCount": 3, "retryReason": "INVALID_REMOTE_INVOCATION_ERROR" });
    let (status, seen) = response(&harness, "follow", json!({ "payload": inner })).await;
    assert_eq!(
        (status, seen),
        (
            200,
            json!(["deleted", "DEV-2", 3, "INVALID_REMOTE_INVOCATION_ERROR"])
        )
    );

    // The same for a chunked body of unknown length.
    let life =
        json!({ "eventType": "avi:forge:upgraded:app", "id": "x", "app": { "version": "5.2.0" } });
    assert_eq!(
        response(&harness, "installed", life).await,
        (200, json!(["avi:forge:upgraded:app", "5.2.0", false]))
    );
    assert_eq!(
        response(&harness, "installed", json!({})).await,
        (200, json!([null, null, false]))
    );
}

#[tokio::test]
async fn a_handler_decides_whether_forge_retries() {
    let harness = harness();
    let (status, _) = response(&harness, "unheard-of", json!({})).await;
    assert_eq!(status, 500);
    let (status, body) = response(&harness, "unheard-of", json!({ "hopeless": true })).await;
    assert_eq!((status, body), (204, Value::Null));
}
