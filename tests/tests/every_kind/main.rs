//! Every kind's handler receives what Forge sends, returns what Forge reads, and is in the manifest.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use forge_remote::kinds::*;
use forge_remote::manifest::{DesiredManifest, ManifestFile, OwnedProperties, compare};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::testing::Harness;
use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::KINDS;
use forge_remote_schema::names::Names;
use forge_remote_schema::options::OptionSpec;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

#[scheduled_trigger(interval = "hour", licensed_only)]
async fn tick() {}

#[derive(Deserialize)]
#[serde(tag = "eventType")]
enum Change {
    #[serde(rename = "avi:jira:created:issue")]
    Created { issue: Issue },
    #[serde(rename = "avi:jira:deleted:issue")]
    Deleted { issue: Issue },
}

#[derive(Deserialize)]
struct Issue {
    key: String,
}

const CREATED: &str = "avi:jira:created:issue";

/// Returns what it saw, for the tests; Forge ignores the response.
#[trigger(
    events = [CREATED, "avi:jira:deleted:issue"],
    filter = "event.issue.fields.project.key == 'DEV'",
    on_error = "RECEIVE_AND_LOG",
    ignore_self,
    property_paths = ["issue.properties['k'].f"],
    auth = system
)]
async fn follow(
    retry: RetryContext,
    _token: SystemToken,
    Event(change): Event<Change>,
) -> Result<Json<Value>> {
    let (what, issue) = match change {
        Change::Created { issue } => ("created", issue),
        Change::Deleted { issue } => ("deleted", issue),
    };
    Ok(Json(json!([what, issue.key, retry.count, retry.reason])))
}

#[trigger(events = ["avi:forge:installed:app", "avi:forge:upgraded:app"])]
async fn installed(Event(event): Event<LifecycleEvent>) -> Result<Json<Value>> {
    Ok(Json(json!([
        event.event_type,
        event.app.version,
        event.rest.get("environment").is_some()
    ])))
}

#[trigger(unknown_events = ["avi:jira:invented:thing"])]
async fn unheard_of(Event(event): Event) -> Result<()> {
    if event.get("hopeless").is_some() {
        return Err(Error::permanent("nothing can be made of it"));
    }
    Err(Error::new("the database is down"))
}

#[trigger(filtered_events = [
    (event = "avi:jira:created:version", ignore_self),
    (
        event = "avi:jira:updated:version",
        filter = "event.version.released",
        on_error = "RECEIVE",
        fields = ["version.name"],
    ),
    (unknown_event = "avi:jira:invented:version", licensed_only),
])]
async fn versions(Event(event): Event) -> Json<Value> {
    Json(event["eventType"].clone())
}

#[pre_uninstall(auth = system)]
async fn farewell(Event(event): Event<UninstallEvent>) -> Result<()> {
    assert!(event.context.is_some());
    Ok(())
}

#[consumer(queue = "imports", cross_version)]
async fn import(retry: RetryContext, Event(event): Event<QueueEvent>) -> Result<Json<Value>> {
    Ok(Json(json!([
        event.queue_name,
        event.event_id,
        event.body,
        retry.is_retry()
    ])))
}

#[web_trigger(
    outputs = [
        "accepted=202",
        (key = "wrong", status = 400, content_type = "text/plain", body = "What do you mean?"),
    ],
    hmac,
    url_format = "v2"
)]
async fn hook(request: WebTriggerRequest) -> Json<WebTriggerOutput> {
    let right = request.header("x-kind") == Some("right");
    Json(WebTriggerOutput::new(if right {
        "accepted"
    } else {
        "wrong"
    }))
}

#[web_trigger]
async fn echo(request: WebTriggerRequest) -> WebTriggerResponse {
    let query = request
        .query_parameters
        .get("q")
        .and_then(|all| all.first());
    let body = match request.text() {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{:02x?}", &request.body[..]),
    };
    let path = &request.user_path;
    let text = format!("{} {body} {query:?} {path}", request.method);
    WebTriggerResponse::new(200, text).header("Content-Type", "text/plain")
}

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
        "remark?: string - What was done",
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

#[jql_function(name = "urgent", arguments = ["team", "limit?"], types = ["issue"], operators = ["in", "not in"])]
async fn urgent(Event(call): Event<JqlFunctionRequest>) -> Json<JqlFunctionResponse> {
    Json(match call.clause.arguments.first() {
        Some(team) => JqlFunctionResponse::jql(format!("team = {team:?}")),
        None => JqlFunctionResponse::error("which team?"),
    })
}

/// Notifies the team of the transition.
#[workflow_post_function(name = "Notify the team", project_types = ["company-managed", "team-managed"])]
async fn notify(retry: RetryContext, Event(done): Event<PostFunctionRequest>) -> Json<Value> {
    Json(json!([
        done.issue.get("key"),
        done.execution_id(),
        retry.count
    ]))
}

/// Pull requests with an odd number wait.
#[merge_check(name = "Even only", triggers = ["on-merge", "on-code-pushed"])]
async fn even(Event(call): Event<MergeCheckRequest>) -> Json<MergeCheckResponse> {
    Json(match call.pull_request_id() {
        Some(id) if id % 2 == 0 => MergeCheckResponse::pass(),
        _ => MergeCheckResponse::fail("odd"),
    })
}

/// Leaves every pipeline as it is.
#[dynamic_pipelines_provider(name = "Nothing")]
async fn pipelines(Event(call): Event<PipelinesRequest>) -> Json<PipelinesResponse> {
    Json(PipelinesResponse::of(call.pipelines_configuration))
}

#[design_info_provider(
    function = "getEntityByUrl",
    name = "Sketches",
    home_url = "https://sketches.example.com"
)]
async fn by_url(Event(call): Event<DesignRequest>) -> Json<Value> {
    Json(json!({ "url": call.url() }))
}

#[design_info_provider(function = "checkAuth")]
async fn check_auth() {}

#[design_info_provider(function = "onEntityAssociated")]
async fn design_linked(Event(call): Event<DesignRequest>) -> Json<Value> {
    Json(json!(call.associated_with.and_then(|with| with.id)))
}

#[design_info_provider(function = "onEntityDisassociated")]
async fn design_unlinked(Event(call): Event<DesignRequest>) -> Json<Value> {
    Json(json!(call.disassociated_from.and_then(|from| from.id)))
}

#[security_info_provider(
    function = "fetchWorkspaces",
    name = "Scanner",
    home_url = "https://scanner.example.com"
)]
async fn workspaces(Event(call): Event<SecurityRequest>) -> Json<SecurityResponse> {
    let workspaces = call.ids.into_iter().map(|id| Workspace {
        name: id.clone(),
        url: format!("https://scanner.example.com/{id}"),
        avatar_url: None,
        id,
    });
    Json(SecurityResponse::Workspaces {
        workspaces: workspaces.collect(),
    })
}

#[security_info_provider(function = "fetchContainers")]
async fn containers() -> Json<SecurityResponse> {
    Json(SecurityResponse::Containers {
        containers: Vec::new(),
    })
}

#[security_info_provider(function = "searchContainers")]
async fn search(Event(call): Event<SecurityRequest>) -> Json<Value> {
    Json(json!([call.workspace_id, call.search_query]))
}

#[static_macro]
async fn render(Event(call): Event<MacrosRequest>) -> Json<RenderedMacros> {
    Json(call.render(|one| format!("<p>{}</p>", one.config.len())))
}

#[widget_context]
async fn widget(Json(request): Json<Value>) -> Json<Value> {
    Json(request)
}

#[endpoint]
async fn overview() {}

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

fn app() -> App {
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .app_id("ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107")
}

fn harness() -> Harness {
    Harness::new(app()).unwrap()
}

async fn response(harness: &Harness, key: &str, body: Value) -> (u16, Value) {
    let response = harness.call(key).json(&body).send().await;
    let json = serde_json::from_str(&response.text()).unwrap_or(Value::Null);
    (response.status(), json)
}

#[tokio::test]
async fn the_local_platforms_call_of_every_kind_is_accepted() {
    let harness = harness();
    let mut count = 0;
    for handler in harness.app().registry().handlers() {
        let response = harness.call(handler.endpoint()).send().await;
        let expected = if handler.key().starts_with("unheard-of") {
            500
        } else {
            200
        };
        let name = handler.registration().function;
        assert_eq!(response.status(), expected, "{name}: {}", response.text());
        count += 1;
    }
    assert_eq!(count, 30);
}

#[tokio::test]
async fn an_event_is_read_bare_and_wrapped_with_its_retries() {
    let harness = harness();
    let event =
        json!({ "eventType": "avi:jira:deleted:issue", "issue": { "key": "DEV-2" }, "new": [1] });
    assert_eq!(
        response(&harness, "follow", event.clone()).await,
        (200, json!(["deleted", "DEV-2", 0, null]))
    );

    let again = harness
        .call("follow")
        .json(&event)
        .as_retry(2, "TIMEOUT_ERROR")
        .send()
        .await;
    assert_eq!(
        again.json(),
        json!(["deleted", "DEV-2", 2, "TIMEOUT_ERROR"])
    );

    let mut inner = event.clone();
    inner["retryContext"] =
        json!({ "retryCount": 3, "retryReason": "INVALID_REMOTE_INVOCATION_ERROR" });
    let (status, seen) = response(&harness, "follow", json!({ "payload": inner })).await;
    assert_eq!(
        (status, seen),
        (
            200,
            json!(["deleted", "DEV-2", 3, "INVALID_REMOTE_INVOCATION_ERROR"])
        )
    );

    // The same for a chunked body of unknown length.
    let life =
        json!({ "eventType": "avi:forge:upgraded:app", "id": "x", "app": { "version": "5.2.0" } });
    assert_eq!(
        response(&harness, "installed", life).await,
        (200, json!(["avi:forge:upgraded:app", "5.2.0", false]))
    );
    assert_eq!(
        response(&harness, "installed", json!({})).await,
        (200, json!([null, null, false]))
    );
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
async fn a_handler_decides_whether_forge_retries() {
    let harness = harness();
    let (status, _) = response(&harness, "unheard-of", json!({})).await;
    assert_eq!(status, 500);
    let (status, body) = response(&harness, "unheard-of", json!({ "hopeless": true })).await;
    assert_eq!((status, body), (204, Value::Null));
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
async fn a_web_trigger_reads_the_request_and_its_description() {
    let harness = harness();
    let described = json!({
        "method": "PUT", "headers": { "X-Kind": ["right"] }, "body": "b", "path": "/x1/1/deeper",
        "userPath": "/deeper", "queryParameters": { "q": ["1"] },
    });
    assert_eq!(
        response(&harness, "hook", described.clone()).await.1,
        json!({ "outputKey": "accepted" })
    );
    let text = harness.call("echo").json(&described).send().await.json();
    assert_eq!(text["body"], "PUT b Some(\"1\") /deeper");
    assert_eq!(text["headers"]["Content-Type"], json!(["text/plain"]));

    let passed_on = harness
        .call("hook")
        .body("raw")
        .header("X-Kind", "right")
        .send()
        .await;
    assert_eq!(passed_on.json(), json!({ "outputKey": "accepted" }));
    let passed_on = harness
        .call("echo")
        .body("raw")
        .query("q=2")
        .send()
        .await
        .json();
    assert_eq!(passed_on["body"], "POST raw Some(\"2\") ");
}

/// Sends a handler's call with another method and path.
async fn elsewhere(
    harness: &Harness,
    key: &str,
    method: &str,
    path: &str,
    body: &'static [u8],
) -> (u16, Value) {
    let handler = harness.app().registry().find(key).next().unwrap();
    let call = harness.platform().call(handler).body(body);
    let mut request = call.into_request();
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    let response = harness.app().router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = forge_remote::axum::body::to_bytes(response.into_body(), usize::MAX).await;
    (
        status,
        serde_json::from_slice(&body.unwrap()).unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn a_web_trigger_serves_every_method_on_its_path_and_below() {
    let harness = harness();
    for (method, path, expected) in [
        ("GET", "/echo?q=1", "GET b Some(\"1\") "),
        ("DELETE", "/echo/", "DELETE b None /"),
        ("PUT", "/echo/a%20b/c?q=2", "PUT b Some(\"2\") /a%20b/c"),
        ("PROPFIND", "/echo//d/", "PROPFIND b None //d/"),
        ("OPTIONS", "/echo/e", "OPTIONS b None /e"),
    ] {
        let (status, response) = elsewhere(&harness, "echo", method, path, b"b").await;
        assert_eq!(
            (status, &response["body"]),
            (200, &json!(expected)),
            "{path}"
        );
    }
    // The sent bytes, valid text or not.
    let (_, response) = elsewhere(&harness, "echo", "POST", "/echo/x", b"\xff\x00").await;
    assert_eq!(response["body"], "POST [ff, 00] None /x");
    // A body that resembles a description, but can't be one, stays a body.
    let faked = br#"{"method":"GET","headers":{},"path":"/x"}"#;
    let (_, response) = elsewhere(&harness, "echo", "POST", "/echo/x", faked).await;
    assert!(
        response["body"].as_str().unwrap().starts_with("POST {"),
        "{response}"
    );
    // A path with the same prefix has no handler, and another handler has only its own method.
    for (path, status) in [("/echoes", 404), ("/follow/x", 404), ("/urgent", 405)] {
        assert_eq!(
            elsewhere(&harness, "echo", "GET", path, b"").await.0,
            status,
            "{path}"
        );
    }
    // It still requires a token.
    let unsigned =
        forge_remote::http::Request::get("/echo/x").body(forge_remote::axum::body::Body::empty());
    let response = harness
        .app()
        .router()
        .oneshot(unsigned.unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn a_providers_functions_serve_any_method() {
    let harness = harness();
    for method in ["GET", "POST", "PUT"] {
        let path = "/check-auth?userId=1";
        assert_eq!(
            elsewhere(&harness, "check-auth", method, path, b"").await.0,
            200
        );
    }
    let linked = br#"{"associatedWith":{"id":"1"}}"#;
    let response = elsewhere(&harness, "design-linked", "PUT", "/design-linked", linked).await;
    assert_eq!(response, (200, json!("1")));
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
    // It is documented that the token names no user, but not which module it names.
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
    // A handler that never has a user rejects every token with one.
    let event = harness
        .call("follow")
        .fit(|fit| fit.set("/principal", "557058:x".into()));
    assert_eq!(event.send().await.status(), 401);
}

#[tokio::test]
async fn a_token_of_a_hand_written_module_is_accepted_if_it_is_the_only_one() {
    let harness = harness();
    let call = |key: &str, module: &str| {
        let call = harness.call(key).json(&json!({}));
        call.fit(|fit| fit.module("core:endpoint", module)).send()
    };
    for key in ["render", "widget", "overview"] {
        // The endpoint's own token, and the token of a page that only the manifest knows.
        for module in [key, "notes", "numbers"] {
            assert_eq!(call(key, module).await.status(), 200, "{module} at {key}");
        }
        // Another handler's endpoint, another's module, or neither.
        for module in ["follow", "follow-trigger", "data-residency", "triage", ""] {
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
}

/// `UPDATE_GOLDEN=1` rewrites the result. `.ci/conformance` runs Atlassian's validation on it.
#[test]
fn every_kind_has_its_module_in_the_manifest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds");
    let wanted = sections();
    let before = fs::read_to_string(folder.join("before.yml")).unwrap();
    let file = ManifestFile::parse(folder.join("before.yml"), Some(before)).unwrap();
    let after = file.merged_with(&wanted, None).unwrap();
    let golden = folder.join("manifest.yml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &after).unwrap();
    }
    assert_eq!(after, fs::read_to_string(&golden).unwrap_or_default());
    let again = ManifestFile::parse(golden.clone(), Some(after.clone())).unwrap();
    assert_eq!(compare(again.value(), &wanted), []);
    assert_eq!(again.merged_with(&wanted, None).unwrap(), after);

    // Without the handlers, only hand-written entries remain.
    let generated = Registry::linked();
    let keys = generated.handlers().iter();
    let nothing = DesiredManifest {
        remotes: wanted.remotes.clone(),
        removable: keys
            .flat_map(|handler| [handler.key().to_owned(), handler.endpoint().to_owned()])
            .collect(),
        ..DesiredManifest::default()
    };
    let empty = again.merged_with(&nothing, None).unwrap();
    for trace in [
        "endpoint: log-time",
        "scheduledTrigger",
        "devops:",
        "agentConnector",
        "data-residency",
    ] {
        assert!(!empty.contains(trace), "{trace} is in\n{empty}");
    }
    assert!(empty.contains("confluence:globalPage"), "{empty}");
}

fn sections() -> DesiredManifest {
    Registry::linked()
        .desired_manifest(&[Remote::new("backend").base_url("https://backend.example.com")])
}

#[test]
fn an_events_scopes_are_satisfied_by_either_of_its_sets() {
    let names = |sections: &DesiredManifest, granted: &[&str]| -> Vec<String> {
        let granted = granted.iter().copied().collect();
        sections
            .scopes_given(&granted)
            .into_iter()
            .map(|scope| scope.name)
            .collect()
    };
    let current = sections();
    let granular = [
        "read:issue:jira",
        "read:issue-type:jira",
        "read:user:jira",
        "read:project:jira",
        "read:status:jira",
    ];
    let mut bare = current.clone();
    bare.scopes.clear();
    bare.alternatives.clear();
    // The same for events in object form.
    let versions = |event: &&&str| event.ends_with(":version");
    assert_eq!(bare.events.keys().filter(versions).count(), 2);
    bare.events.retain(|event, _| !versions(&event));
    assert_eq!(names(&bare, &[]), ["read:jira-work"]);
    assert_eq!(names(&bare, &["read:jira-work"]), ["read:jira-work"]);
    let mut expected = granular.map(str::to_owned);
    expected.sort();
    assert_eq!(names(&bare, &granular), expected);
    // Half of a set is not enough.
    assert_eq!(names(&bare, &granular[..2]), ["read:jira-work"]);
    bare.granular = true;
    assert_eq!(names(&bare, &[]), expected);
}

/// Returns the golden manifest with other events under one of the trigger keys.
fn with_events(key: &str, events: &str) -> (ManifestFile, String) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/manifest.yml");
    let text = fs::read_to_string(&golden).unwrap();
    let (before, item) = text.split_once(&format!("    - key: {key}\n")).unwrap();
    let end = item.find("\n    - key").unwrap_or(item.len()) + 1;
    let end = item
        .find("\n  webtrigger")
        .map_or(end, |next| end.min(next + 1));
    let (item, after) = item.split_at(end);
    let endpoint = item.lines().next().unwrap();
    let text = format!("{before}    - key: {key}\n{endpoint}\n{events}{after}");
    (
        ManifestFile::parse(golden, Some(text.clone())).unwrap(),
        text,
    )
}

#[test]
fn equivalent_events_in_the_other_form_are_preserved() {
    let wanted = sections();
    const FOLLOW: &str = "      events:
        - eventType: avi:jira:deleted:issue # by hand
          filter:
            onError: RECEIVE_AND_LOG
            expression: event.issue.fields.project.key == 'DEV'
            ignoreSelf: true
          payload:
            include: {propertyPaths: [\"issue.properties['k'].f\"]}
        - eventType: avi:jira:created:issue
          filter: {ignoreSelf: true, expression: event.issue.fields.project.key == 'DEV', onError: RECEIVE_AND_LOG, appIsLicensed: false}
          payload:
            include: {propertyPaths: [\"issue.properties['k'].f\"]}
";
    let (file, text) = with_events("follow-trigger", FOLLOW);
    assert_eq!(compare(file.value(), &wanted), []);
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);

    // The reverse: names for events that the code declares as objects without a filter.
    const INSTALLED: &str = "      events:
        - {eventType: avi:forge:installed:app, filter: {ignoreSelf: false}}
        - {eventType: avi:forge:upgraded:app, filter: {ignoreSelf: false}}
";
    let (file, text) = with_events("installed-trigger", INSTALLED);
    let differences = compare(file.value(), &wanted);
    assert_eq!(differences, [], "{text}");

    for (old, new) in [
        ("avi:jira:deleted:issue", "avi:jira:updated:issue"),
        ("ignoreSelf: true\n", "ignoreSelf: false\n"),
        ("onError: RECEIVE_AND_LOG\n", "onError: RECEIVE\n"),
        ("['k'].f\"]}\n        -", "['k'].g\"]}\n        -"),
        ("appIsLicensed: false", "appIsLicensed: true"),
    ] {
        assert!(FOLLOW.contains(old), "{old}");
        let (file, _) = with_events("follow-trigger", &FOLLOW.replacen(old, new, 1));
        assert!(!compare(file.value(), &wanted).is_empty(), "{new}");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/manifest.yml");
        let golden = ManifestFile::parse(golden.clone(), Some(fs::read_to_string(golden).unwrap()));
        let updated = file.merged_with(&wanted, None).unwrap();
        let updated = ManifestFile::parse("manifest.yml", Some(updated)).unwrap();
        let triggers = |file: &ManifestFile| file.value()["modules"]["trigger"].clone();
        assert_eq!(triggers(&updated), triggers(&golden.unwrap()), "{new}");
    }
}

#[test]
fn a_page_that_names_a_handler_it_cannot_call_is_reported() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/manifest.yml");
    let golden = fs::read_to_string(golden).unwrap();
    // A difference, so that there is a report.
    let text = golden.replace("interval: hour", "interval: day");
    let page = |endpoint: &str| {
        let text = text.replace(
            "        function: resolver",
            &format!("        endpoint: {endpoint}"),
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages.yml");
        fs::write(&path, text).unwrap();
        app().manifest_path(&path).check_manifest().unwrap_err()
    };
    let report = page("overview");
    assert!(report.contains("confluence:globalPage `page`"), "{report}");
    assert!(!report.contains("rejected-caller"), "{report}");
    for endpoint in ["follow", "log-time", "render"] {
        let report = page(endpoint);
        let error = format!(
            "error[rejected-caller]: the handler of `{endpoint}` rejects calls of modules.confluence:globalPage[page].resolver.endpoint with 401"
        );
        assert!(report.contains(&error), "{error} is not in\n{report}");
    }
}

#[test]
fn a_provider_of_several_endpoints_is_removed_only_when_all_were_generated() {
    let provider = |last: &str| {
        format!(
            "modules:
  devops:designInfoProvider:
    - key: sketches
      name: {{value: Sketches}}
      homeUrl: https://sketches.example.com
      checkAuth: {{endpoint: check-auth}}
      getEntityByUrl: {{endpoint: by-url}}
      onEntityAssociated: {{endpoint: linked}}
      onEntityDisassociated: {{endpoint: {last}}}
  endpoint:
    - {{key: check-auth, remote: backend}}
    - {{key: by-url, remote: backend}}
    - {{key: linked, remote: backend}}
    - {{key: unlinked, remote: backend}}
    - {{key: theirs, service: containers}}
remotes:
  - key: backend
"
        )
    };
    let mut wanted = Registry::default().desired_manifest(&[Remote::new("backend")]);
    let removable = ["sketches", "check-auth", "by-url", "linked", "unlinked"];
    wanted.removable = removable.map(str::to_owned).into();
    let updated = |text: String| {
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        file.merged_with(&wanted, None).unwrap()
    };
    assert!(!updated(provider("unlinked")).contains("sketches"));
    let updated_text = updated(provider("theirs"));
    assert!(
        updated_text.contains("onEntityDisassociated: {endpoint: theirs}"),
        "{updated_text}"
    );
}

/// Every module with an endpoint in Atlassian's schema has an attribute here. The test needs
/// `FORGE_MANIFEST_PACKAGE`, the folder of `@forge/manifest`, which `.ci/conformance` sets.
#[test]
fn every_module_with_an_endpoint_in_atlassians_schema_has_an_attribute() {
    let Some(package) = std::env::var_os("FORGE_MANIFEST_PACKAGE") else {
        println!("skipped: FORGE_MANIFEST_PACKAGE names no folder of @forge/manifest");
        return;
    };
    let schema = PathBuf::from(package).join("out/schema/manifest-schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    let modules = followed(&schema, &schema["properties"]["modules"]);
    let mut found = BTreeSet::new();
    for (module_type, definition) in modules["properties"].as_object().unwrap() {
        places(
            &schema,
            definition,
            &mut Vec::new(),
            &mut Vec::new(),
            &mut |place| {
                found.insert((module_type.clone(), place.to_owned()));
            },
        );
    }
    assert!(found.len() > 90, "{}", found.len());
    let here: BTreeSet<(String, String)> = forge_remote::kinds::endpoint_places()
        .into_iter()
        .map(|(module_type, place)| (module_type.to_owned(), place))
        .collect();
    let missing: Vec<_> = found.difference(&here).collect();
    assert!(missing.is_empty(), "no attribute exists for {missing:?}");
    let gone: Vec<_> = here.difference(&found).collect();
    assert!(gone.is_empty(), "Atlassian's schema has no {gone:?}");
    // The docs name each type: in the table, and pages in a list.
    let table = include_str!("../../../forge-remote/src/kinds/mod.rs");
    let pages = include_str!("../../../forge-remote/src/kinds/pages.md");
    for (module_type, place) in &here {
        let named = if place == "resolver.endpoint" {
            pages.contains(&format!("`{module_type}`"))
        } else {
            table.contains(&format!("| `{module_type}`"))
        };
        assert!(named, "{module_type} ({place})");
    }
}

fn followed<'a>(schema: &'a Value, mut node: &'a Value) -> &'a Value {
    while let Some(path) = node["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix('#'))
        .filter(|path| path.starts_with('/'))
    {
        match schema.pointer(path) {
            Some(next) if !std::ptr::eq(next, node) => node = next,
            _ => return &Value::Null,
        }
    }
    node
}

fn places<'a>(
    schema: &'a Value,
    node: &'a Value,
    path: &mut Vec<&'a str>,
    above: &mut Vec<*const Value>,
    found: &mut impl FnMut(&str),
) {
    let node = followed(schema, node);
    let here: *const Value = node;
    if above.contains(&here) {
        return;
    }
    above.push(here);
    for name in ["anyOf", "oneOf", "allOf"] {
        for part in node[name].as_array().into_iter().flatten() {
            places(schema, part, path, above, found);
        }
    }
    if node.get("items").is_some() {
        places(schema, &node["items"], path, above, found);
    }
    for (name, part) in node["properties"].as_object().into_iter().flatten() {
        path.push(name);
        if name == "endpoint" {
            found(&path.join("."));
        } else {
            places(schema, part, path, above, found);
        }
        path.pop();
    }
    above.pop();
}

/// Every row of the table has a handler here. The module that the handler declares has the row's
/// type and names its endpoint where the row says.
#[test]
fn every_row_of_the_table_matches_its_kind() {
    let registry = Registry::linked();
    let mut seen = BTreeSet::new();
    for handler in registry.handlers() {
        let kind = handler.registration().kind;
        let spec = kind.spec();
        seen.insert(spec.attribute);
        let modules = kind.modules(handler.names());
        assert_eq!(modules.len(), usize::from(spec.has_module()));
        for module in modules {
            assert_eq!(module.module_type, spec.module_type);
            let owns_item = module.owned == OwnedProperties::All;
            assert_eq!(owns_item, spec.owns_item, "{}", spec.attribute);
            let item = serde_yaml::Value::Mapping(module.item);
            let named = spec.endpoint_places.iter().filter(|place| {
                let found = place.iter().try_fold(&item, |value, name| value.get(name));
                found.and_then(|found| found.as_str()) == Some(handler.endpoint())
            });
            let expected = usize::from(spec.has_endpoint());
            assert_eq!(named.count(), expected, "{}", spec.attribute);
        }
    }
    let all = KINDS.iter().map(|kind| kind.attribute);
    assert_eq!(
        all.filter(|one| !seen.contains(one)).collect::<Vec<_>>(),
        [""; 0]
    );
}

/// Options that no handler here has.
const WITH_RARE_OPTIONS: &[&dyn Kind] = &[
    &Trigger {
        events: &["avi:jira:created:issue"],
        unknown_events: &[],
        filtered_events: &[],
        conditions: Conditions {
            licensed_only: true,
            fields: &["issue.fields.summary"],
            ..Conditions::NONE
        },
    },
    &DynamicPipelinesProvider {
        name: "name",
        description: "description",
        icon: Some("icon"),
    },
    &DesignInfoProvider {
        function: "checkAuth",
        name: None,
        home_url: None,
        logo_url: Some("logo"),
        handled_domain_name: Some("domain"),
        documentation_url: Some("docs"),
    },
    &SecurityInfoProvider {
        function: "fetchWorkspaces",
        name: None,
        home_url: None,
        logo_url: Some("logo"),
        documentation_url: Some("docs"),
    },
    &AgentConnector {
        name: "name",
        products: &["jira"],
        description: "description",
        icon: Some("icon"),
        conversation_starters: &[],
        version: None,
        streaming: false,
    },
];

/// The options write their properties where the row says, from which the build script and
/// `manifest --adopt` read them.
#[test]
fn options_that_are_properties_of_the_module_are_named_by_their_row() {
    fn options(kind: &KindSpec) -> impl Iterator<Item = &'static OptionSpec> {
        let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
        let options = kind.options.iter().chain(nested);
        options.filter(|option| !option.place.is_empty())
    }
    let registry = Registry::linked();
    let mut seen = BTreeSet::new();
    let handlers = registry.handlers().iter();
    let handlers = handlers.map(|handler| (handler.registration().kind, handler.names().clone()));
    let names = || Names {
        key: "key".to_owned(),
        endpoint: "endpoint".to_owned(),
        path: "/path".to_owned(),
    };
    for (kind, names) in handlers.chain(WITH_RARE_OPTIONS.iter().map(|kind| (*kind, names()))) {
        for module in kind.modules(&names) {
            let item = serde_yaml::Value::Mapping(module.item);
            for option in options(kind.spec()) {
                let mut place = option.place.iter();
                if place
                    .try_fold(&item, |value, name| value.get(name))
                    .is_some()
                {
                    seen.insert((kind.spec().attribute, option.name));
                }
            }
        }
    }
    let all = KINDS
        .iter()
        .flat_map(|kind| options(kind).map(|option| (kind.attribute, option.name)));
    let unseen: Vec<_> = all.filter(|one| !seen.contains(one)).collect();
    assert_eq!(unseen, [], "no handler writes these options");
}
