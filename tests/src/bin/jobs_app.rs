//! An app with kept tokens, a cron schedule, and durable handlers whose jobs wait, run, fail and die as their bodies
//! say, to test the console's page.
//! `{"how": …}` is `fails` (the first attempt), `dies` (the first attempt), `hangs`, or anything else.

use forge_remote::jobs::{Attempt, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use serde::Deserialize;

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    how: String,
}

/// Copies a changed work item to the search index.
#[trigger(
    events = ["avi:jira:updated:issue"],
    durable(retries = 3, backoff = "1h..2h"),
    key = "index", endpoint = "index-end", path = "/index",
)]
async fn index(attempt: Attempt, Event(change): Event<Change>) -> Result<()> {
    match (change.how.as_str(), attempt.number()) {
        ("fails", 1) => Err("the search index is down".into()),
        ("dies", 1) => Err(Error::permanent("the project is gone")),
        _ => Ok(()),
    }
}

/// Exports a changed page; one after the other for each site.
#[trigger(
    events = ["avi:confluence:updated:page"],
    durable(timeout = "1h", per_installation = 1),
    key = "export", endpoint = "export-end", path = "/export",
)]
async fn export(Event(change): Event<Change>) -> Result<()> {
    match change.how.as_str() {
        "hangs" => std::future::pending().await,
        _ => Ok(()),
    }
}

/// Sends the report of the year.
#[scheduled_trigger(cron = "0 3 1 1 *", tz = "Europe/Berlin", key = "report")]
async fn report() {
    tracing::info!("the report is sent");
}

#[tokio::main]
async fn main() -> Result<()> {
    App::empty()
        .handler(forge_remote::handler!(index))
        .handler(forge_remote::handler!(export))
        .handler(forge_remote::handler!(report))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .jobs(MemoryJobs::new())
        .token_store(MemoryTokens::new())
        .keep_tokens_fresh()
        .run()
        .await
}
