//! Tokens that arrive soon after others were written wait a moment and are written together.

use std::time::Duration;

use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, TokenApp, ari, open_tokens, renewing_app, start_on, tokens_in, yield_to_tasks,
};

/// The longest wait for more tokens.
const LONGEST: Duration = Duration::from_millis(20);
/// The most tokens of one write.
const BATCH: usize = 128;

fn uuid(at: usize) -> String {
    format!("00000000-0000-4000-a000-{at:012}")
}

async fn deliver(app: &TokenApp, installations: std::ops::Range<usize>) {
    for at in installations {
        app.deliver(&uuid(at), &app.token(2 * HOUR, "")).await;
    }
}

/// Returns an app that has just written a token, which took a second.
async fn after_a_write() -> (FlakyStore, TokenApp) {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let app = after_a_write_of(app, &store).await;
    (store, app)
}

async fn after_a_write_of(app: TokenApp, store: &FlakyStore) -> TokenApp {
    store.hold_puts(true);
    deliver(&app, 0..1).await;
    assert!(eventually(|| store.puts() == [1]).await, "the first waits");
    app.clock.advance(Duration::from_secs(1));
    store.hold_puts(false);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    app
}

#[tokio::test]
async fn tokens_that_arrive_together_are_written_together() {
    let (store, app) = after_a_write().await;
    deliver(&app, 1..4).await;
    app.clock.advance(LONGEST / 2);
    yield_to_tasks().await;
    assert_eq!(store.puts(), [1], "they do not wait");
    app.clock.advance(LONGEST / 2);
    assert!(eventually(|| store.puts() == [1, 3]).await);
}

#[tokio::test]
async fn a_token_after_a_while_is_written_at_once() {
    let (store, app) = after_a_write().await;
    app.clock.advance(MINUTE);
    deliver(&app, 1..2).await;
    assert!(eventually(|| store.puts() == [1, 1]).await);
}

#[tokio::test]
async fn as_many_tokens_as_one_write_has_do_not_wait() {
    let (store, app) = after_a_write().await;
    deliver(&app, 1..BATCH).await;
    yield_to_tasks().await;
    assert_eq!(store.puts(), [1], "they do not wait");
    deliver(&app, BATCH..BATCH + 1).await;
    assert!(eventually(|| store.puts() == [1, BATCH]).await);
}

#[tokio::test]
async fn a_flush_a_removal_and_the_end_of_the_app_do_not_wait() {
    let (store, app) = after_a_write().await;
    deliver(&app, 1..2).await;
    app.tokens.flush().await.unwrap();
    assert_eq!(store.puts(), [1, 1]);

    let (store, app) = after_a_write().await;
    deliver(&app, 1..2).await;
    app.tokens.remove(&ari(&uuid(0))).await.unwrap();
    assert_eq!(store.puts(), [1, 2]);

    let (store, app) = after_a_write().await;
    deliver(&app, 1..2).await;
    app.harness.app().shutdown().await;
    assert_eq!(store.puts(), [1, 1]);
}

#[tokio::test]
async fn tokens_wait_for_more_after_one_of_the_apps_servers_has_ended() {
    let (store, app) = after_a_write().await;
    app.harness.app().shutdown().await;
    app.clock.advance(MINUTE);
    // The app is served again, or another of its servers continues.
    store.hold_puts(true);
    deliver(&app, 1..2).await;
    assert!(eventually(|| store.puts() == [1, 1]).await);
    app.clock.advance(Duration::from_secs(1));
    store.hold_puts(false);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    deliver(&app, 2..4).await;
    yield_to_tasks().await;
    assert_eq!(store.puts(), [1, 1], "they do not wait");
    app.clock.advance(LONGEST);
    assert!(eventually(|| store.puts() == [1, 1, 2]).await);
}

/// Returns a store with removals of three installations, and an app that does not know of them.
async fn after_removals_by_another() -> (FlakyStore, TokenApp) {
    let store = FlakyStore::default();
    let removing = start_on(&store).await;
    deliver(&removing, 0..3).await;
    for at in 0..3 {
        removing.tokens.remove(&ari(&uuid(at))).await.unwrap();
    }
    removing.clock.advance(HOUR);
    let clock = removing.clock.clone();
    let app = TokenApp::at(clock, renewing_app(), tokens_in(&store)).await;
    (store, app)
}

/// A record of a removal has won over an installation's token, so it is read.
#[tokio::test]
async fn reads_of_records_that_have_won_hold_up_no_write() {
    let (store, app) = after_removals_by_another().await;
    let before = store.gets();
    store.hold_gets(true);
    deliver(&app, 0..3).await;
    assert!(
        eventually(|| store.gets() > before).await,
        "nothing is read"
    );
    let written = store.puts().len();
    deliver(&app, 3..4).await;
    app.clock.advance(MINUTE);
    app.tokens.remove(&ari(&uuid(3))).await.unwrap();
    assert!(store.puts().len() > written);
}

#[tokio::test]
async fn nothing_is_read_after_tokens_that_have_won() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    deliver(&app, 0..3).await;
    app.tokens.flush().await.unwrap();
    assert_eq!(store.gets(), 0);
}

/// Not only the first one: this instance does not know of the removal.
#[tokio::test]
async fn a_token_after_the_removal_by_another_instance_revokes_it() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    deliver(&app, 0..3).await;
    app.tokens.flush().await.unwrap();
    let removing = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    for at in 0..3 {
        removing.tokens.remove(&ari(&uuid(at))).await.unwrap();
    }
    app.clock.advance(HOUR);
    deliver(&app, 0..3).await;
    app.tokens.flush().await.unwrap();
    assert!(are_known_to_others(&store).await);
}

#[tokio::test]
async fn the_end_of_the_app_reads_records_that_have_won() {
    let (store, app) = after_removals_by_another().await;
    let before = store.gets();
    store.hold_gets(true);
    deliver(&app, 0..3).await;
    assert!(
        eventually(|| store.gets() > before).await,
        "nothing is read"
    );
    let release = async {
        yield_to_tasks().await;
        store.hold_gets(false);
    };
    tokio::join!(app.harness.app().shutdown(), release);
    assert!(are_known_to_others(&store).await);
}

/// The same, after the app has written tokens, and could not read the records that have won over them.
async fn after_a_failed_read() -> (FlakyStore, TokenApp) {
    let (store, app) = after_removals_by_another().await;
    store.fail_gets(true);
    deliver(&app, 0..3).await;
    let stats = || app.tokens.stats();
    let has_failed = || stats().store_failures > 0 && stats().pending == 0;
    assert!(eventually(has_failed).await, "no read fails");
    yield_to_tasks().await;
    store.fail_gets(false);
    (store, app)
}

async fn are_known_to_others(store: &FlakyStore) -> bool {
    let later = open_tokens(store).await;
    for at in 0..3 {
        if later.system(&ari(&uuid(at))).await.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_failed_read_is_retried_without_another_write() {
    let (store, app) = after_a_failed_read().await;
    assert!(!are_known_to_others(&store).await, "nothing was removed");
    app.clock.advance(MINUTE);
    let mut tries = 0;
    while !are_known_to_others(&store).await {
        tries += 1;
        assert!(tries < 100, "the reads are not retried");
        yield_to_tasks().await;
    }
}

#[tokio::test]
async fn a_flush_and_the_end_of_the_app_retry_a_failed_read() {
    let (store, app) = after_a_failed_read().await;
    app.tokens.flush().await.unwrap();
    assert!(are_known_to_others(&store).await, "after a flush");

    let (store, app) = after_a_failed_read().await;
    app.harness.app().shutdown().await;
    assert!(are_known_to_others(&store).await, "after the app's end");
}

#[tokio::test]
async fn a_flush_reports_that_records_could_not_be_read() {
    let (store, app) = after_a_failed_read().await;
    store.fail_gets(true);
    let error = app.tokens.flush().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("3 records of other instances"), "{cause}");
    store.fail_gets(false);
    app.tokens.flush().await.unwrap();
}

/// A caller that polls a flush outside of the runtime, as a program without one in its main thread does.
#[tokio::test]
async fn a_flush_outside_of_the_runtime_starts_nothing() {
    let (store, app) = after_a_failed_read().await;
    let tokens = app.tokens.clone();
    let polled = std::thread::spawn(move || {
        use futures_util::FutureExt as _;
        tokens.flush().now_or_never().is_some()
    });
    assert!(!polled.join().expect("it panics"));
    app.tokens.flush().await.unwrap();
    assert!(are_known_to_others(&store).await);
}

#[tokio::test]
async fn a_flush_waits_for_the_reads_of_records_that_have_won() {
    let (store, app) = after_removals_by_another().await;
    store.hold_gets(true);
    deliver(&app, 0..3).await;
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    let mut flush = std::pin::pin!(app.tokens.flush());
    let pending = tokio::time::timeout(Duration::ZERO, &mut flush).await;
    assert!(pending.is_err(), "it does not wait");
    store.hold_gets(false);
    flush.await.unwrap();
    assert!(are_known_to_others(&store).await);
}

#[tokio::test]
async fn a_small_memory_drops_no_token_that_waits_for_more() {
    const LIMIT: usize = 50;
    let store = FlakyStore::default();
    let tokens = tokens_in(&store).memory_limit(LIMIT);
    let app = after_a_write_of(TokenApp::new(renewing_app(), tokens).await, &store).await;
    for at in 1..3 * LIMIT {
        deliver(&app, at..at + 1).await;
        yield_to_tasks().await;
    }
    assert_eq!(app.tokens.stats().dropped, 0);
}
