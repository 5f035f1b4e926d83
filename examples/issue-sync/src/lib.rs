#![doc = include_str!("../README.md")]

mod mirror;
mod signature;
#[cfg(test)]
mod tests;

use forge_remote::kinds::{
    ActionRequest, JqlFunctionRequest, JqlFunctionResponse, LifecycleEvent, PostFunctionRequest,
    QueueEvent, WebTriggerOutput, WebTriggerRequest,
};
use forge_remote::prelude::*;
use serde::{Deserialize, Serialize};

pub use mirror::{Item, Mirror};
pub use signature::{SECRET_VARIABLE, SIGNATURE_HEADER, Secret, WeakSecret};

/// A work item, as Jira sends it.
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

/// The events that change a copy. Jira sends the time as text.
#[derive(Debug, Deserialize)]
#[serde(tag = "eventType")]
enum IssueChange {
    #[serde(rename = "avi:jira:created:issue", alias = "avi:jira:updated:issue")]
    Saved {
        issue: Issue,
        timestamp: Option<String>,
    },
    #[serde(rename = "avi:jira:deleted:issue")]
    Deleted { issue: Issue },
}

/// Applies the changes of work items to their copies.
#[trigger(
    events = ["avi:jira:created:issue", "avi:jira:updated:issue", "avi:jira:deleted:issue"],
    ignore_self,
    path = "/events/issues"
)]
async fn sync_issue(
    call: Invocation,
    retry: RetryContext,
    State(mirror): State<Mirror>,
    Event(change): Event<IssueChange>,
) -> Result<()> {
    if retry.is_retry() {
        println!("a retry, because of {:?}", retry.reason);
    }
    match change {
        // Events may be late, duplicated and out of order: the newest one wins.
        IssueChange::Saved { issue, timestamp } => {
            let at = timestamp
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            mirror.save(
                call.installation_id(),
                issue.id,
                issue.key,
                issue.fields.summary,
                at,
            );
        }
        IssueChange::Deleted { issue } => mirror.delete(call.installation_id(), &issue.id),
    }
    Ok(())
}

/// Prepares the copies of an installation.
#[trigger(
    events = ["avi:forge:installed:app", "avi:forge:upgraded:app"],
    path = "/events/life",
    auth = system
)]
async fn start_sync(
    call: Invocation,
    token: Option<SystemToken>,
    State(mirror): State<Mirror>,
    Event(event): Event<LifecycleEvent>,
) -> Result<()> {
    let version = event.app.version.unwrap_or_default();
    println!(
        "{} has version {version}; system token: {}",
        call.installation_id(),
        token.is_some()
    );
    mirror.add_site(call.installation_id());
    Ok(())
}

/// Ends an installation. Its copies are deleted in the callback of [`app`], once it is certain that Forge does not call
/// for the installation any more.
#[pre_uninstall]
async fn end_sync(call: Invocation, tokens: Tokens) -> Result<()> {
    tokens.remove(call.installation_id()).await?;
    Ok(())
}

/// Checks once an hour for missed changes.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn reconcile(
    call: Invocation,
    _token: SystemToken,
    State(mirror): State<Mirror>,
) -> Result<()> {
    mirror.mark_checked(call.installation_id());
    Ok(())
}

/// A batch of existing work items.
#[derive(Debug, Deserialize)]
struct ImportBatch {
    issues: Vec<Issue>,
}

/// Imports existing work items, batch by batch.
#[consumer(queue = "imports")]
async fn import(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(event): Event<QueueEvent<ImportBatch>>,
) -> Result<()> {
    for issue in event.body.issues {
        // An import counts as older than any event.
        mirror.save(
            call.installation_id(),
            issue.id,
            issue.key,
            issue.fields.summary,
            0,
        );
    }
    Ok(())
}

/// The body of the other tracker's webhook.
#[derive(Debug, Deserialize)]
struct LinkedItem {
    id: String,
    link: String,
}

/// Receives a webhook from the other tracker with the link to a copy.
///
/// Anyone can call a web trigger's URL, and Forge forwards the call, so the handler verifies the
/// tracker's signature.
#[web_trigger(outputs = [
    "linked=200",
    (key = "unsigned", status = 401, content_type = "text/plain", body = "sign the body with the secret"),
    "unknown=404",
    (key = "unreadable", status = 400, content_type = "text/plain", body = "id and link, as JSON"),
])]
async fn tracker_webhook(
    call: Invocation,
    State(mirror): State<Mirror>,
    State(secret): State<Secret>,
    request: WebTriggerRequest,
) -> Result<WebTriggerOutput> {
    if !secret.verify(request.header(SIGNATURE_HEADER), &request.body) {
        return Ok(WebTriggerOutput::new("unsigned"));
    }
    let Ok(LinkedItem { id, link }) = request.json() else {
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
struct FindInputs {
    issue_key: String,
}

/// Finds the other tracker's copy of a work item.
#[action(verb = "GET", name = "Find the copy", inputs = ["issueKey: string - The work item's key, like DEV-1"])]
async fn find_copy(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(request): Event<ActionRequest<FindInputs>>,
) -> Result<Json<Option<Item>>> {
    Ok(Json(
        mirror.by_key(call.installation_id(), &request.inputs.issue_key),
    ))
}

/// Returns the work items that the other tracker has.
#[jql_function(name = "mirrored", types = ["issue"], operators = ["in"])]
async fn mirrored(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(_request): Event<JqlFunctionRequest>,
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

/// Records a work item's transition in the other tracker.
#[workflow_post_function(name = "Notify the other tracker")]
async fn record_transition(
    call: Invocation,
    State(mirror): State<Mirror>,
    Event(transition): Event<PostFunctionRequest>,
) -> Result<()> {
    let Some(id) = transition.issue.get("id").and_then(|id| id.as_str()) else {
        return Err(Error::permanent("the transition has no work item"));
    };
    // A retry has the same id, so that the transition is recorded once.
    let execution = transition.execution_id().unwrap_or_default().to_owned();
    mirror.record_transition(call.installation_id(), id, execution);
    Ok(())
}

#[derive(Debug, Serialize)]
struct Overview {
    items: Vec<Item>,
    checked: u32,
}

/// Returns the content of the app's page.
#[endpoint(method = "GET", path = "/overview")]
async fn overview(call: Invocation, State(mirror): State<Mirror>) -> Result<Json<Overview>> {
    let (items, checked) = mirror.overview(call.installation_id());
    Ok(Json(Overview { items, checked }))
}

/// Returns the app with its copies and a token store, which reports uninstallations. It lacks the secret.
pub fn app(tokens: impl Into<Tokens>, mirror: Mirror) -> App {
    let tokens = tokens.into();
    let copies = mirror.clone();
    tokens.on_removed(move |installation_id| {
        copies.remove_site(&installation_id);
        std::future::ready(())
    });
    App::new()
        .remote(Remote::new("sync").base_url("https://sync.example.com"))
        .token_store(tokens)
        .state(mirror)
        .sample_body(
            "import",
            serde_json::json!({
                "queueName": "imports",
                "eventId": "1",
                "body": { "issues": [{ "id": "9", "key": "DEV-0", "fields": { "summary": "old" } }] },
            }),
        )
}
