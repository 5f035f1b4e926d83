//! Callbacks report expiring tokens and removed installations, each once.

use std::sync::{Arc, Mutex};

use forge_remote::prelude::*;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in, yield_to_tasks,
};

/// Returns tokens whose removals settle within two minutes, although the test kit's installations
/// have two products, and those of other installations are unknown.
fn settling_tokens(store: &FlakyStore) -> Tokens {
    tokens_in(store).removal_delay(2 * MINUTE)
}

/// The calls of a callback, a line each.
#[derive(Clone, Default)]
struct CallbackLog(Arc<Mutex<Vec<String>>>);

impl CallbackLog {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Records the installations whose tokens expire, and the minutes left.
    fn expiring(tokens: &Tokens) -> Self {
        let calls = Self::default();
        let recorder = calls.clone();
        tokens.on_expiring(30 * MINUTE, move |installation| {
            let minutes = installation.remaining().as_secs().div_ceil(60);
            recorder.add(format!("{} {minutes}", installation.installation_id()));
            async {}
        });
        calls
    }

    /// Records the removed installations.
    fn removed(tokens: &Tokens) -> Self {
        let calls = Self::default();
        let recorder = calls.clone();
        tokens.on_removed(move |installation_id| {
            recorder.add(installation_id);
            async {}
        });
        calls
    }
}

#[tokio::test]
async fn an_expiring_token_is_reported_once_before_its_expiry() {
    let tokens = tokens_in(&FlakyStore::default());
    let calls = CallbackLog::expiring(&tokens);
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    app.deliver(OTHER, &app.token(HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    app.minutes(29).await;
    assert_eq!(calls.lines(), Vec::<String>::new());
    app.minutes(3).await;
    let first = calls.lines();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(
        first[0].starts_with(&format!("{} ", ari(OTHER))),
        "{first:?}"
    );
    // Each token is reported once.
    app.minutes(3).await;
    assert_eq!(calls.lines(), first);
    app.deliver(OTHER, &app.token(31 * MINUTE, "")).await;
    app.minutes(5).await;
    assert_eq!(calls.lines().len(), 2, "{:?}", calls.lines());
    app.minutes(60).await;
    let all = calls.lines();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[2].starts_with(&ari(ONE)), "{all:?}");
}

#[tokio::test]
async fn a_token_that_expired_unseen_is_reported_once() {
    let store = FlakyStore::default();
    let one = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    one.deliver(ONE, &one.token(HOUR, "")).await;
    one.deliver(OTHER, &one.token(4 * HOUR, "")).await;
    one.tokens.flush().await.unwrap();

    // A process that was down at the expiry.
    one.clock.advance(90 * MINUTE);
    let tokens = tokens_in(&store);
    let calls = CallbackLog::expiring(&tokens);
    let late = TokenApp::at(one.clock.clone(), renewing_app(), tokens).await;
    late.minutes(5).await;
    assert_eq!(calls.lines(), [format!("{} 0", ari(ONE))]);
    // A process that did not check for a while.
    late.clock.advance(5 * HOUR);
    late.minutes(5).await;
    assert_eq!(calls.lines()[1..], [format!("{} 0", ari(OTHER))]);
}

#[tokio::test]
async fn an_expiring_token_is_reported_while_the_store_is_down() {
    let store = FlakyStore::default();
    let tokens = tokens_in(&store);
    let calls = CallbackLog::expiring(&tokens);
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.deliver(ONE, &app.token(HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    store.down(true);
    app.minutes(35).await;
    assert_eq!(calls.lines().len(), 1, "{:?}", calls.lines());
}

#[tokio::test]
async fn a_token_that_another_instance_renewed_is_not_reported() {
    let store = FlakyStore::default();
    let tokens = tokens_in(&store);
    let calls = CallbackLog::expiring(&tokens);
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.deliver(ONE, &app.token(HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    let other = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    other.deliver(ONE, &other.token(3 * HOUR, "")).await;
    other.tokens.flush().await.unwrap();
    app.minutes(100).await;
    assert_eq!(calls.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_callback_that_panics_does_not_stop_others() {
    let tokens = settling_tokens(&FlakyStore::default());
    let calls = CallbackLog::default();
    let calling = calls.clone();
    tokens.on_expiring(30 * MINUTE, move |installation| {
        calling.add(installation.installation_id().to_owned());
        // The first panic is in the callback, the next one in its future.
        assert!(calling.lines().len() > 1, "the first");
        async { panic!("the others") }
    });
    let removals = CallbackLog::default();
    let removing = removals.clone();
    tokens.on_removed(move |installation_id| {
        removing.add(installation_id.clone());
        async move { assert!(installation_id.is_empty(), "it always panics") }
    });
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.deliver(ONE, &app.token(HOUR, "")).await;
    app.deliver(OTHER, &app.token(2 * HOUR, "")).await;
    app.minutes(100).await;
    assert_eq!(calls.lines(), [ari(ONE), ari(OTHER)]);
    for uuid in [ONE, OTHER] {
        app.tokens.remove(&ari(uuid)).await.unwrap();
    }
    // The callback is called repeatedly, and one failing installation does not block the other.
    app.minutes(3).await;
    let lines = removals.lines();
    assert!(lines.contains(&ari(ONE)) && lines.contains(&ari(OTHER)));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_hangs_is_dropped() {
    let tokens = settling_tokens(&FlakyStore::default());
    let calls = CallbackLog::default();
    let calling = calls.clone();
    tokens.on_removed(move |installation_id| {
        calling.add(installation_id);
        std::future::pending::<()>()
    });
    let app = TokenApp::new(renewing_app(), tokens).await;
    for uuid in [ONE, OTHER] {
        app.tokens.remove(&ari(uuid)).await.unwrap();
    }
    app.clock.advance(3 * MINUTE);
    // The runtime's time is virtual: the first callback times out after a minute.
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(calls.lines(), [ari(ONE), ari(OTHER)]);
}

#[tokio::test]
async fn every_instance_reports_a_removal_once() {
    let store = FlakyStore::default();
    let (tokens, others) = (settling_tokens(&store), settling_tokens(&store));
    let (here, there) = (CallbackLog::removed(&tokens), CallbackLog::removed(&others));
    let app = TokenApp::new(renewing_app(), tokens).await;
    let other = TokenApp::at(app.clock.clone(), renewing_app(), others).await;
    for uuid in [ONE, OTHER] {
        app.deliver(uuid, &app.token(3 * HOUR, "")).await;
    }
    app.tokens.flush().await.unwrap();
    assert_eq!(other.listed().await.len(), 2);

    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(1).await;
    assert_eq!(here.lines(), Vec::<String>::new());
    app.minutes(2).await;
    assert_eq!(here.lines(), [ari(ONE)]);
    assert_eq!(there.lines(), Vec::<String>::new());
    // The other instance reports it when it reads the record of the removal.
    assert_eq!(other.listed().await, [ari(OTHER)]);
    assert!(eventually(|| there.lines() == [ari(ONE)]).await);
    // It is reported once, however often the record is read and Forge calls.
    app.tokens.remove(&ari(ONE)).await.unwrap();
    other.clock.advance(MINUTE);
    assert_eq!(other.listed().await, [ari(OTHER)]);
    yield_to_tasks().await;
    assert_eq!((here.lines().len(), there.lines().len()), (1, 1));
    // An instance that starts later reports it as well.
    let tokens = settling_tokens(&store);
    let later = CallbackLog::removed(&tokens);
    let third = TokenApp::at(app.clock.clone(), renewing_app(), tokens).await;
    // It checks at its start, without a listing. Forge's last call was a minute ago.
    third.minutes(2).await;
    assert!(eventually(|| later.lines() == [ari(ONE)]).await);
    drop(third);
}
