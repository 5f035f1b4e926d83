//! An app keeps serving tokens while its store is down or empty, and never writes under a wrong key.

use std::time::Duration;

use forge_remote::axum::body::{Body, to_bytes};
use forge_remote::axum::http::Request;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::token::{TokenError, TokenStore as _};
use forge_remote_tests::stores::{FlakyStore, KEYS};
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, open_tokens, renewing_app, start_on, tokens_in,
};
use tower::ServiceExt as _;

/// Returns the body of `/readyz` after one verified call.
async fn ready(app: &TokenApp) -> String {
    let call = app.harness.call("renew").tokens(Auth::NONE);
    assert_eq!(call.send().await.status(), 200);
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let response = app.harness.app().router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = to_bytes(response.into_body(), 1000).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

/// Returns the number of tokens in the store.
async fn stored(store: &FlakyStore) -> usize {
    let page = forge_remote::token::PageRequest::first(100);
    store.list(page).await.unwrap().tokens.len()
}

#[tokio::test]
async fn an_emptied_store_gets_the_tokens_again() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let token = app.token(3 * HOUR, "");
    for uuid in [ONE, OTHER] {
        app.deliver(uuid, &token).await;
    }
    app.tokens.flush().await.unwrap();

    // On a listing.
    store.lose_everything();
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.listed().await, [ari(ONE), ari(OTHER)]);
    app.tokens.flush().await.unwrap();
    assert_eq!(stored(&store).await, 2);
    assert_eq!(app.tokens.stats().restored, 2);

    // On a read of one token.
    store.lose_everything();
    app.clock.advance(MINUTE);
    assert_eq!(app.system(ONE).await.unwrap(), token);
    app.tokens.flush().await.unwrap();
    assert_eq!(stored(&store).await, 1);

    // When Forge delivers the same token again.
    store.lose_everything();
    app.clock.advance(15 * MINUTE);
    app.deliver(OTHER, &token).await;
    app.tokens.flush().await.unwrap();
    assert!(store.get(&ari(OTHER)).await.unwrap().is_some());

    // When the store has an older token, as after a failover.
    let newer = app.token(3 * HOUR, "newer");
    app.deliver(ONE, &newer).await;
    app.tokens.flush().await.unwrap();
    store.lose_everything();
    let older = start_on(&store).await;
    older.deliver(ONE, &token).await;
    older.tokens.flush().await.unwrap();
    app.clock.advance(MINUTE);
    assert_eq!(app.system(ONE).await.unwrap(), newer);
    app.tokens.flush().await.unwrap();
    let seen = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    assert_eq!(seen.system(ONE).await.unwrap(), newer);
}

#[tokio::test]
async fn an_expired_token_is_not_written_again() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    app.deliver(ONE, &app.token(HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    app.clock.advance(2 * HOUR);
    store.lose_everything();
    assert!(matches!(
        app.system(ONE).await,
        Err(TokenError::Ended { .. })
    ));
    assert_eq!(app.listed().await.len(), 0);
    app.tokens.flush().await.unwrap();
    assert_eq!(stored(&store).await, 0);
}

#[tokio::test]
async fn memory_lists_while_the_store_is_down() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    store.down(true);
    assert!(matches!(
        app.tokens.installations().await,
        Err(TokenError::Store(_))
    ));
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    assert_eq!(app.listed().await, [ari(ONE)]);
    let failures = app.tokens.stats().store_failures;
    assert_eq!(app.listed().await, [ari(ONE)]);
    assert!(app.tokens.stats().store_failures > failures);
}

/// The listing has more tokens than a page and than the memory limit.
#[tokio::test]
async fn a_listing_evicts_nothing_from_memory() {
    let store = FlakyStore::default();
    let uuid = |at: usize| format!("0a3a7799-0000-4000-a000-{at:012}");
    let writer = start_on(&store).await;
    for at in 0..520 {
        let token = writer.token(2 * HOUR + at as u32 * Duration::from_secs(1), "");
        writer.deliver(&uuid(at), &token).await;
    }
    writer.tokens.flush().await.unwrap();

    let tokens = tokens_in(&store).memory_limit(10);
    let reader = TokenApp::at(writer.clock.clone(), renewing_app(), tokens).await;
    let hot = reader.token(HOUR, "hot");
    reader.deliver(ONE, &hot).await;
    // Its write is pending, between others of the listing.
    let extra = "0a3a7799-0000-4000-a000-000000000300a";
    store.hold_puts(true);
    reader.deliver(extra, &hot).await;
    let mut each = reader.tokens.installation_stream();
    let mut listed = Vec::new();
    while let Some(installation) = each.next().await {
        listed.push(installation.unwrap().installation_id().to_owned());
    }
    let mut expected: Vec<String> = (0..520).map(|at| ari(&uuid(at))).collect();
    expected.push(ari(extra));
    expected.sort();
    assert_eq!(listed, expected);
    // The listing evicted nothing from memory.
    let gets = store.gets();
    reader.system(extra).await.unwrap();
    reader.system(ONE).await.unwrap();
    assert_eq!(store.gets(), gets);
    store.hold_puts(false);
}

#[tokio::test]
async fn an_app_starts_while_its_store_is_down() {
    let store = FlakyStore::default();
    store.down(true);
    let error = tokens_in(&store).open().await.unwrap_err();
    assert!(error.is_transient(), "{error}");

    let app = start_on(&store).await;
    let token = app.token(2 * HOUR, "");
    app.deliver(ONE, &token).await;
    assert_eq!(app.system(ONE).await.unwrap(), token);
    assert_eq!(app.listed().await, [ari(ONE)]);
    assert!(matches!(app.system(OTHER).await, Err(TokenError::Store(_))));
    assert!(app.tokens.stats().store_failures > 0);
    assert!(ready(&app).await.contains("store is not open"));

    store.down(false);
    app.clock.advance(MINUTE);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    assert_eq!(ready(&app).await, "ready\n");
    let other = open_tokens(&store).await;
    let seen = other.system(&ari(ONE)).await.unwrap();
    assert_eq!(seen.expose_secret(), token);
}

#[tokio::test]
async fn a_recovered_store_is_opened_without_a_token() {
    let store = FlakyStore::default();
    store.down(true);
    let app = start_on(&store).await;
    store.down(false);
    app.clock.advance(MINUTE);
    assert!(eventually(|| app.tokens.stats().store_failures > 0).await);
    while ready(&app).await != "ready\n" {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.listed().await.len(), 0);
}

#[tokio::test]
async fn nothing_is_written_under_a_wrong_key_found_late() {
    let store = FlakyStore::default();
    let first = start_on(&store).await;
    let token = first.token(3 * HOUR, "right");
    first.deliver(ONE, &token).await;
    first.tokens.flush().await.unwrap();
    let puts = store.puts();

    store.down(true);
    let tokens = Tokens::new(store.clone()).keys(KEYS[1]);
    let wrong = TokenApp::at(first.clock.clone(), renewing_app(), tokens).await;
    let other = wrong.token(4 * HOUR, "wrong");
    wrong.deliver(ONE, &other).await;
    store.down(false);
    assert!(wrong.tokens.flush().await.is_err());
    wrong.minutes(20).await;
    assert!(wrong.tokens.flush().await.is_err());
    assert_eq!(store.puts(), puts);
    assert_eq!(wrong.tokens.stats().pending, 1);
    // It serves its tokens and reports the problem, and the others' tokens are unchanged.
    assert_eq!(wrong.system(ONE).await.unwrap(), other);
    assert!(ready(&wrong).await.contains("store is not open"));
    let seen = open_tokens(&store).await.system(&ari(ONE)).await.unwrap();
    assert_eq!(seen.expose_secret(), token);
    // After the store is emptied by hand, because the key is lost, it is used.
    store.lose_everything();
    wrong.tokens.flush().await.unwrap();
    assert_eq!(ready(&wrong).await, "ready\n");
}

#[tokio::test]
async fn a_failed_purge_does_not_count_as_a_failed_write() {
    let store = FlakyStore::default();
    store.never_purges();
    let app = start_on(&store).await;
    // The purge waits for a call that proves that the clock is right.
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    app.minutes(5).await;
    assert!(eventually(|| app.tokens.stats().purge_failures == 1).await);
    let counts = app.tokens.stats();
    assert_eq!((counts.store_failures, counts.written), (0, 1));
    // Retried soon, not only after the hour.
    app.minutes(6).await;
    assert!(eventually(|| app.tokens.stats().purge_failures == 2).await);
}
