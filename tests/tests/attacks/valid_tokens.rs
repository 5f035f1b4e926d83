//! Every token and request that Atlassian may legitimately send is accepted.

use std::time::Duration;

use forge_remote_tests::http::{Call, Connection};
use forge_remote_tests::jws::{Fit, compact};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::first;
use forge_remote_tests::test_app::{TestApp, expected};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_is_accepted_until_it_expires() {
    let app = TestApp::with_layer().await;
    let fit = app.fit();
    let token = fit.token();
    app.clock.advance(Duration::from_secs(23));
    app.accepts(&app.tick(&token), &fit).await.unwrap();
    app.clock.advance(Duration::from_secs(2));
    app.rejects(&token).await.unwrap();
}

#[tokio::test]
async fn calls_by_pages_are_accepted() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("calls by pages");
    let text = "Größe — 日本語 — 🦀🦀 — \u{202e}rtl — \"quoted\" \\ \u{0} \u{7f} \u{2028}";
    let large: Vec<Value> = (0..400)
        .map(|at| json!({"id": at, "text": "Ж".repeat(30)}))
        .collect();
    let nested = (0..60).fold(json!("deep"), |inside, _| json!({ "in": inside }));
    for (name, fit) in [
        ("Atlassian's example", app.page()),
        ("a license-free one", app.page().without("/app/license")),
        (
            "an anonymous visitor",
            app.page().claim("/principal", "unidentified"),
        ),
        ("no principal at all", app.page().without("/principal")),
        ("no context", app.page().without("/context")),
        (
            "a context that isn't an object",
            app.page().claim("/context", json!([1, "two", null])),
        ),
        (
            "a non-ASCII context",
            app.page()
                .claim("/context", json!({ "text": text, text: 1 })),
        ),
        (
            "a large context",
            app.page().claim("/context/extension/rows", large),
        ),
        ("a nested context", app.page().claim("/context", nested)),
        (
            "a context that looks like claims",
            app.page().claim(
                "/context",
                json!({"aud": "x", "exp": 0, "app": {"id": "x"}}),
            ),
        ),
        (
            "a non-ASCII principal",
            app.page().claim("/principal", "557058:ñandú-🦀"),
        ),
        (
            "another module's key",
            app.page().claim("/app/module/key", "some-macro"),
        ),
        (
            "another module's type",
            app.page().claim("/app/module/type", "jira:issuePanel"),
        ),
        (
            "the documented icLabel",
            app.page().claim("/icLabel", "orange"),
        ),
        ("its own endpoint's call", Fit::backend(app.now(), "ui")),
    ] {
        let call = Call::post("/ui").bearer(&fit.token());
        report.case(name, app.accepts(&call, &fit).await);
    }

    // Optional escapes in strings.
    let fit = app.page().claim("/context", json!({"a": "/é😀\t"}));
    let json = fit.claims_json_with("context", r#"{"\u0061":"\/\u00e9\uD83D\uDE00\t"}"#);
    let token = compact(fit.header_json(), json, first());
    report.case(
        "an escaped context",
        app.accepts(&Call::post("/ui").bearer(&token), &fit).await,
    );

    // A title that was cut inside an emoji, as JSON.stringify writes it.
    for (name, context, seen) in [
        (
            "a cut emoji",
            r#"{"a":"cut \ud83d"}"#,
            json!({"a": "cut \u{fffd}"}),
        ),
        (
            "a cut emoji in front",
            r#"{"a":"\ude00 cut"}"#,
            json!({"a": "\u{fffd} cut"}),
        ),
        (
            "a cut emoji in a name",
            r#"{"\ud83d":1}"#,
            json!({"\u{fffd}": 1}),
        ),
        (
            "a cut emoji and a whole one",
            r#"{"a":"\ud83d\ud83d\ude00\\ud83d"}"#,
            json!({"a": "\u{fffd}😀\\ud83d"}),
        ),
    ] {
        let fit = app.page().claim("/context", seen);
        let json = fit.claims_json_with("context", context);
        let token = compact(fit.header_json(), json, first());
        let call = Call::post("/ui").bearer(&token);
        report.case(name, app.accepts(&call, &fit).await);
    }

    // A page uses the same FIT for several calls.
    let fit = app.page();
    let call = Call::post("/ui").bearer(&fit.token());
    for turn in ["first", "second", "third"] {
        report.case(
            format!("a page's token, {turn} use"),
            app.accepts(&call, &fit).await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn unusual_requests_are_accepted() {
    let app = TestApp::start().await;
    let mut report = Report::new("requests with good tokens");
    let fit = app.fit();
    let token = fit.token();
    let body = json!({"context": {"cloudId": "x", "moduleKey": "tick-trigger"}});
    let credentials = format!("Bearer {token}");
    for (name, call) in [
        ("plain", app.tick(&token)),
        (
            "scheme bearer",
            Call::post("/tick").header("Authorization", format!("bearer {token}")),
        ),
        (
            "scheme BEARER",
            Call::post("/tick").header("Authorization", format!("BEARER {token}")),
        ),
        (
            "scheme bEaReR",
            Call::post("/tick").header("Authorization", format!("bEaReR {token}")),
        ),
        (
            "AUTHORIZATION",
            Call::post("/tick").header("AUTHORIZATION", &credentials),
        ),
        (
            "authorization",
            Call::post("/tick").header("authorization", &credentials),
        ),
        (
            "aUtHoRiZaTiOn",
            Call::post("/tick").header("aUtHoRiZaTiOn", &credentials),
        ),
        (
            "blanks around the value",
            Call::post("/tick").header("Authorization", format!("   {credentials} \t ")),
        ),
        (
            "X-FORGE-OAUTH-SYSTEM",
            app.tick(&token).header("X-FORGE-OAUTH-SYSTEM", "a.b.c"),
        ),
        ("a JSON body", app.tick(&token).json(&body)),
        ("an empty JSON body", app.tick(&token).json(&json!({}))),
        (
            "a body without a content type",
            app.tick(&token).body(body.to_string()),
        ),
        (
            "a body that isn't JSON",
            app.tick(&token)
                .header("Content-Type", "text/plain")
                .body("hello"),
        ),
        (
            "a body with an odd content type",
            app.tick(&token)
                .header("Content-Type", "\"?\"")
                .body([0xff, 0]),
        ),
        ("no length, no body", app.tick(&token).unframed()),
        ("an empty chunked body", app.tick(&token).chunked(10)),
        ("a chunked body", app.tick(&token).json(&body).chunked(7)),
        (
            "a chunked body, byte by byte",
            app.tick(&token).json(&body).chunked(1),
        ),
        (
            "a query string",
            Call::post("/tick?a=b&c=%2F..%2F").bearer(&token),
        ),
        ("an empty query string", Call::post("/tick?").bearer(&token)),
        (
            "a query string with a question",
            Call::post("/tick?a=?&b=//").bearer(&token),
        ),
        (
            "other cookies and credentials",
            app.tick(&token)
                .header("Cookie", "a=b")
                .header("Proxy-Authorization", "Basic eDp5"),
        ),
        (
            "a method override",
            app.tick(&token).header("X-HTTP-Method-Override", "DELETE"),
        ),
        (
            "forwarding headers",
            app.tick(&token)
                .header("X-Forwarded-For", "10.0.0.1")
                .header("Forwarded", "for=x"),
        ),
        (
            "50 more headers",
            (0..50).fold(app.tick(&token), |call, at| {
                call.header(format!("x-{at}"), "v")
            }),
        ),
        (
            "non-ASCII in another header",
            app.tick(&token).header("x-name", "Ж"),
        ),
    ] {
        report.case(name, app.accepts(&call, &fit).await);
    }

    let response = app
        .send(&app.tick(&token).header("x-forge-oauth-system", "a.b.c"))
        .await
        .unwrap();
    let system = response.json()["systemToken"].clone();
    report.holds(
        "the handler gets the system token",
        system == json!(true),
        response.text(),
    );
    let page = Call::post("/ui").bearer(&app.page().token());
    let page = page
        .header("x-forge-oauth-system", "a.b.c")
        .header("X-Forge-OAuth-User", "d.e.f");
    let response = app.send(&page).await.unwrap();
    let both = response.json()["systemToken"] == json!(true)
        && response.json()["userToken"] == json!(true);
    report.holds("the handler gets both tokens", both, response.text());
    report.finish();
}

#[tokio::test]
async fn chunk_extensions_and_trailers_are_accepted() {
    let app = TestApp::start().await;
    let fit = app.page();
    let body = "5;ext=1;q=\"a\"\r\n{\"tex\r\n8\r\nt\":\"hi\"}\r\n0\r\nX-Trailer: v\r\n\r\n";
    let call = Call::post("/echo")
        .bearer(&fit.token())
        .header("Transfer-Encoding", "chunked");
    let call = call
        .header("Content-Type", "application/json")
        .unframed()
        .body(body);
    let response = app.send(&call).await.unwrap();
    assert_eq!(
        (response.status, response.json()),
        (200, json!({"length": 2})),
        "{}",
        response.text()
    );
    app.saw(&app.seen.last().unwrap(), &fit).unwrap();
}

#[tokio::test]
async fn large_tokens_are_accepted() {
    let app = TestApp::start().await;
    let mut report = Report::new("large tokens");
    for kilobytes in [1, 8, 16, 32, 40, 45] {
        let filling = "x".repeat(kilobytes * 1024);
        let fit = app.page().claim("/context/filling", filling);
        let token = fit.token();
        assert!(token.len() < 64 * 1024);
        let call = Call::post("/ui").bearer(&token);
        report.case(
            format!("{} bytes", token.len()),
            app.accepts(&call, &fit).await,
        );
    }
    // With the other two tokens at their largest.
    let fit = app.page().claim("/context/filling", "x".repeat(45 * 1024));
    let call = Call::post("/ui").bearer(&fit.token());
    let call = call
        .header("x-forge-oauth-system", "s".repeat(8 * 1024))
        .header("x-forge-oauth-user", "u".repeat(8 * 1024));
    report.case("with large OAuth tokens", app.accepts(&call, &fit).await);
    report.finish();
}

#[tokio::test]
async fn pipelined_calls_are_served() {
    let app = TestApp::start().await;
    let fits: Vec<Fit> = (0..5).map(|_| app.fit()).collect();
    let mut bytes = Vec::new();
    for (at, fit) in fits.iter().enumerate() {
        let call = app.tick(&fit.token()).keep_alive();
        let call = if at % 2 == 0 {
            call.json(&json!({"n": at}))
        } else {
            call
        };
        let call = if at == 4 {
            call.body("{\"n\":4}").chunked(2)
        } else {
            call
        };
        bytes.extend_from_slice(&call.bytes());
    }
    let mut connection = Connection::open(app.address).await.unwrap();
    assert!(connection.send(&bytes).await);
    for (at, fit) in fits.iter().enumerate() {
        let response = connection.response().await.unwrap();
        let response = response.unwrap_or_else(|| panic!("no response to request {at}"));
        assert_eq!(response.status, 200, "request {at}: {}", response.text());
        assert_eq!(response.json()["jti"], fit.claims["jti"], "request {at}");
    }
    assert_eq!(app.seen.count(), 5);
}

/// A rejected call does not affect the other calls on the same connection.
#[tokio::test]
async fn a_rejected_call_does_not_affect_pipelined_ones() {
    let app = TestApp::start().await;
    let good = app.fit();
    let mut bytes = app.tick(&good.token()).keep_alive().bytes();
    bytes.extend(
        app.tick("rubbish")
            .keep_alive()
            .json(&json!({"a": "b"}))
            .bytes(),
    );
    bytes.extend(
        Call::post("/nowhere")
            .bearer("rubbish")
            .keep_alive()
            .bytes(),
    );
    bytes.extend(app.tick(&good.token()).keep_alive().bytes());
    let mut connection = Connection::open(app.address).await.unwrap();
    assert!(connection.send(&bytes).await);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let Some(response) = connection.response().await.unwrap() else {
            break;
        };
        statuses.push(response.status);
    }
    assert_eq!(statuses, [200, 401, 404, 200]);
    assert_eq!(app.seen.count(), 2);
}

#[tokio::test]
async fn expect_continue_is_supported() {
    let app = TestApp::start().await;
    let fit = app.page();
    let call = Call::post("/echo")
        .bearer(&fit.token())
        .header("Expect", "100-continue");
    let bytes = call.json(&json!({"text": "hello"})).bytes();
    let body_at = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut connection = Connection::open(app.address).await.unwrap();
    connection.send(&bytes[..body_at]).await;
    connection.send(&bytes[body_at..]).await;
    let response = connection.response().await.unwrap().unwrap();
    assert_eq!(
        (response.status, response.json()),
        (200, json!({"length": 5}))
    );
}

/// An ordinary HTTP client instead of the tests' client.
#[tokio::test]
async fn an_ordinary_client_is_served() {
    let app = TestApp::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    for turn in 0..3 {
        let fit = app.page();
        let request = client.post(format!("http://{}/ui?turn={turn}", app.address));
        let request = request
            .bearer_auth(fit.token())
            .header("x-b3-traceid", "a523b7549f0b88c9");
        let response = request
            .body(json!({"n": turn}).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        app.saw(&body, &fit).unwrap();
    }
    let fit = app.page();
    assert_eq!(expected(&fit)["jti"], fit.claims["jti"]);
}
