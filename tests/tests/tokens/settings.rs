//! Settings of the token store: missing, wrong or too late ones.

use std::time::Duration;

use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote::token::{MemoryTokens, OpenError, SqliteTokens, TokenError};
use forge_remote_tests::stores::{FlakyStore, Folder, KEYS};
use forge_remote_tests::token_app::{HOUR, MINUTE, ONE, OTHER, ari, open_tokens, tokens_in};

use crate::keeper::{keeper_app, start_with};

#[tokio::test]
async fn a_wrong_key_aborts_the_launch_and_loses_nothing() {
    let folder = Folder::default();
    let store = || SqliteTokens::new(folder.file("tokens.db"));
    let app = start_with(Tokens::new(store()).keys(KEYS[0])).await;
    let token = app.token(2 * HOUR, "");
    app.deliver(ONE, &token).await;
    app.tokens.flush().await.unwrap();

    let error = Tokens::new(store()).keys(KEYS[1]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
    let builder = keeper_app().token_store(Tokens::new(store()).keys(KEYS[1]));
    let error = builder.connect().await.map(drop).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("sealed under another key"), "{text}");
    for wrong in ["", "hunter2", &KEYS[0][..40]] {
        let error = Tokens::new(store()).keys(wrong).open().await.unwrap_err();
        assert!(matches!(error, OpenError::BadKey(_)), "{error}");
        assert!(
            wrong.is_empty() || !error.to_string().contains(wrong),
            "{error}"
        );
    }
    let error = Tokens::new(store()).open().await.unwrap_err();
    assert!(matches!(error, OpenError::NoKey { .. }), "{error}");

    // Rotation: the old key opens, the new key seals.
    let both = format!("{},{}", KEYS[1], KEYS[0]);
    let app = start_with(Tokens::new(store()).keys(both)).await;
    assert_eq!(app.system(ONE).await.unwrap(), token);
    let newer = app.token(3 * HOUR, "newer");
    app.deliver(OTHER, &newer).await;
    app.tokens.flush().await.unwrap();
    // A token that no key opens is reported and stays; the others are available.
    let only_new = Tokens::new(store()).keys(KEYS[1]);
    only_new.open().await.unwrap();
    let error = only_new.system(&ari(ONE)).await.err().unwrap();
    assert!(matches!(error, TokenError::Sealed { .. }), "{error}");
    assert_eq!(
        only_new.system(&ari(OTHER)).await.unwrap().expose_secret(),
        newer
    );
    assert_eq!(only_new.installations().await.unwrap().len(), 1);
    assert!(only_new.stats().unreadable > 0);
    // The others are sealed under the new key by now.
    let error = Tokens::new(store()).keys(KEYS[0]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_aborts_the_launch() {
    let tokens = Tokens::new(SqliteTokens::new("/nonexistent/tokens.db")).keys(KEYS[0]);
    let error = keeper_app()
        .token_store(tokens)
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains("/nonexistent/tokens.db") && text.contains("No such file"),
        "{text}"
    );

    use forge_remote::token::{PostgresTokens, RedisTokens};
    for tokens in [
        Tokens::new(PostgresTokens::new("postgres://app:hunter2@[/")),
        Tokens::new(RedisTokens::new("hunter2")),
    ] {
        let tokens = tokens.keys(KEYS[0]);
        let builder = keeper_app().token_store(tokens.clone());
        let error = builder.connect().await.map(drop).unwrap_err();
        let text = format!("{error:?} {tokens:?}");
        assert!(
            text.contains("cannot be opened") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

/// A store that is only down does not abort the launch, but an explicit open reports it.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_does_not_abort_the_launch() {
    use forge_remote::token::{PostgresTokens, RedisTokens};
    for tokens in [
        Tokens::new(PostgresTokens::new(
            "postgres://app:hunter2@127.0.0.1:1/app",
        )),
        Tokens::new(RedisTokens::new("redis://:hunter2@127.0.0.1:1")),
    ] {
        let tokens = tokens.keys(KEYS[0]);
        let error = tokens.open().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        let text = format!("{error:?} {tokens:?}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            keeper_app()
                .token_store(tokens.clone())
                .connect()
                .await
                .is_ok()
        );
        assert!(tokens.stats().store_failures > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn unopened_tokens_are_an_error() {
    let tokens = tokens_in(&FlakyStore::default());
    let error = tokens.system(&ari(ONE)).await.err().unwrap();
    assert!(matches!(error, TokenError::NotOpen), "{error}");
    assert!(error.to_string().contains("App::token_store"), "{error}");
    assert!(matches!(
        tokens.installations().await,
        Err(TokenError::NotOpen)
    ));
    assert!(matches!(
        tokens.remove(&ari(ONE)).await,
        Err(TokenError::NotOpen)
    ));
    // A call shortly before the open is served.
    let early = {
        let tokens = tokens.clone();
        tokio::spawn(async move { tokens.installations().await })
    };
    tokio::task::yield_now().await;
    tokens.open().await.unwrap();
    assert_eq!(early.await.unwrap().unwrap().len(), 0);
}

#[tokio::test]
async fn a_setting_after_the_open_is_an_error() {
    let tokens = open_tokens(&FlakyStore::default()).await;
    let _ = tokens.clone().expiry_margin(5 * MINUTE);
    let error = tokens.open().await.unwrap_err();
    assert!(
        error.to_string().contains("Tokens::expiry_margin"),
        "{error}"
    );
    let error = keeper_app()
        .token_store(tokens)
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        format!("{error:?}").contains("Tokens::expiry_margin"),
        "{error:?}"
    );

    let tokens = Tokens::new(MemoryTokens::new());
    tokens.open().await.unwrap();
    let builder = keeper_app().token_store(tokens.clone().memory_limit(5));
    let text = builder.build().map(drop).unwrap_err().to_string();
    assert!(text.contains("Tokens::memory_limit"), "{text}");
}

#[tokio::test]
async fn the_margin_has_a_minimum() {
    let tokens = tokens_in(&FlakyStore::default()).expiry_margin(Duration::ZERO);
    let app = start_with(tokens).await;
    app.deliver(ONE, &app.token(HOUR, "")).await;
    app.clock.advance(HOUR - Duration::from_secs(15));
    assert!(app.system(ONE).await.is_ok());
    app.clock.advance(Duration::from_secs(8));
    assert!(matches!(
        app.system(ONE).await,
        Err(TokenError::Ended { .. })
    ));
}

/// A local platform's tokens are useless to the app and must not get into its store.
#[tokio::test]
async fn a_local_platform_rejects_an_opened_store() {
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let app = start_with(Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0])).await;
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    drop(app);

    let tokens = Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0]);
    tokens.open().await.unwrap();
    let before = folder.bytes();
    let error = Harness::with_apis(keeper_app().token_store(tokens.clone())).await;
    let text = error.map(drop).unwrap_err().to_string();
    assert!(text.contains("opened-tokens"), "{text}");
    // A store that is not opened is not changed.
    let closed = Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0]);
    let harness = Harness::with_apis(keeper_app().token_store(closed))
        .await
        .unwrap();
    assert_eq!(harness.call("renew").send().await.status(), 200);
    assert!(folder.bytes() == before);
}

#[tokio::test]
async fn missing_settings_are_reported_at_launch() {
    let problems = |builder: App| builder.build().map(drop).unwrap_err().to_string();
    let id = forge_remote::testing::TEST_APP_ID;
    let text = problems(keeper_app().app_id(id));
    assert!(
        text.contains("no-tokens") && text.contains("`life` takes `Tokens`"),
        "{text}"
    );
    let unopened = Tokens::new(FlakyStore::default()).keys(KEYS[0]);
    let text = problems(keeper_app().app_id(id).token_store(unopened));
    assert!(
        text.contains("unopened-tokens") && text.contains("1 problem"),
        "{text}"
    );
    // A memory store needs no connection.
    let memory = forge_remote::token::MemoryTokens::new;
    assert!(
        keeper_app()
            .app_id(id)
            .token_store(memory())
            .build()
            .is_ok()
    );
    let text = problems(
        keeper_app()
            .app_id(id)
            .token_store(memory())
            .token_store(memory()),
    );
    assert!(text.contains("duplicate-state"), "{text}");
}
