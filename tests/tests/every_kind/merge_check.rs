//! A merge check.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::json;

use crate::harness::{harness, response};

/// Pull requests with an odd number wait.
#[merge_check(name = "Even only", triggers = ["on-merge", "on-code-pushed"])]
async fn even(Event(call): Event<MergeCheckRequest>) -> Json<MergeCheckResponse> {
    Json(match call.pull_request_id() {
        Some(id) if id % 2 == 0 => MergeCheckResponse::pass(),
        _ => MergeCheckResponse::fail("odd"),
    })
}

#[tokio::test]
async fn a_check_passes_or_fails_with_a_reason() {
    let harness = harness();
    let pull = |id: u32| json!({ "pullrequest": { "id": id }, "trigger": { "type": "on-merge" } });
    assert_eq!(
        response(&harness, "even", pull(2)).await.1,
        json!({ "success": true })
    );
    assert_eq!(
        response(&harness, "even", pull(3)).await.1,
        json!({ "success": false, "message": "odd" })
    );
}
