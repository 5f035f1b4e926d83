//! The hooks of a move to another region.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;
use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

#[data_residency(hook = "schedule", max_hours = 1.5)]
async fn schedule(Json(call): Json<ResidencyRequest>) -> Result<(), ResidencyFailure> {
    if call.location.as_deref() == Some("EU") {
        Ok(())
    } else {
        Err(ResidencyFailure::REGION)
    }
}

#[data_residency(hook = "start")]
async fn start(Json(call): Json<ResidencyRequest>) -> Json<Value> {
    Json(json!(call.migration_id))
}

#[data_residency(hook = "status")]
async fn status(Query(call): Query<ResidencyRequest>) -> Json<ResidencyStatus> {
    Json(match call.migration_id.as_deref() {
        Some("57500") => ResidencyStatus::ready(),
        _ => ResidencyStatus::failed(ResidencyFailure::NOT_SCHEDULED),
    })
}

#[data_residency(hook = "commit")]
async fn commit(Json(_call): Json<ResidencyRequest>) {}

#[data_residency(hook = "rollback")]
async fn rollback(Json(_call): Json<ResidencyRequest>) {}

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
