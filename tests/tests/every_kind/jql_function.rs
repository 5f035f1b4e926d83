//! A JQL function.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

#[jql_function(name = "urgent", arguments = ["team", "limit?"], types = ["issue"], operators = ["in", "not in"])]
async fn urgent(Event(call): Event<JqlFunctionRequest>) -> Json<JqlFunctionResponse> {
    Json(match call.clause.arguments.first() {
        Some(team) => JqlFunctionResponse::jql(format!("team = {team:?}")),
        None => JqlFunctionResponse::error("which team?"),
    })
}

#[tokio::test]
async fn a_function_returns_a_query_or_an_error() {
    let harness = harness();
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
}
