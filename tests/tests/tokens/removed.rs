//! The callbacks of a removal: at least once, after it has settled, until they succeed.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote_tests::kept::{HOUR, Kept, MINUTE, ONE, ari, tokens_in, turns};
use forge_remote_tests::rig::until;
use forge_remote_tests::stores::Flaky;
use serde_json::json;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
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
    let (store, clock) = (Flaky::default(), TestClock::new());
    let (first_store, first_clock) = (store.clone(), clock.clone());
    let killed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        runtime.block_on(async {
            let began = Arc::new(AtomicUsize::new(0));
            let tokens = tokens_in(&first_store).removal_delay(2 * MINUTE);
            let counting = Arc::clone(&began);
            tokens.on_removed(move |_| {
                counting.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>()
            });
            let kept = Kept::at(first_clock, app(), tokens).await;
            kept.deliver(ONE, &kept.token(3 * HOUR, "")).await;
            kept.tokens.flush().await.unwrap();
            kept.tokens.remove(&ari(ONE)).await.unwrap();
            kept.minutes(3).await;
            assert!(until(|| began.load(Ordering::SeqCst) == 1).await);
        });
        // As a process that is killed: whatever runs ends where it waits.
        runtime.shutdown_background();
    });
    killed.join().unwrap();

    let tokens = tokens_in(&store).removal_delay(2 * MINUTE);
    let deleted = Deleted::of(&tokens);
    let _kept = Kept::at(clock, app(), tokens).await;
    assert!(until(|| deleted.ids() == [ari(ONE)]).await);
}

/// A store that is down for longer than tokens live still gets the removal: processes that start
/// later, and other instances, know it from there.
#[tokio::test]
async fn a_removal_waits_for_its_store_for_as_long_as_it_takes() {
    let store = Flaky::default();
    let kept = Kept::new(app(), tokens_in(&store)).await;
    kept.deliver(ONE, &kept.token(3 * HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    store.down(true);
    kept.tokens.remove(&ari(ONE)).await.unwrap_err();
    kept.minutes(40 * 60).await;
    store.down(false);
    kept.tokens.flush().await.unwrap();
    // Time for a purge.
    kept.minutes(70).await;
    let clock = kept.clock.clone();
    drop(kept);

    let tokens = tokens_in(&store);
    let deleted = Deleted::of(&tokens);
    let restarted = Kept::at(clock, app(), tokens).await;
    restarted.minutes(3).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}

/// Callbacks that fail, and take a minute each, do not keep those of another installation waiting.
#[tokio::test]
async fn callbacks_that_fail_do_not_starve_others() {
    // By their ids, the others come first.
    const LAST: &str = "0a3a7799-0000-4000-a000-000000000099";
    let tokens = tokens_in(&Flaky::default());
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
    let kept = Kept::at(clock, app(), tokens).await;
    for number in 0..20 {
        let id = ari(&format!("0a3a7799-0000-4000-a000-0000000000{number:02}"));
        kept.tokens.remove(&id).await.unwrap();
    }
    kept.tokens.remove(&ari(LAST)).await.unwrap();
    kept.minutes(3).await;
    assert!(until(|| calls.ids().len() > 500).await);
    assert!(calls.ids().contains(&ari(LAST)));
}

#[tokio::test]
async fn another_instance_finds_a_removal_within_an_hour() {
    let store = Flaky::default();
    let one = Kept::new(app(), tokens_in(&store)).await;
    let tokens = tokens_in(&store);
    let deleted = Deleted::of(&tokens);
    let other = Kept::at(one.clock.clone(), app(), tokens).await;
    other.minutes(1).await;
    one.tokens.remove(&ari(ONE)).await.unwrap();
    other.minutes(30).await;
    assert_eq!(deleted.ids(), Vec::<String>::new());
    other.minutes(35).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}

#[tokio::test]
async fn a_callback_that_fails_is_called_again_until_it_succeeds() {
    let tokens = tokens_in(&Flaky::default());
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
    let kept = Kept::new(app(), tokens).await;
    kept.tokens.remove(&ari(ONE)).await.unwrap();
    kept.minutes(2).await;
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
        kept.clock.advance(Duration::from_secs(seconds));
        turns().await;
        assert_eq!(fails.ids().len(), calls, "{seconds}");
    }
    kept.minutes(90).await;
    assert_eq!((fails.ids().len(), succeeds.ids().len()), (5, 1));
}

/// However long the app's own database is down: a restarted process still finds the removal.
#[tokio::test]
async fn a_removal_stays_in_the_store_until_the_callbacks_succeed() {
    let store = Flaky::default();
    let tokens = tokens_in(&store);
    tokens.on_removed(|_| async { Err(Error::new("the app's database is down")) });
    let kept = Kept::new(app(), tokens).await;
    kept.tokens.remove(&ari(ONE)).await.unwrap();
    kept.minutes(60 * 60).await;

    let tokens = tokens_in(&store);
    let deleted = Deleted::of(&tokens);
    let _later = Kept::at(kept.clock.clone(), app(), tokens).await;
    assert!(until(|| deleted.ids() == [ari(ONE)]).await);
}

#[tokio::test]
async fn a_removal_that_is_called_off_is_not_reported() {
    let store = Flaky::default();
    let tokens = tokens_in(&store).removal_delay(10 * MINUTE);
    let deleted = Deleted::of(&tokens);
    let kept = Kept::new(app(), tokens).await;
    kept.tokens.remove(&ari(ONE)).await.unwrap();
    kept.minutes(5).await;
    // Seen by another instance alone.
    let other = Kept::at(kept.clock.clone(), app(), tokens_in(&store)).await;
    other.deliver(ONE, &other.token(3 * HOUR, "")).await;
    other.tokens.flush().await.unwrap();
    other.minutes(1).await;
    assert!(other.system(ONE).await.is_ok());
    other.tokens.flush().await.unwrap();
    kept.minutes(20).await;
    assert_eq!(deleted.ids(), Vec::<String>::new());
    // The next one counts again.
    kept.tokens.remove(&ari(ONE)).await.unwrap();
    kept.minutes(9).await;
    assert_eq!(deleted.ids(), Vec::<String>::new());
    kept.minutes(2).await;
    assert_eq!(deleted.ids(), [ari(ONE)]);
}

/// Nobody documents what is called when one of several products goes: the hourly call of
/// `keep_tokens_fresh` shows whether the installation is still there.
#[tokio::test]
async fn an_installation_in_several_products_settles_for_longer() {
    let products = json!([
        { "name": "jira", "cloudId": "site-1" },
        { "name": "confluence", "cloudId": "site-1" },
    ]);
    for stays in [true, false] {
        let tokens = tokens_in(&Flaky::default());
        let deleted = Deleted::of(&tokens);
        let app = App::empty()
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .keep_tokens_fresh();
        let kept = Kept::new(app, tokens).await;
        let call = async |key: &str| {
            let call = kept.harness.call(key).fit(|fit| {
                let contexts = products.clone();
                fit.installation(ONE)
                    .set("/app/installation/contexts", contexts)
            });
            let token = kept.token(2 * HOUR, "");
            let answer = call.header("x-forge-oauth-system", &token).send().await;
            assert_eq!(answer.status(), 200, "{answer:?}");
        };
        call("tokens-goodbye").await;
        kept.minutes(60).await;
        assert_eq!(deleted.ids(), Vec::<String>::new());
        if stays {
            call("tokens-hourly").await;
        }
        kept.minutes(20).await;
        assert_eq!(deleted.ids().len(), usize::from(!stays));
    }
}
