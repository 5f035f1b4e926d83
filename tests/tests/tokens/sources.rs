//! Whose calls bring tokens that are kept.

#![allow(clippy::unwrap_used)]

use forge_remote::handler;
use forge_remote::kinds::{
    AgentError, AgentRequest, AgentResponse, WebTriggerRequest, WebTriggerResponse,
};
use forge_remote::prelude::*;
use forge_remote_tests::kept::{HOUR, Kept, ONE, OTHER, tokens_in};
use forge_remote_tests::stores::{Flaky, KEYS};

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

#[scheduled_trigger(interval = "hour")]
async fn asks_for_none() {}

#[endpoint(auth = system)]
async fn page() {}

#[web_trigger(auth = system)]
async fn hook(_request: WebTriggerRequest) -> WebTriggerResponse {
    WebTriggerResponse::new(200, "")
}

/// An agent.
#[agent_connector(name = "Agent", products = ["jira"], auth = system)]
async fn agent(Json(call): Json<AgentRequest>) -> AgentResponse {
    AgentResponse::error(&call, AgentError::UNSUPPORTED)
}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .handler(handler!(asks_for_none))
        .handler(handler!(page))
        .handler(handler!(hook))
        .handler(handler!(agent))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

async fn kept_with(tokens: Tokens) -> Kept {
    Kept::new(app(), tokens).await
}

#[tokio::test]
async fn only_the_platforms_own_calls_bring_tokens() {
    let accept_from_pages = |tokens: Tokens| async {
        let kept = kept_with(tokens).await;
        let planted = kept.token(3 * HOUR, "planted");
        let call = kept.harness.call("page").fit(|fit| fit.installation(ONE));
        call.header("x-forge-oauth-system", &planted).send().await;
        let call = kept.harness.call("page").fit(|fit| {
            // The platform calls an endpoint that pages call too.
            fit.installation(OTHER)
                .module("core:endpoint", "page")
                .without("/principal")
        });
        call.header("x-forge-oauth-system", &planted).send().await;
        (
            kept.system(ONE).await.is_ok(),
            kept.system(OTHER).await.is_ok(),
        )
    };
    let store = || Tokens::new(Flaky::default()).keys(KEYS[0]);
    assert_eq!(accept_from_pages(store()).await, (false, true));
    assert_eq!(
        accept_from_pages(store().accept_from_pages()).await,
        (true, true)
    );

    // Forge sends none where none is asked for: such a header is somebody else's.
    let kept = kept_with(tokens_in(&Flaky::default())).await;
    let call = kept
        .harness
        .call("asks-for-none")
        .fit(|fit| fit.installation(ONE));
    let planted = kept.token(3 * HOUR, "planted");
    assert_eq!(
        call.header("x-forge-oauth-system", &planted)
            .send()
            .await
            .status(),
        200
    );
    assert!(kept.system(ONE).await.is_err());
    // Nor with a Forge Invocation Token that is refused.
    let call = kept
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
    assert!(kept.system(ONE).await.is_err());
}

/// Anybody calls a web trigger, with any header: what comes through isn't known.
#[tokio::test]
async fn callers_whose_headers_may_come_through_plant_no_token() {
    for tokens in [
        tokens_in(&Flaky::default()),
        tokens_in(&Flaky::default()).accept_from_pages(),
    ] {
        let kept = kept_with(tokens).await;
        let planted = kept.token(3 * HOUR, "planted");
        for key in ["hook", "agent"] {
            let call = kept.harness.call(key).fit(|fit| fit.installation(ONE));
            let call = call.header("x-forge-oauth-system", &planted);
            assert_eq!(call.send().await.status(), 200, "{key}");
            // As a function's call would be marked.
            let call = kept.harness.call(key).fit(|fit| {
                fit.installation(ONE)
                    .module("core:endpoint", key)
                    .without("/principal")
            });
            let call = call.header("x-forge-oauth-system", &planted);
            assert_eq!(call.send().await.status(), 200, "{key}");
            assert!(kept.system(ONE).await.is_err(), "{key}");
        }
        assert_eq!(kept.tokens.stats().seen, 0);
    }
}
