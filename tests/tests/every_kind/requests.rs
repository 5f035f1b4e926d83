//! Requests to handlers: bodies, retries, tokens.

use std::collections::BTreeSet;
use std::path::Path;

use forge_remote::kinds::rejecting_payloads;
use forge_remote::testing::Harness;
use forge_remote_schema::kinds::KINDS;
use serde_json::{Value, json};

use crate::harness::{app, harness, response};

#[tokio::test]
async fn the_local_platforms_call_of_every_kind_is_accepted() {
    let harness = harness();
    let mut called = BTreeSet::new();
    for handler in harness.app().registry().handlers() {
        let response = harness.call(handler.endpoint()).send().await;
        let expected = if handler.key().starts_with("unheard-of") {
            500
        } else {
            200
        };
        let name = handler.registration().function;
        assert_eq!(response.status(), expected, "{name}: {}", response.text());
        called.insert(handler.registration().kind.spec().attribute);
    }
    let all: BTreeSet<&str> = KINDS.iter().map(|kind| kind.attribute).collect();
    assert_eq!(called, all, "the kinds with a handler");
}

#[tokio::test]
async fn an_unreadable_body_is_an_error_with_a_reason() {
    let harness = harness();
    for (key, body, content_type, status) in [
        ("follow", "{", "application/json", 400),
        ("follow", "", "application/json", 400),
        ("follow", "[]", "application/json", 422),
        (
            "follow",
            r#"{"eventType":"avi:jira:created:issue"}"#,
            "application/json",
            422,
        ),
        (
            "follow",
            r#"{"eventType":"avi:jira:moved:issue"}"#,
            "application/json",
            422,
        ),
        (
            "follow",
            "eventType=x",
            "application/x-www-form-urlencoded",
            400,
        ),
        // Without an object, the app's own type has no inputs.
        ("log-time", "[]", "application/json", 422),
        (
            "log-time",
            r#"{"issueKey":"DEV-1"}"#,
            "application/json",
            422,
        ),
    ] {
        let call = harness
            .call(key)
            .body(body)
            .header("content-type", content_type);
        let response = call.send().await;
        assert_eq!(
            response.status(),
            status,
            "{key} {body}: {}",
            response.text()
        );
        let message = response.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(message.len() > 10, "{message}");
    }
}

#[tokio::test]
async fn null_equals_a_missing_field() {
    let harness = harness();
    for (key, body) in [
        ("installed", json!({ "eventType": null, "app": null })),
        (
            "log-time",
            json!({ "issueKey": "A-1", "hours": 1, "remark": null, "context": null }),
        ),
        (
            "urgent",
            json!({ "clause": { "type": null, "arguments": null } }),
        ),
        (
            "notify",
            json!({ "issue": null, "transition": null, "workflow": null }),
        ),
        (
            "even",
            json!({ "workspace": null, "repository": null, "pullrequest": { "id": 2 }, "trigger": null,
                "mergeProperties": { "commitMessageTruncated": null, "closeSourceBranch": null } }),
        ),
        (
            "even",
            json!({ "pullrequest": null, "mergeProperties": null }),
        ),
        (
            "pipelines",
            json!({ "target": null, "pipelines_configuration": null }),
        ),
        ("by-url", json!({ "entity": null, "user": null })),
        ("design-linked", json!({ "associatedWith": null })),
        ("workspaces", json!({ "ids": null })),
        ("render", json!({ "macros": null })),
        (
            "render",
            json!({ "macros": [{ "localId": null, "context": null, "config": null }] }),
        ),
        (
            "triage",
            json!({ "id": null, "method": "message/stream", "params": null }),
        ),
        ("farewell", json!({ "context": {} })),
        ("start", json!({ "migrationId": null, "location": null })),
        (
            "echo",
            json!({ "method": "GET", "headers": {}, "path": "/x", "body": null, "userPath": null,
                "queryParameters": null }),
        ),
    ] {
        let (status, response) = response(&harness, key, body.clone()).await;
        assert_eq!(status, 200, "{key} {body}: {response}");
    }
    let (status, _) = response(&harness, "urgent", json!({ "clause": null })).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_token_of_a_hand_written_module_is_accepted_if_it_is_the_only_one() {
    let manifest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("every_kind.yml");
    let text = "modules:
  trigger:
    - key: other-trigger
      endpoint: other-service
  rovo:agentConnector:
    - key: shared
      protocols: { one: { endpoint: other-service }, two: { endpoint: render } }
  macro:
    - key: unsure
      static: { endpoint: '${ENDPOINT}' }
  jira:globalPage:
    - key: other-page
      resolver: { endpoint: other-service }
  endpoint:
    - key: other-service
environment:
  variables:
    - key: ENDPOINT
      default: other-service
";
    std::fs::write(&manifest, text).unwrap();
    let app = app().foreign_endpoints(["other-service"]);
    let harness = Harness::new(app.manifest_path(manifest)).unwrap();
    let call = |key: &str, module: &str| {
        let call = harness.call(key).json(&json!({}));
        call.fit(|fit| fit.module("core:endpoint", module)).send()
    };
    for key in ["render", "widget", "overview"] {
        // The endpoint's own token, and the token of a page that only the manifest knows. The deployed endpoint of `unsure`
        // may be this app's.
        for module in [key, "notes", "numbers", "shared", "unsure"] {
            assert_eq!(call(key, module).await.status(), 200, "{module} at {key}");
        }
        // Another handler's endpoint, another's module, another service's endpoint, its module, or none of these.
        for module in [
            "follow",
            "follow-trigger",
            "data-residency",
            "triage",
            "other-service",
            "other-trigger",
            "other-page",
            "",
        ] {
            assert_eq!(call(key, module).await.status(), 401, "{module} at {key}");
        }
        let nothing = harness
            .call(key)
            .json(&json!({}))
            .fit(|fit| fit.module("core:endpoint", key).without("/app/module/key"));
        assert_eq!(nothing.send().await.status(), 401, "{key}");
    }
    // A handler with its own module accepts only its two keys.
    let body = json!({ "queueName": "imports", "body": {} });
    for (module, status) in [("import", 200), ("import-consumer", 200), ("notes", 401)] {
        let call = harness.call("import").json(&body);
        let call = call.fit(|fit| fit.module("core:endpoint", module));
        assert_eq!(call.send().await.status(), status, "{module}");
    }
    // A page's FIT names no endpoint.
    let call = harness.call("overview");
    let call = call.fit(|fit| fit.module("jira:globalPage", "other-page"));
    assert_eq!(call.send().await.status(), 200);
}

/// Returns the body with one value at each of its places replaced by `odd`.
fn variants(body: &Value, odd: &Value) -> Vec<Value> {
    let mut all = vec![odd.clone()];
    match body {
        Value::Object(members) => {
            for (name, value) in members {
                for below in variants(value, odd) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), below);
                    all.push(Value::Object(changed));
                }
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                for below in variants(value, odd) {
                    let mut changed = items.clone();
                    changed[at] = below;
                    all.push(Value::Array(changed));
                }
            }
        }
        _ => {}
    }
    all
}

/// The bodies are those of the local platform, so a new kind is tested without a line here.
#[test]
fn odd_values_in_the_body_of_any_kind_are_read() {
    let harness = harness();
    let mut read = 0;
    for handler in harness.app().registry().handlers() {
        for call in handler.registration().kind.sample_calls() {
            let body = call.body.unwrap_or_default();
            for odd in [
                json!(null),
                json!("x"),
                json!(-1),
                json!([null, {}]),
                json!({ "id": [] }),
            ] {
                for changed in variants(&body, &odd) {
                    let rejecting = rejecting_payloads(changed.to_string().as_bytes()).unwrap();
                    assert!(rejecting.is_empty(), "{changed}: {rejecting:?}");
                    read += 1;
                }
            }
        }
    }
    assert!(read > 1000, "{read}");
}
