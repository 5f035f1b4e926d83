//! Calls of the app's Forge functions.

use forge_remote::prelude::*;
use serde_json::json;

use crate::harness::harness;

/// The colours of one site.
#[function_call(path = "/api/v1/settings", auth = [system, user])]
async fn colours(
    call: Invocation,
    system: SystemToken,
    user: Option<UserToken>,
    Json(body): Json<serde_json::Value>,
) -> Json<serde_json::Value> {
    assert!(!system.expose_secret().is_empty());
    Json(json!({ "user": call.principal(), "token": user.is_some(), "body": body }))
}

#[tokio::test]
async fn a_function_calls_for_a_user_or_without_one() {
    let harness = harness();
    let call = || {
        let call = harness.call("colours").json(&json!({ "theme": "dark" }));
        // A text's default content type: `invokeRemote` sends what the function has set.
        call.header("content-type", "text/plain;charset=UTF-8")
    };
    let response = call().send().await;
    let expected = json!({
        "user": "712020:00000000-0000-4000-a000-000000000001",
        "token": true,
        "body": { "theme": "dark" },
    });
    assert_eq!(response.json(), expected, "{}", response.text());
    let alone = call().fit(|fit| fit.without("/principal"));
    let alone = alone.tokens(forge_remote::registry::Auth::SYSTEM);
    let expected = json!({ "user": null, "token": false, "body": { "theme": "dark" } });
    assert_eq!(alone.send().await.json(), expected);
}

#[tokio::test]
async fn every_forged_fit_is_rejected() {
    let harness = harness();
    let call = harness.call("colours").json(&json!({}));
    assert!(call.attack().await.unwrap() > 100);
}
