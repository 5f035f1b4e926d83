//! Agents answer Jira with one response or a stream, and invalid bodies with a JSON-RPC error.

use std::sync::Arc;
use std::time::Duration;

use forge_remote::axum::body::BodyDataStream;
use forge_remote::handler;
use forge_remote::kinds::*;
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TEST_APP_ID};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, mpsc};
use tower::ServiceExt as _;

/// The updates that the test makes the agent send.
type ScriptedUpdates = Arc<Mutex<Option<mpsc::Receiver<AgentUpdate>>>>;

fn task(state: &str) -> Value {
    json!({ "id": "t", "contextId": "c", "status": { "state": state } })
}

fn status(state: &str) -> AgentUpdate {
    AgentUpdate::StatusUpdate(
        json!({ "taskId": "t", "contextId": "c", "status": { "state": state } }),
    )
}

/// An agent that streams.
#[agent_connector(name = "Streaming", products = ["jira"], streaming)]
async fn streaming(
    State(scripted): State<ScriptedUpdates>,
    State(ended): State<Arc<Notify>>,
    call: AgentRequest,
) -> AgentReply {
    match (call.method(), call.text().as_str()) {
        ("message/stream", "scripted") => {
            let mut scripted = scripted.lock().await.take().unwrap();
            let (updates, stream) = AgentStream::channel(&call);
            tokio::spawn(async move {
                while let Some(update) = scripted.recv().await {
                    if updates.send(update).await == Err(StreamClosed) {
                        ended.notify_one();
                    }
                }
            });
            stream.into()
        }
        ("message/stream", "one response") => {
            AgentResponse::result(&call, task("TASK_STATE_WORKING")).into()
        }
        ("message/stream", "nothing") => AgentStream::channel(&call).1.into(),
        ("message/stream", "panic") => {
            let panics = stream_of(|| panic!("on purpose"));
            AgentStream::new(&call, panics).into()
        }
        ("message/stream", _) => {
            let mut updates = [
                AgentUpdate::Task(task("TASK_STATE_SUBMITTED")),
                status("TASK_STATE_WORKING"),
                AgentUpdate::ArtifactUpdate(json!({ "taskId": "t", "artifact": {} })),
                status("TASK_STATE_COMPLETED"),
                status("TASK_STATE_WORKING"),
            ]
            .into_iter();
            AgentStream::new(&call, stream_of(move || updates.next())).into()
        }
        ("tasks/get", _) => AgentResponse::result(&call, task("TASK_STATE_WORKING")).into(),
        ("tasks/resubscribe", _) => AgentResponse::error(&call, AgentError::TASK_NOT_FOUND).into(),
        _ => AgentResponse::error(&call, AgentError::METHOD_NOT_FOUND).into(),
    }
}

fn stream_of(
    mut next: impl FnMut() -> Option<AgentUpdate> + Send,
) -> impl Stream<Item = AgentUpdate> + Send {
    futures_util::stream::poll_fn(move |_| std::task::Poll::Ready(next()))
}

/// An agent that does not stream.
#[agent_connector(name = "Single", products = ["jira"])]
async fn single(call: AgentRequest) -> AgentResponse {
    let seen = json!([call.method(), call.id, call.params, call.rest]);
    AgentResponse::result(&call, seen)
}

/// An agent that looks tasks up.
#[agent_connector(name = "Tasks", products = ["jira"])]
async fn tasks(call: AgentRequest) -> AgentResponse {
    AgentResponse::result(&call, json!([call.method(), call.task_id()]))
}

struct AgentApp {
    harness: Harness,
    scripted: ScriptedUpdates,
    ended: Arc<Notify>,
}

fn agent_app() -> AgentApp {
    let (scripted, ended) = (ScriptedUpdates::default(), Arc::new(Notify::new()));
    let app = App::empty()
        .app_id(TEST_APP_ID)
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .handler(handler!(streaming))
        .handler(handler!(single))
        .handler(handler!(tasks))
        .state(Arc::clone(&scripted))
        .state(Arc::clone(&ended));
    AgentApp {
        harness: Harness::new(app).unwrap(),
        scripted,
        ended,
    }
}

fn rpc_request(method: &str, text: &str) -> Value {
    let message = json!({ "role": "ROLE_USER", "parts": [{ "text": text }] });
    json!({ "jsonrpc": "2.0", "id": "7", "method": method, "params": { "message": message } })
}

/// Parses the JSON of the events, each of which is one line.
fn events(text: &str) -> Vec<Value> {
    let events = text.strip_suffix("\n\n").unwrap().split("\n\n");
    events
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

impl AgentApp {
    async fn call(&self, key: &str, method: &str, text: &str) -> (u16, String, String) {
        let call = self.harness.call(key).json(&rpc_request(method, text));
        let response = call.send().await;
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (response.status(), kind, response.text())
    }

    /// Opens a stream whose updates the test sends.
    async fn open(&self) -> (mpsc::Sender<AgentUpdate>, BodyDataStream) {
        let (sender, receiver) = mpsc::channel(1);
        *self.scripted.lock().await = Some(receiver);
        let handler = self
            .harness
            .app()
            .registry()
            .find("streaming")
            .next()
            .unwrap();
        let call = self.harness.platform().call(handler);
        let request = call
            .json(&rpc_request("SendStreamingMessage", "scripted"))
            .into_request();
        let response = self.harness.app().router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        (sender, response.into_body().into_data_stream())
    }
}

async fn next(body: &mut BodyDataStream) -> Option<Value> {
    let frame = body.next().await?.unwrap();
    let mut events = events(std::str::from_utf8(&frame).unwrap());
    assert_eq!(events.len(), 1);
    events.pop()
}

#[tokio::test]
async fn a_streaming_agent_gets_jiras_call_and_streams() {
    let agent = agent_app();
    let of = |key: &str| {
        agent
            .harness
            .app()
            .registry()
            .find(key)
            .next()
            .unwrap()
            .clone()
    };
    let timeout = |key: &str| agent.harness.platform().call(&of(key)).timeout();
    assert_eq!(timeout("streaming"), Duration::from_secs(900));
    assert_eq!(timeout("single"), Duration::from_secs(55));

    let response = agent.harness.call("streaming").send().await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let events = events(&response.text());
    let results: Vec<&Value> = events.iter().map(|event| &event["result"]).collect();
    let completed =
        json!({ "taskId": "t", "contextId": "c", "status": { "state": "TASK_STATE_COMPLETED" } });
    assert_eq!(results.len(), 4, "{results:?}");
    assert_eq!(*results[0], json!({ "task": task("TASK_STATE_SUBMITTED") }));
    assert_eq!(
        results[1]["statusUpdate"]["status"]["state"],
        "TASK_STATE_WORKING"
    );
    assert_eq!(
        *results[2],
        json!({ "artifactUpdate": { "taskId": "t", "artifact": {} } })
    );
    // The last event, although the agent sends more.
    assert_eq!(*results[3], json!({ "statusUpdate": completed }));
    for event in &events {
        assert_eq!(
            (&event["jsonrpc"], &event["id"]),
            (&json!("2.0"), &json!("local-call"))
        );
    }

    let single = agent.harness.call("single").send().await.json();
    assert_eq!(single["result"][0], "message/send");
    assert_eq!(single["result"][3], json!({ "jsonrpc": "2.0" }));
}

#[tokio::test]
async fn updates_arrive_one_by_one_and_end_with_the_task() {
    let agent = agent_app();
    let (updates, mut body) = agent.open().await;
    for (update, name) in [
        (AgentUpdate::Task(task("TASK_STATE_WORKING")), "task"),
        (status("TASK_STATE_INPUT_REQUIRED"), "statusUpdate"),
    ] {
        updates.send(update).await.unwrap();
        // Each event arrives before the next is sent.
        let event = next(&mut body).await.unwrap();
        assert!(event["result"][name].is_object(), "{event}");
        assert_eq!(event["id"], "7");
    }
    updates.send(status("TASK_STATE_REJECTED")).await.unwrap();
    assert!(next(&mut body).await.is_some());
    assert_eq!(next(&mut body).await, None);
    // The agent is notified that the stream is closed.
    updates.send(status("TASK_STATE_WORKING")).await.unwrap();
    agent.ended.notified().await;
}

#[tokio::test]
async fn an_agent_is_notified_when_jira_hangs_up() {
    let agent = agent_app();
    let (updates, mut body) = agent.open().await;
    updates
        .send(AgentUpdate::Task(task("TASK_STATE_WORKING")))
        .await
        .unwrap();
    assert!(next(&mut body).await.is_some());
    drop(body);
    updates.send(status("TASK_STATE_WORKING")).await.unwrap();
    agent.ended.notified().await;
}

#[tokio::test]
async fn a_message_or_an_error_is_the_last_update() {
    let agent = agent_app();
    for update in [
        AgentUpdate::Message(json!({ "role": "ROLE_AGENT", "parts": [] })),
        AgentUpdate::Error(AgentError::INTERNAL_ERROR),
        AgentUpdate::Other(json!({ "kind": "status-update", "status": { "state": "completed" } })),
    ] {
        let (updates, mut body) = agent.open().await;
        updates.send(update.clone()).await.unwrap();
        let event = next(&mut body).await.unwrap();
        let expected = match update {
            AgentUpdate::Message(message) => json!({ "result": { "message": message } }),
            AgentUpdate::Other(result) => json!({ "result": result }),
            _ => json!({ "error": { "code": -32603, "message": "Internal error" } }),
        };
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&event[name], value);
        }
        assert_eq!(next(&mut body).await, None, "{event}");
    }
}

#[tokio::test]
async fn one_response_in_place_of_a_stream_is_an_error() {
    let agent = agent_app();
    let (status, _, text) = agent
        .call("streaming", "SendStreamingMessage", "one response")
        .await;
    assert_eq!(status, 500, "{text}");
    // An error can be a plain response or a stream.
    let (status, kind, text) = agent.call("streaming", "SubscribeToTask", "").await;
    assert_eq!((status, kind.as_str()), (200, "text/event-stream"));
    assert_eq!(events(&text)[0]["error"]["code"], -32001);
    // Methods without a stream get a plain response.
    let (status, kind, _) = agent.call("streaming", "GetTask", "").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let (status, kind, text) = agent.call("streaming", "SendMessage", "").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert!(text.contains("-32601"), "{text}");
}

/// Jira sends `id`; Atlassian's sample has `taskId`, and drafts of version 1.0 have `name`.
#[tokio::test]
async fn a_task_is_found_by_each_spelling_of_its_id() {
    let agent = agent_app();
    for (method, name, params, id) in [
        (
            "GetTask",
            "tasks/get",
            json!({ "id": "t-1", "historyLength": 0 }),
            json!("t-1"),
        ),
        (
            "tasks/get",
            "tasks/get",
            json!({ "taskId": "t-1" }),
            json!("t-1"),
        ),
        (
            "CancelTask",
            "tasks/cancel",
            json!({ "name": "tasks/t-1" }),
            json!("t-1"),
        ),
        (
            "SendMessage",
            "message/send",
            json!({ "name": "t-1" }),
            Value::Null,
        ),
        ("GetTask", "tasks/get", json!({ "id": 7 }), Value::Null),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": "7", "method": method, "params": params });
        let response = agent.harness.call("tasks").json(&body).send().await;
        assert_eq!(response.json()["result"], json!([name, id]), "{body}");
    }
}

#[tokio::test]
async fn a_failing_stream_sends_an_error() {
    let agent = agent_app();
    for text in ["nothing", "panic"] {
        let (status, kind, text) = agent.call("streaming", "message/stream", text).await;
        assert_eq!((status, kind.as_str()), (200, "text/event-stream"));
        let expected = json!({ "jsonrpc": "2.0", "id": "7", "error": { "code": -32603, "message": "Internal error" } });
        assert_eq!(events(&text), [expected]);
    }
}

#[tokio::test]
async fn an_invalid_body_gets_a_json_rpc_error() {
    let agent = agent_app();
    for (body, id, code) in [
        ("{", Value::Null, -32700),
        ("", Value::Null, -32700),
        ("[]", Value::Null, -32600),
        (r#"{"jsonrpc":"2.0","id":5}"#, json!(5), -32600),
        (r#"{"id":"a","method":7}"#, json!("a"), -32600),
        (r#"{"id":{},"method":7}"#, Value::Null, -32600),
        (
            r#"{"id":"a","method":"message/send","params":[1]}"#,
            json!("a"),
            -32602,
        ),
    ] {
        let response = agent.harness.call("single").body(body).send().await;
        assert_eq!(response.status(), 200, "{body}");
        let response = response.json();
        assert_eq!(
            (&response["jsonrpc"], &response["id"]),
            (&json!("2.0"), &id),
            "{body}"
        );
        assert_eq!(response["error"]["code"], code, "{body}");
    }
    let fine = r#"{"id":null,"method":"message/send","params":null}"#;
    let fine = agent.harness.call("single").body(fine).send().await.json();
    assert_eq!(fine["result"], json!(["message/send", null, {}, {}]));
}

#[test]
fn errors_have_their_details_in_data() {
    let written = |error: AgentError| serde_json::to_value(error).unwrap();
    let info = |reason: &str, metadata: Value| {
        json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
            "domain": "a2a-protocol.org", "metadata": metadata })
    };
    let not_found = AgentError::TASK_NOT_FOUND.metadata("taskId", "task-123");
    assert_eq!(
        written(not_found),
        json!({ "code": -32001, "message": "Task not found",
            "data": [info("TASK_NOT_FOUND", json!({ "taskId": "task-123" }))] })
    );
    let busy = AgentError::UNSUPPORTED.message(String::from("not while it runs"));
    let busy = busy.detail(json!({ "retry": false }));
    assert_eq!(
        written(busy),
        json!({ "code": -32004, "message": "not while it runs",
            "data": [info("UNSUPPORTED_OPERATION", json!({})), { "retry": false }] })
    );
    // JSON-RPC's own.
    for (error, code, message) in [
        (AgentError::PARSE_ERROR, -32700, "Parse error"),
        (AgentError::INVALID_REQUEST, -32600, "Invalid Request"),
        (AgentError::METHOD_NOT_FOUND, -32601, "Method not found"),
        (AgentError::INVALID_PARAMS, -32602, "Invalid params"),
        (AgentError::INTERNAL_ERROR, -32603, "Internal error"),
    ] {
        assert_eq!(written(error), json!({ "code": code, "message": message }));
    }
    assert_eq!(
        written(AgentError::new(
            -32050,
            format!("{} is asleep", "the model")
        )),
        json!({ "code": -32050, "message": "the model is asleep" })
    );
}
