//! An agent: a streamed response, and errors.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

/// Sorts incoming work.
#[agent_connector(name = "Triage", products = ["jira", "confluence"], conversation_starters = ["Sort it"], streaming)]
async fn triage(Json(call): Json<AgentRequest>) -> AgentReply {
    match call.method() {
        "message/stream" => {
            let message = json!({ "role": "ROLE_AGENT", "parts": [{ "text": call.text() }] });
            let message = futures_util::stream::iter([AgentUpdate::Message(message)]);
            AgentStream::new(&call, message).into()
        }
        "tasks/get" => AgentResponse::error(&call, AgentError::TASK_NOT_FOUND).into(),
        _ => AgentResponse::error(&call, AgentError::METHOD_NOT_FOUND).into(),
    }
}

#[tokio::test]
async fn an_agent_streams_its_response_or_returns_an_error() {
    let harness = harness();
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
}
