//! A removed installation stays removed, on every instance, unless it is delivered again later.

use std::time::Duration;

use forge_remote::prelude::*;
use forge_remote::token::{TokenError, TokenStore as _};
use forge_remote_tests::stores::{FlakyStore, KEYS, test_stores};
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, open_tokens, renewing_app, start_on, tokens_in,
    yield_to_tasks,
};

/// Starts an app and makes it write a token.
async fn written(store: &FlakyStore) -> TokenApp {
    let app = start_on(store).await;
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    app
}

async fn is_gone(tokens: &Tokens) -> bool {
    let one = tokens.system(&ari(ONE)).await;
    let listed = tokens.installations().await.unwrap();
    matches!(one, Err(TokenError::NeverSeen { .. }))
        && !listed.iter().any(|one| one.installation_id() == ari(ONE))
}

#[tokio::test]
async fn a_removal_completes_although_its_request_is_dropped() {
    let store = FlakyStore::default();
    let app = written(&store).await;
    store.hold_puts(true);
    let id = ari(ONE);
    // The request that started it is cut off.
    tokio::select! {
        biased;
        _ = app.tokens.remove(&id) => unreachable!("the store holds it"),
        () = std::future::ready(()) => {}
    }
    store.hold_puts(false);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    assert!(is_gone(&app.tokens).await);
    assert!(is_gone(&open_tokens(&store).await).await);
}

#[tokio::test]
async fn a_token_is_not_read_back_during_its_removal() {
    let store = FlakyStore::default();
    let app = written(&store).await;
    store.hold_puts(true);
    let removing = {
        let tokens = app.tokens.clone();
        tokio::spawn(async move { tokens.remove(&ari(ONE)).await })
    };
    yield_to_tasks().await;
    // The store still has the token.
    assert!(!is_gone(&open_tokens(&store).await).await);
    assert!(is_gone(&app.tokens).await);
    store.hold_puts(false);
    removing.await.unwrap().unwrap();
    assert!(is_gone(&app.tokens).await);
    app.clock.advance(5 * MINUTE);
    assert!(is_gone(&app.tokens).await);
    assert!(is_gone(&open_tokens(&store).await).await);
}

#[tokio::test]
async fn a_failed_removal_is_retried() {
    let store = FlakyStore::default();
    let app = written(&store).await;
    app.deliver(OTHER, &app.token(2 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    store.down(true);
    assert!(app.tokens.remove(&ari(ONE)).await.is_err());
    assert!(is_gone(&app.tokens).await);
    store.down(false);
    // Read before the removal is written.
    assert!(is_gone(&app.tokens).await);
    app.clock.advance(MINUTE);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    assert!(is_gone(&open_tokens(&store).await).await);
    assert_eq!(app.listed().await, [ari(OTHER)]);
}

/// Forge may call during an uninstallation, and an uninstallation may fail.
#[tokio::test]
async fn calls_soon_after_a_removal_are_ignored_and_later_ones_are_not() {
    for test_store in test_stores().await {
        let tokens = Tokens::new(test_store.connect()).keys(KEYS[0]);
        let app = TokenApp::new(renewing_app(), tokens).await;
        let token = app.token(3 * HOUR, "");
        app.deliver(ONE, &token).await;
        app.tokens.flush().await.unwrap();
        app.tokens.remove(&ari(ONE)).await.unwrap();
        let later = app.token(4 * HOUR, "later");
        for token in [&token, &later] {
            app.deliver(ONE, token).await;
            app.clock.advance(Duration::from_secs(50));
        }
        assert!(is_gone(&app.tokens).await, "{test_store:?}");
        assert_eq!(app.tokens.stats().rejected, 2);

        app.clock.advance(MINUTE);
        app.deliver(ONE, &token).await;
        assert_eq!(app.system(ONE).await.unwrap(), token);
        app.tokens.flush().await.unwrap();
        app.clock.advance(5 * MINUTE);
        assert_eq!(app.system(ONE).await.unwrap(), token, "{test_store:?}");
        let other = test_store.tokens().await;
        let seen = other.system(&ari(ONE)).await.unwrap();
        assert_eq!(seen.expose_secret(), token, "{test_store:?}");
    }
}

#[tokio::test]
async fn another_instance_does_not_restore_a_removed_token() {
    let store = FlakyStore::default();
    let one = written(&store).await;
    let other = TokenApp::at(one.clock.clone(), renewing_app(), tokens_in(&store)).await;
    // The other instance has a newer token, which it cannot write.
    store.down(true);
    other.deliver(ONE, &other.token(4 * HOUR, "newer")).await;
    assert!(other.tokens.flush().await.is_err());
    store.down(false);
    one.tokens.remove(&ari(ONE)).await.unwrap();
    other.tokens.flush().await.unwrap();
    assert!(is_gone(&open_tokens(&store).await).await);
    // It drops the token when it reads the store.
    one.clock.advance(MINUTE);
    assert!(is_gone(&other.tokens).await);
    assert!(is_gone(&one.tokens).await);
    // It too ignores late tokens.
    other.deliver(ONE, &other.token(4 * HOUR, "newest")).await;
    assert!(is_gone(&other.tokens).await);
}

/// An uninstallation fails, and an instance without knowledge of the removal receives a token.
#[tokio::test]
async fn an_installation_that_was_not_removed_gets_its_token_on_every_instance() {
    let store = FlakyStore::default();
    let one = written(&store).await;
    let other = TokenApp::at(one.clock.clone(), renewing_app(), tokens_in(&store)).await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    one.clock.advance(3 * MINUTE);
    let token = other.token(3 * HOUR, "again");
    other.deliver(ONE, &token).await;
    other.tokens.flush().await.unwrap();
    // The removal wins in the store; once it is read, the token replaces it.
    other.clock.advance(MINUTE);
    assert_eq!(other.system(ONE).await.unwrap(), token);
    other.tokens.flush().await.unwrap();
    assert_eq!(one.system(ONE).await.unwrap(), token);
    let seen = open_tokens(&store).await.system(&ari(ONE)).await.unwrap();
    assert_eq!(seen.expose_secret(), token);
}

/// Flushes until it succeeds, as the background task retries.
async fn flush(app: &TokenApp) {
    let mut tries = 0;
    while let Err(error) = app.tokens.flush().await {
        tries += 1;
        assert!(tries < 100, "{error}");
    }
}

/// Returns an instance that removed an installation, and another that knows of this removal and gets a token that
/// revokes it. The token is not yet written.
async fn revoked_elsewhere(store: &FlakyStore) -> (TokenApp, TokenApp) {
    let one = written(store).await;
    let other = TokenApp::at(one.clock.clone(), renewing_app(), tokens_in(store)).await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    assert!(is_gone(&other.tokens).await);
    one.minutes(10).await;
    (one, other)
}

#[tokio::test]
async fn a_revoked_removal_is_replaced_although_the_read_before_fails_once() {
    let store = FlakyStore::default();
    let (_one, other) = revoked_elsewhere(&store).await;
    store.fail_next_get();
    other.deliver(ONE, &other.token(3 * HOUR, "again")).await;
    flush(&other).await;
    assert!(!is_gone(&open_tokens(&store).await).await);
}

/// The removing instance renews the record of its removal between the read and the replacement.
#[tokio::test]
async fn a_revoked_removal_is_replaced_although_its_record_changes_meanwhile() {
    let store = FlakyStore::default();
    let record = async || store.get(&ari(ONE)).await.unwrap().unwrap();
    let one = written(&store).await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    let first = record().await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    let renewed = record().await;
    let replaced = store.replace_if(renewed.sealed.clone(), first.clone());
    assert!(replaced.await.unwrap());

    let other = TokenApp::at(one.clock.clone(), renewing_app(), tokens_in(&store)).await;
    assert!(is_gone(&other.tokens).await);
    one.minutes(10).await;
    other.deliver(ONE, &other.token(3 * HOUR, "again")).await;
    let expected = first.sealed.clone();
    store.after_get(move |store| drop(store.replace_if(expected, renewed)));
    flush(&other).await;
    assert!(!is_gone(&open_tokens(&store).await).await);
}

/// It serves no token of an installation that was removed for a second time, soon before the token was delivered.
#[tokio::test]
async fn a_token_that_should_revoke_a_removal_loses_against_a_later_one() {
    let store = FlakyStore::default();
    let (one, other) = revoked_elsewhere(&store).await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    one.clock.advance(MINUTE);
    other.deliver(ONE, &other.token(3 * HOUR, "late")).await;
    flush(&other).await;
    assert!(matches!(
        other.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert!(is_gone(&open_tokens(&store).await).await);
}

/// Forge delivers a token in every call, and one with less than an hour to live is not skipped.
#[tokio::test]
async fn a_token_that_has_replaced_a_removal_is_not_written_again_for_calls_meanwhile() {
    let store = FlakyStore::default();
    let (_one, other) = revoked_elsewhere(&store).await;
    let token = other.token(30 * MINUTE, "again");
    let (puts, replacements) = (store.puts(), store.replacements());
    store.hold_replacements(true);
    other.deliver(ONE, &token).await;
    assert!(eventually(|| store.replacements() > replacements).await);
    other.clock.advance(Duration::from_secs(1));
    other.deliver(ONE, &token).await;
    store.hold_replacements(false);
    flush(&other).await;
    assert_eq!(store.puts(), puts);
    assert_eq!(store.replacements(), replacements + 1);
    assert!(!is_gone(&open_tokens(&store).await).await);
}

/// Returns two instances that know of a revoked removal. The second has compared a token with the one of the first, and is
/// about to write it, because it expires later.
async fn about_to_write(store: &FlakyStore) -> (TokenApp, TokenApp, String) {
    let (one, other) = revoked_elsewhere(store).await;
    one.deliver(ONE, &one.token(20 * MINUTE, "earlier")).await;
    flush(&one).await;
    let token = other.token(30 * MINUTE, "later");
    let puts = store.puts().len();
    store.hold_puts(true);
    other.deliver(ONE, &token).await;
    assert!(eventually(|| store.puts().len() > puts).await);
    (one, other, token)
}

#[tokio::test]
async fn a_compared_token_is_not_written_again_for_calls_meanwhile() {
    let store = FlakyStore::default();
    let (_one, other, token) = about_to_write(&store).await;
    let puts = store.puts();
    other.clock.advance(Duration::from_secs(1));
    other.deliver(ONE, &token).await;
    store.hold_puts(false);
    flush(&other).await;
    assert_eq!(store.puts(), puts);
    assert_eq!(other.system(ONE).await.unwrap(), token);
}

/// It serves no token of a removed installation until it happens to look at the store.
#[tokio::test]
async fn a_removal_between_the_comparison_and_the_write_is_learned() {
    let store = FlakyStore::default();
    let (_one, other, _) = about_to_write(&store).await;
    let removal = {
        let scratch = FlakyStore::default();
        let tokens = tokens_in(&scratch);
        let removing = TokenApp::at(other.clock.clone(), renewing_app(), tokens).await;
        removing.tokens.remove(&ari(ONE)).await.unwrap();
        scratch.get(&ari(ONE)).await.unwrap().unwrap()
    };
    let there = store.get(&ari(ONE)).await.unwrap().unwrap();
    assert!(store.replace_if(there.sealed, removal).await.unwrap());
    store.hold_puts(false);
    flush(&other).await;
    assert!(matches!(
        other.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert!(is_gone(&open_tokens(&store).await).await);
}
