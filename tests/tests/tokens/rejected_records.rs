//! A store that rejects a record or panics does not stop other writes.

use forge_remote::prelude::*;
use forge_remote::token::{SqliteTokens, TokenStore as _};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::stores::{FlakyStore, Folder, KEYS, execute_sqlite};
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in,
};

#[tokio::test]
async fn a_rejected_record_does_not_stop_the_others() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let store = FlakyStore::default();
    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    let uuid = |at: usize| format!("0a3a7799-0000-4000-a000-{at:012}");
    let bad = uuid(77);
    store.reject(Some(ari(&bad)));
    store.hold_puts(true);
    // The rejected record expires first, so it is always among the next to be written.
    for at in 0..300 {
        let life = if at == 77 { HOUR } else { 2 * HOUR };
        app.deliver(&uuid(at), &app.token(life, "")).await;
    }
    store.hold_puts(false);
    let error = app.tokens.flush().await.unwrap_err().to_string();
    assert!(!error.contains(&bad));
    assert!(eventually(|| app.tokens.stats().pending == 1).await);
    for at in 0..300 {
        let app = store.get(&ari(&uuid(at))).await.unwrap();
        assert_eq!(app.is_some(), at != 77, "{at}");
    }
    // The others are written first.
    let is_logged = || logged.has("the store rejects this record") && logged.has(&bad);
    assert!(eventually(is_logged).await);
    let puts = store.puts().len();
    assert!(puts < 40, "{puts}");
    // Its token is still available, and the write is retried later without a busy loop.
    assert!(app.system(&bad).await.is_ok());
    app.minutes(10).await;
    let again = store.puts().len() - puts;
    assert!(again < 10, "{again}");
    // Other records are written meanwhile.
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    assert!(eventually(|| app.tokens.stats().pending == 1).await);
    store.reject(None);
    app.tokens.flush().await.unwrap();
    assert!(store.get(&ari(&bad)).await.unwrap().is_some());
}

/// Rejected records at the head of the queue do not use up the attempts.
#[tokio::test]
async fn many_rejected_records_do_not_stop_the_others() {
    let store = FlakyStore::default();
    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    let uuid = |at: usize| format!("0a3a7799-0000-4000-a000-{at:012}");
    store.reject_all((0..40).map(|at| ari(&uuid(at))));
    store.hold_puts(true);
    for at in 0..120 {
        // The rejected ones expire first, so they are the first to be written.
        let life = if at < 40 { HOUR } else { 2 * HOUR };
        app.deliver(&uuid(at), &app.token(life, "")).await;
    }
    store.hold_puts(false);
    let _ = app.tokens.flush().await;
    for at in 40..120 {
        let stored = store.get(&ari(&uuid(at))).await.unwrap();
        assert!(stored.is_some(), "{at}");
    }
}

/// Real stores have limits: PostgreSQL accepts neither a NUL nor a key of several KB.
#[tokio::test]
async fn ids_that_stores_cannot_hold_are_not_stored() {
    let store = FlakyStore::default();
    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    let long = "x".repeat(2000);
    for odd in ["nul\0", &long] {
        // Verification rejects tokens with such an id, but the app may pass one.
        assert!(app.tokens.remove(&ari(odd)).await.is_ok());
    }
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    assert_eq!(app.listed().await, [ari(ONE)]);
    assert_eq!(store.puts(), [1]);
}

#[tokio::test]
async fn a_store_that_panics_neither_spins_nor_hangs() {
    let store = FlakyStore::default();
    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    app.deliver(OTHER, &app.token(2 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    store.panics(true);
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    let soon = std::time::Duration::from_secs(10);
    let flushed = tokio::time::timeout(soon, app.tokens.flush()).await;
    assert!(flushed.unwrap().is_err());
    let removed = tokio::time::timeout(soon, app.tokens.remove(&ari(OTHER))).await;
    assert!(removed.unwrap().is_err());
    // Pauses by the clock, which does not advance.
    let puts = store.puts().len();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(store.puts().len() <= puts + 1, "{puts}");
    store.panics(false);
    app.clock.advance(MINUTE);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

/// A writing task that ends with its runtime, in the middle of a write, is replaced by the next one.
#[test]
fn a_writer_that_ends_with_its_runtime_is_replaced() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let store = FlakyStore::default();
    let first = runtime();
    let app = first.block_on(async {
        let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
        store.hold_puts(true);
        app.deliver(ONE, &app.token(2 * HOUR, "")).await;
        assert!(eventually(|| !store.puts().is_empty()).await);
        app
    });
    drop(first);
    store.hold_puts(false);
    runtime().block_on(async {
        let soon = std::time::Duration::from_secs(10);
        // The first attempt may return the error of the write that was cancelled.
        let flushed = async { while app.tokens.flush().await.is_err() {} };
        assert!(tokio::time::timeout(soon, flushed).await.is_ok());
        assert!(store.get(&ari(ONE)).await.unwrap().is_some());
    });
}

/// A removal's record is replaced, but not a record that another instance writes after the read.
#[tokio::test]
async fn a_concurrent_write_survives_the_replacement_of_a_removals_record() {
    let store = FlakyStore::default();
    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.clock.advance(3 * MINUTE);
    let later = {
        let scratch = FlakyStore::default();
        let other = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&scratch)).await;
        other.deliver(ONE, &other.token(4 * HOUR, "later")).await;
        other.tokens.flush().await.unwrap();
        scratch.get(&ari(ONE)).await.unwrap().unwrap()
    };
    let written = later.clone();
    store.after_get(move |store| {
        let id = &written.installation_id;
        let there = futures_util::FutureExt::now_or_never(store.get(id));
        let there = there.unwrap().unwrap().unwrap();
        let replaced = store.replace_if(there.sealed, written.clone());
        let replaced = futures_util::FutureExt::now_or_never(replaced);
        assert!(replaced.unwrap().unwrap());
    });
    app.deliver(ONE, &app.token(3 * HOUR, "earlier")).await;
    app.tokens.flush().await.unwrap();
    assert!(store.get(&ari(ONE)).await.unwrap() == Some(later));
}

/// Apps on AWS Lambda flush in each handler.
#[tokio::test]
async fn a_record_that_cannot_be_read_fails_no_flush() {
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let tokens = || Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0]);
    let before = TokenApp::new(renewing_app(), tokens()).await;
    before.deliver(ONE, &before.token(4 * HOUR, "")).await;
    before.tokens.flush().await.unwrap();
    execute_sqlite(
        &file,
        "UPDATE forge_remote_tokens SET sealed = 7 WHERE installation_id <> ''",
    )
    .await;

    let app = TokenApp::at(before.clock.clone(), renewing_app(), tokens()).await;
    // It loses against the record, which is then read.
    let token = app.token(2 * HOUR, "");
    app.deliver(ONE, &token).await;
    app.tokens.flush().await.unwrap();
    assert!(app.tokens.stats().store_failures > 0, "it is not read");
    assert_eq!(app.system(ONE).await.unwrap(), token);
    app.deliver(OTHER, &token).await;
    app.tokens.flush().await.unwrap();
    // A token that expires later than the record replaces it.
    let later = app.token(4 * HOUR + MINUTE, "");
    app.deliver(ONE, &later).await;
    app.tokens.flush().await.unwrap();
    let newcomer = TokenApp::at(app.clock.clone(), renewing_app(), tokens()).await;
    assert_eq!(newcomer.system(ONE).await.unwrap(), later);
}
