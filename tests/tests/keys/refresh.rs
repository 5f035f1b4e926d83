//! A fetched key set is refreshed ahead, outlives outages, and never delays calls with known keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote::fit::JwksPolicy;
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{SECOND_KID, key_set, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, second, stranger, third};
use forge_remote_tests::test_app::{TestApp, eventually};
use serde_json::Value;
use tokio::task::JoinSet;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const COOLDOWN: Duration = Duration::from_secs(5);
/// Time limit for a call whose key is known. A call that waits for the source takes 2 s.
const AT_ONCE: Duration = Duration::from_millis(1800);
pub(crate) const THIRD_KID: &str = "forge/invocation-token/wf-f641e7a7-0003";

/// Returns the set after a rotation, with a third key instead of the first.
pub(crate) fn rotated() -> Value {
    key_set(&[second().jwk(SECOND_KID), third().jwk(THIRD_KID)])
}

/// Starts an app that has fetched its keys once.
pub(crate) async fn app_with_keys() -> TestApp {
    app_with_keys_from(JwksResponse::Keys(published())).await
}

async fn app_with_keys_from(response: JwksResponse) -> TestApp {
    fetched(TestApp::with(response, |app| app).await).await
}

/// Starts an app with this policy that has fetched its keys once.
pub(crate) async fn app_with_policy(policy: JwksPolicy) -> TestApp {
    let keys = JwksResponse::Keys(published());
    fetched(TestApp::with(keys, |app| app.jwks_policy(policy)).await).await
}

async fn fetched(app: TestApp) -> TestApp {
    app.until_status(200).await.unwrap();
    assert_eq!(app.source.requests(), 1, "one fetch for the first keys");
    app
}

/// Checks that a valid call is served without delay.
pub(crate) async fn known_key_works(app: &TestApp) -> Result<(), String> {
    let fit = app.fit();
    let started = Instant::now();
    app.accepts(&app.tick(&fit.token()), &fit).await?;
    let took = started.elapsed();
    if took < AT_ONCE {
        Ok(())
    } else {
        Err(format!("a call with a known key took {took:?}"))
    }
}

pub(crate) fn unknown_key_token(app: &TestApp, kid: &str) -> String {
    app.fit().head("kid", kid).sign(stranger())
}

/// Waits long enough for an unwanted event to happen.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

/// Returns misbehaviour of a source that has worked before.
fn misbehaviour() -> Vec<(&'static str, JwksResponse)> {
    let keys = rotated();
    vec![
        (
            "slow",
            JwksResponse::Late(
                Duration::from_secs(20),
                Box::new(JwksResponse::Keys(keys.clone())),
            ),
        ),
        (
            "dripping",
            JwksResponse::Drip(keys.clone(), Duration::from_millis(50)),
        ),
        ("hanging", JwksResponse::Hang),
        ("hanging after the head", JwksResponse::HeadOnly),
        ("not reading", JwksResponse::Ignore),
        ("resetting", JwksResponse::Reset),
        ("resetting inside", JwksResponse::ResetInside(keys.clone())),
        ("cut inside", JwksResponse::CutInside(keys.clone())),
        ("404", JwksResponse::Text(404, "text/plain", "no".into())),
        (
            "404 with keys",
            JwksResponse::Text(404, "application/json", keys.to_string()),
        ),
        ("500", JwksResponse::Text(500, "text/plain", "no".into())),
        (
            "500 with keys",
            JwksResponse::Text(500, "application/json", keys.to_string()),
        ),
        (
            "503 with HTML",
            JwksResponse::Text(503, "text/html", "<h1>maintenance</h1>".into()),
        ),
        (
            "HTML",
            JwksResponse::Text(200, "text/html", "<h1>hotel wifi</h1>".into()),
        ),
        ("garbage", JwksResponse::json("garbage")),
        ("truncated", JwksResponse::json(&keys.to_string()[..100])),
        ("empty", JwksResponse::json("")),
        ("null", JwksResponse::json("null")),
        ("an empty object", JwksResponse::json("{}")),
        ("no keys", JwksResponse::json("{\"keys\":[]}")),
        ("keys null", JwksResponse::json("{\"keys\":null}")),
        (
            "only unusable keys",
            JwksResponse::json("{\"keys\":[{\"kty\":\"EC\",\"kid\":\"x\"},null]}"),
        ),
        (
            "huge",
            JwksResponse::json(format!("{}{keys}", " ".repeat(2 * 1024 * 1024))),
        ),
        ("endless", JwksResponse::Endless),
        ("deep", JwksResponse::json("[".repeat(500_000))),
        (
            "redirecting",
            JwksResponse::Redirect(302, "http://127.0.0.1:1/".into()),
        ),
    ]
}

/// Tests a source that fails when a refresh is due, keeps failing past the expiry, and recovers.
async fn fail_then_recover(response: JwksResponse) -> Result<(), String> {
    let app = app_with_policy(response.jwks_policy()).await;
    app.source.set_response(response);

    // The fetch for an unknown key fails without affecting other calls.
    let bad = unknown_key_token(&app, "unknown");
    let call = app.tick(&bad);
    let waiting = app.send(&call);
    let others = async {
        for _ in 0..5 {
            known_key_works(&app).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<(), String>(())
    };
    let (response, others) = tokio::join!(waiting, others);
    others.map_err(|error| format!("while an unknown key is looked for: {error}"))?;
    let response = response?;
    if response.status != 503 {
        return Err(format!(
            "{} for an unknown key while the source is bad",
            response.status
        ));
    }
    known_key_works(&app)
        .await
        .map_err(|error| format!("after an unknown key: {error}"))?;

    // The refresh is due, and fails.
    app.clock.advance(HOUR.mul_f64(0.81));
    for _ in 0..5 {
        known_key_works(&app)
            .await
            .map_err(|error| format!("while the refresh is under way: {error}"))?;
    }
    // The set has expired, and the source still fails.
    app.clock.advance(HOUR);
    for _ in 0..5 {
        known_key_works(&app)
            .await
            .map_err(|error| format!("past its expiry: {error}"))?;
    }
    app.clock.advance(10 * HOUR);
    known_key_works(&app)
        .await
        .map_err(|error| format!("half a day later: {error}"))?;

    // The source recovers with other keys.
    app.source.set_response(JwksResponse::Keys(rotated()));
    app.clock.advance(Duration::from_secs(120));
    let started = Instant::now();
    loop {
        let fit = app.fit().head("kid", THIRD_KID);
        let response = app.send(&app.tick(&fit.sign(third()))).await?;
        if response.status == 200 {
            break;
        }
        if started.elapsed() > Duration::from_secs(5) {
            return Err(format!(
                "still {} for a new key after the source recovered",
                response.status
            ));
        }
        app.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = app.status(&app.fit().token()).await;
    if status == 401 {
        Ok(())
    } else {
        Err(format!("{status} for a removed key"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_source_does_not_affect_known_keys() {
    let mut tasks = JoinSet::new();
    for (name, response) in misbehaviour() {
        tasks.spawn(async move { (name, fail_then_recover(response).await) });
    }
    let mut report = Report::new("warm, with a source that goes bad");
    while let Some(done) = tasks.join_next().await {
        let (name, outcome) = done.unwrap();
        report.case(name, outcome);
    }
    report.finish();
}

#[tokio::test]
async fn keys_outlive_a_source_that_is_down_for_a_day() {
    let app = app_with_keys().await;
    app.source.down().await;
    assert_eq!(app.status(&unknown_key_token(&app, "unknown")).await, 503);
    for _ in 0..23 {
        known_key_works(&app).await.unwrap();
        app.clock.advance(HOUR);
    }
    known_key_works(&app).await.unwrap();
    // A day is the limit.
    app.clock.advance(HOUR + Duration::from_secs(60));
    let response = app.send(&app.tick(&app.fit().token())).await.unwrap();
    assert_eq!(
        response.status,
        503,
        "keys of yesterday: {}",
        response.text()
    );
    assert!(response.header("retry-after").is_some());
    assert_eq!(
        app.send(&Call::new("GET", "/readyz")).await.unwrap().status,
        503
    );
    // The app recovers.
    app.source.up().await;
    app.clock.advance(Duration::from_secs(60));
    app.until_status(200).await.unwrap();
    assert_eq!(
        app.send(&Call::new("GET", "/readyz")).await.unwrap().status,
        200
    );
}

/// Keys that were withdrawn while the source is down are trusted for no longer than the app configures.
#[tokio::test]
async fn keys_end_at_the_configured_limits() {
    let policy = JwksPolicy::default().time_to_live(HOUR / 6).max_stale(HOUR);
    let keys = JwksResponse::Keys(published());
    let app = TestApp::with(keys, |app| app.jwks_policy(policy)).await;
    app.until_status(200).await.unwrap();
    app.clock.advance(Duration::from_secs(60 * 7));
    pause().await;
    assert_eq!(app.source.requests(), 1, "at 70 % of ten minutes");
    app.clock.advance(Duration::from_secs(90));
    app.until_requests(2).await.unwrap();
    app.source.down().await;
    app.clock.advance(HOUR - Duration::from_secs(60));
    known_key_works(&app).await.unwrap();
    app.clock.advance(Duration::from_secs(120));
    assert_eq!(app.status(&app.fit().token()).await, 503, "after an hour");
}

/// Calls with known keys are served under any load while a fetch hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_refresh_delays_no_known_key() {
    let app = Arc::new(app_with_keys().await);
    app.source.set_response(JwksResponse::Hang);
    app.clock.advance(HOUR.mul_f64(0.85));
    app.until_requests(2).await.unwrap();
    let tokens: Vec<String> = (0..100).map(|_| app.fit().token()).collect();
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for token in tokens {
        let app = Arc::clone(&app);
        calls.spawn(async move { app.status(&token).await });
    }
    assert!(calls.join_all().await.iter().all(|status| *status == 200));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(app.source.requests(), 2);
}

#[tokio::test]
async fn keys_are_refreshed_ahead_of_expiry() {
    let app = app_with_keys().await;
    app.clock.advance(HOUR.mul_f64(0.79));
    pause().await;
    assert_eq!(app.source.requests(), 1, "at 79 %");
    app.clock.advance(HOUR.mul_f64(0.02));
    app.until_requests(2).await.unwrap();
    // The refreshes continue without any calls.
    for round in 3..8 {
        pause().await;
        assert_eq!(app.source.requests(), round - 1);
        app.clock.advance(HOUR.mul_f64(0.81));
        app.until_requests(round).await.unwrap();
    }
    known_key_works(&app).await.unwrap();
}

#[tokio::test]
async fn keys_live_as_long_as_the_source_says() {
    let mut report = Report::new("Cache-Control");
    let minutes = |count: u64| Duration::from_secs(60 * count);
    for (cache, life) in [
        ("max-age=600", minutes(10)),
        ("public, max-age=600", minutes(10)),
        ("max-age=600, public, immutable", minutes(10)),
        ("Max-Age=600", minutes(10)),
        ("max-age=\"600\"", minutes(10)),
        ("max-age=3599", Duration::from_secs(3599)),
        // Two header lines are one list (RFC 9110, section 5.3).
        ("public\r\nCache-Control: max-age=600", minutes(10)),
        // From a minute to an hour: a key that is withdrawn must not live for a day.
        ("max-age=5", minutes(1)),
        ("max-age=0", minutes(1)),
        ("no-store", minutes(1)),
        ("no-cache", minutes(1)),
        ("private, no-cache, max-age=600", minutes(1)),
        ("max-age=7200", minutes(60)),
        ("max-age=86400", minutes(60)),
        ("max-age=999999999", minutes(60)),
        ("max-age=18446744073709551615", minutes(60)),
        // Without a lifetime: an hour.
        ("", minutes(60)),
        ("public", minutes(60)),
        ("max-age", minutes(60)),
        ("max-age=", minutes(60)),
        ("max-age=soon", minutes(60)),
        ("max-age=-5", minutes(60)),
        ("stale-while-revalidate=5", minutes(60)),
    ] {
        let app = app_with_keys_from(JwksResponse::KeysFor(published(), cache)).await;
        app.clock.advance(life.mul_f64(0.78));
        tokio::time::sleep(Duration::from_millis(30)).await;
        let early = app.source.requests() == 1;
        report.holds(
            format!("{cache:?}: not before 78 % of {life:?}"),
            early,
            "it was",
        );
        app.clock.advance(life.mul_f64(0.04));
        report.case(
            format!("{cache:?}: at 82 % of {life:?}"),
            app.until_requests(2).await,
        );
    }
    report.finish();
}

/// Unusable entries of a new document do not hide its valid ones.
#[tokio::test]
async fn unusable_keys_do_not_hide_valid_ones() {
    let app = app_with_keys().await;
    let mut keys = rotated()["keys"].as_array().unwrap().clone();
    let mut entries = vec![
        Value::Null,
        serde_json::json!({"kid": 1}),
        serde_json::json!({"kty": "RSA", "kid": THIRD_KID, "n": "", "e": "AQAB"}),
    ];
    entries.append(&mut keys);
    entries.push(serde_json::json!({"kty": "RSA", "kid": SECOND_KID, "n": "AQ", "e": "AQ"}));
    app.source
        .set_response(JwksResponse::Keys(key_set(&entries)));
    for (kid, key) in [(THIRD_KID, third()), (SECOND_KID, second())] {
        let fit = app.fit().head("kid", kid);
        app.accepts(&app.tick(&fit.sign(key)), &fit)
            .await
            .expect(kid);
    }
    assert_eq!(app.status(&app.fit().sign(first())).await, 401);
}

/// An app that is shut down stops fetching keys.
#[tokio::test]
async fn a_stopped_app_fetches_nothing() {
    let source = JwksServer::start(JwksResponse::Keys(published())).await;
    let seen = forge_remote_tests::handlers::Seen::default();
    let clock = forge_remote::testing::TestClock::new();
    let app = forge_remote_tests::test_app::default_app(&source, &seen).clock(clock.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(app.build().unwrap().serve(listener, async {
        let _ = stopped.await;
    }));
    assert!(eventually(|| source.requests() == 1).await);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    clock.advance(10 * HOUR);
    pause().await;
    assert_eq!(source.requests(), 1);
}
