//! Keys that are rotated, removed and replaced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{FIRST_KID, SECOND_KID, key_set, published};
use forge_remote_tests::rsa::{second, third};
use tokio::task::JoinSet;

use crate::refresh::{
    COOLDOWN, HOUR, THIRD_KID, app_with_keys, known_key_works, rotated, unknown_key_token,
};

#[tokio::test]
async fn a_rotation_is_noticed_immediately() {
    let app = app_with_keys().await;
    app.source.set_response(JwksResponse::Keys(rotated()));
    // The first call with the new key causes a fetch immediately.
    let fit = app.fit().head("kid", THIRD_KID);
    app.accepts(&app.tick(&fit.sign(third())), &fit)
        .await
        .unwrap();
    assert_eq!(app.source.requests(), 2);
    // The next calls cause none.
    for _ in 0..5 {
        let fit = app.fit().head("kid", THIRD_KID);
        app.accepts(&app.tick(&fit.sign(third())), &fit)
            .await
            .unwrap();
        let fit = app.fit().head("kid", SECOND_KID);
        app.accepts(&app.tick(&fit.sign(second())), &fit)
            .await
            .unwrap();
    }
    assert_eq!(app.source.requests(), 2);
    // The removed key is rejected.
    assert_eq!(app.status(&app.fit().token()).await, 401);
    assert_eq!(app.source.requests(), 2);
}

/// A rotation is also noticed when an attacker has just triggered the cool-down.
#[tokio::test]
async fn a_rotation_within_the_cooldown_is_noticed_after_it() {
    let app = app_with_keys().await;
    assert_eq!(app.status(&unknown_key_token(&app, "x")).await, 401);
    assert_eq!(app.source.requests(), 2);
    app.source.set_response(JwksResponse::Keys(rotated()));
    let fit = app.fit().head("kid", THIRD_KID);
    let response = app.send(&app.tick(&fit.sign(third()))).await.unwrap();
    assert_eq!(response.status, 503, "the key has not been looked up yet");
    assert!(response.header("retry-after").is_some());
    // A key that was looked up without success stays rejected.
    assert_eq!(app.status(&unknown_key_token(&app, "x")).await, 401);
    assert_eq!(app.source.requests(), 2);
    app.clock.advance(COOLDOWN);
    let fit = app.fit().head("kid", THIRD_KID);
    app.accepts(&app.tick(&fit.sign(third())), &fit)
        .await
        .expect("seconds later");
    assert_eq!(app.source.requests(), 3);
}

/// A fetch that began before the key was published is followed by another.
#[tokio::test]
async fn a_rotation_during_a_fetch_is_noticed() {
    let app = Arc::new(app_with_keys().await);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    app.source.set_response(JwksResponse::Held(
        Arc::clone(&gate),
        Box::new(JwksResponse::Keys(published())),
    ));
    app.clock.advance(HOUR.mul_f64(0.81));
    app.until_requests(2).await.unwrap();
    // The keys rotate while the old document is in transit.
    app.source.set_response(JwksResponse::Keys(rotated()));
    let fit = app.fit().head("kid", THIRD_KID);
    let call = app.tick(&fit.sign(third()));
    let waiting = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.accepts(&call, &fit).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.add_permits(1);
    waiting.await.unwrap().unwrap();
    assert_eq!(app.source.requests(), 3);
}

/// Two hundred concurrent calls with the new key cause one fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_causes_one_fetch() {
    let app = Arc::new(app_with_keys().await);
    app.source.set_response(JwksResponse::Late(
        Duration::from_millis(100),
        Box::new(JwksResponse::Keys(rotated())),
    ));
    let tokens: Vec<String> = (0..200)
        .map(|_| app.fit().head("kid", THIRD_KID).sign(third()))
        .collect();
    let mut calls = JoinSet::new();
    for token in tokens {
        let app = Arc::clone(&app);
        calls.spawn(async move { app.status(&token).await });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(app.source.requests(), 2);
}

/// A withdrawn key is rejected after the next refresh, without a call that names an unknown key.
#[tokio::test]
async fn a_removed_key_is_rejected_after_the_refresh() {
    let app = app_with_keys().await;
    app.source
        .set_response(JwksResponse::Keys(key_set(&[second().jwk(SECOND_KID)])));
    known_key_works(&app).await.unwrap();
    app.clock.advance(HOUR.mul_f64(0.81));
    app.until_requests(2).await.unwrap();
    let started = Instant::now();
    while app.status(&app.fit().token()).await != 401 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a removed key is still accepted"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let fit = app.fit().head("kid", SECOND_KID);
    app.accepts(&app.tick(&fit.sign(second())), &fit)
        .await
        .unwrap();
}

/// A key is replaced by another under the same kid.
#[tokio::test]
async fn a_key_can_be_replaced_under_its_kid() {
    let app = app_with_keys().await;
    app.source
        .set_response(JwksResponse::Keys(key_set(&[third().jwk(FIRST_KID)])));
    app.clock.advance(HOUR.mul_f64(0.81));
    app.until_requests(2).await.unwrap();
    let replaced = until_async(async || app.status(&app.fit().sign(third())).await == 200).await;
    assert!(replaced);
    assert_eq!(app.status(&app.fit().token()).await, 401);
}

async fn until_async(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}
