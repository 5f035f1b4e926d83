//! A token in a page's call is used only once it is proven to belong to the call's installation.

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{ApiResponse, Harness, HarnessCall};
use forge_remote::token::MemoryTokens;
use serde_json::{Value, json};

/// The attacked installation.
const VICTIM: &str = "0a3a7799-0000-4000-a000-000000000001";
const DETAILS: &str = "GET /forge/installation/v1/";

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

#[endpoint(auth = system)]
async fn save(call: Invocation, token: SystemToken) -> Json<String> {
    let stored = call.storage(&token).set("k", "secret").await;
    Json(
        stored
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

/// A handler that does not require the header.
#[endpoint(auth = system)]
async fn save_if(call: Invocation, token: Option<SystemToken>) -> Json<String> {
    let Some(token) = token else {
        return Json("no token".to_owned());
    };
    let stored = call.storage(&token).set("k", "secret").await;
    Json(
        stored
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[web_trigger(auth = system)]
async fn hook(call: Invocation, token: SystemToken) -> forge_remote::kinds::WebTriggerResponse {
    let stored = call.storage(&token).set("k", "secret").await;
    let text = stored
        .err()
        .map_or_else(String::new, |error| error.to_string());
    forge_remote::kinds::WebTriggerResponse::new(200, text)
}

#[endpoint(auth = system)]
async fn query_graphql(call: Invocation, token: SystemToken) -> Json<String> {
    let result = call
        .graphql()
        .as_app(&token)
        .operation("{ a }")
        .fetch::<Value>();
    Json(
        result
            .await
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[endpoint(auth = system)]
async fn license(call: Invocation, token: SystemToken) -> Json<String> {
    let result = call.platform().as_app(&token);
    let result = result.get("/forge/app/v1/license").fetch::<Value>().await;
    Json(
        result
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[endpoint(auth = system)]
async fn workspaces(call: Invocation, token: SystemToken) -> Json<String> {
    let bitbucket = call.bitbucket().as_app(&token);
    let result = bitbucket.get("/2.0/workspaces").fetch::<Value>().await;
    Json(
        result
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[endpoint(auth = user)]
async fn as_user(call: Invocation, token: UserToken) -> Json<String> {
    let result = call
        .graphql()
        .as_user(&token)
        .operation("{ a }")
        .fetch::<Value>();
    Json(
        result
            .await
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .handler(handler!(save))
        .handler(handler!(save_if))
        .handler(handler!(hook))
        .handler(handler!(query_graphql))
        .handler(handler!(license))
        .handler(handler!(workspaces))
        .handler(handler!(as_user))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// Returns a page's call for the victim's installation, with another installation's token.
fn attack(harness: &Harness, key: &str) -> HarnessCall {
    let own = harness.platform().oauth_token();
    let bitbucket = json!([{ "name": "bitbucket", "apiBaseUrl": harness.platform().apis_url() }]);
    let call = harness.call(key).fit(|fit| {
        fit.installation(VICTIM)
            .set("/app/installation/contexts", bitbucket)
    });
    call.tokens(Auth::NONE).header("x-forge-oauth-system", &own)
}

fn lines(harness: &Harness, start: &str) -> usize {
    let calls = harness.platform().apis().calls();
    calls
        .iter()
        .filter(|call| call.line.starts_with(start))
        .count()
}

/// Adds GraphQL and licence APIs that accept any token.
fn add_open_apis(harness: &Harness) {
    harness.platform().apis().respond(|call| {
        let mine = call.path == "/graphql" || call.path.ends_with("/license");
        mine.then(|| ApiResponse::json(200, json!({ "data": { "a": 1 } })))
    });
}

#[tokio::test]
async fn another_installations_token_is_not_used_by_apis_that_it_alone_identifies() {
    let harness = Harness::with_apis(app()).await.unwrap();
    add_open_apis(&harness);
    for (key, line) in [
        ("save", "POST /forge/storage/"),
        ("save-if", "POST /forge/storage/"),
        ("hook", "POST /forge/storage/"),
        ("query-graphql", "POST /graphql"),
        ("license", "GET /forge/app/v1/license"),
        ("workspaces", "GET /2.0/"),
    ] {
        let response = attack(&harness, key).send().await;
        assert_eq!(response.status(), 200, "{key}");
        let text = response.text();
        assert!(text.contains("not proven"), "{key}: {text}");
        assert!(text.contains("App::token_store"), "{key}: {text}");
        assert_eq!(lines(&harness, line), 0, "{key}");
    }
    assert!(harness.platform().apis().stored("kvs", "k").is_empty());
}

#[tokio::test]
async fn the_installations_own_token_is_verified_once() {
    let harness = Harness::with_apis(app()).await.unwrap();
    add_open_apis(&harness);
    let token = harness.platform().oauth_token();
    let call = |key: &str| {
        let call = harness.call(key).tokens(Auth::NONE);
        call.header("x-forge-oauth-system", &token).send()
    };
    let (one, two, three) = tokio::join!(call("save"), call("save"), call("save"));
    for response in [
        one,
        two,
        three,
        call("query-graphql").await,
        call("license").await,
    ] {
        assert_eq!((response.status(), response.json()), (200, json!("")));
    }
    assert_eq!(harness.platform().apis().stored("kvs", "k"), ["secret"]);
    assert_eq!(lines(&harness, DETAILS), 1);
    // Another token of the same installation needs another proof.
    let response = harness.call("save").send().await;
    assert_eq!(response.json(), "");
    assert_eq!(lines(&harness, DETAILS), 2);
}

#[tokio::test]
async fn a_token_of_the_platforms_own_call_needs_no_proof() {
    #[scheduled_trigger(interval = "hour", auth = system)]
    async fn tick(call: Invocation, token: SystemToken) -> Result<()> {
        call.storage(&token).set("k", "tick").await?;
        Ok(())
    }
    let app = app().handler(handler!(tick));
    let harness = Harness::with_apis(app).await.unwrap();
    assert_eq!(harness.call("tick").send().await.status(), 200);
    assert_eq!(lines(&harness, DETAILS), 0);
}

#[tokio::test]
async fn a_failed_proof_is_an_error_that_is_not_cached() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let token = harness.platform().oauth_token();
    let call = || {
        let call = harness.call("save").tokens(Auth::NONE);
        call.header("x-forge-oauth-system", &token).send()
    };
    let busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_busy = std::sync::Arc::clone(&busy);
    harness.platform().apis().respond(move |call| {
        let details = call.path.starts_with("/forge/installation/");
        let busy = is_busy.load(std::sync::atomic::Ordering::Relaxed);
        (details && busy).then(|| ApiResponse::status(429).header("retry-after", "300"))
    });
    let text = call().await.text();
    assert!(text.contains("not proven"), "{text}");
    assert!(harness.platform().apis().stored("kvs", "k").is_empty());
    busy.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(call().await.json(), "");
}

/// With a token store, a page's call uses the stored token, regardless of the page's headers.
#[tokio::test]
async fn a_pages_call_uses_the_stored_token() {
    let app = app().token_store(MemoryTokens::new());
    let harness = Harness::with_apis(app).await.unwrap();
    let renewed = harness.call("renew").fit(|fit| fit.installation(VICTIM));
    assert_eq!(renewed.send().await.status(), 200);
    for key in ["save", "save-if"] {
        let response = attack(&harness, key).send().await;
        assert_eq!(response.json(), "", "{key}");
        // `requestRemote` sends no token.
        let call = harness.call(key).fit(|fit| fit.installation(VICTIM));
        let response = call.tokens(Auth::NONE).send().await;
        assert_eq!(
            (response.status(), response.json()),
            (200, json!("")),
            "{key}"
        );
    }
    assert_eq!(lines(&harness, DETAILS), 0);
    let calls = harness.platform().apis().calls();
    let ari = format!("ari:cloud:ecosystem::installation/{VICTIM}");
    let storage = calls.iter().filter(|call| call.line.contains("/storage/"));
    for call in storage {
        assert_eq!(call.request.installation_id.as_deref(), Some(&*ari));
    }
    // For an installation without a stored token, the page's own token is used once it is proven.
    let response = harness.call("save").send().await;
    assert_eq!(response.json(), "");
    assert_eq!(lines(&harness, DETAILS), 1);
}

#[tokio::test]
async fn another_accounts_token_is_not_sent_to_graphql() {
    let harness = Harness::with_apis(app()).await.unwrap();
    add_open_apis(&harness);
    let others = harness.platform().user_token("712020:another");
    let call = harness.call("as-user").tokens(Auth::NONE);
    let call = call.header("x-forge-oauth-user", others.expose_secret());
    let response = call.send().await;
    let text = response.text();
    assert!(
        text.contains("not proven") && !text.contains("system token"),
        "{text}"
    );
    assert_eq!(lines(&harness, "POST /graphql"), 0);
    // The acting user's own token works.
    let response = harness.call("as-user").send().await;
    assert_eq!(response.json(), "");
    assert_eq!(lines(&harness, "POST /graphql"), 1);
}

/// Many tokens of one user cause few proofs, because Atlassian limits the requests of the whole app.
#[tokio::test]
async fn many_foreign_tokens_at_once_cause_few_proofs() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let calls = (0..24).map(|_| attack(&harness, "save").send());
    for response in futures_util::future::join_all(calls).await {
        assert!(response.text().contains("not proven"), "{response:?}");
    }
    assert_eq!(lines(&harness, DETAILS), 3);
    assert!(harness.platform().apis().stored("kvs", "k").is_empty());
}

/// Different tokens of the installation itself.
#[tokio::test]
async fn many_proven_tokens_at_once_all_work() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let calls = (0..24).map(|_| harness.call("save").send());
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.json(), "");
    }
    assert_eq!(lines(&harness, DETAILS), 24);
}
