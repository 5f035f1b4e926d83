//! Every event body reaches its type, also as a retry and with optional fields missing.

#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;
use std::time::Duration;

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use forge_remote::registry::Method;
use forge_remote::testing::Harness;
use serde_json::{Value, json};

#[scheduled_trigger(interval = "day")]
async fn tidy(Event(event): Event<ScheduledEvent>) -> Json<Value> {
    Json(json!([event.context, event.rest]))
}

#[scheduled_trigger(interval = "week", key = "weekly")]
async fn raw(Json(body): Json<Value>) -> Json<Value> {
    Json(body)
}

#[pre_uninstall]
async fn farewell(Event(event): Event<UninstallEvent>) -> Json<Value> {
    Json(json!(format!("{event:?}")))
}

#[widget_context]
async fn widget(Json(request): Json<Value>) -> Json<Value> {
    Json(request)
}

#[trigger(events = ["avi:jira:created:issue", "avi:jira:commented:issue"])]
async fn issues(Event(event): Event<IssueEvent>) -> Json<Value> {
    Json(json!({
        "event": event.event_type,
        "self": event.self_generated,
        "id": event.issue.id,
        "key": event.issue.key,
        "summary": event.issue.fields.get("summary"),
        "comment": event.comment.is_some(),
        "mentioned": event.mentioned_account_ids,
        "rest": event.rest,
    }))
}

#[trigger(events = ["avi:confluence:created:whiteboard", "avi:confluence:moved:page"])]
async fn pages(Event(event): Event<PageEvent>) -> Json<Value> {
    Json(json!([
        event.content.content_type,
        event.content.space.id,
        event.prev_content.and_then(|content| content.id),
        event.rest,
    ]))
}

#[trigger(events = ["avi:jira:updated:issue"], property_paths = ["issue.properties['a'].b"])]
async fn properties(Event(event): Event<WithProperties<IssueEvent>>) -> Json<Value> {
    let property = event.property("issue.properties['a'].b");
    Json(json!([property, property.is_some(), event.event.issue.key]))
}

#[trigger(events = ["avi:forge:installed:app", "avi:forge:upgraded:app"])]
async fn life(Event(event): Event<LifecycleEvent>) -> Json<Value> {
    Json(json!([
        event.environment.and_then(|one| one.id),
        event.permissions.map(|one| (one.scopes, one.external)),
        event.rest,
    ]))
}

/// No `eventType`: CloudEvents have `type`.
#[trigger(events = ["avi:ecosystem.app_policy:blocked:app_access_to_objects.v2"])]
async fn policy(Event(event): Event) -> Json<Value> {
    Json(json!([event.get("type"), event.get("eventType")]))
}

#[consumer(queue = "imports")]
async fn import(retry: RetryContext, Event(_event): Event<QueueEvent>) -> Json<Value> {
    let window = retry.retention_window.clone();
    Json(json!([
        retry.is_retry(),
        retry.count,
        retry.reason,
        window.as_ref().and_then(|one| one.start_time.clone()),
        window
            .and_then(|one| one.remaining)
            .map(|left| left.as_millis()),
    ]))
}

#[web_trigger]
async fn hook(request: WebTriggerRequest) -> WebTriggerResponse {
    let query = request.query_parameters.get("q").cloned();
    let text = format!("{} {} {query:?}", request.method, request.user_path);
    WebTriggerResponse::new(200, text)
}

fn app() -> App {
    App::new().remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// Returns the harness that all tests share, since its key is slow to generate.
fn harness() -> Harness {
    static HARNESS: LazyLock<Harness> = LazyLock::new(|| Harness::new(app()).unwrap());
    HARNESS.clone()
}

async fn send(key: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
    let response = harness().call(key).body(body).send().await;
    (response.status(), response.json())
}

#[tokio::test]
async fn a_missing_body_counts_as_empty_only_for_undocumented_bodies() {
    assert_eq!(send("tidy", "").await, (200, json!([null, {}])));
    assert_eq!(send("weekly", "").await, (200, json!({})));
    assert_eq!(send("widget", "").await, (200, json!({})));
    assert_eq!(send("farewell", "").await.0, 200);
    // With its content type and with another.
    let response = harness().call("tidy").body("");
    let response = response.header("content-type", "text/plain").send().await;
    assert_eq!(response.status(), 200);
    for key in ["issues", "pages", "life", "import"] {
        assert_eq!(send(key, "").await.0, 400, "{key}");
    }
    for key in ["tidy", "weekly", "widget", "farewell"] {
        assert_eq!(send(key, " ").await.0, 400, "{key}");
        let response = harness().call(key).body("a=b");
        let response = response.header("content-type", "text/plain").send().await;
        assert!([400, 415].contains(&response.status()), "{key}");
    }
}

#[tokio::test]
async fn a_functions_token_is_not_stored() {
    let body = json!({ "context": { "cloudId": "c" }, "contextToken": "secret-token", "new": 1 });
    let (status, seen) = send("tidy", body.to_string()).await;
    assert_eq!(
        (status, seen),
        (200, json!([{ "cloudId": "c" }, { "new": 1 }]))
    );
    let (_, debugged) = send("farewell", body.to_string()).await;
    assert!(!debugged.to_string().contains("secret-token"), "{debugged}");
}

#[tokio::test]
async fn a_products_event_reaches_its_type_with_missing_and_unexpected_fields() {
    let harness = harness();
    let commented = harness.call("issues").event("avi:jira:commented:issue");
    let seen = commented.send().await.json();
    assert_eq!(
        (&seen["key"], &seen["comment"], &seen["self"]),
        (&json!("DEV-1"), &json!(true), &json!(false))
    );
    assert_eq!(send("issues", "{}").await.0, 200);
    let odd = json!({
        "eventType": "avi:jira:created:issue", "selfGenerated": "no", "timestamp": 5, "mentionedAccountIds": null,
        "issue": { "id": 10000, "key": "DEV-7", "fields": null }, "comment": null, "invented": [1],
    });
    let (status, seen) = send("issues", odd.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(
        seen,
        json!({
            "event": "avi:jira:created:issue", "self": null, "id": "10000", "key": "DEV-7", "summary": null,
            "comment": false, "mentioned": [], "rest": { "invented": [1], "selfGenerated": "no" },
        })
    );

    let moved = harness.call("pages").event("avi:confluence:moved:page");
    assert_eq!(
        moved.send().await.json(),
        json!(["page", "65538", "98304", {}])
    );
    let first = harness.call("pages").send().await;
    assert_eq!(first.json(), json!(["whiteboard", "65538", null, {}]));
    let policy = harness.call("policy").send().await.json();
    assert_eq!(
        policy,
        json!([
            "avi:ecosystem.app_policy:blocked:app_access_to_objects.v2",
            null
        ])
    );
}

#[tokio::test]
async fn properties_are_read_by_their_paths() {
    let body = |value: Value| {
        let properties = json!({ "issue.properties['a'].b": value });
        json!({ "payloadIncludeProperties": properties, "issue": { "key": "DEV-1" } }).to_string()
    };
    let (_, seen) = send("properties", body(json!("x"))).await;
    assert_eq!(seen, json!(["x", true, "DEV-1"]));
    let (_, seen) = send("properties", body(Value::Null)).await;
    assert_eq!(seen, json!([null, false, "DEV-1"]));
    let (status, seen) = send("properties", r#"{"payloadIncludeProperties":null}"#).await;
    assert_eq!((status, seen), (200, json!([null, false, null])));
}

#[tokio::test]
async fn a_life_cycle_event_names_its_installation_and_version() {
    let harness = harness();
    let upgraded = harness.call("life").event("avi:forge:upgraded:app");
    let seen = upgraded.send().await.json();
    assert_eq!(seen[0].as_str().map(str::len), Some(36), "{seen}");
    assert_eq!(seen[1][0], json!(["read:jira-work"]));
    assert!(seen[1][1]["fetch"].is_object(), "{seen}");
    // The page's example of an installation, and an invalid one.
    let body =
        json!({ "id": "x", "app": null, "environment": "odd", "permissions": [], "more": true });
    let rest = json!({ "environment": "odd", "more": true, "permissions": [] });
    assert_eq!(
        send("life", body.to_string()).await,
        (200, json!([null, null, rest]))
    );
}

#[tokio::test]
async fn a_retry_is_recognised_with_any_count() {
    let body = |context: Value| json!({ "body": {}, "retryContext": context }).to_string();
    let window = json!({ "startTime": "2026-01-01T12:00:00Z", "remainingTimeMs": 86_000_000 });
    for (context, expected) in [
        // Forge's own faults are not counted.
        (
            json!({ "retryCount": 0, "retryReason": "FUNCTION_PLATFORM_UNKNOWN_ERROR", "retentionWindow": window }),
            json!([
                true,
                0,
                "FUNCTION_PLATFORM_UNKNOWN_ERROR",
                "2026-01-01T12:00:00Z",
                86_000_000
            ]),
        ),
        (json!({}), json!([true, 0, null, null, null])),
        (
            json!({ "retryCount": 2, "retentionWindow": { "remainingTimeMs": -5, "startTime": 7 } }),
            json!([true, 2, null, null, null]),
        ),
        (
            json!({ "retryCount": "odd", "retryReason": "R", "retentionWindow": [] }),
            json!([true, 0, "R", null, null]),
        ),
        (Value::Null, json!([false, 0, null, null, null])),
        (json!("odd"), json!([false, 0, null, null, null])),
    ] {
        let (status, seen) = send("import", body(context.clone())).await;
        assert_eq!((status, seen), (200, expected), "{context}");
    }
    let first = send("import", r#"{"body":{}}"#).await.1;
    assert_eq!(first[0], false);
    // In the wrapper that Atlassian documents, with a `null` in the other place.
    let wrapped = json!({ "retryContext": null, "payload": { "body": {}, "retryContext": { "retryCount": 1 } } });
    assert_eq!(send("import", wrapped.to_string()).await.1[0], true);
    let mut made = RetryContext::default();
    made.count = 1;
    made.retention_window = None;
    assert!(made.is_retry());
    assert_eq!(
        forge_remote::RetentionWindow::default().remaining,
        None::<Duration>
    );
}

#[tokio::test]
async fn the_harness_calls_any_method_and_path() {
    let harness = harness();
    let call = || harness.call("hook");
    let response = call()
        .method(Method::Get)
        .subpath("/orders/7")
        .query("q=1")
        .query("q=2");
    assert_eq!(
        response.send().await.json()["body"],
        r#"GET /orders/7 Some(["1", "2"])"#
    );
    let response = call().query("q=1").subpath("orders");
    assert_eq!(
        response.send().await.json()["body"],
        r#"POST /orders Some(["1"])"#
    );
    let response = harness.call_method(Method::Delete, "hook").send().await;
    assert_eq!(response.json()["body"], "DELETE  None");
}

#[tokio::test]
#[should_panic(expected = "no handler with the key `issues` has the method GET")]
async fn a_call_with_a_method_without_handler_panics() {
    let _ = harness().call_method(Method::Get, "issues").send().await;
}
