//! Tokens survive instances whose clocks are wrong or jump.

use std::future::Future;
use std::time::Duration;

use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote::token::TokenStore as _;
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::stores::{FlakyStore, KEYS, test_stores};
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in, yield_to_tasks,
};
use serde_json::json;

fn ahead() -> TestClock {
    let clock = TestClock::new();
    clock.advance(30 * HOUR);
    clock
}

#[tokio::test]
async fn an_instance_whose_clock_is_a_day_ahead_purges_nothing() {
    for test_store in test_stores().await {
        let one = TokenApp::new(
            renewing_app(),
            Tokens::new(test_store.connect()).keys(KEYS[0]),
        )
        .await;
        one.deliver(ONE, &one.token(3 * HOUR, "")).await;
        one.tokens.flush().await.unwrap();
        one.tokens.remove(&ari(OTHER)).await.unwrap();

        let tokens = Tokens::new(test_store.connect()).keys(KEYS[0]);
        let wrong = TokenApp::at(ahead(), renewing_app(), tokens).await;
        // At each hour, and after each pause of a postponed purge.
        for _ in 0..70 {
            wrong.minutes(1).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(wrong.tokens.stats().purged, 0, "{test_store:?}");
        let store = test_store.open().await;
        assert!(
            store.get(&ari(ONE)).await.unwrap().is_some(),
            "{test_store:?}"
        );
        assert!(
            store.get(&ari(OTHER)).await.unwrap().is_some(),
            "{test_store:?}"
        );
    }
}

/// Tests a store without a clock and one whose clock is equally wrong.
#[tokio::test]
async fn nothing_is_purged_while_invocation_tokens_are_rejected_for_their_dates() {
    for has_clock in [false, true] {
        let logged = LogCapture::default();
        let _listening = logged.start();
        let (store, clock) = (FlakyStore::default(), TestClock::new());
        if has_clock {
            let clock = clock.clone();
            store.server_clock(move || clock.now());
        }
        let app = TokenApp::at(clock, renewing_app(), tokens_in(&store)).await;
        app.deliver(ONE, &app.token(3 * HOUR, "")).await;
        app.tokens.flush().await.unwrap();
        app.minutes(10).await;
        // The clock is set ahead, so that Forge's tokens seem to have expired.
        let send_rejected_call = async || {
            let call = app
                .harness
                .call("renew")
                .fit(|fit| fit.set("/exp", json!(1_700_000_000)));
            assert_eq!(call.send().await.status(), 401);
        };
        send_rejected_call().await;
        for _ in 0..30 {
            app.clock.advance(HOUR);
            yield_to_tasks().await;
        }
        assert_eq!(app.tokens.stats().purged, 0);
        assert!(logged.has("this machine's clock may be wrong"));
        // The clock is correct again.
        app.deliver(OTHER, &app.token(3 * HOUR, "")).await;
        app.clock.advance(HOUR);
        assert!(eventually(|| app.tokens.stats().purged == 1).await);
        send_rejected_call().await;
    }
}

/// Pending and stored tokens survive a clock that is set ahead and back in a running process.
#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    const GONE: &str = "0a3a7799-0000-4000-a000-000000000003";
    const LATE: &str = "0a3a7799-0000-4000-a000-000000000004";
    for hours in [30, -30_i64] {
        let store = FlakyStore::default();
        let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
        let (first, second) = (app.token(4 * HOUR, "1"), app.token(4 * HOUR, "2"));
        app.deliver(ONE, &first).await;
        app.tokens.flush().await.unwrap();
        store.down(true);
        app.deliver(OTHER, &second).await;
        app.tokens.remove(&ari(GONE)).await.unwrap_err();
        let right = app.clock.now();
        let by = HOUR * u32::try_from(hours.abs()).unwrap();
        let jump = |minutes: u32| {
            let right = right + minutes * MINUTE;
            app.clock
                .set(if hours > 0 { right + by } else { right - by });
        };
        jump(0);
        app.minutes(7).await;
        // Both are in memory while the store is down.
        app.clock.set(right + 7 * MINUTE);
        assert_eq!(app.system(ONE).await.unwrap(), first);
        assert_eq!(app.system(OTHER).await.unwrap(), second);
        jump(7);
        store.down(false);
        app.minutes(5).await;
        let _ = app.listed().await;
        app.tokens.remove(&ari(LATE)).await.unwrap();
        app.clock.set(right + 12 * MINUTE);
        // Forge may still call for an installation that is being uninstalled.
        app.deliver(LATE, &app.token(4 * HOUR, "late")).await;
        app.minutes(2).await;
        app.tokens.flush().await.unwrap();
        assert_eq!(app.listed().await, [ari(ONE), ari(OTHER)], "{hours}");
        assert_eq!(app.system(ONE).await.unwrap(), first);
        assert_eq!(app.system(OTHER).await.unwrap(), second);
        assert_eq!(app.tokens.stats().purged, 0);
        for (uuid, is_token) in [(ONE, true), (OTHER, true), (GONE, false), (LATE, false)] {
            let there = store.get(&ari(uuid)).await.unwrap().unwrap();
            // The record of a removal is on no site.
            assert_eq!(!there.cloud_ids.is_empty(), is_token, "{hours}: {uuid}");
        }
    }
}

/// A removal replaces the token in the store, however wrong the clock of the store's server is.
#[tokio::test]
async fn a_removal_holds_in_a_store_with_a_wrong_clock() {
    for hours in [-50, -30, -20, -13, -3, 3, 13, 20, 30, 50_i64] {
        let (store, clock) = (FlakyStore::default(), TestClock::new());
        let server = clock.clone();
        store.server_clock(move || {
            let by = HOUR * u32::try_from(hours.abs()).unwrap();
            if hours > 0 {
                server.now() + by
            } else {
                server.now() - by
            }
        });
        let app = TokenApp::at(clock, renewing_app(), tokens_in(&store)).await;
        app.deliver(ONE, &app.token(4 * HOUR, "")).await;
        app.tokens.flush().await.unwrap();
        app.tokens.remove(&ari(ONE)).await.unwrap();
        let there = store.get(&ari(ONE)).await.unwrap().unwrap();
        assert!(there.cloud_ids.is_empty(), "{hours}");
        let other = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
        assert!(other.system(ONE).await.is_err(), "{hours}");
    }
}

/// The store's server dates a removal by an instance with a wrong clock.
#[tokio::test]
async fn a_removal_by_an_instance_with_a_wrong_clock_holds() {
    let test_stores = test_stores().await.into_iter();
    let servers =
        test_stores.filter(|test_store| ["PostgreSQL", "Redis"].contains(&test_store.name));
    for test_store in servers {
        let one = TokenApp::new(
            renewing_app(),
            Tokens::new(test_store.connect()).keys(KEYS[0]),
        )
        .await;
        one.deliver(ONE, &one.token(3 * HOUR, "")).await;
        one.tokens.flush().await.unwrap();
        let behind = BehindClock(TestClock::new());
        let wrong = Tokens::new(test_store.connect())
            .keys(KEYS[0])
            .clock(behind);
        wrong.open().await.unwrap();
        wrong.remove(&ari(ONE)).await.unwrap();
        one.clock.advance(MINUTE);
        assert!(one.system(ONE).await.is_err(), "{test_store:?}");
        assert!(
            test_store.tokens().await.system(&ari(ONE)).await.is_err(),
            "{test_store:?}"
        );
    }
}

/// A clock that is 30 hours behind.
struct BehindClock(TestClock);

impl forge_remote::fit::Clock for BehindClock {
    fn now(&self) -> std::time::SystemTime {
        self.0.now() - 30 * HOUR
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep(duration)
    }
}

/// The record of an instance whose clock is a day ahead expires a little more than a day from now: it is not used, but may
/// be valid in comparison with the token, so it stays. The token is not written for it again and again.
#[tokio::test]
async fn a_token_loses_once_against_a_record_of_a_clock_that_is_ahead() {
    let store = FlakyStore::default();
    let wrong = TestClock::new();
    wrong.advance(24 * HOUR + 30 * MINUTE);
    let wrong = TokenApp::at(wrong, renewing_app(), tokens_in(&store)).await;
    wrong.deliver(ONE, &wrong.token(HOUR, "wrong")).await;
    wrong.tokens.flush().await.unwrap();

    let app = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    let puts = store.puts().len();
    let token = app.token(3 * HOUR, "right");
    app.deliver(ONE, &token).await;
    for _ in 0..10 {
        app.tokens.flush().await.unwrap();
        app.minutes(1).await;
        assert_eq!(app.system(ONE).await.unwrap(), token);
    }
    assert_eq!(store.puts().len(), puts + 1);
}
