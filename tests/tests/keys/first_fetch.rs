//! Without any keys, an app responds with 503 while its source fails, and recovers automatically.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote_tests::http::{Call, HttpResponse};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::published;
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::{TestApp, default_app, eventually};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Time limit for a call that waits for keys, below Forge's 5 seconds.
const FORGE_TIMEOUT: Duration = Duration::from_millis(4800);

/// Checks that this is the response to a call while there are no keys.
fn is_unavailable(response: &HttpResponse) -> Result<(), String> {
    if response.status != 503 {
        return Err(format!(
            "{} instead of 503: {}",
            response.status,
            response.text()
        ));
    }
    let retry: Option<u64> = response
        .header("retry-after")
        .and_then(|value| value.parse().ok());
    if !retry.is_some_and(|seconds| (1..=60).contains(&seconds)) {
        return Err(format!(
            "Retry-After is {:?}",
            response.header("retry-after")
        ));
    }
    if response.header("content-type") != Some("application/json")
        || !response.json()["error"].is_object()
    {
        return Err(format!("not JSON: {}", response.text()));
    }
    Ok(())
}

/// Returns misbehaviour by name. If possible, each response contains the right keys, which must not
/// be used.
fn misbehaviour(elsewhere: &str) -> Vec<(String, JwksResponse)> {
    let keys = published();
    let good = keys.to_string();
    let mut cases: Vec<(String, JwksResponse)> = Vec::new();
    let mut case = |name: &str, response: JwksResponse| cases.push((name.to_owned(), response));
    let text = |body: &str| JwksResponse::json(body);
    let raw = |text: String| JwksResponse::Bytes(text.into_bytes());

    // Slow responses.
    case(
        "slow",
        JwksResponse::Late(
            Duration::from_secs(20),
            Box::new(JwksResponse::Keys(keys.clone())),
        ),
    );
    case(
        "dripping",
        JwksResponse::Drip(keys.clone(), Duration::from_millis(50)),
    );
    case("hanging", JwksResponse::Hang);
    case("hanging after the head", JwksResponse::HeadOnly);
    case("not reading", JwksResponse::Ignore);
    // Broken connections.
    case("resetting", JwksResponse::Reset);
    case("resetting inside", JwksResponse::ResetInside(keys.clone()));
    case("cut inside", JwksResponse::CutInside(keys.clone()));
    case(
        "closing without a response",
        JwksResponse::Bytes(Vec::new()),
    );
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
        "an invalid status",
        raw(format!("HTTP/1.1 xyz OK\r\n\r\n{good}")),
    );
    // Statuses, with the right keys and with others.
    for status in [
        201, 202, 203, 206, 300, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504, 599,
    ] {
        case(
            &format!("{status} with keys"),
            JwksResponse::Text(status, "application/json", good.clone()),
        );
    }
    for status in [404, 500, 503] {
        case(
            &format!("{status} empty"),
            JwksResponse::Text(status, "text/plain", String::new()),
        );
        case(
            &format!("{status} with HTML"),
            JwksResponse::Text(status, "text/html", "<h1>no</h1>".into()),
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
            JwksResponse::Redirect(status, elsewhere.to_owned()),
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
        JwksResponse::Text(
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
    // Bodies that are not a key set.
    case(
        "HTML",
        JwksResponse::Text(
            200,
            "text/html",
            "<!doctype html><title>Login</title>".into(),
        ),
    );
    case(
        "HTML with the keys",
        JwksResponse::Text(200, "text/html", format!("<pre>{good}</pre>")),
    );
    case(
        "garbage",
        JwksResponse::Text(200, "application/json", "\u{1}\u{2}\u{3}garbage".into()),
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
    // Huge and deep bodies.
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
    case("endless", JwksResponse::Endless);
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

/// Why a case failed.
enum Failure {
    /// It took too long, which can be the fault of a busy machine.
    Late(String),
    Wrong(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::Wrong(reason.to_owned())
    }
}

impl Failure {
    fn reason(self) -> String {
        match self {
            Self::Late(reason) | Self::Wrong(reason) => reason,
        }
    }
}

/// Tests a source that misbehaves from the start and then recovers.
async fn misbehave_then_recover(response: JwksResponse) -> Result<(), Failure> {
    let policy = response.jwks_policy();
    let app = TestApp::with(response, |app| app.jwks_policy(policy)).await;
    let fit = app.fit();
    let started = Instant::now();
    let first = app.send(&app.tick(&fit.token())).await;
    let took = started.elapsed();
    if took > FORGE_TIMEOUT {
        return Err(Failure::Late(format!("the response took {took:?}")));
    }
    is_unavailable(&first?)?;
    // An invalid FIT is not accepted either.
    let response = app.send(&app.tick("rubbish")).await?;
    if ![401, 503].contains(&response.status) {
        return Err(format!("{} for a bad token", response.status).into());
    }
    let health = [("/healthz", 200), ("/readyz", 503)];
    for (path, status) in health {
        let response = app.send(&Call::new("GET", path)).await?;
        if response.status != status {
            return Err(format!("{path} is {}: {}", response.status, response.text()).into());
        }
    }
    if app.seen.count() != 0 {
        return Err("the handler ran".into());
    }

    // The source recovers.
    app.source.set_response(JwksResponse::Keys(published()));
    app.clock.advance(Duration::from_secs(10));
    app.until_status(200).await.map_err(Failure::Late)?;
    let fit = app.fit();
    app.accepts(&app.tick(&fit.token()), &fit).await?;
    let response = app.send(&Call::new("GET", "/readyz")).await?;
    if response.status != 200 {
        return Err(format!("/readyz is {} afterwards", response.status).into());
    }
    if app.trap.connections() > 0 {
        return Err("the attacker's URL was fetched".into());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misbehaving_source_is_not_used_until_it_recovers() {
    let elsewhere = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut tasks = JoinSet::new();
    for (name, response) in misbehaviour(&elsewhere.url()) {
        tasks.spawn(async move {
            let outcome = misbehave_then_recover(response.clone()).await;
            (name, response, outcome)
        });
    }
    let mut report = Report::new("cold, with a misbehaving source");
    let mut late = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            (name, response, Err(Failure::Late(reason))) => late.push((name, response, reason)),
            (name, _, outcome) => report.case(name, outcome.map_err(Failure::reason)),
        }
    }
    // A case can be late because a hundred others run at the same time: it is retried alone.
    let may_retry = late.len() <= 5;
    for (name, response, reason) in late {
        let outcome = match may_retry {
            true => misbehave_then_recover(response)
                .await
                .map_err(Failure::reason),
            false => Err(reason),
        };
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
async fn calls_are_503_while_the_source_is_down() {
    let source = JwksServer::start(JwksResponse::Keys(published())).await;
    source.down().await;
    let app = TestApp::on(source, |app| app).await;
    for _ in 0..3 {
        let response = app.send(&app.tick(&app.fit().token())).await.unwrap();
        is_unavailable(&response).unwrap();
        app.clock.advance(Duration::from_secs(7));
    }
    assert_eq!(app.seen.count(), 0);
    app.source.up().await;
    app.clock.advance(Duration::from_secs(7));
    app.until_status(200).await.unwrap();
}

/// The app recovers without any call.
#[tokio::test]
async fn the_app_recovers_without_requests() {
    let app = TestApp::with(JwksResponse::Text(500, "text/plain", "no".into()), |app| {
        app
    })
    .await;
    app.until_requests(1).await.unwrap();
    app.source.set_response(JwksResponse::Keys(published()));
    let mut fetches = 1;
    while fetches < 3 && !ready(&app).await {
        app.clock.advance(Duration::from_secs(6));
        let _ = eventually(|| app.source.requests() > fetches).await;
        fetches = app.source.requests();
    }
    assert!(until_ready(&app).await);
    assert_eq!(app.seen.count(), 0);
}

async fn ready(app: &TestApp) -> bool {
    app.send(&Call::new("GET", "/readyz")).await.unwrap().status == 200
}

async fn until_ready(app: &TestApp) -> bool {
    let started = Instant::now();
    while !ready(app).await {
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// With the system clock, as in production, recovery takes seconds.
#[tokio::test]
async fn the_app_recovers_on_the_system_clock() {
    let source = JwksServer::start(JwksResponse::Text(503, "text/plain", "no".into())).await;
    let seen = forge_remote_tests::handlers::Seen::default();
    let app = default_app(&source, &seen);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(app.build().unwrap().serve(listener, std::future::pending()));
    let call = || {
        let fit = forge_remote_tests::jws::Fit::backend(std::time::SystemTime::now(), "tick");
        Call::post("/tick").bearer(&fit.token())
    };
    let response = forge_remote_tests::http::send(address, &call())
        .await
        .unwrap();
    is_unavailable(&response).unwrap();
    source.set_response(JwksResponse::Keys(published()));
    let started = Instant::now();
    loop {
        let response = forge_remote_tests::http::send(address, &call())
            .await
            .unwrap();
        if response.status == 200 {
            break;
        }
        assert_eq!(response.status, 503);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "the app does not recover"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen.count(), 1);
}

/// Many calls cost a failing source no more fetches than one call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_source_is_fetched_with_pauses() {
    let app = Arc::new(
        TestApp::with(JwksResponse::Text(500, "text/plain", "no".into()), |app| {
            app
        })
        .await,
    );
    app.until_requests(1).await.unwrap();
    let mut most = app.source.requests();
    for _ in 0..4 {
        let mut calls = JoinSet::new();
        for _ in 0..50 {
            let app = Arc::clone(&app);
            calls.spawn(async move { app.status(&app.fit().token()).await });
        }
        for status in calls.join_all().await {
            assert_eq!(status, 503);
        }
        // The clock does not advance, so at most one more fetch is due.
        assert!(
            app.source.requests() <= most + 1,
            "{} fetches, then {}",
            most,
            app.source.requests()
        );
        most = app.source.requests();
        app.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(app.seen.count(), 0);
}

/// Two hundred first calls at once cause one fetch, and all are accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_calls_cause_one_fetch() {
    let gate = Arc::new(Semaphore::new(0));
    let held = JwksResponse::Held(Arc::clone(&gate), Box::new(JwksResponse::Keys(published())));
    let app = Arc::new(TestApp::with(held, |app| app).await);
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let app = Arc::clone(&app);
        calls.spawn(async move { app.status(&app.fit().token()).await });
    }
    app.until_requests(1).await.unwrap();
    // Most of them have arrived by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.add_permits(1000);
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(app.source.requests(), 1);
    assert_eq!(app.source.connections(), 1);
    assert_eq!(app.seen.count(), 200);
}

/// The same if the fetch ends while calls arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_calls_during_the_end_of_a_fetch_cause_one_fetch() {
    for round in 0..20 {
        let app = Arc::new(TestApp::start().await);
        let tokens: Vec<String> = (0..20).map(|_| app.fit().token()).collect();
        let mut calls = JoinSet::new();
        for token in tokens {
            let app = Arc::clone(&app);
            calls.spawn(async move { app.status(&token).await });
        }
        let statuses = calls.join_all().await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        assert_eq!(app.source.requests(), 1, "round {round}");
    }
}

/// Two hundred first calls with a hanging source cause one fetch, and none hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_calls_with_a_hanging_source_end() {
    let app = Arc::new(TestApp::with(JwksResponse::Hang, |app| app).await);
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let app = Arc::clone(&app);
        calls.spawn(async move { app.status(&app.fit().token()).await });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(started.elapsed() < FORGE_TIMEOUT, "{:?}", started.elapsed());
    assert_eq!(app.source.requests(), 1);
    assert_eq!(app.seen.count(), 0);
}

/// The fetch continues although its caller hangs up.
#[tokio::test]
async fn a_fetch_continues_when_its_caller_hangs_up() {
    let gate = Arc::new(Semaphore::new(0));
    let held = JwksResponse::Held(Arc::clone(&gate), Box::new(JwksResponse::Keys(published())));
    let app = TestApp::with(held, |app| app).await;
    for _ in 0..5 {
        let mut connection = app.open().await;
        connection.send(&app.tick(&app.fit().token()).bytes()).await;
        drop(connection);
    }
    app.until_requests(1).await.unwrap();
    gate.add_permits(1000);
    app.until_status(200).await.unwrap();
    assert_eq!(app.source.requests(), 1);
}

/// Only suitable key-set URLs can be configured.
#[tokio::test]
async fn invalid_key_set_urls_are_rejected() {
    let source = JwksServer::start(JwksResponse::Keys(published())).await;
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
        let built = default_app(&source, &seen).jwks_url(url).build();
        assert!(built.is_err(), "{url} was taken");
    }
    for url in [
        "https://example.com/jwks.json",
        "http://127.0.0.1:1/x",
        "http://localhost:1/x",
        "http://[::1]:1/x",
    ] {
        let seen = forge_remote_tests::handlers::Seen::default();
        default_app(&source, &seen).jwks_url(url).build().unwrap();
    }
}
