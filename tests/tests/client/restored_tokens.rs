//! Tokens that an app has stored itself, and restores from text.

use forge_remote::client::{ClientError, InstallationUrls, InvalidTokenText};
use forge_remote::fit::Provenance;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{ApiResponse, Harness};
use serde::Deserialize;
use serde_json::{Value, json};

/// A row of the app's database.
#[derive(Deserialize)]
struct Stored {
    text: String,
    account: String,
}

fn shown<T>(result: std::result::Result<T, ClientError>) -> Json<String> {
    Json(
        result
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[endpoint]
async fn jira(call: Invocation, Json(stored): Json<Stored>) -> Result<Json<String>> {
    let token = UserToken::restore(&stored.text, &call, stored.account)?;
    assert_eq!(token.provenance(), Provenance::Page);
    let jira = call.jira().as_user(&token);
    Ok(shown(jira.get("/rest/api/3/myself").fetch::<Value>().await))
}

#[endpoint]
async fn graphql(call: Invocation, Json(stored): Json<Stored>) -> Result<Json<String>> {
    let token = UserToken::restore(&stored.text, &call, stored.account)?;
    let graphql = call.graphql().as_user(&token);
    Ok(shown(graphql.operation("{ a }").fetch::<Value>().await))
}

#[endpoint]
async fn storage(call: Invocation, Json(stored): Json<Stored>) -> Result<Json<String>> {
    let token = SystemToken::restore(&stored.text, &call)?;
    Ok(shown(call.storage(&token).set("k", "v").await))
}

/// Restores the token for the call's installation, and uses it for another one.
#[endpoint]
async fn elsewhere(call: Invocation, Json(stored): Json<Stored>) -> Result<Json<String>> {
    let token = UserToken::restore(&stored.text, &call, stored.account)?;
    let url = call.api_base_url().unwrap_or_default();
    let other = InstallationUrls::new(
        "ari:cloud:ecosystem::installation/0a3a7799-0000-4000-a000-000000000002",
    );
    let jira = call.atlassian().jira(&other.jira(url)).as_user(&token);
    Ok(shown(jira.get("/rest/api/3/myself").fetch::<Value>().await))
}

async fn harness() -> Harness {
    let app = App::empty()
        .handler(handler!(jira))
        .handler(handler!(graphql))
        .handler(handler!(storage))
        .handler(handler!(elsewhere))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::with_apis(app).await.unwrap();
    harness.platform().apis().respond(|call| {
        let is_graphql = call.path == "/graphql";
        is_graphql.then(|| ApiResponse::json(200, json!({ "data": { "a": 1 } })))
    });
    harness
}

const ACCOUNT: &str = "712020:the-editor";

async fn used(harness: &Harness, key: &str, text: &str) -> String {
    let stored = json!({ "text": text, "account": ACCOUNT });
    let response = harness.call(key).json(&stored).send().await;
    assert_eq!(response.status(), 200, "{key}: {}", response.text());
    response.json().as_str().unwrap().to_owned()
}

fn lines(harness: &Harness, start: &str) -> usize {
    let calls = harness.platform().apis().calls();
    calls
        .iter()
        .filter(|call| call.line.starts_with(start))
        .count()
}

#[tokio::test]
async fn a_users_token_is_used_after_its_call() {
    let harness = harness().await;
    let own = harness.platform().user_token(ACCOUNT);
    assert_eq!(used(&harness, "jira", own.expose_secret()).await, "");
    assert_eq!(lines(&harness, "GET /ex/jira/"), 1, "no proof is needed");
    // Where the token alone identifies the installation, it is proven once to be the account's.
    for _ in 0..2 {
        assert_eq!(used(&harness, "graphql", own.expose_secret()).await, "");
    }
    assert_eq!(lines(&harness, "POST /graphql"), 2);
    let proofs = lines(&harness, "GET /ex/jira/") + lines(&harness, "GET /ex/confluence/");
    assert_eq!(proofs, 2);
}

#[tokio::test]
async fn another_accounts_token_is_not_used_where_it_alone_identifies_the_installation() {
    let harness = harness().await;
    let other = harness.platform().user_token("712020:another");
    let error = used(&harness, "graphql", other.expose_secret()).await;
    assert!(error.contains("not proven"), "{error}");
    assert_eq!(lines(&harness, "POST /graphql"), 0);
}

#[tokio::test]
async fn a_system_token_is_proven_to_be_the_installations() {
    let harness = harness().await;
    let own = harness.platform().oauth_token();
    assert_eq!(used(&harness, "storage", &own).await, "");
    assert_eq!(lines(&harness, "GET /forge/installation/v1/"), 1);
    assert_eq!(harness.platform().apis().stored("kvs", "k"), ["v"]);
    let error = used(&harness, "storage", "a.forged.token").await;
    assert!(error.contains("not proven"), "{error}");
}

#[tokio::test]
async fn a_token_is_not_used_for_another_installation() {
    let harness = harness().await;
    let own = harness.platform().user_token(ACCOUNT);
    let error = used(&harness, "elsewhere", own.expose_secret()).await;
    assert!(error.contains("another installation"), "{error}");
    assert_eq!(lines(&harness, "GET /ex/jira/"), 0);
}

#[test]
fn a_text_that_is_no_token_is_an_error() {
    let site = InstallationUrls::new(
        "ari:cloud:ecosystem::installation/0a3a7799-0000-4000-a000-000000000002",
    );
    for text in ["", "two words", "a,b", "a\nb", "é"] {
        let of_user: Option<InvalidTokenText> = UserToken::restore(text, &site, ACCOUNT).err();
        let of_app: Option<InvalidTokenText> = SystemToken::restore(text, &site).err();
        for error in [of_user, of_app] {
            let error = error.expect("an error").to_string();
            assert!(error.starts_with("the text is not a token"), "{error}");
            assert!(!error.contains("two words"), "{error}");
        }
    }
}
