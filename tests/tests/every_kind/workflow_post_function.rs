//! A post function.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

/// Notifies the team of the transition.
#[workflow_post_function(name = "Notify the team", project_types = ["company-managed", "team-managed"])]
async fn notify(retry: RetryContext, Event(done): Event<PostFunctionRequest>) -> Json<Value> {
    Json(json!([
        done.issue.get("key"),
        done.execution_id(),
        retry.count
    ]))
}

#[tokio::test]
async fn a_transition_names_the_issue_and_its_execution() {
    let harness = harness();
    let done = json!({ "issue": { "key": "DEV-1" }, "transition": { "executionId": "x-1" } });
    assert_eq!(
        response(&harness, "notify", done).await,
        (200, json!(["DEV-1", "x-1", 0]))
    );
}
