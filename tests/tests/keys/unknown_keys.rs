//! FITs with unknown keys: how often they cause a fetch, and that they delay nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote::fit::JwksPolicy;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{SECOND_KID, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::second;
use forge_remote_tests::test_app::TestApp;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::refresh::{
    COOLDOWN, HOUR, app_with_keys, app_with_policy, known_key_works, pause, unknown_key_token,
};

/// Any number of unknown keys cause one fetch per cool-down. A call with a key that the fetch looked
/// for gets 401; a later call may get 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_causes_one_fetch_per_cooldown() {
    let app = Arc::new(app_with_keys().await);
    for round in 0..4 {
        for wave in 0..3 {
            let statuses = flood(&app, &format!("{round}-{wave}")).await;
            let rejected = statuses.iter().filter(|status| **status == 401).count();
            let looked_for = usize::from(wave == 0);
            assert!(
                statuses.iter().all(|status| [401, 503].contains(status)) && rejected >= looked_for,
                "{statuses:?}"
            );
        }
        assert_eq!(app.source.requests(), 2 + round, "round {round}");
        known_key_works(&app).await.unwrap();
        assert_eq!(app.source.requests(), 2 + round);
        // Nothing is fetched just before the end of the cool-down.
        app.clock.advance(COOLDOWN - Duration::from_millis(100));
        flood(&app, &format!("{round}-early")).await;
        assert_eq!(
            app.source.requests(),
            2 + round,
            "round {round}, before its end"
        );
        app.clock.advance(Duration::from_millis(100));
    }
}

/// Sends 60 tokens that name unknown keys.
async fn flood(app: &Arc<TestApp>, name: &str) -> Vec<u16> {
    let mut calls = JoinSet::new();
    for at in 0..60 {
        let token = unknown_key_token(app, &format!("unknown-{name}-{at}"));
        let app = Arc::clone(app);
        calls.spawn(async move { app.status(&token).await });
    }
    calls.join_all().await
}

/// The same when the fetches fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_during_failing_fetches_causes_one_fetch_per_cooldown() {
    let mut floods = JoinSet::new();
    for (name, response) in [
        ("500", JwksResponse::Text(500, "text/plain", "no".into())),
        ("resetting", JwksResponse::Reset),
        ("garbage", JwksResponse::json("garbage")),
        ("no keys", JwksResponse::json("{\"keys\":[]}")),
    ] {
        floods.spawn(floods_during_failures(name, response));
    }
    let mut report = Report::new("a flood while fetches fail");
    for (name, outcome) in floods.join_all().await.into_iter().flatten() {
        report.case(name, outcome);
    }
    report.finish();
}

/// Sends floods while the source responds this way, and returns the cases with their outcomes.
async fn floods_during_failures(
    name: &'static str,
    response: JwksResponse,
) -> Vec<(String, Result<(), String>)> {
    let mut cases = Vec::new();
    let mut holds = |case: String, condition: bool, otherwise: String| {
        cases.push((case, condition.then_some(()).ok_or(otherwise)));
    };
    let app = Arc::new(app_with_keys().await);
    app.source.set_response(response);
    for round in 0..4 {
        // The background task retries an unknown number of times; a flood adds one fetch.
        let before = app.source.requests();
        for wave in 0..3 {
            let statuses = flood(&app, &format!("{round}-{wave}")).await;
            holds(
                format!("{name}, round {round}.{wave}: statuses"),
                statuses.iter().all(|status| *status == 503),
                format!("{statuses:?}"),
            );
        }
        let fetches = app.source.requests() - before;
        holds(
            format!("{name}, round {round}: fetches"),
            fetches <= 2,
            format!("{fetches} fetches"),
        );
        let known = known_key_works(&app).await;
        holds(
            format!("{name}, round {round}: known keys"),
            known.is_ok(),
            known.err().unwrap_or_default(),
        );
        app.clock.advance(COOLDOWN);
        pause().await;
    }
    let all = app.source.requests();
    holds(
        format!("{name}: fetches in all"),
        all <= 10,
        format!("{all} fetches in 20 seconds"),
    );
    cases
}

/// A flood while the source hangs does not affect other calls, and gets its responses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_during_a_hanging_fetch_affects_no_known_key() {
    let policy = JwksPolicy::default().fetch_timeout(Duration::from_secs(2));
    let app = Arc::new(app_with_policy(policy).await);
    app.source.set_response(JwksResponse::Hang);
    let started = Instant::now();
    let flood = tokio::spawn({
        let app = Arc::clone(&app);
        async move { flood(&app, "hanging").await }
    });
    app.until_requests(2).await.unwrap();
    for _ in 0..30 {
        known_key_works(&app).await.unwrap();
    }
    let statuses = flood.await.unwrap();
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(
        started.elapsed() < Duration::from_millis(4800),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(app.source.requests(), 2);
    known_key_works(&app).await.unwrap();
}

/// A call with an unknown key gets a response in Forge's time limit while a refresh hangs.
#[tokio::test]
async fn an_unknown_key_during_a_hanging_refresh_gets_a_timely_response() {
    let app = app_with_keys().await;
    app.source.set_response(JwksResponse::Hang);
    app.clock.advance(HOUR.mul_f64(0.81));
    app.until_requests(2).await.unwrap();
    let started = Instant::now();
    assert_eq!(app.status(&unknown_key_token(&app, "unknown")).await, 503);
    let took = started.elapsed();
    assert!(took < Duration::from_millis(4800), "{took:?}");
    known_key_works(&app).await.unwrap();
}

/// An unknown key does not empty the set, regardless of the response to its fetch.
#[tokio::test]
async fn an_unknown_key_does_not_empty_the_set() {
    let mut report = Report::new("an unknown key empties nothing");
    for (name, response) in [
        ("the same keys", JwksResponse::Keys(published())),
        ("no keys", JwksResponse::json("{\"keys\":[]}")),
        (
            "unusable keys",
            JwksResponse::json("{\"keys\":[null,{\"kty\":\"RSA\",\"kid\":\"x\"}]}"),
        ),
        ("null", JwksResponse::json("null")),
        ("500", JwksResponse::Text(500, "text/plain", String::new())),
    ] {
        let app = app_with_keys().await;
        app.source.set_response(response);
        for kid in ["a", "b"] {
            let status = app.status(&unknown_key_token(&app, kid)).await;
            report.holds(
                format!("{name}: status"),
                [401, 503].contains(&status),
                status,
            );
            report.case(
                format!("{name}: the known key"),
                known_key_works(&app).await,
            );
            let fit = app.fit().head("kid", SECOND_KID);
            report.case(
                format!("{name}: the other known key"),
                app.accepts(&app.tick(&fit.sign(second())), &fit).await,
            );
            app.clock.advance(COOLDOWN);
        }
    }
    report.finish();
}

/// A malformed token causes no fetch.
#[tokio::test]
async fn malformed_tokens_cause_no_fetch() {
    let app = app_with_keys().await;
    for token in [
        "rubbish".to_owned(),
        app.fit().head("kid", "x").head("alg", "none").token(),
        app.fit().head("kid", "x").head("alg", "HS256").token(),
        app.fit().head("kid", "x").head("crit", Value::Null).token(),
        app.fit()
            .head("kid", "x")
            .head("jku", app.trap.url())
            .token(),
        app.fit().headless("kid").token(),
        app.fit().head("kid", "").token(),
        app.fit().head("kid", "x".repeat(5000)).token(),
        format!("{}!", app.fit().head("kid", "x").token()),
        app.fit().claim("/exp", 0).token(),
        app.fit().claim("/aud", "x").token(),
    ] {
        assert_eq!(app.status(&token).await, 401, "{token}");
    }
    assert_eq!(app.source.requests(), 1);
}
