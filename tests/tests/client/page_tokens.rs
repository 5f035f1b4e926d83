//! Whose token a page's call brings: where the token alone names the tenant, it is used only when it
//! is proven to be this installation's.

#![allow(clippy::unwrap_used)]

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{ApiResponse, Harness, HarnessCall};
use forge_remote::token::MemoryTokens;
use serde_json::{Value, json};

/// The installation under attack.
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

/// Where nobody in the handler asks for the header's presence.
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
async fn ask(call: Invocation, token: SystemToken) -> Json<String> {
    let asked = call
        .graphql()
        .as_app(&token)
        .operation("{ a }")
        .fetch::<Value>();
    Json(
        asked
            .await
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[endpoint(auth = system)]
async fn license(call: Invocation, token: SystemToken) -> Json<String> {
    let asked = call.platform().as_app(&token);
    let asked = asked.get("/forge/app/v1/license").fetch::<Value>().await;
    Json(
        asked
            .err()
            .map_or_else(String::new, |error| error.to_string()),
    )
}

#[endpoint(auth = user)]
async fn as_user(call: Invocation, token: UserToken) -> Json<String> {
    let asked = call
        .graphql()
        .as_user(&token)
        .operation("{ a }")
        .fetch::<Value>();
    Json(
        asked
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
        .handler(handler!(ask))
        .handler(handler!(license))
        .handler(handler!(as_user))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// A page's call for the victim's installation, with the token of another installation.
fn attack(harness: &Harness, key: &str) -> HarnessCall {
    let own = harness.platform().oauth_token();
    let call = harness.call(key).fit(|fit| fit.installation(VICTIM));
    call.tokens(Auth::NONE).header("x-forge-oauth-system", &own)
}

fn lines(harness: &Harness, start: &str) -> usize {
    let calls = harness.platform().apis().calls();
    calls
        .iter()
        .filter(|call| call.line.starts_with(start))
        .count()
}

/// GraphQL and the licence API answer whoever comes with a token.
fn answer_all(harness: &Harness) {
    harness.platform().apis().respond(|call| {
        let mine = call.path == "/graphql" || call.path.ends_with("/license");
        mine.then(|| ApiResponse::json(200, json!({ "data": { "a": 1 } })))
    });
}

#[tokio::test]
async fn another_installations_token_opens_nothing_that_the_token_alone_names() {
    let harness = Harness::with_apis(app()).await.unwrap();
    answer_all(&harness);
    for (key, line) in [
        ("save", "POST /forge/storage/"),
        ("save-if", "POST /forge/storage/"),
        ("hook", "POST /forge/storage/"),
        ("ask", "POST /graphql"),
        ("license", "GET /forge/app/v1/license"),
    ] {
        let answer = attack(&harness, key).send().await;
        assert_eq!(answer.status(), 200, "{key}");
        let text = answer.text();
        assert!(text.contains("not proven"), "{key}: {text}");
        assert!(text.contains("App::token_store"), "{key}: {text}");
        assert_eq!(lines(&harness, line), 0, "{key}");
    }
    assert!(harness.platform().apis().stored("kvs", "k").is_empty());
}

#[tokio::test]
async fn the_installations_own_token_works_and_is_proven_once() {
    let harness = Harness::with_apis(app()).await.unwrap();
    answer_all(&harness);
    let token = harness.platform().oauth_token();
    let call = |key: &str| {
        let call = harness.call(key).tokens(Auth::NONE);
        call.header("x-forge-oauth-system", &token).send()
    };
    let (one, two, three) = tokio::join!(call("save"), call("save"), call("save"));
    for answer in [one, two, three, call("ask").await, call("license").await] {
        assert_eq!((answer.status(), answer.json()), (200, json!("")));
    }
    assert_eq!(harness.platform().apis().stored("kvs", "k"), ["secret"]);
    assert_eq!(lines(&harness, DETAILS), 1);
    // Another token of the same installation is a question of its own.
    let answer = harness.call("save").send().await;
    assert_eq!(answer.json(), "");
    assert_eq!(lines(&harness, DETAILS), 2);
}

#[tokio::test]
async fn what_the_platform_itself_delivers_needs_no_proof() {
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
async fn an_unanswered_proof_is_an_error_that_is_not_remembered() {
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

/// Where tokens are kept, a page's call works with the kept one, whatever the page brings.
#[tokio::test]
async fn a_page_gets_the_kept_token() {
    let app = app().token_store(MemoryTokens::new());
    let harness = Harness::with_apis(app).await.unwrap();
    let renewed = harness.call("renew").fit(|fit| fit.installation(VICTIM));
    assert_eq!(renewed.send().await.status(), 200);
    for key in ["save", "save-if"] {
        let answer = attack(&harness, key).send().await;
        assert_eq!(answer.json(), "", "{key}");
        // `requestRemote` brings none.
        let call = harness.call(key).fit(|fit| fit.installation(VICTIM));
        let answer = call.tokens(Auth::NONE).send().await;
        assert_eq!((answer.status(), answer.json()), (200, json!("")), "{key}");
    }
    assert_eq!(lines(&harness, DETAILS), 0);
    let calls = harness.platform().apis().calls();
    let ari = format!("ari:cloud:ecosystem::installation/{VICTIM}");
    let storage = calls.iter().filter(|call| call.line.contains("/storage/"));
    for call in storage {
        assert_eq!(call.request.installation_id.as_deref(), Some(&*ari));
    }
    // Another installation, of which none is kept: its page's own, once that is proven.
    let answer = harness.call("save").send().await;
    assert_eq!(answer.json(), "");
    assert_eq!(lines(&harness, DETAILS), 1);
}

#[tokio::test]
async fn another_accounts_token_does_not_ask_graphql() {
    let harness = Harness::with_apis(app()).await.unwrap();
    answer_all(&harness);
    let others = harness.platform().user_token("712020:another");
    let call = harness.call("as-user").tokens(Auth::NONE);
    let call = call.header("x-forge-oauth-user", others.expose_secret());
    let answer = call.send().await;
    let text = answer.text();
    assert!(text.contains("not proven"), "{text}");
    assert_eq!(lines(&harness, "POST /graphql"), 0);
    // The acting user's own works.
    let answer = harness.call("as-user").send().await;
    assert_eq!(answer.json(), "");
    assert_eq!(lines(&harness, "POST /graphql"), 1);
}

/// However many tokens a user sends at the same time: Atlassian counts the questions of the whole
/// app.
#[tokio::test]
async fn many_foreign_tokens_at_once_cost_few_questions() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let calls = (0..24).map(|_| attack(&harness, "save").send());
    for answer in futures_util::future::join_all(calls).await {
        assert!(answer.text().contains("not proven"), "{answer:?}");
    }
    assert_eq!(lines(&harness, DETAILS), 3);
    assert!(harness.platform().apis().stored("kvs", "k").is_empty());
}

/// The installation's own, each another.
#[tokio::test]
async fn many_proven_tokens_at_once_all_work() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let calls = (0..24).map(|_| harness.call("save").send());
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.json(), "");
    }
    assert_eq!(lines(&harness, DETAILS), 24);
}
