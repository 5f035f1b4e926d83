//! Instances whose clocks disagree.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote::token::TokenStore as _;
use forge_remote_tests::kept::{HOUR, Kept, MINUTE, ONE, OTHER, ari, tokens_in, turns};
use forge_remote_tests::logged::Logged;
use forge_remote_tests::rig::until;
use forge_remote_tests::stores::{Flaky, KEYS, places};
use serde_json::json;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

fn ahead() -> TestClock {
    let clock = TestClock::new();
    clock.advance(30 * HOUR);
    clock
}

#[tokio::test]
async fn an_instance_whose_clock_is_a_day_ahead_purges_nothing() {
    for place in places().await {
        let one = Kept::new(app(), Tokens::new(place.connect()).keys(KEYS[0])).await;
        one.deliver(ONE, &one.token(3 * HOUR, "")).await;
        one.tokens.flush().await.unwrap();
        one.tokens.remove(&ari(OTHER)).await.unwrap();

        let tokens = Tokens::new(place.connect()).keys(KEYS[0]);
        let wrong = Kept::at(ahead(), app(), tokens).await;
        // With each hour, and with each pause after a purge that had to wait.
        for _ in 0..70 {
            wrong.minutes(1).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(wrong.tokens.stats().purged, 0, "{place:?}");
        let store = place.open().await;
        assert!(store.get(&ari(ONE)).await.unwrap().is_some(), "{place:?}");
        assert!(store.get(&ari(OTHER)).await.unwrap().is_some(), "{place:?}");
    }
}

#[tokio::test]
async fn nothing_is_purged_while_invocation_tokens_are_refused_for_their_dates() {
    let logged = Logged::default();
    let _listening = logged.listen();
    let store = Flaky::default();
    let kept = Kept::new(app(), tokens_in(&store)).await;
    kept.deliver(ONE, &kept.token(3 * HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    kept.minutes(10).await;
    // The clock is set ahead: Forge's calls seem to have ended.
    let refused = async || {
        let call = kept
            .harness
            .call("renew")
            .fit(|fit| fit.set("/exp", json!(1_700_000_000)));
        assert_eq!(call.send().await.status(), 401);
    };
    refused().await;
    for _ in 0..30 {
        kept.clock.advance(HOUR);
        turns().await;
    }
    assert_eq!(kept.tokens.stats().purged, 0);
    assert!(logged.has("this machine's clock may be wrong"));
    // And right again.
    kept.deliver(OTHER, &kept.token(3 * HOUR, "")).await;
    kept.clock.advance(HOUR);
    assert!(until(|| kept.tokens.stats().purged == 1).await);
    refused().await;
}

/// Set ahead and back in a running process: what waits and what is there stays.
#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    for hours in [30, -30_i64] {
        let store = Flaky::default();
        let kept = Kept::new(app(), tokens_in(&store)).await;
        let (first, second) = (kept.token(4 * HOUR, "1"), kept.token(4 * HOUR, "2"));
        kept.deliver(ONE, &first).await;
        kept.tokens.flush().await.unwrap();
        store.down(true);
        kept.deliver(OTHER, &second).await;
        kept.tokens.remove(&ari("gone")).await.unwrap_err();
        let right = kept.clock.now();
        let by = HOUR * u32::try_from(hours.abs()).unwrap();
        kept.clock
            .set(if hours > 0 { right + by } else { right - by });
        kept.minutes(2).await;
        store.down(false);
        kept.minutes(10).await;
        let _ = kept.listed().await;
        kept.clock.set(right + 12 * MINUTE);
        kept.minutes(2).await;
        kept.tokens.flush().await.unwrap();
        assert_eq!(kept.listed().await, [ari(ONE), ari(OTHER)], "{hours}");
        assert_eq!(kept.system(ONE).await.unwrap(), first);
        assert_eq!(kept.system(OTHER).await.unwrap(), second);
        assert!(store.get(&ari("gone")).await.unwrap().is_some(), "{hours}");
        assert_eq!(kept.tokens.stats().purged, 0);
    }
}

/// A removal by an instance with a wrong clock is dated by the store's server.
#[tokio::test]
async fn a_removal_by_an_instance_with_a_wrong_clock_holds() {
    let places = places().await.into_iter();
    let servers = places.filter(|place| ["PostgreSQL", "Redis"].contains(&place.name));
    for place in servers {
        let one = Kept::new(app(), Tokens::new(place.connect()).keys(KEYS[0])).await;
        one.deliver(ONE, &one.token(3 * HOUR, "")).await;
        one.tokens.flush().await.unwrap();
        let behind = BehindClock(TestClock::new());
        let wrong = Tokens::new(place.connect()).keys(KEYS[0]).clock(behind);
        wrong.open().await.unwrap();
        wrong.remove(&ari(ONE)).await.unwrap();
        one.clock.advance(MINUTE);
        assert!(one.system(ONE).await.is_err(), "{place:?}");
        assert!(
            place.tokens().await.system(&ari(ONE)).await.is_err(),
            "{place:?}"
        );
    }
}

/// 30 hours behind.
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
