//! Only tokens that Forge itself delivers are stored.

use forge_remote::handler;
use forge_remote::kinds::{
    AgentError, AgentRequest, AgentResponse, WebTriggerRequest, WebTriggerResponse,
};
use forge_remote::prelude::*;
use forge_remote_tests::stores::{FlakyStore, KEYS};
use forge_remote_tests::token_app::{HOUR, ONE, OTHER, TokenApp, renewing_app, tokens_in};

#[scheduled_trigger(interval = "hour")]
async fn without_token() {}

#[endpoint(auth = system)]
async fn page() {}

#[endpoint(auth = system)]
async fn token_page(token: SystemToken) -> Json<String> {
    Json(token.expose_secret().to_owned())
}

#[web_trigger(auth = system)]
async fn hook(_request: WebTriggerRequest) -> WebTriggerResponse {
    WebTriggerResponse::new(200, "")
}

/// An agent.
#[agent_connector(name = "Agent", products = ["jira"], auth = system)]
async fn agent(Json(call): Json<AgentRequest>) -> AgentResponse {
    AgentResponse::error(&call, AgentError::UNSUPPORTED)
}

#[function_call(auth = system)]
async fn function() {}

#[function_call]
async fn function_without_token() {}

fn all_sources_app() -> App {
    renewing_app()
        .handler(handler!(function))
        .handler(handler!(function_without_token))
        .handler(handler!(without_token))
        .handler(handler!(page))
        .handler(handler!(token_page))
        .handler(handler!(hook))
        .handler(handler!(agent))
}

async fn start_with(tokens: Tokens) -> TokenApp {
    TokenApp::new(all_sources_app(), tokens).await
}

#[tokio::test]
async fn only_the_platforms_own_calls_deliver_tokens() {
    let accept_from_pages = |tokens: Tokens| async {
        let app = start_with(tokens).await;
        let planted = app.token(3 * HOUR, "planted");
        let call = app.harness.call("page").fit(|fit| fit.installation(ONE));
        call.header("x-forge-oauth-system", &planted).send().await;
        let call = app.harness.call("page").fit(|fit| {
            // The platform calls an endpoint that pages call too.
            fit.installation(OTHER)
                .module("core:endpoint", "page")
                .without("/principal")
        });
        call.header("x-forge-oauth-system", &planted).send().await;
        (
            app.system(ONE).await.is_ok(),
            app.system(OTHER).await.is_ok(),
        )
    };
    let store = || Tokens::new(FlakyStore::default()).keys(KEYS[0]);
    assert_eq!(accept_from_pages(store()).await, (false, true));
    assert_eq!(
        accept_from_pages(store().accept_from_pages()).await,
        (true, true)
    );

    // Forge sends no token unless the endpoint requests one, so this header is a caller's.
    let app = start_with(tokens_in(&FlakyStore::default())).await;
    let call = app
        .harness
        .call("without-token")
        .fit(|fit| fit.installation(ONE));
    let planted = app.token(3 * HOUR, "planted");
    assert_eq!(
        call.header("x-forge-oauth-system", &planted)
            .send()
            .await
            .status(),
        200
    );
    assert!(app.system(ONE).await.is_err());
    // The same for a call whose Forge Invocation Token is rejected.
    let call = app
        .harness
        .call("renew")
        .fit(|fit| fit.set("/aud", "x".into()).installation(ONE));
    assert_eq!(
        call.header("x-forge-oauth-system", &planted)
            .send()
            .await
            .status(),
        401
    );
    assert!(app.system(ONE).await.is_err());
}

/// Anyone can call a web trigger with any header, and it is unknown which headers Forge forwards.
#[tokio::test]
async fn callers_cannot_plant_a_token_by_a_header() {
    for tokens in [
        tokens_in(&FlakyStore::default()),
        tokens_in(&FlakyStore::default()).accept_from_pages(),
    ] {
        let app = start_with(tokens).await;
        let planted = app.token(3 * HOUR, "planted");
        for key in ["hook", "agent"] {
            let call = app.harness.call(key).fit(|fit| fit.installation(ONE));
            let call = call.header("x-forge-oauth-system", &planted);
            assert_eq!(call.send().await.status(), 200, "{key}");
            // Marked as a function's call.
            let call = app.harness.call(key).fit(|fit| {
                fit.installation(ONE)
                    .module("core:endpoint", key)
                    .without("/principal")
            });
            let call = call.header("x-forge-oauth-system", &planted);
            assert_eq!(call.send().await.status(), 200, "{key}");
            assert!(app.system(ONE).await.is_err(), "{key}");
        }
        assert_eq!(app.tokens.stats().seen, 0);
    }
}

/// A page's call gets the stored token instead of its header's.
#[tokio::test]
async fn a_page_waits_for_one_read_of_the_stored_token() {
    let store = FlakyStore::default();
    let other_instance = start_with(tokens_in(&store)).await;
    let stored = other_instance.token(3 * HOUR, "stored");
    other_instance.deliver(ONE, &stored).await;
    other_instance.tokens.flush().await.unwrap();

    let app = start_with(tokens_in(&store)).await;
    let planted = app.token(3 * HOUR, "planted");
    let reads = store.gets();
    store.hold_gets(true);
    let call = app.harness.call("token-page");
    let call = call.fit(|fit| fit.installation(ONE));
    let call = call.header("x-forge-oauth-system", &planted).send();
    let release = async {
        while store.gets() == reads {
            tokio::task::yield_now().await;
        }
        store.hold_gets(false);
    };
    let (response, ()) = tokio::join!(call, release);
    assert_eq!(response.json(), stored);
    assert_eq!(store.gets(), reads + 1);
}

/// Only the app's own function can make the call, for a user or not, and Forge writes the header that `auth` requests.
#[tokio::test]
async fn a_functions_call_delivers_its_system_token() {
    let app = start_with(tokens_in(&FlakyStore::default())).await;
    let deliver = |key: &'static str, installation: &'static str, has_user: bool| {
        let call = app.harness.call(key).fit(|fit| {
            let fit = fit.installation(installation);
            if has_user {
                fit
            } else {
                fit.without("/principal")
            }
        });
        let token = app.token(3 * HOUR, "delivered");
        call.header("x-forge-oauth-system", &token).send()
    };
    // Without `auth = system`, the function may have copied the header from a page's call.
    assert_eq!(
        deliver("function-without-token", ONE, true).await.status(),
        200
    );
    assert!(app.system(ONE).await.is_err());
    assert_eq!(deliver("function", ONE, true).await.status(), 200);
    assert!(app.system(ONE).await.is_ok());
    assert_eq!(deliver("function", OTHER, false).await.status(), 200);
    assert!(app.system(OTHER).await.is_ok());
}

/// At an endpoint for pages, a FIT that names a user counts as a page's, although its type is the platform's.
#[tokio::test]
async fn a_functions_call_for_a_user_delivers_no_token_to_a_pages_endpoint() {
    let app = start_with(tokens_in(&FlakyStore::default())).await;
    let token = app.token(3 * HOUR, "delivered");
    let call = app.harness.call("page").fit(|fit| {
        let fit = fit.installation(ONE).module("core:endpoint", "resolver");
        fit.set("/principal", "712020:someone".into())
    });
    let call = call.header("x-forge-oauth-system", &token);
    assert_eq!(call.send().await.status(), 200);
    assert!(app.system(ONE).await.is_err());
}
