//! The life of a key set that was fetched once: refreshed ahead, rotated, kept while its source is
//! down, and never at the cost of those whose key is known.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote_tests::http::Call;
use forge_remote_tests::jws::{FIRST_KID, SECOND_KID, key_set, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rig::{Rig, until};
use forge_remote_tests::rsa::{first, second, stranger, third};
use forge_remote_tests::source::{Answer, KeySource};
use serde_json::Value;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);
const COOLDOWN: Duration = Duration::from_secs(5);
/// Whoever's key is known doesn't wait for the source. (A machine under load may take its time.)
const AT_ONCE: Duration = Duration::from_millis(900);
const THIRD_KID: &str = "forge/invocation-token/wf-f641e7a7-0003";

/// The set after a rotation: the first key is gone, a third is there.
fn rotated() -> Value {
    key_set(&[second().jwk(SECOND_KID), third().jwk(THIRD_KID)])
}

/// A rig that has its keys, by one fetch.
async fn warm() -> Rig {
    warm_with(Answer::Keys(published())).await
}

async fn warm_with(answer: Answer) -> Rig {
    let rig = Rig::with(answer, |app| app).await;
    rig.until_status(200).await.unwrap();
    assert_eq!(rig.source.requests(), 1, "one fetch to get warm");
    rig
}

/// A good call is served, and at once.
async fn known(rig: &Rig) -> Result<(), String> {
    let fit = rig.fit();
    let started = Instant::now();
    rig.let_in(&rig.tick(&fit.token()), &fit).await?;
    let took = started.elapsed();
    if took < AT_ONCE {
        Ok(())
    } else {
        Err(format!("a call with a known key took {took:?}"))
    }
}

fn unknown(rig: &Rig, kid: &str) -> String {
    rig.fit().head("kid", kid).sign(stranger())
}

/// Time for what must not happen to happen.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

/// Misbehaviour of a source that has worked before.
fn misbehaviour() -> Vec<(&'static str, Answer)> {
    let keys = rotated();
    vec![
        (
            "slow",
            Answer::Late(
                Duration::from_secs(20),
                Box::new(Answer::Keys(keys.clone())),
            ),
        ),
        (
            "dripping",
            Answer::Drip(keys.clone(), Duration::from_millis(50)),
        ),
        ("hanging", Answer::Hang),
        ("hanging after the head", Answer::HeadOnly),
        ("not reading", Answer::Ignore),
        ("resetting", Answer::Reset),
        ("resetting inside", Answer::ResetInside(keys.clone())),
        ("cut inside", Answer::CutInside(keys.clone())),
        ("404", Answer::Text(404, "text/plain", "no".into())),
        (
            "404 with keys",
            Answer::Text(404, "application/json", keys.to_string()),
        ),
        ("500", Answer::Text(500, "text/plain", "no".into())),
        (
            "500 with keys",
            Answer::Text(500, "application/json", keys.to_string()),
        ),
        (
            "503 with HTML",
            Answer::Text(503, "text/html", "<h1>maintenance</h1>".into()),
        ),
        (
            "HTML",
            Answer::Text(200, "text/html", "<h1>hotel wifi</h1>".into()),
        ),
        ("garbage", Answer::json("garbage")),
        ("truncated", Answer::json(&keys.to_string()[..100])),
        ("empty", Answer::json("")),
        ("null", Answer::json("null")),
        ("an empty object", Answer::json("{}")),
        ("no keys", Answer::json("{\"keys\":[]}")),
        ("keys null", Answer::json("{\"keys\":null}")),
        (
            "only unusable keys",
            Answer::json("{\"keys\":[{\"kty\":\"EC\",\"kid\":\"x\"},null]}"),
        ),
        (
            "huge",
            Answer::json(format!("{}{keys}", " ".repeat(2 * 1024 * 1024))),
        ),
        ("endless", Answer::Endless),
        ("deep", Answer::json("[".repeat(500_000))),
        (
            "redirecting",
            Answer::Redirect(302, "http://127.0.0.1:1/".into()),
        ),
    ]
}

/// One source that goes bad when the set is due, stays bad past its end, and gets well.
async fn goes_bad(answer: Answer) -> Result<(), String> {
    let rig = warm().await;
    rig.source.answer(answer);

    // An unknown key: it is asked for, in vain; nobody else is hurt.
    let bad = unknown(&rig, "unknown");
    let call = rig.tick(&bad);
    let waiting = rig.send(&call);
    let others = async {
        for _ in 0..5 {
            known(&rig).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<(), String>(())
    };
    let (reply, others) = tokio::join!(waiting, others);
    others.map_err(|error| format!("while an unknown key is looked for: {error}"))?;
    let reply = reply?;
    if reply.status != 503 {
        return Err(format!(
            "{} for an unknown key while the source is bad",
            reply.status
        ));
    }
    known(&rig)
        .await
        .map_err(|error| format!("after an unknown key: {error}"))?;

    // The refresh is due, and fails.
    rig.clock.advance(HOUR.mul_f64(0.81));
    for _ in 0..5 {
        known(&rig)
            .await
            .map_err(|error| format!("while the refresh is under way: {error}"))?;
    }
    // The set is past its end, and the source is still bad.
    rig.clock.advance(HOUR);
    for _ in 0..5 {
        known(&rig)
            .await
            .map_err(|error| format!("past its end: {error}"))?;
    }
    rig.clock.advance(10 * HOUR);
    known(&rig)
        .await
        .map_err(|error| format!("half a day later: {error}"))?;

    // It gets well, with other keys.
    rig.source.answer(Answer::Keys(rotated()));
    rig.clock.advance(Duration::from_secs(120));
    let started = Instant::now();
    loop {
        let fit = rig.fit().head("kid", THIRD_KID);
        let reply = rig.send(&rig.tick(&fit.sign(third()))).await?;
        if reply.status == 200 {
            break;
        }
        if started.elapsed() > Duration::from_secs(5) {
            return Err(format!(
                "still {} for a new key after the source got well",
                reply.status
            ));
        }
        rig.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = rig.status(&rig.fit().token()).await;
    if status == 401 {
        Ok(())
    } else {
        Err(format!("{status} for a removed key"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_goes_bad() {
    let mut tasks = JoinSet::new();
    for (name, answer) in misbehaviour() {
        tasks.spawn(async move { (name, goes_bad(answer).await) });
    }
    let mut report = Report::new("warm, with a source that goes bad");
    while let Some(done) = tasks.join_next().await {
        let (name, outcome) = done.unwrap();
        report.case(name, outcome);
    }
    report.finish();
}

#[tokio::test]
async fn a_source_that_goes_down() {
    let rig = warm().await;
    rig.source.down().await;
    assert_eq!(rig.status(&unknown(&rig, "unknown")).await, 503);
    for _ in 0..23 {
        known(&rig).await.unwrap();
        rig.clock.advance(HOUR);
    }
    known(&rig).await.unwrap();
    // A day is the limit.
    rig.clock.advance(HOUR + Duration::from_secs(60));
    let reply = rig.send(&rig.tick(&rig.fit().token())).await.unwrap();
    assert_eq!(reply.status, 503, "keys of yesterday: {}", reply.text());
    assert!(reply.header("retry-after").is_some());
    assert_eq!(
        rig.send(&Call::new("GET", "/readyz")).await.unwrap().status,
        503
    );
    // And it heals.
    rig.source.up().await;
    rig.clock.advance(Duration::from_secs(60));
    rig.until_status(200).await.unwrap();
    assert_eq!(
        rig.send(&Call::new("GET", "/readyz")).await.unwrap().status,
        200
    );
}

/// All known calls go on being served while a fetch hangs, at any load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_refresh_stalls_nobody() {
    let rig = Arc::new(warm().await);
    rig.source.answer(Answer::Hang);
    rig.clock.advance(HOUR.mul_f64(0.85));
    rig.until_requests(2).await.unwrap();
    let tokens: Vec<String> = (0..100).map(|_| rig.fit().token()).collect();
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for token in tokens {
        let rig = Arc::clone(&rig);
        calls.spawn(async move { rig.status(&token).await });
    }
    assert!(calls.join_all().await.iter().all(|status| *status == 200));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(rig.source.requests(), 2);
}

#[tokio::test]
async fn refreshed_ahead_of_expiry() {
    let rig = warm().await;
    rig.clock.advance(HOUR.mul_f64(0.79));
    a_moment().await;
    assert_eq!(rig.source.requests(), 1, "at 79 %");
    rig.clock.advance(HOUR.mul_f64(0.02));
    rig.until_requests(2).await.unwrap();
    // And again, and again, without a single call.
    for round in 3..8 {
        a_moment().await;
        assert_eq!(rig.source.requests(), round - 1);
        rig.clock.advance(HOUR.mul_f64(0.81));
        rig.until_requests(round).await.unwrap();
    }
    known(&rig).await.unwrap();
}

#[tokio::test]
async fn as_long_as_the_source_says() {
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
        // What says nothing: an hour.
        ("", minutes(60)),
        ("public", minutes(60)),
        ("max-age", minutes(60)),
        ("max-age=", minutes(60)),
        ("max-age=soon", minutes(60)),
        ("max-age=-5", minutes(60)),
        ("stale-while-revalidate=5", minutes(60)),
    ] {
        let rig = warm_with(Answer::KeysFor(published(), cache)).await;
        rig.clock.advance(life.mul_f64(0.78));
        tokio::time::sleep(Duration::from_millis(30)).await;
        let early = rig.source.requests() == 1;
        report.holds(
            format!("{cache:?}: not before 78 % of {life:?}"),
            early,
            "it was",
        );
        rig.clock.advance(life.mul_f64(0.04));
        report.case(
            format!("{cache:?}: at 82 % of {life:?}"),
            rig.until_requests(2).await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn rotation_is_picked_up_at_once() {
    let rig = warm().await;
    rig.source.answer(Answer::Keys(rotated()));
    // The first call with the new key costs a fetch; no time has to pass.
    let fit = rig.fit().head("kid", THIRD_KID);
    rig.let_in(&rig.tick(&fit.sign(third())), &fit)
        .await
        .unwrap();
    assert_eq!(rig.source.requests(), 2);
    // The next don't.
    for _ in 0..5 {
        let fit = rig.fit().head("kid", THIRD_KID);
        rig.let_in(&rig.tick(&fit.sign(third())), &fit)
            .await
            .unwrap();
        let fit = rig.fit().head("kid", SECOND_KID);
        rig.let_in(&rig.tick(&fit.sign(second())), &fit)
            .await
            .unwrap();
    }
    assert_eq!(rig.source.requests(), 2);
    // What was removed is refused.
    assert_eq!(rig.status(&rig.fit().token()).await, 401);
    assert_eq!(rig.source.requests(), 2);
}

/// Also when an attacker has just used up the cool-down.
#[tokio::test]
async fn rotation_within_the_cooldown() {
    let rig = warm().await;
    assert_eq!(rig.status(&unknown(&rig, "x")).await, 401);
    assert_eq!(rig.source.requests(), 2);
    rig.source.answer(Answer::Keys(rotated()));
    let fit = rig.fit().head("kid", THIRD_KID);
    let reply = rig.send(&rig.tick(&fit.sign(third()))).await.unwrap();
    assert_eq!(reply.status, 503, "nobody has looked for this key yet");
    assert!(reply.header("retry-after").is_some());
    // What has been looked for stays refused.
    assert_eq!(rig.status(&unknown(&rig, "x")).await, 401);
    assert_eq!(rig.source.requests(), 2);
    rig.clock.advance(COOLDOWN);
    let fit = rig.fit().head("kid", THIRD_KID);
    rig.let_in(&rig.tick(&fit.sign(third())), &fit)
        .await
        .expect("seconds later");
    assert_eq!(rig.source.requests(), 3);
}

/// A fetch that was under way when the key was published doesn't count.
#[tokio::test]
async fn rotation_during_a_fetch() {
    let rig = Arc::new(warm().await);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    rig.source.answer(Answer::Held(
        Arc::clone(&gate),
        Box::new(Answer::Keys(published())),
    ));
    rig.clock.advance(HOUR.mul_f64(0.81));
    rig.until_requests(2).await.unwrap();
    // The old document is on its way; now the keys rotate.
    rig.source.answer(Answer::Keys(rotated()));
    let fit = rig.fit().head("kid", THIRD_KID);
    let call = rig.tick(&fit.sign(third()));
    let waiting = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move { rig.let_in(&call, &fit).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.add_permits(1);
    waiting.await.unwrap().unwrap();
    assert_eq!(rig.source.requests(), 3);
}

/// Two hundred calls with the new key at once: one fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_under_load() {
    let rig = Arc::new(warm().await);
    rig.source.answer(Answer::Late(
        Duration::from_millis(100),
        Box::new(Answer::Keys(rotated())),
    ));
    let tokens: Vec<String> = (0..200)
        .map(|_| rig.fit().head("kid", THIRD_KID).sign(third()))
        .collect();
    let mut calls = JoinSet::new();
    for token in tokens {
        let rig = Arc::clone(&rig);
        calls.spawn(async move { rig.status(&token).await });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(rig.source.requests(), 2);
}

/// A key is withdrawn: no call with an unknown key has to come for it to be refused.
#[tokio::test]
async fn a_removed_key_is_refused_after_the_refresh() {
    let rig = warm().await;
    rig.source
        .answer(Answer::Keys(key_set(&[second().jwk(SECOND_KID)])));
    known(&rig).await.unwrap();
    rig.clock.advance(HOUR.mul_f64(0.81));
    rig.until_requests(2).await.unwrap();
    let started = Instant::now();
    while rig.status(&rig.fit().token()).await != 401 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a removed key is still let in"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let fit = rig.fit().head("kid", SECOND_KID);
    rig.let_in(&rig.tick(&fit.sign(second())), &fit)
        .await
        .unwrap();
}

/// A key is replaced under the same kid.
#[tokio::test]
async fn a_replaced_key() {
    let rig = warm().await;
    rig.source
        .answer(Answer::Keys(key_set(&[third().jwk(FIRST_KID)])));
    rig.clock.advance(HOUR.mul_f64(0.81));
    rig.until_requests(2).await.unwrap();
    let replaced = until_async(async || rig.status(&rig.fit().sign(third())).await == 200).await;
    assert!(replaced);
    assert_eq!(rig.status(&rig.fit().token()).await, 401);
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

/// However many unknown keys are named: one fetch a cool-down. Those that it looked for are refused;
/// nothing is known of those that came after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys() {
    let rig = Arc::new(warm().await);
    for round in 0..4 {
        for wave in 0..3 {
            let statuses = flood(&rig, &format!("{round}-{wave}")).await;
            let refused = statuses.iter().filter(|status| **status == 401).count();
            let looked_for = usize::from(wave == 0);
            assert!(
                statuses.iter().all(|status| [401, 503].contains(status)) && refused >= looked_for,
                "{statuses:?}"
            );
        }
        assert_eq!(rig.source.requests(), 2 + round, "round {round}");
        known(&rig).await.unwrap();
        assert_eq!(rig.source.requests(), 2 + round);
        // Just before the end of the cool-down nothing is fetched.
        rig.clock.advance(COOLDOWN - Duration::from_millis(100));
        flood(&rig, &format!("{round}-early")).await;
        assert_eq!(
            rig.source.requests(),
            2 + round,
            "round {round}, before its end"
        );
        rig.clock.advance(Duration::from_millis(100));
    }
}

/// 60 tokens with keys that nobody has.
async fn flood(rig: &Arc<Rig>, name: &str) -> Vec<u16> {
    let mut calls = JoinSet::new();
    for at in 0..60 {
        let token = unknown(rig, &format!("unknown-{name}-{at}"));
        let rig = Arc::clone(rig);
        calls.spawn(async move { rig.status(&token).await });
    }
    calls.join_all().await
}

/// Also when the fetches fail, one way or another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_while_fetches_fail() {
    let mut report = Report::new("a flood while fetches fail");
    for (name, answer) in [
        ("500", Answer::Text(500, "text/plain", "no".into())),
        ("resetting", Answer::Reset),
        ("garbage", Answer::json("garbage")),
        ("no keys", Answer::json("{\"keys\":[]}")),
    ] {
        let rig = Arc::new(warm().await);
        rig.source.answer(answer);
        for round in 0..4 {
            // How often the background task has tried by itself, nobody can say; a flood adds one.
            let before = rig.source.requests();
            for wave in 0..3 {
                let statuses = flood(&rig, &format!("{round}-{wave}")).await;
                let right = statuses.iter().all(|status| *status == 503);
                report.holds(
                    format!("{name}, round {round}.{wave}: statuses"),
                    right,
                    format!("{statuses:?}"),
                );
            }
            let fetches = rig.source.requests() - before;
            report.holds(
                format!("{name}, round {round}: fetches"),
                fetches <= 2,
                format!("{fetches} fetches"),
            );
            report.case(
                format!("{name}, round {round}: known keys"),
                known(&rig).await,
            );
            rig.clock.advance(COOLDOWN);
            a_moment().await;
        }
        let all = rig.source.requests();
        report.holds(
            format!("{name}: fetches in all"),
            all <= 10,
            format!("{all} fetches in 20 seconds"),
        );
    }
    report.finish();
}

/// A flood while the source hangs: nobody else notices, and the flood itself ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_while_the_source_hangs() {
    let rig = Arc::new(warm().await);
    rig.source.answer(Answer::Hang);
    let started = Instant::now();
    let flood = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move { flood(&rig, "hanging").await }
    });
    rig.until_requests(2).await.unwrap();
    for _ in 0..30 {
        known(&rig).await.unwrap();
    }
    let statuses = flood.await.unwrap();
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(
        started.elapsed() < Duration::from_millis(4800),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(rig.source.requests(), 2);
    known(&rig).await.unwrap();
}

/// Also who names an unknown key while a refresh hangs is answered in the time that Forge gives.
#[tokio::test]
async fn an_unknown_key_during_a_hanging_refresh() {
    let rig = warm().await;
    rig.source.answer(Answer::Hang);
    rig.clock.advance(HOUR.mul_f64(0.81));
    rig.until_requests(2).await.unwrap();
    let started = Instant::now();
    assert_eq!(rig.status(&unknown(&rig, "unknown")).await, 503);
    let took = started.elapsed();
    assert!(took < Duration::from_millis(4800), "{took:?}");
    known(&rig).await.unwrap();
}

/// An unknown key doesn't empty the set, whatever the answer to the fetch that it causes.
#[tokio::test]
async fn an_unknown_key_empties_nothing() {
    let mut report = Report::new("an unknown key empties nothing");
    for (name, answer) in [
        ("the same keys", Answer::Keys(published())),
        ("no keys", Answer::json("{\"keys\":[]}")),
        (
            "unusable keys",
            Answer::json("{\"keys\":[null,{\"kty\":\"RSA\",\"kid\":\"x\"}]}"),
        ),
        ("null", Answer::json("null")),
        ("500", Answer::Text(500, "text/plain", String::new())),
    ] {
        let rig = warm().await;
        rig.source.answer(answer);
        for kid in ["a", "b"] {
            let status = rig.status(&unknown(&rig, kid)).await;
            report.holds(
                format!("{name}: status"),
                [401, 503].contains(&status),
                status,
            );
            report.case(format!("{name}: the known key"), known(&rig).await);
            let fit = rig.fit().head("kid", SECOND_KID);
            report.case(
                format!("{name}: the other known key"),
                rig.let_in(&rig.tick(&fit.sign(second())), &fit).await,
            );
            rig.clock.advance(COOLDOWN);
        }
    }
    report.finish();
}

/// A token that is refused for its form costs no fetch at all.
#[tokio::test]
async fn malformed_tokens_cost_no_fetch() {
    let rig = warm().await;
    for token in [
        "rubbish".to_owned(),
        rig.fit().head("kid", "x").head("alg", "none").token(),
        rig.fit().head("kid", "x").head("alg", "HS256").token(),
        rig.fit().head("kid", "x").head("crit", Value::Null).token(),
        rig.fit()
            .head("kid", "x")
            .head("jku", rig.trap.url())
            .token(),
        rig.fit().headless("kid").token(),
        rig.fit().head("kid", "").token(),
        rig.fit().head("kid", "x".repeat(5000)).token(),
        format!("{}!", rig.fit().head("kid", "x").token()),
        rig.fit().claim("/exp", 0).token(),
        rig.fit().claim("/aud", "x").token(),
    ] {
        assert_eq!(rig.status(&token).await, 401, "{token}");
    }
    assert_eq!(rig.source.requests(), 1);
}

/// The bad entries of a new document hide none of its good ones.
#[tokio::test]
async fn bad_keys_beside_good_ones() {
    let rig = warm().await;
    let mut keys = rotated()["keys"].as_array().unwrap().clone();
    let mut entries = vec![
        Value::Null,
        serde_json::json!({"kid": 1}),
        serde_json::json!({"kty": "RSA", "kid": THIRD_KID, "n": "", "e": "AQAB"}),
    ];
    entries.append(&mut keys);
    entries.push(serde_json::json!({"kty": "RSA", "kid": SECOND_KID, "n": "AQ", "e": "AQ"}));
    rig.source.answer(Answer::Keys(key_set(&entries)));
    for (kid, key) in [(THIRD_KID, third()), (SECOND_KID, second())] {
        let fit = rig.fit().head("kid", kid);
        rig.let_in(&rig.tick(&fit.sign(key)), &fit)
            .await
            .expect(kid);
    }
    assert_eq!(rig.status(&rig.fit().sign(first())).await, 401);
}

/// When the app is told to stop, it stops asking for keys.
#[tokio::test]
async fn nothing_is_fetched_for_an_app_that_has_stopped() {
    let source = KeySource::start(Answer::Keys(published())).await;
    let seen = forge_remote_tests::handlers::Seen::default();
    let clock = forge_remote::testing::TestClock::new();
    let app = forge_remote_tests::rig::usual(&source, &seen).clock(clock.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(app.build().unwrap().serve(listener, async {
        let _ = stopped.await;
    }));
    assert!(until(|| source.requests() == 1).await);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    clock.advance(10 * HOUR);
    a_moment().await;
    assert_eq!(source.requests(), 1);
}
