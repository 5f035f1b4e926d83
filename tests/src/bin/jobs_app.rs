//! An app with stored tokens, a cron schedule, and durable handlers whose jobs wait, run, fail and die as their bodies
//! say, to test the console's page.
//! `{"how": …}` is `fails` (the first attempt), `dies` (the first attempt), `hangs`, `waits` (for `release`), or
//! anything else. Pages call the endpoints, two of which share a key.

use forge_remote::jobs::{Attempt, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::Instrument as _;

/// The gate that `release` opens.
static RELEASED: Notify = Notify::const_new();

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
        ("waits", _) => {
            tracing::info!("waits for its release");
            RELEASED.notified().await;
            // As an app with its own traces has them.
            let span = tracing::info_span!(target: "forge_remote_app", "import", trace_id = "own");
            let work = async { tracing::info!("was released") };
            work.instrument(span).await;
            Ok(())
        }
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

/// Waits for two releases, and logs and calls Jira between them.
#[endpoint(auth = system, scopes = ["read:jira-work"])]
async fn slow(call: Invocation, token: SystemToken) -> Json<Value> {
    RELEASED.notified().await;
    tracing::info!("half of it is done");
    let found = call.jira().as_app(&token).get("/rest/api/3/search/jql");
    let _ = found.send().await;
    RELEASED.notified().await;
    Json(Value::Null)
}

#[endpoint]
async fn release() -> Json<Value> {
    RELEASED.notify_one();
    Json(Value::Null)
}

#[endpoint(key = "votes", method = "GET", path = "/votes", auth = system)]
async fn count_votes(_token: SystemToken) -> Json<Value> {
    Json(Value::Null)
}

#[endpoint(key = "votes", method = "PUT", path = "/votes", auth = system)]
async fn vote(_token: SystemToken) -> Json<Value> {
    Json(Value::Null)
}

/// Writes 16 MiB to a local API, in four calls.
#[endpoint(auth = system, scopes = ["write:jira-work"])]
async fn flood(call: Invocation, token: SystemToken) -> Json<Value> {
    let large = "x".repeat(4 * 1024 * 1024);
    for _ in 0..4 {
        let write = call
            .jira()
            .as_app(&token)
            .post("/rest/api/3/flood")
            .json(&large);
        // No such API: the written value is not kept as data.
        let _ = write.send().await;
    }
    Json(Value::Null)
}

/// Sends the report of the year.
#[scheduled_trigger(cron = "0 3 1 1 *", tz = "Europe/Berlin", key = "report")]
async fn report() {
    tracing::info!("the report is sent");
}

#[tokio::main]
async fn main() -> Result<()> {
    forge_remote::testing::__sign_with_published_key();
    App::empty()
        .handler(forge_remote::handler!(index))
        .handler(forge_remote::handler!(export))
        .handler(forge_remote::handler!(report))
        .handler(forge_remote::handler!(slow))
        .handler(forge_remote::handler!(release))
        .handler(forge_remote::handler!(count_votes))
        .handler(forge_remote::handler!(vote))
        .handler(forge_remote::handler!(flood))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .jobs(MemoryJobs::new())
        .token_store(Tokens::new(MemoryTokens::new()).accept_from_pages())
        .keep_tokens_fresh()
        .run()
        .await
}
