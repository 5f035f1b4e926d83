//! The parts of responses that Forge reads.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;
use forge_remote::kinds::{ResidencyFailure, ResidencyStatus};
use serde_json::{Value, json};

use crate::handlers::{harness, response};

#[tokio::test]
async fn a_handler_decides_whether_forge_retries() {
    let harness = harness();
    let (status, _) = response(&harness, "unheard-of", json!({})).await;
    assert_eq!(status, 500);
    let (status, body) = response(&harness, "unheard-of", json!({ "hopeless": true })).await;
    assert_eq!((status, body), (204, Value::Null));
}

/// Source: <https://developer.atlassian.com/platform/forge/remote/remote-realm-migration/>
#[tokio::test]
async fn a_move_has_a_status_or_a_code() {
    let written = |status: ResidencyStatus| serde_json::to_value(status).unwrap();
    assert_eq!(
        written(ResidencyStatus::ready()),
        json!({ "status": "ready-to-commit" })
    );
    assert_eq!(
        written(ResidencyStatus::in_progress()),
        json!({ "status": "in-progress" })
    );
    for (failure, code) in [
        (ResidencyFailure::NOT_SCHEDULED, "E0001"),
        (ResidencyFailure::REGION, "E0002"),
        (ResidencyFailure::UNSUPPORTED, "E0003"),
        (ResidencyFailure::TOO_MANY, "E0004"),
        (ResidencyFailure::OTHER, "E9999"),
    ] {
        assert_eq!(
            written(ResidencyStatus::failed(failure)),
            json!({ "status": "failed", "errorResponseCode": code })
        );
        let response = failure.into_response();
        assert_eq!(response.status(), 409);
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({ "errorResponseCode": code }));
    }
}

#[tokio::test]
async fn responses_have_the_shape_that_forge_reads() {
    let harness = harness();
    let queue = json!({ "body": { "a": 1 }, "queueName": "imports", "eventId": "e1", "retryContext": { "retryCount": 1 } });
    assert_eq!(
        response(&harness, "import", queue).await.1,
        json!(["imports", "e1", { "a": 1 }, true])
    );

    let clause =
        |arguments: Value| json!({ "precomputationId": "p", "clause": { "arguments": arguments } });
    assert_eq!(
        response(&harness, "urgent", clause(json!(["x"]))).await.1,
        json!({ "jql": "team = \"x\"" })
    );
    assert_eq!(
        response(&harness, "urgent", clause(json!([]))).await.1,
        json!({ "error": "which team?", "storeErrorAsPrecomputation": false })
    );

    let pull = |id: u32| json!({ "pullrequest": { "id": id }, "trigger": { "type": "on-merge" } });
    assert_eq!(
        response(&harness, "even", pull(2)).await.1,
        json!({ "success": true })
    );
    assert_eq!(
        response(&harness, "even", pull(3)).await.1,
        json!({ "success": false, "message": "odd" })
    );

    let configuration = json!({ "pipelines": { "default": [] } });
    let request = json!({ "workspace": "{w}", "pipelines_configuration": configuration });
    assert_eq!(
        response(&harness, "pipelines", request).await.1,
        json!({ "pipelines_configuration": configuration })
    );

    let macros = json!({ "macros": [{ "localId": "m1", "config": { "a": 1, "b": 2 } }] });
    assert_eq!(
        response(&harness, "render", macros).await.1,
        json!({ "renderedMacros": [{ "localId": "m1", "contentType": "xhtml", "value": "<p>2</p>" }] })
    );

    let parts = json!([{ "text": "hello" }, { "data": {} }, { "text": "you" }]);
    let request = |method: &str| json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "message": { "parts": parts } } });
    let streamed = harness
        .call("triage")
        .json(&request("SendStreamingMessage"));
    let text = streamed.send().await.text();
    let message =
        json!({ "message": { "role": "ROLE_AGENT", "parts": [{ "text": "hello\nyou" }] } });
    let expected = json!({ "jsonrpc": "2.0", "id": 7, "result": message });
    let event = text.strip_prefix("data: ").unwrap();
    let event: Value = serde_json::from_str(event.strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!(event, expected);
    let (_, lost) = response(&harness, "triage", request("tasks/get")).await;
    assert_eq!(
        (&lost["id"], &lost["error"]["code"]),
        (&json!(7), &json!(-32001))
    );

    assert_eq!(
        response(&harness, "workspaces", json!({ "ids": ["w"] }))
            .await
            .1["workspaces"][0]["id"],
        "w"
    );
}

#[tokio::test]
async fn the_data_residency_hooks_have_their_paths_methods_and_final_failures() {
    let harness = harness();
    let handlers = harness.app().registry().handlers().iter();
    let routes: BTreeSet<String> = handlers
        .filter(|handler| handler.key() == "data-residency")
        .map(|handler| format!("{} {}", handler.method(), handler.path()))
        .collect();
    let hooks = [
        "POST commit",
        "POST rollback",
        "POST schedule",
        "POST start",
        "GET status",
    ];
    let expected = hooks.map(|hook| hook.replace(' ', " /data-residency/"));
    assert_eq!(routes, expected.into_iter().collect());

    let (status, body) = response(
        &harness,
        "schedule",
        json!({ "location": "US", "migrationId": 1 }),
    )
    .await;
    assert_eq!(
        (status, body),
        (409, json!({ "errorResponseCode": "E0002" }))
    );
    assert_eq!(
        response(&harness, "start", json!({ "migrationId": 57500 }))
            .await
            .1,
        json!("57500")
    );
    // It is documented that the FIT names no user, but not which module it names.
    let call = || {
        harness
            .call("start")
            .json(&serde_json::json!({ "migrationId": 1 }))
    };
    let odd = call().fit(|fit| fit.module("core:endpoint", "somebody"));
    assert_eq!(odd.send().await.status(), 200);
    let user = call().fit(|fit| fit.set("/principal", "557058:x".into()));
    assert_eq!(user.send().await.status(), 401);
    let ready = harness
        .call("status")
        .query("migrationId=57500")
        .send()
        .await;
    assert_eq!(ready.json(), json!({ "status": "ready-to-commit" }));
    let failed = harness.call("status").query("migrationId=1").send().await;
    assert_eq!(
        failed.json(),
        json!({ "status": "failed", "errorResponseCode": "E0001" })
    );
}
