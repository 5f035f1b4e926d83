//! Keeps a copy of each site's work items, as a product that mirrors them into a tracker of its
//! own would: ten ways in which Forge calls a remote, in one app.

mod mirror;
mod signature;

use forge_remote::kinds::{
    ActionRequest, JqlFunctionRequest, JqlFunctionResponse, LifecycleEvent, PostFunctionRequest,
    QueueEvent, WebTriggerOutput, WebTriggerRequest,
};
use forge_remote::prelude::*;
use serde::{Deserialize, Serialize};

pub use mirror::{Item, Mirror};
pub use signature::{Guessable, SECRET_VARIABLE, SIGNATURE_HEADER, Secret};

/// What Jira says of a work item.
#[derive(Clone, Debug, Deserialize)]
pub struct Issue {
    id: String,
    key: String,
    #[serde(default)]
    fields: Fields,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Fields {
    #[serde(default)]
    summary: String,
}

/// The events that change the copy. Jira sends the time as text.
#[derive(Debug, Deserialize)]
#[serde(tag = "eventType")]
enum Change {
    #[serde(rename = "avi:jira:created:issue", alias = "avi:jira:updated:issue")]
    Written {
        issue: Issue,
        timestamp: Option<String>,
    },
    #[serde(rename = "avi:jira:deleted:issue")]
    Deleted { issue: Issue },
}

/// Follows what happens to work items.
#[trigger(
    events = ["avi:jira:created:issue", "avi:jira:updated:issue", "avi:jira:deleted:issue"],
    ignore_self,
    path = "/events/issues"
)]
async fn follow(
    call: Invocation,
    retry: RetryContext,
    State(mirror): State<Mirror>,
    Event(change): Event<Change>,
) -> Result<()> {
    if retry.is_retry() {
        println!("sent again, because of {:?}", retry.reason);
    }
    match change {
        // Events come late, twice and out of order: the newest wins, whatever came before.
        Change::Written { issue, timestamp } => {
            let at = timestamp
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            mirror.write(
                call.installation_id(),
                issue.id,
                issue.key,
                issue.fields.summary,
                at,
            );
        }
        Change::Deleted { issue } => mirror.delete(call.installation_id(), &issue.id),
    }
    Ok(())
}

/// Begins a copy.
#[trigger(
    events = ["avi:forge:installed:app", "avi:forge:upgraded:app"],
    path = "/events/life",
    auth = system
)]
async fn begin(
    call: Invocation,
    token: Option<SystemToken>,
    State(mirror): State<Mirror>,
    Event(event): Event<LifecycleEvent>,
) -> Result<()> {
    let version = event.app.version.unwrap_or_default();
    println!(
        "{} has version {version}; a token came: {}",
        call.installation_id(),
        token.is_some()
    );
    mirror.begin(call.installation_id());
    Ok(())
}

/// Forgets a site's copy.
#[pre_uninstall]
async fn forget(call: Invocation, State(mirror): State<Mirror>) -> Result<()> {
    mirror.forget(call.installation_id());
    Ok(())
}

/// Looks once an hour for what was missed.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn reconcile(
    call: Invocation,
    _token: SystemToken,
    State(mirror): State<Mirror>,
) -> Result<()> {
    mirror.mark_checked(call.installation_id());
    Ok(())
}

/// A batch of old work items.
#[derive(Debug, Deserialize)]
struct Batch {
    issues: Vec<Issue>,
}

/// Takes in old work items, batch by batch.
#[consumer(queue = "imports")]
async fn import(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(event): Event<QueueEvent<Batch>>,
) -> Result<()> {
    for issue in event.body.issues {
        // An import is older than any event.
        mirror.write(
            call.installation_id(),
            issue.id,
            issue.key,
            issue.fields.summary,
            0,
        );
    }
    Ok(())
}

/// What the other tracker's webhook says.
#[derive(Debug, Deserialize)]
struct Linked {
    id: String,
    link: String,
}

/// Hears from the other tracker where its copy of a work item is. That Forge passed the call on
/// says nothing of who made it: the sender's signature does.
#[web_trigger(outputs = [
    "linked=200",
    (key = "unsigned", status = 401, content_type = "text/plain", body = "sign the body with the secret"),
    "unknown=404",
    (key = "unreadable", status = 400, content_type = "text/plain", body = "id and link, as JSON"),
])]
async fn hear(
    call: Invocation,
    State(mirror): State<Mirror>,
    State(secret): State<Secret>,
    request: WebTriggerRequest,
) -> Result<WebTriggerOutput> {
    if !secret.signed(request.header(SIGNATURE_HEADER), &request.body) {
        return Ok(WebTriggerOutput::new("unsigned"));
    }
    let Ok(Linked { id, link }) = request.json() else {
        return Ok(WebTriggerOutput::new("unreadable"));
    };
    let known = mirror.link(call.installation_id(), &id, link);
    Ok(WebTriggerOutput::new(if known {
        "linked"
    } else {
        "unknown"
    }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Find {
    issue_key: String,
}

/// Finds the other tracker's copy of a work item.
#[action(verb = "GET", name = "Find the copy", inputs = ["issueKey: string - The work item's key, like DEV-1"])]
async fn find_copy(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(asked): Event<ActionRequest<Find>>,
) -> Result<Json<Option<Item>>> {
    Ok(Json(
        mirror.by_key(call.installation_id(), &asked.inputs.issue_key),
    ))
}

/// Stands for the work items that the other tracker has.
#[jql_function(name = "mirrored", types = ["issue"], operators = ["in"])]
async fn mirrored(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(_asked): Event<JqlFunctionRequest>,
) -> Result<Json<JqlFunctionResponse>> {
    let ids: Vec<String> = mirror
        .linked(call.installation_id())
        .into_iter()
        .take(1000)
        .collect();
    Ok(Json(if ids.is_empty() {
        JqlFunctionResponse::error("nothing is mirrored yet")
    } else {
        JqlFunctionResponse::jql(format!("id in ({})", ids.join(", ")))
    }))
}

/// Notes a work item's transition in the other tracker.
#[workflow_post_function(name = "Tell the other tracker")]
async fn tell(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(done): Event<PostFunctionRequest>,
) -> Result<()> {
    let Some(id) = done.issue.get("id").and_then(|id| id.as_str()) else {
        return Err(Error::permanent("a transition of no work item"));
    };
    // The same in each repetition, so that it is noted once.
    let execution = done.execution_id().unwrap_or_default().to_owned();
    mirror.note(call.installation_id(), id, execution);
    Ok(())
}

#[derive(Debug, Serialize)]
struct Overview {
    items: Vec<Item>,
    checked: u32,
}

/// What the app's page shows.
#[endpoint(method = "GET", path = "/overview")]
async fn overview(call: Invocation, State(mirror): State<Mirror>) -> Result<Json<Overview>> {
    let (items, checked) = mirror.overview(call.installation_id());
    Ok(Json(Overview { items, checked }))
}

/// The app, without its state.
pub fn app() -> App {
    App::new()
        .remote(Remote::new("sync").base_url("https://sync.example.com"))
        .sample_body(
            "import",
            serde_json::json!({
                "queueName": "imports",
                "eventId": "1",
                "body": { "issues": [{ "id": "9", "key": "DEV-0", "fields": { "summary": "old" } }] },
            }),
        )
}
