//! An app stores, renews and returns the tokens of its requests, and drops expired ones.

use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::token::{TokenError, TokenStore as _};
use forge_remote_tests::stores::{FlakyStore, KEYS, oauth, test_stores};
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in,
};
use serde_json::json;

#[endpoint(method = "GET")]
pub(crate) async fn life(call: Invocation, tokens: Tokens) -> Result<Json<u64>> {
    let app = tokens.installation(call.installation_id()).await?;
    Ok(Json(app.remaining().as_secs()))
}

pub(crate) fn keeper_app() -> App {
    renewing_app().handler(handler!(life))
}

pub(crate) async fn start_with(tokens: Tokens) -> TokenApp {
    TokenApp::new(keeper_app(), tokens).await
}

async fn start_on(store: &FlakyStore) -> TokenApp {
    start_with(tokens_in(store)).await
}

#[tokio::test]
async fn the_token_with_the_later_expiry_wins_and_a_call_without_one_erases_nothing() {
    for test_store in test_stores().await {
        let app = start_with(Tokens::new(test_store.connect()).keys(KEYS[0])).await;
        assert!(matches!(
            app.system(ONE).await,
            Err(TokenError::NeverSeen { .. })
        ));
        let (early, late) = (app.token(2 * HOUR, "early"), app.token(3 * HOUR, "late"));
        for token in [&early, &late, &early] {
            app.deliver(ONE, token).await;
        }
        assert_eq!(app.system(ONE).await.unwrap(), late, "{test_store:?}");
        let bare = app.harness.call("renew").fit(|fit| fit.installation(ONE));
        assert_eq!(bare.tokens(Auth::NONE).send().await.status(), 200);
        assert_eq!(app.system(ONE).await.unwrap(), late, "{test_store:?}");
        app.deliver(OTHER, &early).await;
        app.tokens.flush().await.unwrap();

        // As another instance sees it.
        let other = test_store.tokens().await;
        let seen = other.system(&ari(ONE)).await.unwrap();
        assert_eq!(seen.expose_secret(), late, "{test_store:?}");
        let ids: Vec<_> = other.installations().await.unwrap();
        let ids: Vec<_> = ids.iter().map(|one| one.installation_id()).collect();
        assert_eq!(ids, [ari(ONE), ari(OTHER)], "{test_store:?}");

        app.tokens.remove(&ari(ONE)).await.unwrap();
        assert!(app.system(ONE).await.is_err(), "{test_store:?}");
        assert!(
            test_store.tokens().await.system(&ari(ONE)).await.is_err(),
            "{test_store:?}"
        );
        assert_eq!(app.system(OTHER).await.unwrap(), early, "{test_store:?}");
    }
}

#[tokio::test]
async fn handlers_can_use_stored_tokens() {
    let app = start_on(&FlakyStore::default()).await;
    let call = || app.harness.call("life").fit(|fit| fit.installation(ONE));
    assert_eq!(call().send().await.status(), 500);
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    let left = call().send().await.json().as_u64().unwrap();
    // Written in whole seconds.
    assert!((7198..=7200).contains(&left), "{left}");
    app.clock.advance(MINUTE);
    assert!(call().send().await.json().as_u64().unwrap() <= left - 60);
}

#[tokio::test]
async fn an_installations_metadata_is_stored_with_it() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let deliver = |uuid, contexts: serde_json::Value, environment, api: String| {
        let call = app.harness.call("renew").fit(|fit| {
            fit.installation(uuid)
                .set("/app/installation/contexts", contexts)
                .set("/app/apiBaseUrl", api.into())
                .environment(environment)
        });
        call.header("x-forge-oauth-system", &app.token(2 * HOUR, uuid))
            .send()
    };
    let jira = "https://api.atlassian.com/ex/jira/site-1";
    let contexts = json!([
        { "name": "jira", "apiBaseUrl": jira, "cloudId": "site-1" },
        { "name": "bitbucket", "workspaceId": "space" },
    ]);
    deliver(ONE, contexts, "PRODUCTION", jira.to_owned()).await;
    // Contexts had no `cloudId` before mid-2026, so the base URL names the site.
    let site_2 = "https://api.atlassian.com/ex/confluence/site-2";
    deliver(
        OTHER,
        json!([{ "name": "confluence" }]),
        "STAGING",
        site_2.to_owned(),
    )
    .await;

    for tokens in [app.tokens.clone(), {
        app.tokens.flush().await.unwrap();
        let other = Tokens::new(store.clone()).keys(KEYS[0]);
        other.open().await.unwrap();
        other
    }] {
        let one = tokens.installation(&ari(ONE)).await.unwrap();
        assert_eq!(one.environment_type(), Some("PRODUCTION"));
        assert_eq!(one.api_base_url(), Some(jira));
        assert_eq!(one.app_id(), forge_remote::testing::TEST_APP_ID);
        assert_eq!(one.product("jira").unwrap().cloud_id.unwrap(), "site-1");
        assert_eq!(
            one.product("bitbucket").unwrap().workspace_id.unwrap(),
            "space"
        );
        assert_eq!(one.installation_contexts().len(), 2);
        let expected = app.system(ONE).await.unwrap();
        let found = tokens.system_for_site("site-1").await.unwrap();
        assert_eq!(found.expose_secret(), expected);
        let found = tokens.system_for_site("site-2").await.unwrap();
        assert_eq!(found.expose_secret(), app.system(OTHER).await.unwrap());
        assert!(matches!(
            tokens.system_for_site("site-3").await,
            Err(TokenError::NeverSeen { .. })
        ));
    }

    // Moved to the other's site with the same token.
    deliver(
        OTHER,
        json!([{ "name": "jira", "cloudId": "site-1" }]),
        "STAGING",
        jira.to_owned(),
    )
    .await;
    app.tokens.flush().await.unwrap();
    let error = app.tokens.system_for_site("site-1").await.err().unwrap();
    assert!(
        matches!(&error, TokenError::Ambiguous { installation_ids, .. } if installation_ids.len() == 2),
        "{error}"
    );
    assert_eq!(app.tokens.find_by_site("site-2").await.unwrap().len(), 0);
}

#[tokio::test]
async fn no_token_is_returned_near_its_expiry() {
    let store = FlakyStore::default();
    let tokens = Tokens::new(store.clone())
        .keys(KEYS[0])
        .expiry_margin(2 * MINUTE);
    let app = start_with(tokens).await;
    app.deliver(ONE, &app.token(HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    app.clock.advance(57 * MINUTE);
    assert!(app.system(ONE).await.is_ok());
    app.clock.advance(MINUTE);
    let error = app.system(ONE).await.unwrap_err();
    assert!(
        matches!(error, TokenError::Ended { since, .. } if since == Duration::ZERO),
        "{error}"
    );
    assert!(app.tokens.installations().await.unwrap().is_empty());
    app.clock.advance(12 * MINUTE);
    let error = app.system(ONE).await.unwrap_err();
    assert!(
        error.to_string().contains("expired 10 minutes ago"),
        "{error}"
    );
    // Purged after a day without any call.
    app.clock.advance(25 * HOUR);
    assert!(eventually(|| app.tokens.stats().purged == 1).await);
    assert!(matches!(
        app.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert!(store.get(&ari(ONE)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_without_an_expiry_lives_two_hours() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    app.deliver(ONE, "opaque").await;
    let life = app
        .tokens
        .installation(&ari(ONE))
        .await
        .unwrap()
        .remaining();
    assert!(life > 2 * HOUR - MINUTE && life <= 2 * HOUR, "{life:?}");
    // Delivered again, it is valid for 2 hours again.
    app.clock.advance(90 * MINUTE);
    app.deliver(ONE, "opaque").await;
    app.clock.advance(90 * MINUTE);
    assert_eq!(app.system(ONE).await.unwrap(), "opaque");
    // An impossible expiry is corrupt: the next real token replaces it, in memory and in the store,
    // and no token is returned beyond its possible lifetime.
    let left = async || {
        let app = app.tokens.installation(&ari(OTHER)).await;
        app.unwrap().remaining()
    };
    app.deliver(OTHER, &app.token(20 * HOUR, "wrong")).await;
    assert!(left().await <= 2 * HOUR, "{:?}", left().await);
    let real = app.token(3 * HOUR, "real");
    app.deliver(OTHER, &real).await;
    assert_eq!(app.system(OTHER).await.unwrap(), real);
    app.tokens.flush().await.unwrap();
    let later = TokenApp::at(app.clock.clone(), keeper_app(), tokens_in(&store)).await;
    assert_eq!(later.system(OTHER).await.unwrap(), real);
    // An expired token is not stored.
    const THIRD: &str = "0a3a7799-0000-4000-a000-000000000003";
    let ended = oauth(app.clock.now() - MINUTE, "ended");
    app.deliver(THIRD, &ended).await;
    assert!(matches!(
        app.system(THIRD).await,
        Err(TokenError::NeverSeen { .. })
    ));
}

#[tokio::test]
async fn a_store_that_is_down_costs_no_request_and_no_token() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    app.deliver(ONE, &app.token(2 * HOUR, "old")).await;
    app.tokens.flush().await.unwrap();
    store.down(true);

    let newest = app.token(3 * HOUR, "newest");
    app.deliver(ONE, &newest).await;
    app.deliver(OTHER, &newest).await;
    assert!(app.tokens.flush().await.is_err());
    assert_eq!(app.system(ONE).await.unwrap(), newest);
    assert_eq!(app.tokens.stats().pending, 2);
    assert!(app.tokens.stats().store_failures > 0);
    // Retried with pauses by the clock, not in a busy loop.
    let tried = store.puts().len();
    app.clock.advance(MINUTE);
    assert!(eventually(|| store.puts().len() == tried + 1).await);
    // The memory serves tokens even when they are due for a check with the store.
    app.clock.advance(10 * MINUTE);
    assert_eq!(app.system(ONE).await.unwrap(), newest);
    assert!(matches!(
        app.system("0a3a7799-0000-4000-a000-000000000009").await,
        Err(TokenError::Store(_))
    ));
    // A removal is pending too.
    assert!(app.tokens.remove(&ari(OTHER)).await.is_err());
    assert!(matches!(
        app.system(OTHER).await,
        Err(TokenError::NeverSeen { .. })
    ));

    store.down(false);
    app.clock.advance(MINUTE);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    let other = Tokens::new(store.clone()).keys(KEYS[0]);
    other.open().await.unwrap();
    assert_eq!(
        other.system(&ari(ONE)).await.unwrap().expose_secret(),
        newest
    );
    assert!(other.system(&ari(OTHER)).await.is_err());
}

#[tokio::test]
async fn the_same_token_is_written_once_and_read_from_memory() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let token = app.token(3 * HOUR, "");
    for _ in 0..20 {
        app.deliver(ONE, &token).await;
        app.system(ONE).await.unwrap();
    }
    app.tokens.flush().await.unwrap();
    assert_eq!((store.puts(), store.gets()), (vec![1], 0));
    assert_eq!(app.tokens.stats().seen, 1);
    // It is compared with the store's from time to time.
    app.clock.advance(MINUTE);
    for _ in 0..20 {
        app.system(ONE).await.unwrap();
    }
    assert_eq!(store.gets(), 1);
}

/// A late write could replace a token that arrived meanwhile.
#[tokio::test]
async fn a_token_that_expired_while_pending_is_not_written() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    store.down(true);
    app.deliver(ONE, &app.token(HOUR, "")).await;
    assert!(app.tokens.flush().await.is_err());
    app.clock.advance(2 * HOUR);
    store.down(false);
    app.tokens.flush().await.unwrap();
    assert!(store.get(&ari(ONE)).await.unwrap().is_none());
    assert_eq!(app.tokens.stats().pending, 0);
}

#[tokio::test]
async fn other_instances_see_renewals_and_removals() {
    let store = FlakyStore::default();
    let (one, other) = (start_on(&store).await, start_on(&store).await);
    one.deliver(ONE, &one.token(HOUR, "first")).await;
    one.tokens.flush().await.unwrap();
    let renewed = other.token(3 * HOUR, "renewed");
    other.deliver(ONE, &renewed).await;
    other.tokens.flush().await.unwrap();
    one.clock.advance(MINUTE);
    assert_eq!(one.system(ONE).await.unwrap(), renewed);
    other.tokens.remove(&ari(ONE)).await.unwrap();
    one.clock.advance(MINUTE);
    assert!(matches!(
        one.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
}

#[tokio::test]
async fn memory_is_bounded() {
    let store = FlakyStore::default();
    let tokens = Tokens::new(store.clone()).keys(KEYS[0]).memory_limit(10);
    let app = start_with(tokens).await;
    let uuid = |at: usize| format!("0a3a7799-0000-4000-a000-{at:012}");
    let token = app.token(2 * HOUR, "");
    for at in 0..50 {
        app.deliver(&uuid(at), &token).await;
        app.tokens.flush().await.unwrap();
    }
    // Evicted from memory, and read again.
    for at in 0..50 {
        assert_eq!(app.system(&uuid(at)).await.unwrap(), token);
    }
    assert!(store.gets() >= 40, "{}", store.gets());
    store.down(true);
    // The tokens that expire first are evicted, whenever they arrived.
    for at in 50..80 {
        let minutes = 3 * 60 - u32::try_from(at).unwrap();
        app.deliver(&uuid(at), &app.token(minutes * MINUTE, ""))
            .await;
    }
    let counts = app.tokens.stats();
    assert_eq!((counts.pending, counts.dropped), (10, 20));
    for at in 50..80 {
        assert_eq!(app.system(&uuid(at)).await.is_ok(), at < 60, "{at}");
    }
}

#[tokio::test]
async fn another_apps_tokens_in_the_store_are_skipped() {
    let store = FlakyStore::default();
    let one = start_on(&store).await;
    one.deliver(ONE, &one.token(2 * HOUR, "")).await;
    one.tokens.flush().await.unwrap();
    let tokens = Tokens::new(store).keys(KEYS[0]);
    let other_id = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555";
    let builder = keeper_app().app_id(other_id).token_store(tokens.clone());
    let _built = builder.connect().await.unwrap().build().unwrap();
    assert!(tokens.system(&ari(ONE)).await.is_err());
    assert!(tokens.installations().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stopping_app_writes_pending_tokens() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    store.down(true);
    let token = app.token(2 * HOUR, "");
    app.deliver(ONE, &token).await;
    assert!(app.tokens.flush().await.is_err());
    store.down(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = app.harness.app().clone().serve(listener, async {});
    served.await.unwrap();
    assert_eq!(app.tokens.stats().pending, 0);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

/// A failed write is retried until the time limit.
#[tokio::test]
async fn a_stopping_app_retries_failed_writes() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    store.down(true);
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    assert!(app.tokens.flush().await.is_err());
    // The server of the router calls shutdown.
    let service = app.harness.app().clone();
    let failures = app.tokens.stats().store_failures;
    let finishing = tokio::spawn(async move { service.shutdown().await });
    assert!(eventually(|| app.tokens.stats().store_failures > failures + 1).await);
    store.down(false);
    finishing.await.unwrap();
    assert_eq!(app.tokens.stats().pending, 0);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_does_not_block_the_shutdown() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    store.hold_puts(true);
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    let began = tokio::time::Instant::now();
    app.harness.app().shutdown().await;
    // Less than Kubernetes' kill timeout of 30 seconds.
    assert!(
        began.elapsed() < Duration::from_secs(26),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(app.tokens.stats().pending, 1);
}
