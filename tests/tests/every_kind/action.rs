//! An action's inputs, and its user's token.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::harness;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogTime {
    issue_key: String,
    hours: f64,
    remark: Option<String>,
}

/// Logs time
/// spent on a work item.
///
/// Not in the manifest.
#[action(
    verb = "CREATE",
    name = "Log time",
    inputs = [
        "issueKey: string - The work item's key",
        "hours: number - The hours spent",
        "remark?: string - A remark about the work",
    ],
    auth = user,
    scopes = ["write:jira-work"]
)]
async fn log_time(
    call: Invocation,
    token: Option<UserToken>,
    Event(request): Event<ActionRequest<LogTime>>,
) -> Result<Json<Value>> {
    let LogTime {
        issue_key,
        hours,
        remark,
    } = request.inputs;
    let who = (call.principal(), token.is_some());
    Ok(Json(json!([
        issue_key,
        hours,
        remark,
        request.context.cloud_id,
        who
    ])))
}

#[tokio::test]
async fn a_users_token_is_accepted_only_in_platform_calls_for_a_user() {
    let harness = harness();
    let inputs = json!({ "issueKey": "DEV-1", "hours": 2 });
    let response = harness.call("log-time").json(&inputs).send().await;
    assert_eq!(response.json()[4][1], true, "{}", response.text());
    assert!(response.json()[4][0].is_string(), "{}", response.text());

    let from_a_page = harness.call("log-time").json(&inputs);
    let from_a_page = from_a_page
        .fit(|fit| fit.module("xen:macro", "some-page"))
        .send()
        .await;
    assert_eq!(from_a_page.status(), 401);
    // A handler that never has a user rejects every FIT with one.
    let event = harness
        .call("follow")
        .fit(|fit| fit.set("/principal", "557058:x".into()));
    assert_eq!(event.send().await.status(), 401);
}
