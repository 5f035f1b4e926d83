//! An app that prints what an installation's life brings it, to test `dev`.

use forge_remote::kinds::LifecycleEvent;
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use serde::Deserialize;

#[trigger(events = ["avi:forge:upgraded:app", "avi:forge:installed:app"])]
async fn follow(call: Invocation, Event(event): Event<LifecycleEvent>) {
    let site = call.confluence().cloud_id().unwrap_or_default().to_owned();
    let context = event.context.as_ref().and_then(|context| context.as_str());
    println!(
        "event of {}: {} on {}",
        call.installation_id(),
        event.id.unwrap_or_default(),
        context.unwrap_or_default().replace(&site, "its site"),
    );
}

/// The fields that Atlassian always sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    id: String,
    title: String,
    created_at: String,
    author_id: String,
    version: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    created_at: String,
}

/// Fails without a stored token.
#[scheduled_trigger(interval = "day", scopes = ["read:page:confluence"])]
async fn sweep(call: Invocation, tokens: Tokens) -> Result<()> {
    let token = tokens.system(call.installation_id()).await?;
    if std::env::var_os("WITH_SCOPES").is_some() {
        let scope = "read:page:confluence";
        let has = call.permissions(&token).has_scope(scope).await?;
        println!("has {scope}: {has}");
    }
    let confluence = call.confluence().as_app(&token);
    let mut pages = confluence.get("/wiki/api/v2/pages").pages::<Page>();
    while let Some(page) = pages.next().await {
        let page = page?;
        println!(
            "page {} {} of {}, {}, {}",
            page.id, page.title, page.created_at, page.version.created_at, page.author_id
        );
    }
    Ok(())
}

#[derive(Deserialize)]
struct Issue {
    key: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    summary: String,
    status: Named,
    created: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Found {
    issues: Vec<Issue>,
}

#[derive(Deserialize)]
struct Votes {
    votes: u32,
}

#[scheduled_trigger(interval = "week", auth = system, scopes = ["read:jira-work"])]
async fn triage(call: Invocation, token: SystemToken) -> Result<()> {
    let jira = call.jira().as_app(&token);
    let found: Found = jira.get("/rest/api/3/search/jql").fetch().await?;
    for Issue { key, fields } in found.issues {
        let Fields {
            summary,
            status,
            created,
        } = fields;
        println!("issue {key} {summary}, {}, {created}", status.name);
    }
    if std::env::var_os("WITH_VOTES").is_some() {
        let votes: Votes = jira.get("/rest/api/3/issue/OPS-7/votes").fetch().await?;
        println!("votes {}", votes.votes);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    forge_remote::testing::__sign_with_published_key();
    let mut app = App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(MemoryTokens::new())
        .keep_tokens_fresh();
    if std::env::var_os("WITH_FIXTURES").is_some() {
        app = app.fixtures(serde_json::json!({
            "pages": [{ "title": "Of the code" }],
            "issues": [{ "fields": { "summary": "Of the code" } }],
        }));
    }
    if std::env::var_os("WITH_MISSPELLED_SAMPLE").is_some() {
        app = app.sample_body("sweep-triger", serde_json::json!({}));
    }
    app.run().await
}
