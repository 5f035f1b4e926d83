//! One handler of every kind, and the app that has them.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde::Deserialize;
use serde_json::{Value, json};

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

pub(crate) fn app() -> App {
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .app_id("ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107")
}

pub(crate) fn harness() -> Harness {
    Harness::new(app()).unwrap()
}

pub(crate) async fn response(harness: &Harness, key: &str, body: Value) -> (u16, Value) {
    let response = harness.call(key).json(&body).send().await;
    let json = serde_json::from_str(&response.text()).unwrap_or(Value::Null);
    (response.status(), json)
}
