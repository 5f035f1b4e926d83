//! Only tokens that Forge itself delivers are stored.

use forge_remote::handler;
use forge_remote::kinds::{
    AgentError, AgentRequest, AgentResponse, WebTriggerRequest, WebTriggerResponse,
};
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::Harness;
use forge_remote_tests::stores::{FlakyStore, KEYS};
use forge_remote_tests::token_app::{
    HOUR, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in, yield_to_tasks,
};

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

#[function_call(auth = system)]
async fn storing_function(call: Invocation, token: Option<SystemToken>) -> String {
    let Some(token) = token else {
        return "no token".to_owned();
    };
    let stored = call.storage(&token).set("k", "secret").await;
    stored.map_or_else(|error| error.to_string(), |()| "stored".to_owned())
}

#[static_macro(auth = system)]
async fn render() {}

fn all_sources_app() -> App {
    renewing_app()
        .handler(handler!(render))
        .handler(handler!(function))
        .handler(handler!(function_without_token))
        .handler(handler!(storing_function))
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

/// A function may have copied the header from a page, so its tokens are kept only if the app says that none does.
#[tokio::test]
async fn a_functions_call_delivers_a_token_if_the_app_accepts_it() {
    for accepts in [false, true] {
        let tokens = tokens_in(&FlakyStore::default());
        let tokens = match accepts {
            true => tokens.accept_from_functions(),
            false => tokens,
        };
        let app = all_sources_app().token_store(tokens.clone());
        let harness = Harness::with_apis(app).await.unwrap();
        let is_kept = async || tokens.system(&ari(ONE)).await.is_ok();
        let foreign = harness.platform().oauth_token();
        let planted = |key: &str| {
            let call = harness.call(key).fit(|fit| fit.installation(ONE));
            let call = call.tokens(Auth::NONE);
            call.header("x-forge-oauth-system", &foreign).send()
        };
        // Forge sends no token to a handler that requests none.
        assert_eq!(planted("function-without-token").await.status(), 200);
        assert!(!is_kept().await);
        // It is not used where the token alone identifies the installation, even if it is stored.
        let text = planted("storing-function").await.text();
        assert!(text.contains("not proven"), "{text}");
        let text = planted("storing-function").await.text();
        assert!(text.contains("not proven"), "{text}");
        assert_eq!(is_kept().await, accepts);
        for without_user in [false, true] {
            let call = harness.call("function").fit(|fit| {
                let fit = fit.installation(OTHER);
                if without_user {
                    fit.without("/principal")
                } else {
                    fit
                }
            });
            assert_eq!(call.send().await.status(), 200);
            assert_eq!(tokens.system(&ari(OTHER)).await.is_ok(), accepts);
        }
    }
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
    // Without a user it may be a function's, which names no endpoint, or the platform's.
    for (key, is_kept) in [("resolver", false), ("page", true)] {
        let call = app.harness.call("page").fit(|fit| {
            let fit = fit.installation(ONE).module("core:endpoint", key);
            fit.without("/principal")
        });
        let call = call.header("x-forge-oauth-system", &token);
        assert_eq!(call.send().await.status(), 200);
        yield_to_tasks().await;
        assert_eq!(app.system(ONE).await.is_ok(), is_kept, "{key}");
    }
}

/// The platform calls it for a user, and the FIT may name the hand-written macro.
#[tokio::test]
async fn a_static_macros_call_delivers_its_token_under_the_macros_key() {
    let app = start_with(tokens_in(&FlakyStore::default())).await;
    let call = app.harness.call("render").fit(|fit| {
        let fit = fit.installation(ONE).module("core:endpoint", "chart");
        fit.set("/principal", "712020:someone".into())
    });
    let token = app.token(3 * HOUR, "delivered");
    let call = call.header("x-forge-oauth-system", &token);
    assert_eq!(call.send().await.status(), 200);
    assert!(app.system(ONE).await.is_ok());
}
