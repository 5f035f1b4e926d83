//! Removal callbacks run at least once, after the removal has settled, until they succeed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in, yield_to_tasks,
};
use serde_json::json;

/// Returns tokens whose removals settle within two minutes, although the products of the installations are unknown.
fn settling_tokens(store: &FlakyStore) -> Tokens {
    tokens_in(store).removal_delay(2 * MINUTE)
}

/// The installations that a callback has deleted.
#[derive(Clone, Default)]
struct Deleted(Arc<Mutex<Vec<String>>>);

impl Deleted {
    fn add(&self, id: String) {
        self.0.lock().unwrap().push(id);
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn of(tokens: &Tokens) -> Self {
        let this = Self::default();
        let deleted = this.clone();
        tokens.on_removed(move |id| {
            deleted.add(id);
            async {}
        });
        this
    }
}

#[tokio::test]
async fn a_process_that_was_killed_during_a_callback_calls_again_without_a_listing() {
    let (store, clock) = (FlakyStore::default(), TestClock::new());
    let (first_store, first_clock) = (store.clone(), clock.clone());
    let killed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        runtime.block_on(async {
            let began = Arc::new(AtomicUsize::new(0));
            let tokens = settling_tokens(&first_store);
            let counting = Arc::clone(&began);
            tokens.on_removed(move |_| {
                counting.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>()
            });
            let app = TokenApp::at(first_clock, renewing_app(), tokens).await;
            app.deliver(ONE, &app.token(3 * HOUR, "")).await;
            app.tokens.flush().await.unwrap();
            app.tokens.remove(&ari(ONE)).await.unwrap();
            app.minutes(3).await;
            assert!(eventually(|| began.load(Ordering::SeqCst) == 1).await);
        });
        // As in a killed process, every task ends at its await point.
        runtime.shutdown_background();
    });
    killed.join().unwrap();

    let tokens = settling_tokens(&store);
    let deleted = Deleted::of(&tokens);
    let _app = TokenApp::at(clock, renewing_app(), tokens).await;
    assert!(eventually(|| deleted.ids() == [ari(ONE)]).await);
}

/// A store that is down for longer than the lifetime of tokens still gets the removal, from which
/// later processes and other instances read it.
#[tokio::test]
async fn a_removal_waits_for_its_store_however_long_it_is_down() {
    let store = FlakyStore::default();
    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    app.tokens.flush().await.unwrap();
    store.down(true);
    app.tokens.remove(&ari(ONE)).await.unwrap_err();
    app.minutes(40 * 60).await;
    store.down(false);
    app.tokens.flush().await.unwrap();
    // Long enough for a purge.
    app.minutes(70).await;
    let clock = app.clock.clone();
    drop(app);

    let tokens = tokens_in(&store);
    let deleted = Deleted::of(&tokens);
    let restarted = TokenApp::at(clock, renewing_app(), tokens).await;
    restarted.minutes(3).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}

/// Failing callbacks that take a minute each do not delay those of another installation.
#[tokio::test]
async fn callbacks_that_fail_do_not_starve_others() {
    // The ids of the others sort before it.
    const LAST: &str = "0a3a7799-0000-4000-a000-000000000099";
    let tokens = settling_tokens(&FlakyStore::default());
    let calls = Deleted::default();
    let (called, clock) = (calls.clone(), TestClock::new());
    let time = clock.clone();
    tokens.on_removed(move |id| {
        let is_last = id == ari(LAST);
        called.add(id);
        let time = time.clone();
        async move {
            tokio::task::yield_now().await;
            if is_last {
                return Ok(());
            }
            time.advance(MINUTE);
            Err(Error::new("the app's database is down"))
        }
    });
    let app = TokenApp::at(clock, renewing_app(), tokens).await;
    for number in 0..20 {
        let id = ari(&format!("0a3a7799-0000-4000-a000-0000000000{number:02}"));
        app.tokens.remove(&id).await.unwrap();
    }
    app.tokens.remove(&ari(LAST)).await.unwrap();
    app.minutes(3).await;
    assert!(eventually(|| calls.ids().len() > 500).await);
    assert!(calls.ids().contains(&ari(LAST)));
}

#[tokio::test]
async fn another_instance_finds_a_removal_within_an_hour() {
    let store = FlakyStore::default();
    let one = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    let tokens = settling_tokens(&store);
    let deleted = Deleted::of(&tokens);
    let other = TokenApp::at(one.clock.clone(), renewing_app(), tokens).await;
    other.minutes(1).await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    other.minutes(30).await;
    assert_eq!(deleted.ids(), Vec::<String>::new());
    other.minutes(35).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}

#[tokio::test]
async fn a_callback_that_fails_is_called_again_until_it_succeeds() {
    let tokens = settling_tokens(&FlakyStore::default());
    let (fails, succeeds) = (Deleted::default(), Deleted::of(&tokens));
    let calls = fails.clone();
    tokens.on_removed(move |id| {
        calls.add(id);
        let result = match calls.ids().len() {
            ..5 => Err(Error::new("the app's database is down")),
            _ => Ok(()),
        };
        async { result }
    });
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(2).await;
    assert_eq!(fails.ids().len(), 1);
    // After 10, 20, 40 and 80 seconds.
    for (seconds, calls) in [
        (9, 1),
        (1, 2),
        (19, 2),
        (1, 3),
        (39, 3),
        (1, 4),
        (79, 4),
        (1, 5),
    ] {
        app.clock.advance(Duration::from_secs(seconds));
        yield_to_tasks().await;
        assert_eq!(fails.ids().len(), calls, "{seconds}");
    }
    app.minutes(90).await;
    assert_eq!((fails.ids().len(), succeeds.ids().len()), (5, 1));
}

/// A restarted process still finds the removal, however long the app's own database is down.
#[tokio::test]
async fn a_removal_stays_in_the_store_until_the_callbacks_succeed() {
    let store = FlakyStore::default();
    let tokens = tokens_in(&store);
    tokens.on_removed(|_| async { Err(Error::new("the app's database is down")) });
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.tokens.remove(&ari(ONE)).await.unwrap();
    // Longer than the first record lasts. A purge needs a call that confirms the clock.
    for _ in 0..4 {
        app.minutes(15 * 60).await;
        app.deliver(OTHER, &app.token(3 * HOUR, "")).await;
    }

    let tokens = tokens_in(&store);
    let deleted = Deleted::of(&tokens);
    let _later = TokenApp::at(app.clock.clone(), renewing_app(), tokens).await;
    assert!(eventually(|| deleted.ids() == [ari(ONE)]).await);
}

#[tokio::test]
async fn a_cancelled_removal_is_not_reported() {
    let store = FlakyStore::default();
    let tokens = tokens_in(&store).removal_delay(10 * MINUTE);
    let deleted = Deleted::of(&tokens);
    let app = TokenApp::new(renewing_app(), tokens).await;
    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(5).await;
    // Another instance sees the delivery.
    let other = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    other.deliver(ONE, &other.token(3 * HOUR, "")).await;
    other.tokens.flush().await.unwrap();
    other.minutes(1).await;
    assert!(other.system(ONE).await.is_ok());
    other.tokens.flush().await.unwrap();
    app.minutes(20).await;
    assert_eq!(deleted.ids(), Vec::<String>::new());
    // The next removal is reported.
    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(9).await;
    assert_eq!(deleted.ids(), Vec::<String>::new());
    app.minutes(2).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}

#[scheduled_trigger(interval = "hour", auth = system, endpoint = "own-hourly")]
async fn hourly() {}

/// The app's own handler, instead of the one of `keep_tokens_fresh`.
#[pre_uninstall(endpoint = "own-goodbye")]
async fn goodbye(call: Invocation, tokens: Tokens) -> Result<()> {
    Ok(tokens.remove(call.installation_id()).await?)
}

/// Apps that remove tokens before an uninstallation, with the keys of that handler and of the hourly one.
fn removing_apps() -> [(App, &'static str, &'static str); 2] {
    let remote = || Remote::new("backend").base_url("https://backend.example.com");
    let own = App::empty()
        .handler(handler!(hourly))
        .handler(handler!(goodbye));
    [
        (
            App::empty().remote(remote()).keep_tokens_fresh(),
            "tokens-goodbye",
            "tokens-hourly",
        ),
        (
            own.remote(remote()).keep_tokens_fresh_by("own-hourly"),
            "own-goodbye",
            "own-hourly",
        ),
    ]
}

/// Calls a handler for an installation in this many products.
async fn call(app: &TokenApp, key: &str, products: usize) {
    let call = app.harness.call(key).fit(|fit| {
        let names = ["jira", "confluence"].into_iter().take(products);
        let contexts = names.map(|name| json!({ "name": name, "cloudId": "site-1" }));
        let contexts = contexts.collect::<Vec<_>>().into();
        fit.installation(ONE)
            .set("/app/installation/contexts", contexts)
    });
    let token = app.token(2 * HOUR, "");
    let response = call.header("x-forge-oauth-system", &token).send().await;
    assert_eq!(response.status(), 200, "{response:?}");
}

/// It is not documented what Forge calls when one of several products is removed. The hourly call of
/// `keep_tokens_fresh` shows whether the installation still exists.
#[tokio::test]
async fn an_installation_in_several_products_settles_for_longer() {
    for stays in [true, false] {
        for (builder, goodbye, hourly) in removing_apps() {
            let store = FlakyStore::default();
            let tokens = tokens_in(&store);
            let deleted = Deleted::of(&tokens);
            let app = TokenApp::new(builder, tokens).await;
            // This process knows nothing of the installation: other instances got its tokens.
            store.fail_gets(true);
            call(&app, goodbye, 2).await;
            store.fail_gets(false);
            app.minutes(60).await;
            assert_eq!(deleted.ids(), Vec::<String>::new(), "{goodbye}");
            if stays {
                call(&app, hourly, 2).await;
            }
            app.minutes(20).await;
            assert_eq!(deleted.ids().len(), usize::from(!stays), "{goodbye}");
        }
    }
}

/// Neither the call nor this process's memory has them.
#[tokio::test]
async fn a_removal_reads_the_products_from_the_store() {
    for (products, can_read, settles) in [(1, true, 2), (2, true, 75), (1, false, 75)] {
        let store = FlakyStore::default();
        let other = TokenApp::new(renewing_app(), tokens_in(&store)).await;
        call(&other, "renew", products).await;
        other.tokens.flush().await.unwrap();

        let tokens = tokens_in(&store);
        let deleted = Deleted::of(&tokens);
        let app = TokenApp::at(other.clock.clone(), renewing_app(), tokens).await;
        store.fail_gets(!can_read);
        app.tokens.remove(&ari(ONE)).await.unwrap();
        store.fail_gets(false);
        // An instance that starts later reads them from the record of the removal.
        let tokens = tokens_in(&store);
        let deleted_later = Deleted::of(&tokens);
        let _later = TokenApp::at(other.clock.clone(), renewing_app(), tokens).await;
        for deleted in [&deleted, &deleted_later] {
            assert_eq!(deleted.ids(), Vec::<String>::new());
        }
        app.minutes(settles - 1).await;
        for deleted in [&deleted, &deleted_later] {
            assert_eq!(deleted.ids(), Vec::<String>::new(), "{products}");
        }
        app.minutes(2).await;
        for deleted in [&deleted, &deleted_later] {
            assert_eq!(deleted.ids(), [ari(ONE)], "{products}");
        }
    }
}

/// The call may name the remaining products only.
#[tokio::test]
async fn the_largest_known_number_of_products_counts() {
    for known_by in ["memory", "the store", "an earlier call"] {
        for (builder, goodbye, hourly) in removing_apps() {
            let store = FlakyStore::default();
            let tokens = tokens_in(&store);
            let deleted = Deleted::of(&tokens);
            let app = TokenApp::new(builder, tokens).await;
            store.fail_gets(known_by != "the store");
            match known_by {
                "memory" => call(&app, hourly, 2).await,
                "the store" => {
                    let clock = app.clock.clone();
                    let other = TokenApp::at(clock, renewing_app(), tokens_in(&store)).await;
                    call(&other, "renew", 2).await;
                    other.tokens.flush().await.unwrap();
                }
                _ => call(&app, goodbye, 2).await,
            }
            call(&app, goodbye, 1).await;
            store.fail_gets(false);
            app.minutes(60).await;
            assert_eq!(deleted.ids(), Vec::<String>::new(), "{known_by}: {goodbye}");
            app.minutes(20).await;
            assert_eq!(deleted.ids(), [ari(ONE)], "{known_by}: {goodbye}");
        }
    }
}

/// A second call before an uninstallation does not lose what the first one knew.
#[tokio::test]
async fn a_repeated_removal_keeps_the_number_of_products() {
    let store = FlakyStore::default();
    let tokens = tokens_in(&store);
    let deleted = Deleted::of(&tokens);
    let app = TokenApp::new(renewing_app(), tokens).await;
    call(&app, "renew", 1).await;
    app.tokens.remove(&ari(ONE)).await.unwrap();
    store.fail_gets(true);
    app.tokens.remove(&ari(ONE)).await.unwrap();
    store.fail_gets(false);
    app.minutes(3).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}
