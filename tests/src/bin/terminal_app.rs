//! An app whose commands print each kind of line: successes, failures with their causes, schedules, jobs, long paths.
//! Their output is in `tests/terminal`.

use std::io;

use forge_remote::axum::Router;
use forge_remote::axum::routing::post;
use forge_remote::jobs::MemoryJobs;
use forge_remote::kinds::{WebTriggerRequest, WebTriggerResponse};
use forge_remote::prelude::*;
use serde::Deserialize;

/// A work item that was not copied.
#[derive(Debug, thiserror::Error)]
#[error("{key} was not copied to the tracker")]
struct NotCopied {
    key: String,
    source: Unreachable,
}

#[derive(Debug, thiserror::Error)]
#[error("tracker.example.com does not respond")]
struct Unreachable(#[from] io::Error);

#[derive(Deserialize)]
struct IssueChange {
    issue: Issue,
}

#[derive(Deserialize)]
struct Issue {
    key: String,
}

/// Copies changed work items to the other tracker.
#[trigger(
    events = ["avi:jira:created:issue", "avi:jira:updated:issue", "avi:jira:deleted:issue"],
    path = "/events/issues",
    scopes = ["read:jira-work"],
)]
async fn copy_issue(Event(change): Event<IssueChange>) -> Result<()> {
    let rejected = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
    Err(NotCopied {
        key: change.issue.key,
        source: Unreachable(rejected),
    }
    .into())
}

/// Refreshes the search index.
#[scheduled_trigger(
    interval = "hour",
    auth = system,
    path = "/refresh",
    scopes = ["read:confluence-content.summary", "read:jira-work", "search:confluence", "storage:app"],
)]
async fn refresh_index(_token: SystemToken) {}

/// Sends the report of the leap day.
// The clock's call stores the occurrences of the next hour and a half: with a frequent one, the output would depend on the
// time of day.
#[scheduled_trigger(cron = "30 2 29 2 *", tz = "Europe/Berlin")]
async fn send_report() {}

/// Imports what the other tracker exports, one file after the other.
#[web_trigger(path = "/imports/of/the/other/tracker/with/all/of/its/comments/and/attachments")]
async fn import_everything_from_the_other_tracker(_: WebTriggerRequest) -> WebTriggerResponse {
    WebTriggerResponse::new(200, "")
}

/// Mails what has changed.
#[job]
async fn mail_changes() -> Result<()> {
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    forge_remote::testing::__sign_with_published_key();
    App::empty()
        .handler(forge_remote::handler!(copy_issue))
        .handler(forge_remote::handler!(refresh_index))
        .handler(forge_remote::handler!(send_report))
        .handler(forge_remote::handler!(
            import_everything_from_the_other_tracker
        ))
        .routes(Router::new().route("/webhooks/tracker", post(async || "ok")))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .jobs(MemoryJobs::new())
        .run()
        .await
}
