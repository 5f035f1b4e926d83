//! A whole app calls every API under the test kit, whose platform fakes the APIs.

use forge_remote::client::{AtlassianClient, InstallationUrls};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote::token::{MemoryTokens, SqliteTokens};
use forge_remote::{handler, path};
use forge_remote_tests::jws::unique_id;
use forge_remote_tests::stores::{Folder, KEYS};
use serde_json::{Value, json};

/// A handler that makes every kind of call.
#[endpoint(auth = [system, user], scopes = ["read:jira-work", "storage:app"])]
async fn everything(
    call: Invocation,
    system: SystemToken,
    user: UserToken,
    atlassian: AtlassianClient,
) -> Result<Json<Value>> {
    let jira = call.jira();
    let me: Value = jira
        .as_user(&user)
        .get("/rest/api/3/myself")
        .fetch()
        .await?;
    let app: Value = atlassian
        .jira(&call)
        .as_app(&system)
        .get("/rest/api/3/myself")
        .fetch()
        .await?;
    let new: Value = jira
        .as_user(&user)
        .post("/rest/api/3/issue")
        .json(&json!({ "fields": { "summary": "New" } }))
        .fetch()
        .await?;
    let key = new["key"].as_str().unwrap_or_default().to_owned();

    let other = jira.impersonate(&system, "another-account").await?;
    let other = jira.as_user(&other);
    let comment: Value = other
        .post(path!("/rest/api/2/issue/{}/comment", key))
        .json(&json!({ "body": "Hello" }))
        .fetch()
        .await?;
    let missing = other
        .get(path!("/rest/api/3/issue/{}", "DEV-99"))
        .send()
        .await;

    let search = other
        .get("/rest/api/3/search/jql")
        .query("jql", "")
        .query("maxResults", 2);
    let mut issues = search.pages::<Value>();
    let mut keys = Vec::new();
    while let Some(issue) = issues.next().await {
        keys.push(issue?["key"].clone());
    }

    let storage = call.storage(&system);
    let before: Option<u32> = storage.get("count").await?;
    storage
        .set("count", &before.map_or(1, |count| count + 1))
        .await?;
    for number in 0..60 {
        storage.set(&format!("many:{number:02}"), &number).await?;
    }
    let mut many = 0;
    let mut query = storage.query::<u32>().prefix("many:");
    while let Some(item) = query.next().await {
        item?;
        many += 1;
    }
    storage.secrets().set("s", "hidden").await?;
    storage
        .entity("employee")
        .set("e", &json!({ "name": "Ada" }))
        .await?;
    let again = storage.put("count", &0).if_absent().send().await;
    let got = storage.get_all::<u32>(["count", "nowhere"]).await?;

    Ok(Json(json!({
        "me": me["accountId"],
        "app": app["accountType"],
        "author": comment["author"]["accountId"],
        "missing": missing.is_err_and(|error| error.is_not_found()),
        "keys": keys,
        "before": before,
        "many": many,
        "conflict": again.is_err_and(|error| error.status_error().and_then(|a| a.code()) == Some("KEY_CONFLICT")),
        "got": got.len(),
    })))
}

#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:page:confluence"])]
async fn renew(_token: SystemToken) {}

fn app() -> App {
    App::empty()
        .handler(handler!(everything))
        .handler(handler!(renew))
        .impersonation_scopes(["read:jira-work", "write:jira-work"])
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

#[tokio::test]
async fn a_handler_can_call_every_api() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let apis = harness.platform().apis();
    apis.add_issue(json!({ "summary": "Second" }));
    let response = harness.call("everything").send().await;
    let expected = json!({
        "me": "712020:00000000-0000-4000-a000-000000000001",
        "app": "app",
        "author": "another-account",
        "missing": true,
        "keys": ["DEV-1", "DEV-2", "DEV-3"],
        "before": null,
        "many": 60,
        "conflict": true,
        "got": 1,
    });
    assert_eq!(response.json(), expected, "{response:?}");
    assert_eq!(apis.stored("kvs", "count"), [json!(1)]);
    assert_eq!(apis.stored("secret", "s"), [json!("hidden")]);
    assert_eq!(
        apis.stored("entity:employee", "e"),
        [json!({ "name": "Ada" })]
    );
    assert_eq!(apis.issue("DEV-3").unwrap()["fields"]["summary"], "New");
    let calls = apis.calls();
    assert!(calls[0].line.ends_with("/rest/api/3/myself") && calls[0].status == 200);
    assert!(
        calls
            .iter()
            .any(|call| call.as_user.as_deref() == Some("another-account"))
    );

    // Another installation has separate storage.
    let other = "0a3a7799-53ae-4a5b-9e7e-03338980abb5";
    let response = harness
        .call("everything")
        .fit(|fit| fit.installation(other))
        .send()
        .await;
    assert_eq!(response.json()["before"], Value::Null);
    assert_eq!(apis.stored("kvs", "count").len(), 2);
    let response = harness.call("everything").send().await;
    assert_eq!(response.json()["before"], 1);
}

#[tokio::test]
async fn background_work_calls_with_a_stored_token() {
    let (atlassian, tokens) = (AtlassianClient::new(), Tokens::new(MemoryTokens::new()));
    let app = app().client(atlassian.clone()).token_store(tokens.clone());
    let harness = Harness::with_apis(app).await.unwrap();
    for title in ["One", "Two", "Three"] {
        harness.platform().apis().add_page(title);
    }
    assert_eq!(harness.call("renew").send().await.status(), 200);

    let mut titles = Vec::new();
    for installation in tokens.installations().await.unwrap() {
        let token = tokens.system(installation.installation_id()).await.unwrap();
        let confluence = atlassian.confluence(&installation).as_app(&token);
        let mut pages = confluence
            .get("/wiki/api/v2/pages")
            .query("limit", 2)
            .pages::<Value>();
        while let Some(page) = pages.next().await {
            titles.push(page.unwrap()["title"].clone());
        }
        let jira = atlassian.jira(&installation).as_app(&token);
        jira.get("/rest/api/3/issue/DEV-1").send().await.unwrap();
    }
    assert_eq!(titles, ["A local page", "One", "Two", "Three"]);
}

/// Returns the base URL of a faked product.
fn base(harness: &Harness, product: &str) -> String {
    let fit = harness.platform().fit();
    let contexts = fit.claims()["app"]["installation"]["contexts"].as_array();
    let mut contexts = contexts.unwrap().iter();
    let found = contexts.find(|one| one["name"] == product).unwrap();
    found["apiBaseUrl"].as_str().unwrap().to_owned()
}

fn local_http() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    builder.build().unwrap()
}

#[tokio::test]
async fn the_local_apis_accept_only_their_own_tokens() {
    let ours = Harness::with_apis(app()).await.unwrap();
    let theirs = Harness::with_apis(app()).await.unwrap();
    let base = base(&ours, "confluence");
    let origin = base.split("/ex/").next().unwrap().to_owned();
    let http = local_http();
    let status = async |path: &str, token: &str| {
        let call = http
            .get(format!("{origin}{path}"))
            .bearer_auth(token)
            .send();
        call.await.unwrap().status().as_u16()
    };
    let path = format!("{}/wiki/api/v2/pages", base.strip_prefix(&origin).unwrap());
    let token = ours.platform().system_token();
    assert_eq!(status(&path, token.expose_secret()).await, 200);
    assert_eq!(
        status(&path, theirs.platform().system_token().expose_secret()).await,
        401
    );
    assert_eq!(status(&path, &ours.platform().fit().sign()).await, 401);
    assert_eq!(status(&path, "x").await, 401);
    let mut forged = token.expose_secret().to_owned();
    forged.truncate(forged.len() - 4);
    assert_eq!(status(&path, &forged).await, 401);
    let elsewhere = "/ex/confluence/another-site/wiki/api/v2/pages";
    assert_eq!(status(elsewhere, token.expose_secret()).await, 401);
    assert_eq!(status("/rest/unknown", token.expose_secret()).await, 501);
}

#[endpoint(auth = system)]
async fn why_not(call: Invocation, token: SystemToken) -> Json<Vec<String>> {
    let mut errors = Vec::new();
    let site = InstallationUrls::from(&call).bitbucket("https://api.bitbucket.org");
    let bitbucket = call.atlassian().bitbucket(&site);
    for client in [call.jira(), bitbucket, call.platform()] {
        let sent = client.as_app(&token).get("/rest/x").send().await;
        errors.push(sent.unwrap_err().to_string());
    }
    Json(errors)
}

#[tokio::test]
async fn no_test_reaches_atlassian() {
    let app = || {
        App::empty()
            .handler(handler!(why_not))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
    };
    let without = Harness::new(app()).unwrap();
    let with = Harness::with_apis(app()).await.unwrap();
    let errors = |response: Value| serde_json::from_value::<Vec<String>>(response).unwrap();

    for error in errors(without.call("why-not").send().await.json()) {
        assert!(error.contains("stay on this machine"), "{error}");
    }
    // The fake APIs do not include Bitbucket, and no test reaches the real one.
    let errors = errors(with.call("why-not").send().await.json());
    assert!(errors[0].contains("response 501"), "{}", errors[0]);
    assert!(errors[1].contains("stay on this machine"), "{}", errors[1]);
    assert!(errors[2].contains("response 501"), "{}", errors[2]);
}

#[tokio::test]
async fn local_tokens_are_not_stored() {
    let file = std::env::temp_dir().join(format!("local-{}.db", unique_id()));
    let tokens = Tokens::new(SqliteTokens::new(&file));
    let harness = Harness::with_apis(app().token_store(tokens.clone()))
        .await
        .unwrap();
    assert_eq!(harness.call("renew").send().await.status(), 200);
    assert_eq!(tokens.installations().await.unwrap().len(), 1);
    tokens.flush().await.unwrap();
    assert!(!file.exists());
}

/// Calls Atlassian with a stored token.
#[scheduled_trigger(interval = "day", scopes = ["read:jira-work"])]
async fn report(call: Invocation, tokens: Tokens) -> Result<Json<Value>> {
    let token = tokens.system(call.installation_id()).await?;
    let jira = call.jira().as_app(&token);
    let me: Value = jira.get("/rest/api/3/myself").fetch().await?;
    Ok(Json(me["accountType"].clone()))
}

/// A real store and the fake APIs together.
#[tokio::test]
async fn a_kept_token_is_valid_after_a_restart() {
    let folder = Folder::default();
    let start = |file: &str| {
        let tokens = Tokens::new(SqliteTokens::new(folder.file(file))).keys(KEYS[0]);
        let app = app().handler(handler!(report)).token_store(tokens.clone());
        (app, tokens)
    };
    let (first, tokens) = start("tokens.db");
    let harness = Harness::with_apis_and_store(first).await.unwrap();
    assert_eq!(harness.call("renew").send().await.status(), 200);
    tokens.flush().await.unwrap();
    for (file, status) in [("tokens.db", 200), ("other.db", 500)] {
        let restarted = harness.another(start(file).0).await.unwrap();
        let response = restarted.call("report").send().await;
        assert_eq!(response.status(), status, "{file}: {response:?}");
    }

    // In memory, a restart loses the token.
    let harness = Harness::with_apis(start("tokens.db").0).await.unwrap();
    assert_eq!(harness.call("renew").send().await.status(), 200);
    assert_eq!(harness.call("report").send().await.json(), "app");
    let restarted = harness.another(start("tokens.db").0).await.unwrap();
    assert_eq!(restarted.call("report").send().await.status(), 500);
}

/// The first context of the installation does not matter.
#[tokio::test]
async fn a_site_is_found_after_a_product_without_one() {
    let harness = Harness::new(
        App::empty()
            .handler(handler!(which_site))
            .remote(Remote::new("backend").base_url("https://backend.example.com")),
    )
    .unwrap();
    let contexts = json!([
        { "name": "bitbucket", "apiBaseUrl": "https://api.bitbucket.org" },
        { "name": "jira", "apiBaseUrl": "https://api.atlassian.com/ex/jira/the-site" },
    ]);
    let call = harness.call("which-site");
    let call = call.fit(|fit| fit.set("/app/installation/contexts", contexts));
    assert_eq!(call.send().await.json(), json!(["the-site", "the-site"]));
}

#[endpoint]
async fn which_site(call: Invocation) -> Json<[Option<String>; 2]> {
    let sites = [call.graphql(), call.compass()];
    Json(sites.map(|one| one.cloud_id().map(str::to_owned)))
}

/// The fake APIs reject or accept invalid bodies, and keep serving.
#[tokio::test]
async fn the_fake_apis_survive_invalid_bodies() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let key = harness.platform().apis().add_issue(json!("no object"));
    let (base, client) = (base(&harness, "jira"), local_http());
    let token = harness.platform().system_token();
    let send = async |method: reqwest::Method, path: String, body: Value| {
        let call = client.request(method, format!("{base}{path}"));
        let call = call.bearer_auth(token.expose_secret());
        let call = call.header("content-type", "application/json");
        call.body(body.to_string()).send().await.unwrap().status()
    };
    let issue = format!("/rest/api/3/issue/{key}");
    let edit = json!({ "fields": { "comment": "no object", "summary": 1 } });
    assert_eq!(send(reqwest::Method::PUT, issue.clone(), edit).await, 204);
    let comment = json!({ "body": ["?"] });
    assert_eq!(
        send(reqwest::Method::POST, format!("{issue}/comment"), comment).await,
        201
    );
    let held = harness.platform().apis().issue(&key).unwrap();
    assert_eq!(
        held["fields"]["comment"]["comments"][0]["body"],
        json!(["?"])
    );
}
