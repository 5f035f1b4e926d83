#![doc = include_str!("../README.md")]

pub mod exporter;
#[cfg(test)]
mod tests;
pub mod traces;

use forge_remote::prelude::*;

#[derive(serde::Deserialize)]
struct Issue {
    key: String,
}

/// Lists the newest work items of one installation.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn list_issues(call: Invocation, token: SystemToken) -> Result<()> {
    let jira = call.jira().as_app(&token);
    let search = jira
        .get("/rest/api/3/search/jql")
        .query("jql", "created > -1h");
    let mut issues = search.pages::<Issue>();
    while let Some(issue) = issues.next().await {
        println!("{}", issue?.key);
    }
    Ok(())
}

/// Returns the app. Its spans continue Forge's traces.
pub fn app() -> App {
    App::new()
        .remote(Remote::new("observed-backend").base_url("https://observed.example.com"))
        .on_span(traces::continue_forge)
}
