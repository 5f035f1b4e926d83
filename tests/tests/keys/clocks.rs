//! Clocks that are set, and machines that sleep.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use forge_remote::fit::VerificationPolicy;
use forge_remote_tests::jws::{Fit, SECOND_KID, key_set, published};
use forge_remote_tests::rig::Rig;
use forge_remote_tests::rsa::second;
use forge_remote_tests::source::Answer;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn warm() -> Rig {
    let rig = Rig::with(Answer::Keys(published()), |app| {
        app.verification(VerificationPolicy::default().replay_guard(true))
    })
    .await;
    rig.until_status(200).await.unwrap();
    rig
}

/// A token as Forge signs it at this time.
fn issued(at: SystemTime) -> String {
    Fit::backend(at, "tick").token()
}

/// While a virtual machine sleeps, nothing elapses: its keys are old all the same.
#[tokio::test]
async fn keys_age_while_the_machine_sleeps() {
    let rig = warm().await;
    rig.source
        .answer(Answer::Keys(key_set(&[second().jwk(SECOND_KID)])));
    rig.clock.set(rig.now() + 19 * HOUR);
    // The first call past the end of the set's life waits for a new one.
    assert_eq!(rig.status(&issued(rig.now())).await, 401);
    assert!((2..=3).contains(&rig.source.requests()));
    let fit = rig.fit().head("kid", SECOND_KID);
    rig.let_in(&rig.tick(&fit.sign(second())), &fit)
        .await
        .unwrap();

    // With the source down, the limit on stale keys holds as well.
    rig.source.down().await;
    rig.clock.set(rig.now() + 25 * HOUR);
    assert_eq!(rig.status(&issued(rig.now())).await, 503);
}

/// A token that has expired stays expired when the clock is set back, and good ones stay good.
#[tokio::test]
async fn a_clock_that_is_set_back() {
    let rig = warm().await;
    let start = rig.now();
    let captured = issued(start);
    let spent = issued(start + Duration::from_millis(1));
    assert_eq!(rig.status(&spent).await, 200);
    rig.clock.advance(10 * MINUTE);
    assert_eq!(rig.status(&captured).await, 401, "it has expired");
    assert_eq!(rig.status(&issued(rig.now())).await, 200);

    for back in [MINUTE, 10 * MINUTE, HOUR, 30 * HOUR] {
        let truth = start + 10 * MINUTE;
        rig.clock.set(truth - back);
        assert_eq!(rig.status(&captured).await, 401, "{back:?} back");
        assert_eq!(rig.status(&spent).await, 401, "{back:?} back: replayed");
        assert_eq!(rig.status(&issued(truth)).await, 200, "{back:?} back");
    }
    // Time goes on by the monotonic clock: also hours later.
    let late = issued(start + 10 * MINUTE);
    rig.clock.advance(2 * HOUR);
    let truth = start + 10 * MINUTE + 2 * HOUR;
    assert_eq!(rig.status(&late).await, 401);
    // A good token is let in although the monotonic clock's part is not counted in full.
    assert_eq!(
        rig.status(&issued(truth - Duration::from_secs(5))).await,
        200
    );
}

/// A clock that was ahead for a time leaves nothing behind: corrected, it refuses no good token.
#[tokio::test]
async fn a_clock_that_was_ahead() {
    let rig = warm().await;
    let truth = rig.now();
    for ahead in [MINUTE, HOUR, 30 * HOUR] {
        rig.clock.set(truth + ahead);
        // By this clock the platform's tokens have expired.
        assert_eq!(rig.status(&issued(truth)).await, 401, "{ahead:?} ahead");
        rig.clock.set(truth);
        assert_eq!(rig.status(&issued(truth)).await, 200, "after {ahead:?}");
    }
}

/// Forge's clock may be a little ahead of this machine's: that is no reason to refuse the next token.
#[tokio::test]
async fn tokens_from_the_near_future() {
    let rig = warm().await;
    let now = rig.now();
    for ahead in [9, 5, 0] {
        let token = issued(now + Duration::from_secs(ahead));
        assert_eq!(rig.status(&token).await, 200, "{ahead} s ahead");
    }
    // One with a short rest of its life, issued before.
    let token = issued(now - Duration::from_secs(20));
    assert_eq!(rig.status(&token).await, 200);
}
