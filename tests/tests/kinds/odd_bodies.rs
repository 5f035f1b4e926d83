//! No body of the platform is rejected, regardless of its content type and the shape of its fields.

use std::sync::OnceLock;

use forge_remote::handler;
use forge_remote::kinds::*;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde_json::{Value, json};

/// Defines handlers that return the `Debug` text of their payload.
macro_rules! seen {
    ($($(#[$attribute:meta])+ $name:ident: $payload:ty;)+) => {
        $(
            /// Returns its payload.
            $(#[$attribute])+
            async fn $name(Event(payload): Event<$payload>) -> Json<Value> {
                Json(json!({ "read": format!("{payload:?}") }))
            }
        )+

        fn app() -> App {
            let app = App::empty().remote(Remote::new("backend").base_url("https://backend.example.com"));
            let app = app.handler(handler!(agent)).handler(handler!(hook));
            let app = app.handler(handler!(page)).handler(handler!(as_retry)).handler(handler!(typed));
            $( let app = app.handler(handler!($name)); )+
            app
        }
    };
}

seen! {
    #[trigger(events = ["avi:forge:installed:app"])]
    lifecycle: LifecycleEvent;
    #[trigger(events = ["avi:jira:created:issue"])]
    issue: IssueEvent;
    #[trigger(events = ["avi:confluence:created:page"])]
    content: PageEvent;
    #[trigger(events = ["avi:jira:updated:issue"], property_paths = ["issue.properties['a'].b"])]
    properties: WithProperties<IssueEvent>;
    #[trigger(events = ["avi:jira:deleted:issue"])]
    any: Value;
    #[scheduled_trigger(interval = "day")]
    schedule: ScheduledEvent;
    #[pre_uninstall]
    farewell: UninstallEvent;
    #[consumer(queue = "work")]
    queue: QueueEvent;
    #[action(verb = "GET", inputs = ["a: string - An input"])]
    act: ActionRequest;
    #[jql_function(name = "mine", arguments = ["team"], types = ["issue"], operators = ["in"])]
    jql: JqlFunctionRequest;
    #[workflow_post_function(name = "Seen")]
    transition: PostFunctionRequest;
    #[merge_check(name = "Seen", triggers = ["on-merge"])]
    merge: MergeCheckRequest;
    #[dynamic_pipelines_provider(name = "Seen")]
    pipeline: PipelinesRequest;
    #[static_macro]
    macros: MacrosRequest;
    #[widget_context]
    widget: Value;
}

/// Responds to an agent's call.
#[agent_connector(name = "Seen", products = ["jira"])]
async fn agent(call: AgentRequest) -> AgentResponse {
    AgentResponse::result(&call, json!({ "text": call.text() }))
}

#[web_trigger]
async fn hook(request: WebTriggerRequest) -> WebTriggerResponse {
    WebTriggerResponse::new(200, format!("{request:?}"))
}

#[derive(Debug, serde::Deserialize)]
struct Text {
    text: String,
}

#[endpoint]
async fn page(Json(body): Json<Text>) -> Json<Value> {
    Json(json!(body.text))
}

#[trigger(events = ["avi:jira:viewed:issue"])]
async fn as_retry(retry: RetryContext, Event(_): Event) -> Json<Value> {
    Json(json!([retry.count, retry.reason]))
}

#[trigger(events = ["avi:jira:assigned:issue"])]
async fn typed(Event(body): Event<Text>) -> Json<Value> {
    Json(json!(body.text))
}

fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| Harness::new(app()).unwrap())
}

async fn read(key: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
    let response = harness().call(key).body(body).send().await;
    let seen = response.json();
    let text = seen["read"].as_str().map(str::to_owned);
    (response.status(), text.unwrap_or_else(|| response.text()))
}

/// Returns a body with every known field of each kind's payload.
fn samples() -> Vec<(&'static str, Value)> {
    let content = json!({ "id": "1", "type": "page", "subType": "live", "status": "current", "title": "T",
        "space": { "id": "2", "key": "S", "name": "N", "more": 1 }, "more": 1 });
    let issue = json!({ "eventType": "e", "selfGenerated": true, "timestamp": 1, "atlassianId": "a",
        "jiraEventTypeName": "j", "issue": { "id": "1", "key": "K-1", "fields": { "summary": "S" }, "more": 1 },
        "changelog": {}, "comment": {}, "mentionedAccountIds": ["a", "b"], "clonedFrom": {},
        "associatedUsers": [], "associatedStatuses": [], "more": 1 });
    let mut properties = issue.clone();
    properties["payloadIncludeProperties"] = json!({ "issue.properties['a'].b": 1 });
    vec![
        (
            "lifecycle",
            json!({ "eventType": "e", "id": "i", "context": "c", "installerAccountId": "a",
                "upgraderAccountId": "a", "app": { "id": "i", "version": "1", "name": "n", "ownerAccountId": "o" },
                "environment": { "id": "e", "more": 1 },
                "permissions": { "scopes": ["s", "t"], "external": { "images": [] }, "more": 1 }, "more": 1 }),
        ),
        ("issue", issue),
        (
            "content",
            json!({ "eventType": "e", "atlassianId": "a", "eventCreatedDate": "d", "suppressNotifications": true,
                "selfGenerated": false, "updateTrigger": "u", "content": content, "prevContent": content,
                "originContentId": "o", "more": 1 }),
        ),
        ("properties", properties),
        (
            "schedule",
            json!({ "context": { "cloudId": "c" }, "more": 1 }),
        ),
        (
            "farewell",
            json!({ "context": { "cloudId": "c" }, "more": 1 }),
        ),
        (
            "queue",
            json!({ "body": { "a": 1 }, "queueName": "q", "jobId": "j", "eventId": "e", "more": 1 }),
        ),
        (
            "act",
            json!({ "a": "x", "context": { "cloudId": "c", "moduleKey": "m", "jira": { "issueKey": "K" },
                "confluence": { "contentId": "1" }, "more": 1 } }),
        ),
        (
            "jql",
            json!({ "precomputationId": "p", "clause": { "field": "key", "type": ["issue"], "operator": "in",
                "functionName": "mine", "arguments": ["a", "b"], "more": 1 }, "more": 1 }),
        ),
        (
            "transition",
            json!({ "issue": { "id": "1" }, "transition": { "executionId": "x" }, "workflow": { "id": "w" },
                "atlassianId": "a", "changelog": { "id": "1" }, "comment": { "id": "1" }, "configuration": {},
                "postFunction": { "id": "1" }, "more": 1 }),
        ),
        (
            "merge",
            json!({ "workspace": { "uuid": "w" }, "repository": { "uuid": "r" }, "pullrequest": { "id": 1 },
                "trigger": { "type": "on-merge" }, "mergeProperties": { "commitMessage": "m",
                "commitMessageTruncated": false, "mergeStrategy": "squash", "closeSourceBranch": true }, "more": 1 }),
        ),
        (
            "pipeline",
            json!({ "workspace": "w", "repository": "r", "creator": "c", "trigger": "push",
                "trigger_context": { "parent_pipeline_uuid": "p", "parent_pipeline_run_uuid": "r", "parent_step_uuid": "s" },
                "pipeline": "p", "build_number": 1, "created_on": "d",
                "variables": [{ "key": "k", "value": "v", "scope": "PIPELINE" }], "variables_truncated": false,
                "target": { "type": "t", "commit": { "hash": "h" }, "ref_type": "branch", "ref_name": "main",
                    "source": "s", "destination": "d", "destination_commit": { "hash": "h" },
                    "pullrequest": { "id": 1 }, "selector": { "type": "t" } },
                "pipelines_configuration": {}, "more": 1 }),
        ),
        (
            "macros",
            json!({ "macros": [{ "localId": "l", "context": {}, "config": {}, "more": 1 }], "more": 1 }),
        ),
        ("widget", json!({ "a": 1 })),
        (
            "agent",
            json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send",
                "params": { "message": { "parts": [{ "text": "t" }] } } }),
        ),
        (
            "hook",
            json!({ "method": "GET", "path": "/x", "userPath": "/y", "headers": { "A": ["1", "2"], "B": "3" },
                "body": "b", "queryParameters": { "q": ["1"] } }),
        ),
    ]
}

/// Returns the pointer of every part of a JSON value, including the whole.
fn places(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in members {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.extend(places(value).iter().map(|below| format!("/{name}{below}")));
    }
    found
}

fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!("x"),
        json!(""),
        json!(-1),
        json!(1.5e300),
        json!(true),
        json!([]),
        json!([null, 1, "x", [], {}]),
        json!({}),
        json!({ "id": [], "type": {}, "x": [null] }),
    ]
}

#[tokio::test]
async fn no_value_of_any_shape_rejects_a_call() {
    let mut rejected = Vec::new();
    for (key, sample) in samples() {
        // Deeper places are tested below without calls, which is faster.
        let places = places(&sample).into_iter();
        for place in places.filter(|place| place.matches('/').count() <= 1) {
            for odd in odd_values() {
                let mut body = sample.clone();
                *body.pointer_mut(&place).unwrap() = odd;
                let (status, response) = read(key, body.to_string()).await;
                if status != 200 {
                    rejected.push(format!("{key} {body}: {status} {response}"));
                }
            }
        }
    }
    let count = rejected.len();
    rejected.truncate(20);
    assert!(
        rejected.is_empty(),
        "{count} rejected: {}",
        rejected.join("\n")
    );
}

/// With every field of a payload present, no documented member remains without a field.
#[tokio::test]
async fn every_documented_member_has_a_field() {
    let payloads = samples()
        .into_iter()
        .filter(|(key, _)| !["agent", "hook", "act"].contains(key));
    for (key, sample) in payloads {
        let (_, text) = read(key, sample.to_string()).await;
        for rest in text.split("rest: {").skip(1) {
            let rest = rest.split('}').next().unwrap();
            assert!(
                ["", "\"more\": Number(1)"].contains(&rest),
                "{key}: {rest} is left over in {text}"
            );
        }
    }
}

/// Reads every payload type as the fuzz target does.
#[test]
fn every_payload_type_reads_any_json() {
    let link = json!({ "ati": "a", "ari": "a", "cloudId": "c", "id": "1", "more": 1 });
    let others = [
        json!({ "entity": { "url": "u" }, "user": { "id": "a" }, "associatedWith": link,
            "disassociatedFrom": link, "more": 1 }),
        json!({ "ids": ["a"], "cloudId": "c", "workspaceId": "w", "searchQuery": "q", "entity": {},
            "associatedWith": link, "disassociatedFrom": link, "more": 1 }),
        json!({ "migrationId": 57500, "startTime": "s", "endTime": "e", "location": "EU", "more": 1 }),
    ];
    for sample in samples()
        .into_iter()
        .map(|(_, sample)| sample)
        .chain(others)
    {
        for place in places(&sample) {
            for odd in odd_values() {
                let mut body = sample.clone();
                *body.pointer_mut(&place).unwrap() = odd;
                let rejecting = rejecting_payloads(body.to_string().as_bytes()).unwrap();
                assert!(rejecting.is_empty(), "{body}: {rejecting:?}");
            }
        }
    }
    assert!(rejecting_payloads(b"{").is_none());
    // The payloads that no handler above takes.
    let text = |value: Value| value.to_string();
    let design: DesignRequest = serde_json::from_str(&text(
        json!({ "associatedWith": { "cloudId": "c" }, "user": [],
        "disassociatedFrom": "x", "entity": { "url": "u" } }),
    ))
    .unwrap();
    assert_eq!(
        design.associated_with.unwrap().cloud_id.as_deref(),
        Some("c")
    );
    assert_eq!(
        (design.user.is_none(), design.rest.get("disassociatedFrom")),
        (true, Some(&json!("x")))
    );
    let security =
        json!({ "ids": [1, null, "b"], "workspaceId": "w", "searchQuery": "q", "entity": 1 });
    let security: SecurityRequest = serde_json::from_value(security).unwrap();
    assert_eq!(security.ids, ["1", "b"]);
    assert_eq!(
        (
            security.workspace_id.as_deref(),
            security.search_query.as_deref()
        ),
        (Some("w"), Some("q"))
    );
    let hook = json!({ "migrationId": 57500, "startTime": [], "endTime": "e", "location": "EU" });
    let hook: ResidencyRequest = serde_json::from_value(hook).unwrap();
    assert_eq!(
        (
            hook.migration_id.as_deref(),
            hook.start_time,
            hook.end_time.as_deref(),
            hook.location.as_deref()
        ),
        (Some("57500"), None, Some("e"), Some("EU"))
    );
}

#[tokio::test]
async fn a_repeated_member_rejects_no_call() {
    for (key, sample) in samples() {
        let Value::Object(members) = sample else {
            continue;
        };
        for (name, value) in &members {
            let body = format!("{{{name:?}:{value},{name:?}:{value}}}");
            let (status, response) = read(key, body.clone()).await;
            assert_eq!(status, 200, "{key} {body}: {response}");
        }
    }
}

/// An unexpected list entry does not affect the others, nor an unexpected field its neighbours.
#[tokio::test]
async fn an_unexpected_value_does_not_affect_its_neighbours() {
    for (key, body, seen) in [
        (
            "issue",
            json!({ "mentionedAccountIds": [null, "557058:a", {}, 7], "issue": { "key": "K-1", "fields": [] } }),
            vec![r#""557058:a", "7""#, r#"Some("K-1")"#],
        ),
        (
            "lifecycle",
            json!({ "app": { "version": {}, "name": "mine" }, "permissions": { "scopes": ["read:me", {}], "external": 1 } }),
            vec![r#"name: Some("mine")"#, r#"scopes: ["read:me"]"#],
        ),
        (
            "jql",
            json!({ "clause": { "arguments": ["a", null, 5], "type": "issue", "operator": "in" } }),
            vec![r#"arguments: ["a", "5"]"#, r#"operator: Some("in")"#],
        ),
        (
            "pipeline",
            json!({ "variables": ["x", { "key": "K", "scope": [] }, null] }),
            vec![r#"key: Some("K")"#],
        ),
        (
            "macros",
            json!({ "macros": ["x", { "localId": 7, "config": [] }, { "localId": "b" }] }),
            vec![r#"local_id: "7""#, r#"local_id: "b""#],
        ),
        (
            "act",
            json!({ "context": { "cloudId": {}, "moduleKey": "m", "jira": "x", "confluence": { "contentId": "1" } } }),
            vec![r#"module_key: Some("m")"#, r#""contentId": String("1")"#],
        ),
        (
            "hook",
            json!({ "method": "GET", "path": "/x", "userPath": "/y", "headers": { "A": ["1", null], "B": {}, "C": "3" } }),
            vec![r#"user_path: "/y""#, r#""A": ["1"]"#, r#""C": ["3"]"#],
        ),
    ] {
        let (status, text) = read(key, body.to_string()).await;
        assert_eq!(status, 200, "{key}: {text}");
        let text = if key == "hook" {
            serde_json::from_str::<Value>(&text).unwrap()["body"]
                .as_str()
                .unwrap()
                .to_owned()
        } else {
            text
        };
        for seen in seen {
            assert!(text.contains(seen), "{key}: {seen} in {text}");
        }
    }
}

/// `JSON.stringify("cut 😀".slice(0, 5))`.
const CUT: &str = r"cut \ud83d";

#[tokio::test]
async fn text_that_was_cut_inside_a_surrogate_pair_is_read() {
    for (key, body) in [
        ("content", format!(r#"{{"content":{{"title":"{CUT}"}}}}"#)),
        (
            "issue",
            format!(r#"{{"issue":{{"fields":{{"summary":"{CUT}"}}}}}}"#),
        ),
        (
            "issue",
            format!(r#"{{"payload":{{"issue":{{"key":"{CUT}"}}}}}}"#),
        ),
        ("any", format!(r#"{{"title":"{CUT}"}}"#)),
        ("any", format!(r#"{{"{CUT}":1}}"#)),
        ("queue", format!(r#"{{"body":"{CUT}"}}"#)),
        ("act", format!(r#"{{"a":"{CUT}"}}"#)),
        ("jql", format!(r#"{{"clause":{{"arguments":["{CUT}"]}}}}"#)),
        ("lifecycle", format!(r#"{{"app":{{"name":"{CUT}"}}}}"#)),
        ("typed", format!(r#"{{"text":"{CUT}"}}"#)),
        (
            "hook",
            format!(r#"{{"method":"GET","path":"/x","userPath":"/{CUT}"}}"#),
        ),
        (
            "agent",
            format!(
                r#"{{"id":1,"method":"message/send","params":{{"message":{{"parts":[{{"text":"{CUT}"}}]}}}}}}"#
            ),
        ),
    ] {
        let (status, text) = read(key, body.clone()).await;
        assert_eq!(status, 200, "{key} {body}: {text}");
        assert!(text.contains("cut \u{fffd}"), "{key} {body}: {text}");
    }
    // The body of a web trigger's caller is not changed, since it may be signed.
    let (_, text) = read("hook", format!(r#"{{"text":"{CUT}"}}"#)).await;
    assert!(
        text.contains("ud83d") && !text.contains('\u{fffd}'),
        "{text}"
    );
    // Whole pairs and text that resembles an escape are not changed.
    let (_, text) = read("typed", r#"{"text":"\ud83d\ude00 \\ud83d \\\ud83d"}"#).await;
    assert_eq!(
        serde_json::from_str::<String>(&text).unwrap(),
        "😀 \\ud83d \\\u{fffd}"
    );
}

#[tokio::test]
async fn a_retry_is_recognised_regardless_of_the_body() {
    let context = r#""retryContext":{"retryCount":2,"retryReason":"TIMEOUT_ERROR"}"#;
    for body in [
        format!(r#"{{"title":"{CUT}",{context}}}"#),
        format!(r#"{{"payload":{{"title":"{CUT}",{context}}}}}"#),
    ] {
        let (status, text) = read("as-retry", body.clone()).await;
        assert_eq!((status, &*text), (200, r#"[2,"TIMEOUT_ERROR"]"#), "{body}");
    }
}

#[tokio::test]
async fn a_platforms_body_may_have_any_or_no_content_type() {
    for content_type in [
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "*/*",
        "x",
    ] {
        for (key, sample) in samples() {
            let call = harness().call(key).json(&sample);
            let response = call.header("content-type", content_type).send().await;
            assert_eq!(
                response.status(),
                200,
                "{key} {content_type}: {}",
                response.text()
            );
        }
    }
    // A page's body keeps its content type.
    let body = json!({ "text": "x" });
    let plain = harness()
        .call("page")
        .json(&body)
        .header("content-type", "text/plain");
    assert_eq!(plain.send().await.status(), 415);
    assert_eq!(
        harness().call("page").json(&body).send().await.status(),
        200
    );
    let cut = harness()
        .call("page")
        .body(format!(r#"{{"text":"{CUT}"}}"#))
        .send()
        .await;
    assert_eq!(cut.status(), 400);
}

/// Bodies that aren't JSON or don't fit the app's own type are still rejected.
#[tokio::test]
async fn a_body_must_fit_the_apps_own_type() {
    for (key, body, status) in [
        ("typed", r#"{"text":1}"#, 422),
        ("typed", "[]", 422),
        ("typed", "{", 400),
        ("issue", "{", 400),
        ("issue", "", 400),
    ] {
        assert_eq!(read(key, body).await.0, status, "{key} {body}");
    }
}
