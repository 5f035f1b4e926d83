//! Bodies of requests: invalid, too large, endless.

use forge_remote_tests::http::{Call, Connection};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::published;
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::TestApp;

use crate::http_surface::MEBIBYTE;

#[tokio::test]
async fn invalid_bodies_have_their_statuses() {
    let app = TestApp::start().await;
    let mut report = Report::new("bad bodies");
    let token = app.page().token();
    let echo = || Call::post("/echo").bearer(&token);
    let json = || echo().header("Content-Type", "application/json");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = "{\"text\":".repeat(100_000);
    let mut cases: Vec<(&str, Call, &[u16])> = vec![
        ("empty", json(), &[400]),
        ("blank", json().body("  \n"), &[400]),
        ("not JSON", json().body("hello"), &[400]),
        ("truncated", json().body("{\"text\":\"x\""), &[400]),
        ("two documents", json().body("{\"text\":\"x\"}{}"), &[400]),
        ("trailing comma", json().body("{\"text\":\"x\",}"), &[400]),
        (
            "byte order mark",
            json().body("\u{feff}{\"text\":\"x\"}"),
            &[400],
        ),
        ("UTF-16", json().body([0x7b, 0, 0x22, 0]), &[400]),
        (
            "not UTF-8",
            json().body(b"{\"text\":\"\xff\"}"),
            &[400, 422],
        ),
        (
            "half a surrogate",
            json().body(r#"{"text":"\ud800"}"#),
            &[400, 422],
        ),
        ("a NUL", json().body("\0"), &[400]),
        ("NaN", json().body("{\"text\":NaN}"), &[400, 422]),
        ("null", json().body("null"), &[422, 400]),
        ("a list", json().body("[1,2]"), &[422, 400]),
        ("a wrong type", json().body("{\"text\":1}"), &[422]),
        ("a member missing", json().body("{}"), &[422]),
        (
            "a member twice",
            json().body(r#"{"text":"a","text":"b"}"#),
            &[422, 400],
        ),
        (
            "a huge number",
            json().body("{\"text\":1e999}"),
            &[422, 400],
        ),
        ("100,000 lists", json().body(deep(100_000)), &[400, 422]),
        (
            "100,000 lists, never closed",
            json().body("[".repeat(100_000)),
            &[400, 422],
        ),
        (
            "100,000 objects, never closed",
            json().body(&objects),
            &[400, 422],
        ),
        (
            "deep inside a member",
            json().body(format!("{{\"text\":\"x\",\"y\":{}}}", "[".repeat(100_000))),
            &[400, 422],
        ),
    ];
    for content_type in [
        "text/plain",
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jose",
        "application/jsonx",
        "text/json+x",
        "json",
        "application/",
        "/json",
        "*/*",
        "",
    ] {
        cases.push((
            content_type,
            echo()
                .header("Content-Type", content_type)
                .body(r#"{"text":"x"}"#),
            &[415, 400],
        ));
    }
    cases.push((
        "a content type that isn't text",
        echo()
            .header("Content-Type", [0xff, 0xfe])
            .body(r#"{"text":"x"}"#),
        &[415, 400],
    ));
    for (name, call, statuses) in cases {
        report.case(name, app.rejects_bytes(&call.bytes(), statuses).await);
        // Errors are JSON, because a page's `invokeRemote` accepts nothing else.
        let response = app.send(&call).await.unwrap();
        let is_json = response.header("content-type") == Some("application/json")
            && response.json()["error"]["code"].is_string();
        report.holds(
            format!("{name}: the response is JSON"),
            is_json,
            response.text(),
        );
    }
    for (name, content_type) in [
        ("plain", "application/json"),
        ("charset", "application/json; charset=utf-8"),
        ("capitals", "Application/JSON"),
        ("problem", "application/problem+json"),
    ] {
        let fit = app.page();
        let call = Call::post("/echo")
            .bearer(&fit.token())
            .header("Content-Type", content_type)
            .body(r#"{"text":"x"}"#);
        report.case(name, app.accepts(&call, &fit).await);
    }
    let fit = app.page();
    let call = Call::post("/echo")
        .bearer(&fit.token())
        .body(r#"{"text":"x"}"#);
    report.case("no content type", app.accepts(&call, &fit).await);

    // The token is checked first, so that a caller without one learns nothing about bodies.
    for body in ["hello", "{}", r#"{"text":"x"}"#, "[[[["] {
        let call = Call::post("/echo")
            .bearer("rubbish")
            .header("Content-Type", "text/plain")
            .body(body);
        report.case(
            format!("{body} without a token"),
            app.rejects_bytes(&call.bytes(), &[401]).await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn too_large_bodies_are_413() {
    let app = TestApp::start().await;
    let mut report = Report::new("large bodies");
    let json_of = |size: usize| format!("{{\"text\":\"{}\"}}", "x".repeat(size - 11));

    let fit = app.page();
    let call = Call::post("/echo").bearer(&fit.token());
    report.case(
        "the largest",
        app.accepts(&call.clone().body(json_of(MEBIBYTE)), &fit)
            .await,
    );
    report.case(
        "the largest in chunks",
        app.accepts(&call.clone().body(json_of(MEBIBYTE)).chunked(4096), &fit)
            .await,
    );
    for (name, size) in [
        ("a byte too large", MEBIBYTE + 1),
        ("twice as large", 2 * MEBIBYTE),
        ("16 MiB", 16 * MEBIBYTE),
    ] {
        let call = call.clone().body(json_of(size));
        report.case(name, app.rejects_bytes(&call.bytes(), &[413]).await);
        report.case(
            format!("{name}, in chunks"),
            app.rejects_bytes(&call.chunked(65_536).bytes(), &[413])
                .await,
        );
    }
    // The announced length is enough.
    for length in [
        "1048577",
        "10000000",
        "9223372036854775807",
        "18446744073709551613",
    ] {
        let call = call.clone().unframed().header("Content-Length", length);
        report.case(
            format!("Content-Length {length}, nothing sent"),
            app.rejects_bytes(&call.bytes(), &[413, 400]).await,
        );
        let call = app
            .tick(&app.fit().token())
            .unframed()
            .header("Content-Length", length);
        report.case(
            format!("Content-Length {length}, nothing sent, to a handler that reads none"),
            app.rejects_bytes(&call.bytes(), &[413, 400]).await,
        );
    }
    let call = Call::post("/tick")
        .bearer("rubbish")
        .unframed()
        .header("Content-Length", "1000000000000");
    report.case(
        "announced, without a token",
        app.rejects_bytes(&call.bytes(), &[401, 413]).await,
    );
    let call = Call::post("/tick")
        .bearer("rubbish")
        .body("x".repeat(3 * MEBIBYTE));
    report.case(
        "sent, without a token",
        app.rejects_bytes(&call.bytes(), &[401, 413]).await,
    );
    let call = Call::post("/nowhere").body("x".repeat(3 * MEBIBYTE));
    report.case(
        "sent, to an unknown path",
        app.rejects_bytes(&call.bytes(), &[404, 413]).await,
    );
    report.finish();
}

#[tokio::test]
async fn the_body_limit_can_be_changed() {
    let app = TestApp::with(JwksResponse::Keys(published()), |app| app.body_limit(100)).await;
    let mut report = Report::new("a body limit of 100 bytes");
    let fit = app.page();
    let call = |size: usize| {
        Call::post("/echo")
            .bearer(&fit.token())
            .body(format!("{{\"text\":\"{}\"}}", "x".repeat(size - 11)))
    };
    report.case("100 bytes", app.accepts(&call(100), &fit).await);
    report.case(
        "101 bytes",
        app.rejects_bytes(&call(101).bytes(), &[413]).await,
    );
    report.case(
        "100 bytes in chunks",
        app.accepts(&call(100).chunked(7), &fit).await,
    );
    report.case(
        "101 bytes in chunks",
        app.rejects_bytes(&call(101).chunked(7).bytes(), &[413])
            .await,
    );
    report.finish();
}

/// An endless body is cut off without using memory.
#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let app = TestApp::start().await;
    let mut connection = Connection::open(app.address).await.unwrap();
    let head = Call::post("/echo")
        .bearer(&app.page().token())
        .header("Transfer-Encoding", "chunked")
        .unframed();
    connection.send(&head.bytes()).await;
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    // The sockets' buffers hold a few MiB; the app would have read the rest.
    while connection.send(&chunk).await && sent < 64 * MEBIBYTE {
        sent += chunk.len();
        tokio::task::yield_now().await;
    }
    let response = connection.response().await.unwrap().expect("a response");
    assert_eq!(response.status, 413, "{}", response.text());
    assert!(sent < 32 * MEBIBYTE, "{sent} bytes were taken");
    app.unharmed(0).await.unwrap();
}
