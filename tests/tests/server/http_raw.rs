//! Malicious requests, such as smuggling, floods and broken heads, run no handler and stall nobody.

use std::time::Duration;

use forge_remote::App;
use forge_remote_tests::http::{Call, Connection, HttpResponse};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::published;
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::{SOON, TestApp};

/// Sends bytes, closes the sending side, and returns every response.
pub(crate) async fn all_responses(app: &TestApp, bytes: &[u8]) -> Vec<HttpResponse> {
    let mut connection = Connection::open(app.address).await.unwrap();
    connection.send(bytes).await;
    connection.finish().await;
    let mut responses = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(2), connection.response()).await {
            Ok(Ok(Some(response))) => responses.push(response),
            Ok(Ok(None) | Err(_)) | Err(_) => return responses,
        }
    }
}

pub(crate) fn statuses(responses: &[HttpResponse]) -> Vec<u16> {
    responses.iter().map(|response| response.status).collect()
}

/// Returns a hand-written request with exactly these headers.
pub(crate) fn by_hand(line: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut out = format!("{line}\r\nHost: backend.example.com\r\n");
    for header in headers {
        out.push_str(header);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    out.push_str(body);
    out.into_bytes()
}

#[tokio::test]
async fn broken_heads_are_rejected() {
    let app = TestApp::start().await;
    let mut report = Report::new("broken heads");
    let auth = format!("Authorization: Bearer {}", app.fit().token());
    let auth = auth.as_str();
    let spaced = auth.replacen("Authorization:", "Authorization :", 1);
    let folded_name = auth.replacen("Authorization", "Author\r\n ization", 1);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("HTTP/0.9", b"GET /tick\r\n\r\n".to_vec()),
        ("HTTP/0.9 POST", b"POST /tick\r\n\r\n".to_vec()),
        (
            "HTTP/2's preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        ("HTTP/2.0", by_hand("POST /tick HTTP/2.0", &[auth], "")),
        ("HTTP/3", by_hand("POST /tick HTTP/3", &[auth], "")),
        ("HTTP/1.2", by_hand("POST /tick HTTP/1.2", &[auth], "")),
        ("HTTP/1.10", by_hand("POST /tick HTTP/1.10", &[auth], "")),
        ("http/1.1", by_hand("POST /tick http/1.1", &[auth], "")),
        ("HTTPS/1.1", by_hand("POST /tick HTTPS/1.1", &[auth], "")),
        ("no version", by_hand("POST /tick", &[auth], "")),
        ("no target", by_hand("POST  HTTP/1.1", &[auth], "")),
        ("no method", by_hand(" /tick HTTP/1.1", &[auth], "")),
        ("two blanks", by_hand("POST  /tick HTTP/1.1", &[auth], "")),
        (
            "a blank in the target",
            by_hand("POST /ti ck HTTP/1.1", &[auth], ""),
        ),
        (
            "a tab for a blank",
            by_hand("POST\t/tick\tHTTP/1.1", &[auth], ""),
        ),
        (
            "more behind the version",
            by_hand("POST /tick HTTP/1.1 x", &[auth], ""),
        ),
        (
            "a NUL in the target",
            by_hand("POST /tick\0 HTTP/1.1", &[auth], ""),
        ),
        (
            "a header without a colon",
            by_hand("POST /tick HTTP/1.1", &[auth, "rubbish"], ""),
        ),
        (
            "a header without a name",
            by_hand("POST /tick HTTP/1.1", &[auth, ": x"], ""),
        ),
        (
            "a blank before the colon",
            by_hand("POST /tick HTTP/1.1", &[&spaced], ""),
        ),
        (
            "a folded name",
            by_hand("POST /tick HTTP/1.1", &[&folded_name], ""),
        ),
        (
            "a folded header first",
            by_hand("POST /tick HTTP/1.1\r\n x: y", &[auth], ""),
        ),
        (
            "a NUL in a name",
            by_hand("POST /tick HTTP/1.1", &[auth, "x\0y: z"], ""),
        ),
        (
            "a NUL in a value",
            by_hand("POST /tick HTTP/1.1", &[auth, "x: y\0z"], ""),
        ),
        (
            "a return in a value",
            by_hand("POST /tick HTTP/1.1", &[auth, "x: y\rz"], ""),
        ),
        (
            "non-ASCII in a name",
            by_hand("POST /tick HTTP/1.1", &[auth, "é: z"], ""),
        ),
        (
            "a bracket in a name",
            by_hand("POST /tick HTTP/1.1", &[auth, "x(y): z"], ""),
        ),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("nothing but line ends", b"\r\n".repeat(1000)),
        ("rubbish", b"\xff\xfe\xfd\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let before = app.seen.count();
        let responses = all_responses(&app, &bytes).await;
        let ok = statuses(&responses)
            .iter()
            .all(|status| [400, 401, 404, 405, 408, 414, 431, 501, 505].contains(status));
        let outcome = if ok {
            app.unharmed(before).await
        } else {
            Err(format!("statuses {:?}", statuses(&responses)))
        };
        report.case(name, outcome);
    }
    report.finish();
}

#[tokio::test]
async fn floods_of_headers_are_rejected() {
    let app = TestApp::start().await;
    let mut report = Report::new("floods");
    let token = app.fit().token();
    let rejections = [400, 413, 414, 431];
    for count in [150, 1000, 10_000, 100_000] {
        let call = (0..count).fold(app.tick(&token), |call, at| {
            call.header(format!("x-{at}"), "v")
        });
        report.case(
            format!("{count} headers"),
            app.rejects_bytes(&call.bytes(), &rejections).await,
        );
        let call = (0..count).fold(app.tick(&token), |call, _| call.header("x", ""));
        report.case(
            format!("{count} headers of one name"),
            app.rejects_bytes(&call.bytes(), &rejections).await,
        );
    }
    for kilobytes in [200, 1000, 10_000] {
        let long = "v".repeat(kilobytes * 1024);
        let call = app.tick(&token).header("x", &long);
        report.case(
            format!("a value of {kilobytes} KiB"),
            app.rejects_bytes(&call.bytes(), &rejections).await,
        );
        let call = app.tick(&token).header(&long, "x");
        report.case(
            format!("a name of {kilobytes} KiB"),
            app.rejects_bytes(&call.bytes(), &rejections).await,
        );
        let call = Call::post(&format!("/tick?{long}")).bearer(&token);
        report.case(
            format!("a query of {kilobytes} KiB"),
            app.rejects_bytes(&call.bytes(), &rejections).await,
        );
        let call = Call::new(&"P".repeat(kilobytes * 1024), "/tick").bearer(&token);
        report.case(
            format!("a method of {kilobytes} KiB"),
            app.rejects_bytes(&call.bytes(), &rejections).await,
        );
    }
    report.finish();
}

/// Slow or missing heads and bodies do not delay other calls.
#[tokio::test]
async fn slow_clients_do_not_delay_others() {
    let app = TestApp::start().await;
    let call = app.tick(&app.fit().token()).bytes();
    let page = Call::post("/echo")
        .bearer(&app.page().token())
        .header("Content-Length", "1000")
        .unframed();
    let mut waiting = Vec::new();
    for at in 0..300 {
        let mut connection = app.open().await;
        match at % 5 {
            0 => {}
            1 => drop(connection.send(b"P").await),
            2 => drop(connection.send(&call[..call.len() / 2]).await),
            3 => drop(connection.send(&page.bytes()).await),
            _ => drop(connection.send(&call[..call.len() - 1]).await),
        }
        waiting.push(connection);
    }
    for _ in 0..20 {
        let fit = app.fit();
        let call = app.tick(&fit.token());
        let response = tokio::time::timeout(SOON, app.accepts(&call, &fit));
        response.await.expect("in time").unwrap();
    }
    // A slow request is served once it is complete.
    let before = app.seen.count();
    let mut late = waiting.pop().unwrap();
    late.send(&call[call.len() - 1..]).await;
    assert_eq!(late.response().await.unwrap().unwrap().status, 200);
    assert_eq!(app.seen.count(), before + 1);
}

/// A head that drips hits a time limit.
#[tokio::test]
async fn a_dripping_head_hits_a_time_limit() {
    use forge_remote_tests::jwks_server::JwksResponse;
    use forge_remote_tests::jws::published;

    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        let second = Duration::from_secs(1);
        app.header_timeout(second).keep_alive(second)
    })
    .await;
    let call = app.tick(&app.fit().token()).bytes();
    let mut connection = app.open().await;
    let started = std::time::Instant::now();
    let mut at = 0;
    while at < call.len() && connection.send(&call[at..=at]).await {
        at += 1;
        if connection.is_closed_within(Duration::from_millis(20)).await {
            break;
        }
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(
        took < Duration::from_secs(5) && at < call.len(),
        "{took:?}, {at} of {} bytes",
        call.len()
    );
    // So does an idle connection.
    let mut idle = app.open().await;
    assert!(idle.is_closed_within(Duration::from_secs(4)).await);
    app.unharmed(0).await.unwrap();
}

/// A body that drips hits a time limit.
#[tokio::test]
async fn a_dripping_body_hits_a_time_limit() {
    let short = |app: App| app.body_timeout(Duration::from_millis(700));
    let app = TestApp::with(JwksResponse::Keys(published()), short).await;
    let head = Call::post("/echo")
        .bearer(&app.page().token())
        .header("Content-Length", "100000")
        .unframed();
    let mut connection = app.open().await;
    connection.send(&head.bytes()).await;
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(10) && connection.send(b" ").await {
        if connection
            .has_response_within(Duration::from_millis(100))
            .await
        {
            break;
        }
    }
    let took = started.elapsed();
    let response = connection.response().await.unwrap();
    assert!(
        took > Duration::from_millis(650) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert!(response.is_none_or(|response| [400, 408, 413].contains(&response.status)));
    app.unharmed(0).await.unwrap();
}

/// The caller hangs up at any point.
#[tokio::test]
async fn a_caller_may_hang_up_at_any_point() {
    let app = TestApp::start().await;
    let before = app.seen.count();
    let page = Call::post("/echo")
        .bearer(&app.page().token())
        .body("{\"text\":\"hello\"}")
        .bytes();
    // At every point before the end; the last byte would complete the request.
    for at in (0..page.len() - 1).step_by(37) {
        let mut connection = app.open().await;
        connection.send(&page[..at]).await;
        drop(connection);
    }
    app.unharmed(before).await.unwrap();
}
