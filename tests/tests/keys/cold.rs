//! The key-set source misbehaves before the app has any keys: nobody is let in, everybody is told
//! to try again, and it heals by itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote_tests::http::{Call, Reply};
use forge_remote_tests::jws::published;
use forge_remote_tests::report::Report;
use forge_remote_tests::rig::{Rig, until, usual};
use forge_remote_tests::source::{Answer, KeySource};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Whoever has to wait for keys waits less than Forge does: 5 seconds.
const FORGES_PATIENCE: Duration = Duration::from_millis(4800);

/// The answer to a call while there are no keys.
fn is_unavailable(reply: &Reply) -> Result<(), String> {
    if reply.status != 503 {
        return Err(format!("{} instead of 503: {}", reply.status, reply.text()));
    }
    let retry: Option<u64> = reply
        .header("retry-after")
        .and_then(|value| value.parse().ok());
    if !retry.is_some_and(|seconds| (1..=60).contains(&seconds)) {
        return Err(format!("Retry-After is {:?}", reply.header("retry-after")));
    }
    if reply.header("content-type") != Some("application/json")
        || !reply.json()["error"].is_object()
    {
        return Err(format!("not JSON: {}", reply.text()));
    }
    Ok(())
}

/// Misbehaviour, by name. Each has the right keys in it, wherever that is possible: they must not
/// be taken all the same.
fn misbehaviour(elsewhere: &str) -> Vec<(String, Answer)> {
    let keys = published();
    let good = keys.to_string();
    let mut cases: Vec<(String, Answer)> = Vec::new();
    let mut case = |name: &str, answer: Answer| cases.push((name.to_owned(), answer));
    let text = |body: &str| Answer::json(body);
    let raw = |text: String| Answer::Bytes(text.into_bytes());

    // Slow.
    case(
        "slow",
        Answer::Late(
            Duration::from_secs(20),
            Box::new(Answer::Keys(keys.clone())),
        ),
    );
    case(
        "dripping",
        Answer::Drip(keys.clone(), Duration::from_millis(50)),
    );
    case("hanging", Answer::Hang);
    case("hanging after the head", Answer::HeadOnly);
    case("not reading", Answer::Ignore);
    // Broken connections.
    case("resetting", Answer::Reset);
    case("resetting inside", Answer::ResetInside(keys.clone()));
    case("cut inside", Answer::CutInside(keys.clone()));
    case("closing without a word", Answer::Bytes(Vec::new()));
    case(
        "cut inside a chunk",
        raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{good}",
            good.len() + 10
        )),
    );
    case(
        "no last chunk",
        raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n",
            good.len()
        )),
    );
    case("not HTTP", raw(format!("SSH-2.0-OpenSSH_9.9\r\n{good}")));
    case("keys without HTTP", raw(good.clone()));
    case(
        "a status that is none",
        raw(format!("HTTP/1.1 xyz OK\r\n\r\n{good}")),
    );
    // Statuses, with the right keys and with others.
    for status in [
        201, 202, 203, 206, 300, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504, 599,
    ] {
        case(
            &format!("{status} with keys"),
            Answer::Text(status, "application/json", good.clone()),
        );
    }
    for status in [404, 500, 503] {
        case(
            &format!("{status} empty"),
            Answer::Text(status, "text/plain", String::new()),
        );
        case(
            &format!("{status} with HTML"),
            Answer::Text(status, "text/html", "<h1>no</h1>".into()),
        );
    }
    case(
        "204",
        raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".into()),
    );
    case(
        "304",
        raw("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".into()),
    );
    case(
        "100 and no more",
        raw("HTTP/1.1 100 Continue\r\n\r\n".into()),
    );
    // Redirects.
    for status in [301, 302, 303, 307, 308] {
        case(
            &format!("redirecting with {status}"),
            Answer::Redirect(status, elsewhere.to_owned()),
        );
    }
    case(
        "redirecting by refresh",
        raw(format!(
            "HTTP/1.1 200 OK\r\nRefresh: 0; url={elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )),
    );
    case(
        "redirecting by HTML",
        Answer::Text(
            200,
            "text/html",
            format!("<meta http-equiv=refresh content=\"0;url={elsewhere}\">"),
        ),
    );
    case(
        "200 with a location",
        raw(format!(
            "HTTP/1.1 200 OK\r\nLocation: {elsewhere}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        )),
    );
    // What isn't a key set.
    case(
        "HTML",
        Answer::Text(
            200,
            "text/html",
            "<!doctype html><title>Login</title>".into(),
        ),
    );
    case(
        "HTML with the keys",
        Answer::Text(200, "text/html", format!("<pre>{good}</pre>")),
    );
    case(
        "garbage",
        Answer::Text(200, "application/json", "\u{1}\u{2}\u{3}garbage".into()),
    );
    case("truncated", text(&good[..good.len() - 1]));
    case("half", text(&good[..good.len() / 2]));
    case("twice", text(&format!("{good}{good}")));
    case("with more behind", text(&format!("{good} x")));
    case("with a byte order mark", text(&format!("\u{feff}{good}")));
    case("empty", text(""));
    case("blank", text("  \n"));
    case("null", text("null"));
    case("true", text("true"));
    case("a number", text("1"));
    case("a string", text(&json!(good).to_string()));
    case("an empty object", text("{}"));
    case("an empty list", text("[]"));
    case("a list of keys", text(&keys["keys"].to_string()));
    case(
        "a list of the list of keys",
        text(&json!([keys["keys"]]).to_string()),
    );
    case("a list of the set", text(&json!([keys]).to_string()));
    case(
        "the set inside another",
        text(&json!({ "jwks": keys }).to_string()),
    );
    case("a single key", text(&keys["keys"][0].to_string()));
    case(
        "keys in capitals",
        text(&json!({ "KEYS": keys["keys"] }).to_string()),
    );
    for (name, inside) in [
        ("null", Value::Null),
        ("true", json!(true)),
        ("a number", json!(2)),
        ("a string", json!(keys["keys"].to_string())),
        ("an object", json!({})),
        (
            "an object of keys",
            json!({ "0": keys["keys"][0], "1": keys["keys"][1] }),
        ),
        ("an empty list", json!([])),
        ("a list of null", json!([null, null])),
        ("a list of a list", json!([keys["keys"]])),
        ("a list of texts", json!([keys["keys"][0].to_string()])),
    ] {
        case(
            &format!("keys are {name}"),
            text(&json!({ "keys": inside }).to_string()),
        );
    }
    case(
        "keys twice",
        text(&format!("{{\"keys\":[],\"keys\":{}}}", keys["keys"])),
    );
    // Huge and deep.
    let blanks = " ".repeat(2 * 1024 * 1024);
    case("huge", text(&format!("{blanks}{good}")));
    case("huge behind", text(&format!("{good}{blanks}")));
    case(
        "huge without a length",
        raw(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{blanks}{good}"
        )),
    );
    case(
        "a length of an exabyte",
        raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\n{good}"
        )),
    );
    case("endless", Answer::Endless);
    case(
        "an endless head",
        raw(format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(200_000))),
    );
    case("deep", text(&"[".repeat(500_000)));
    case(
        "deep and closed",
        text(&format!("{}{}", "[".repeat(200_000), "]".repeat(200_000))),
    );
    case("deep objects", text(&"{\"keys\":".repeat(100_000)));
    case(
        "deep inside keys, never closed",
        text(&format!("{{\"keys\":[{}", "[".repeat(500_000))),
    );
    case(
        "deep inside a member, never closed",
        text(&format!("{{\"x\":{}", "[".repeat(500_000))),
    );
    cases
}

/// One source that misbehaves from the start, then doesn't.
async fn cold(answer: Answer) -> Result<(), String> {
    let rig = Rig::with(answer, |app| app).await;
    let fit = rig.fit();
    let started = Instant::now();
    let reply = rig.send(&rig.tick(&fit.token())).await?;
    let took = started.elapsed();
    is_unavailable(&reply)?;
    if took > FORGES_PATIENCE {
        return Err(format!("the answer took {took:?}"));
    }
    // A bad token isn't let in either, nor one that is no token at all.
    let reply = rig.send(&rig.tick("rubbish")).await?;
    if ![401, 503].contains(&reply.status) {
        return Err(format!("{} for a bad token", reply.status));
    }
    let health = [("/healthz", 200), ("/readyz", 503)];
    for (path, status) in health {
        let reply = rig.send(&Call::new("GET", path)).await?;
        if reply.status != status {
            return Err(format!("{path} is {}: {}", reply.status, reply.text()));
        }
    }
    if rig.seen.count() != 0 {
        return Err("the handler ran".into());
    }

    // It gets well.
    rig.source.answer(Answer::Keys(published()));
    rig.clock.advance(Duration::from_secs(10));
    rig.until_status(200).await?;
    let fit = rig.fit();
    rig.let_in(&rig.tick(&fit.token()), &fit).await?;
    let reply = rig.send(&Call::new("GET", "/readyz")).await?;
    if reply.status != 200 {
        return Err(format!("/readyz is {} afterwards", reply.status));
    }
    if rig.trap.connections() > 0 {
        return Err("the attacker's URL was fetched".into());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misbehaving_source() {
    let elsewhere = KeySource::start(Answer::Keys(published())).await;
    let mut tasks = JoinSet::new();
    for (name, answer) in misbehaviour(&elsewhere.url()) {
        tasks.spawn(async move { (name, cold(answer).await) });
    }
    let mut report = Report::new("cold, with a misbehaving source");
    while let Some(done) = tasks.join_next().await {
        let (name, outcome) = done.unwrap();
        report.case(name, outcome);
    }
    report.holds(
        "no redirect was followed",
        elsewhere.connections() == 0,
        format!("{} connections", elsewhere.connections()),
    );
    report.finish();
}

#[tokio::test]
async fn a_source_that_is_down() {
    let source = KeySource::start(Answer::Keys(published())).await;
    source.down().await;
    let rig = Rig::on(source, |app| app).await;
    for _ in 0..3 {
        let reply = rig.send(&rig.tick(&rig.fit().token())).await.unwrap();
        is_unavailable(&reply).unwrap();
        rig.clock.advance(Duration::from_secs(7));
    }
    assert_eq!(rig.seen.count(), 0);
    rig.source.up().await;
    rig.clock.advance(Duration::from_secs(7));
    rig.until_status(200).await.unwrap();
}

/// Nobody has to call for it to heal.
#[tokio::test]
async fn it_heals_without_requests() {
    let rig = Rig::with(Answer::Text(500, "text/plain", "no".into()), |app| app).await;
    rig.until_requests(1).await.unwrap();
    rig.source.answer(Answer::Keys(published()));
    let mut asked = 1;
    while asked < 3 && !ready(&rig).await {
        rig.clock.advance(Duration::from_secs(6));
        let _ = until(|| rig.source.requests() > asked).await;
        asked = rig.source.requests();
    }
    assert!(until_ready(&rig).await);
    assert_eq!(rig.seen.count(), 0);
}

async fn ready(rig: &Rig) -> bool {
    rig.send(&Call::new("GET", "/readyz")).await.unwrap().status == 200
}

async fn until_ready(rig: &Rig) -> bool {
    let started = Instant::now();
    while !ready(rig).await {
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// With the machine's own clock, as in production: seconds, not minutes.
#[tokio::test]
async fn it_heals_by_the_real_clock() {
    let source = KeySource::start(Answer::Text(503, "text/plain", "no".into())).await;
    let seen = forge_remote_tests::handlers::Seen::default();
    let app = usual(&source, &seen);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(app.build().unwrap().serve(listener, std::future::pending()));
    let call = || {
        let fit = forge_remote_tests::jws::Fit::backend(std::time::SystemTime::now(), "tick");
        Call::post("/tick").bearer(&fit.token())
    };
    let reply = forge_remote_tests::http::send(address, &call())
        .await
        .unwrap();
    is_unavailable(&reply).unwrap();
    source.answer(Answer::Keys(published()));
    let started = Instant::now();
    loop {
        let reply = forge_remote_tests::http::send(address, &call())
            .await
            .unwrap();
        if reply.status == 200 {
            break;
        }
        assert_eq!(reply.status, 503);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "it does not heal"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen.count(), 1);
}

/// Many calls cost a source that is down no more than one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_source_is_spared() {
    let rig = Arc::new(Rig::with(Answer::Text(500, "text/plain", "no".into()), |app| app).await);
    rig.until_requests(1).await.unwrap();
    let mut most = rig.source.requests();
    for _ in 0..4 {
        let mut calls = JoinSet::new();
        for _ in 0..50 {
            let rig = Arc::clone(&rig);
            calls.spawn(async move { rig.status(&rig.fit().token()).await });
        }
        for status in calls.join_all().await {
            assert_eq!(status, 503);
        }
        // The clock stands still, so at most one more fetch is due.
        assert!(
            rig.source.requests() <= most + 1,
            "{} fetches, then {}",
            most,
            rig.source.requests()
        );
        most = rig.source.requests();
        rig.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(rig.seen.count(), 0);
}

/// Two hundred first calls at once: one fetch, and all are let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_calls_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Answer::Held(Arc::clone(&gate), Box::new(Answer::Keys(published())));
    let rig = Arc::new(Rig::with(held, |app| app).await);
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let rig = Arc::clone(&rig);
        calls.spawn(async move { rig.status(&rig.fit().token()).await });
    }
    rig.until_requests(1).await.unwrap();
    // Most of them have arrived by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.add_permits(1000);
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(rig.source.requests(), 1);
    assert_eq!(rig.source.connections(), 1);
    assert_eq!(rig.seen.count(), 200);
}

/// The same where the fetch ends while calls arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_calls_while_the_fetch_ends() {
    for round in 0..20 {
        let rig = Arc::new(Rig::start().await);
        let tokens: Vec<String> = (0..20).map(|_| rig.fit().token()).collect();
        let mut calls = JoinSet::new();
        for token in tokens {
            let rig = Arc::clone(&rig);
            calls.spawn(async move { rig.status(&token).await });
        }
        let statuses = calls.join_all().await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        assert_eq!(rig.source.requests(), 1, "round {round}");
    }
}

/// Two hundred first calls at a source that answers nothing: one fetch, nobody hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_calls_at_a_hanging_source() {
    let rig = Arc::new(Rig::with(Answer::Hang, |app| app).await);
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let rig = Arc::clone(&rig);
        calls.spawn(async move { rig.status(&rig.fit().token()).await });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(
        started.elapsed() < FORGES_PATIENCE,
        "{:?}",
        started.elapsed()
    );
    assert_eq!(rig.source.requests(), 1);
    assert_eq!(rig.seen.count(), 0);
}

/// A caller that goes away doesn't take the fetch along.
#[tokio::test]
async fn the_first_caller_hangs_up() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Answer::Held(Arc::clone(&gate), Box::new(Answer::Keys(published())));
    let rig = Rig::with(held, |app| app).await;
    for _ in 0..5 {
        let mut connection = rig.open().await;
        connection.send(&rig.tick(&rig.fit().token()).bytes()).await;
        drop(connection);
    }
    rig.until_requests(1).await.unwrap();
    gate.add_permits(1000);
    rig.until_status(200).await.unwrap();
    assert_eq!(rig.source.requests(), 1);
}

/// An app may be told a key-set URL, but not any.
#[tokio::test]
async fn urls_that_are_no_source() {
    let source = KeySource::start(Answer::Keys(published())).await;
    for url in [
        "http://example.com/jwks.json",
        "http://10.0.0.1/jwks.json",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost.example.com/jwks.json",
        "http://127.0.0.1.example.com/jwks.json",
        "http://127.0.0.1@example.com/jwks.json",
        "http://example.com#@127.0.0.1/jwks.json",
        "http://0.0.0.0/jwks.json",
        "ftp://127.0.0.1/jwks.json",
        "file:///etc/passwd",
        "data:application/json,{}",
        "https://user:password@example.com/jwks.json",
        "jwks.json",
        "not a URL",
        "//example.com/jwks.json",
        "https://",
    ] {
        let seen = forge_remote_tests::handlers::Seen::default();
        let built = usual(&source, &seen).jwks_url(url).build();
        assert!(built.is_err(), "{url} was taken");
    }
    for url in [
        "https://example.com/jwks.json",
        "http://127.0.0.1:1/x",
        "http://localhost:1/x",
        "http://[::1]:1/x",
    ] {
        let seen = forge_remote_tests::handlers::Seen::default();
        usual(&source, &seen).jwks_url(url).build().unwrap();
    }
}
