//! Keys age and tokens stay expired although the clock is set or the machine sleeps.

use std::time::{Duration, SystemTime};

use forge_remote::fit::VerificationPolicy;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, SECOND_KID, key_set, published};
use forge_remote_tests::rsa::second;
use forge_remote_tests::test_app::TestApp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn app_with_keys() -> TestApp {
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.verification(VerificationPolicy::default().replay_guard(true))
    })
    .await;
    app.until_status(200).await.unwrap();
    app
}

/// Returns a token that Forge issues at this time.
fn issued(at: SystemTime) -> String {
    Fit::backend(at, "tick").token()
}

/// Keys age while a virtual machine sleeps, although its monotonic clock stands still.
#[tokio::test]
async fn keys_age_while_the_machine_sleeps() {
    let app = app_with_keys().await;
    app.source
        .set_response(JwksResponse::Keys(key_set(&[second().jwk(SECOND_KID)])));
    app.clock.set(app.now() + 19 * HOUR);
    // The first call after the set's expiry waits for a new one.
    assert_eq!(app.status(&issued(app.now())).await, 401);
    assert!((2..=3).contains(&app.source.requests()));
    let fit = app.fit().head("kid", SECOND_KID);
    app.accepts(&app.tick(&fit.sign(second())), &fit)
        .await
        .unwrap();

    // With the source down, the limit on stale keys applies too.
    app.source.down().await;
    app.clock.set(app.now() + 25 * HOUR);
    assert_eq!(app.status(&issued(app.now())).await, 503);
}

/// After the clock is set back, expired FITs stay expired and valid FITs stay valid.
#[tokio::test]
async fn expired_tokens_stay_expired_when_the_clock_is_set_back() {
    let app = app_with_keys().await;
    let start = app.now();
    let captured = issued(start);
    let spent = issued(start + Duration::from_millis(1));
    assert_eq!(app.status(&spent).await, 200);
    app.clock.advance(10 * MINUTE);
    assert_eq!(app.status(&captured).await, 401, "it has expired");
    assert_eq!(app.status(&issued(app.now())).await, 200);

    for back in [MINUTE, 10 * MINUTE, HOUR, 30 * HOUR] {
        let truth = start + 10 * MINUTE;
        app.clock.set(truth - back);
        assert_eq!(app.status(&captured).await, 401, "{back:?} back");
        assert_eq!(app.status(&spent).await, 401, "{back:?} back: replayed");
        assert_eq!(app.status(&issued(truth)).await, 200, "{back:?} back");
    }
    // The monotonic clock still counts, also hours later.
    let late = issued(start + 10 * MINUTE);
    app.clock.advance(2 * HOUR);
    let truth = start + 10 * MINUTE + 2 * HOUR;
    assert_eq!(app.status(&late).await, 401);
    // A valid FIT is accepted although the monotonic clock is not counted in full.
    assert_eq!(
        app.status(&issued(truth - Duration::from_secs(5))).await,
        200
    );
}

/// Once a clock that was ahead is corrected, every valid FIT is accepted.
#[tokio::test]
async fn valid_tokens_are_accepted_after_the_clock_was_ahead() {
    let app = app_with_keys().await;
    let truth = app.now();
    for ahead in [MINUTE, HOUR, 30 * HOUR] {
        app.clock.set(truth + ahead);
        // By this clock, the platform's tokens have expired.
        assert_eq!(app.status(&issued(truth)).await, 401, "{ahead:?} ahead");
        app.clock.set(truth);
        assert_eq!(app.status(&issued(truth)).await, 200, "after {ahead:?}");
    }
}

/// A token from the near future is accepted, and later tokens too.
#[tokio::test]
async fn a_token_from_the_near_future_is_accepted() {
    let app = app_with_keys().await;
    let now = app.now();
    for ahead in [9, 5, 0] {
        let token = issued(now + Duration::from_secs(ahead));
        assert_eq!(app.status(&token).await, 200, "{ahead} s ahead");
    }
    // An older FIT with little time left.
    let token = issued(now - Duration::from_secs(20));
    assert_eq!(app.status(&token).await, 200);
}
