//! Every token and request that Atlassian may legitimately send is accepted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use forge_remote_tests::encoding::b64;
use forge_remote_tests::http::{Call, Connection};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{FIRST_KID, Fit, SECOND_KID, compact, key_set, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, long4096, second};
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

    // A page uses the same token for several calls.
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

#[tokio::test]
async fn key_sets_with_unusual_entries_are_accepted() {
    let mut report = Report::new("published keys");
    let full = first().jwk(FIRST_KID);
    let without = |names: &[&str]| {
        let mut jwk = full.clone();
        for name in names {
            jwk.as_object_mut().unwrap().remove(*name);
        }
        jwk
    };
    let with = |name: &str, value: Value| {
        let mut jwk = full.clone();
        jwk[name] = value;
        jwk
    };
    let padded = |name: &str, zeros: usize| {
        let mut jwk = full.clone();
        let number = if name == "n" { &first().n } else { &first().e };
        jwk[name] = json!(b64([vec![0; zeros], number.to_bytes_be()].concat()));
        jwk
    };
    let many = |at: usize| {
        let mut keys: Vec<Value> = (0..200)
            .map(|other| second().jwk(&format!("other-{other}")))
            .collect();
        keys.insert(at, full.clone());
        key_set(&keys)
    };
    let among = |others: Vec<Value>| {
        let mut keys = others.clone();
        keys.push(full.clone());
        keys.extend(others);
        key_set(&keys)
    };
    let second_jwk = second().jwk(SECOND_KID);
    let incomplete = |name: &str| {
        let mut jwk = second_jwk.clone();
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    };
    let changed = |name: &str, value: Value| {
        let mut jwk = second_jwk.clone();
        jwk[name] = value;
        jwk
    };
    let sets: Vec<(&str, Value)> = vec![
        ("the first of two", published()),
        ("alone", key_set(std::slice::from_ref(&full))),
        ("without alg", key_set(&[without(&["alg"])])),
        ("without use", key_set(&[without(&["use"])])),
        ("without alg and use", key_set(&[without(&["alg", "use"])])),
        (
            "with key_ops verify",
            key_set(&[with("key_ops", json!(["verify"]))]),
        ),
        (
            "with key_ops instead of use",
            key_set(&[{
                let mut jwk = without(&["use"]);
                jwk["key_ops"] = json!(["verify"]);
                jwk
            }]),
        ),
        (
            "with key_ops sign and verify",
            key_set(&[with("key_ops", json!(["sign", "verify"]))]),
        ),
        (
            "with extra members",
            key_set(&[
                with("x5c", json!(["MIIB"])),
                with("rotated", json!({"at": 1})),
            ]),
        ),
        ("with ext", key_set(&[with("ext", json!(true))])),
        ("with a leading zero in n", key_set(&[padded("n", 1)])),
        ("with many leading zeros in n", key_set(&[padded("n", 5)])),
        ("with a leading zero in e", key_set(&[padded("e", 1)])),
        ("with extra members in the set", {
            let mut set = published();
            set["generated"] = json!("2026-11-23");
            set["next"] = json!(null);
            set
        }),
        ("first among 200 others", many(0)),
        ("100th among 200 others", many(100)),
        ("last among 200 others", many(200)),
        ("beside null", among(vec![Value::Null])),
        (
            "beside scalars",
            among(vec![json!(1), json!("x"), json!(true), json!(1.5e300)]),
        ),
        (
            "beside a list",
            among(vec![json!([]), json!([full.clone()])]),
        ),
        ("beside an empty object", among(vec![json!({})])),
        (
            "beside an unknown kty",
            among(vec![changed("kty", json!("XYZ"))]),
        ),
        (
            "beside a kty that isn't a string",
            among(vec![changed("kty", json!(7))]),
        ),
        ("beside no kty", among(vec![incomplete("kty")])),
        (
            "beside an unknown alg",
            among(vec![changed("alg", json!("XY999"))]),
        ),
        (
            "beside an alg that isn't a string",
            among(vec![changed("alg", json!(["RS256"]))]),
        ),
        (
            "beside an unknown use",
            among(vec![changed("use", json!("xyz"))]),
        ),
        (
            "beside a use that isn't a string",
            among(vec![changed("use", json!({}))]),
        ),
        (
            "beside odd key_ops",
            among(vec![
                changed("key_ops", json!("verify")),
                changed("key_ops", json!([1])),
            ]),
        ),
        ("beside no kid", among(vec![incomplete("kid")])),
        (
            "beside a kid that isn't a string",
            among(vec![changed("kid", json!(5)), changed("kid", json!(null))]),
        ),
        ("beside no n", among(vec![incomplete("n")])),
        ("beside no e", among(vec![incomplete("e")])),
        ("beside an empty n", among(vec![changed("n", json!(""))])),
        (
            "beside an n that isn't base64",
            among(vec![changed("n", json!("***")), changed("n", json!(3))]),
        ),
        (
            "beside an e that isn't base64",
            among(vec![changed("e", json!("é")), changed("e", json!([]))]),
        ),
        (
            "beside oct, EC and OKP keys",
            among(vec![
                json!({"kty": "oct", "kid": "o", "k": "AAAA", "alg": "HS256"}),
                json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
                json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": "AAAA"}),
                json!({"kty": "AKP", "kid": "q", "alg": "ML-DSA-44", "pub": "AAAA"}),
            ]),
        ),
        (
            "beside itself, unusable",
            key_set(&[with("use", json!("enc")), full.clone()]),
        ),
        (
            "beside itself, unusable, after",
            key_set(&[full.clone(), with("alg", json!("RSA-OAEP"))]),
        ),
        ("beside itself", key_set(&[full.clone(), full.clone()])),
    ];
    for (name, keys) in sets {
        let app = TestApp::with_keys(keys).await;
        let fit = app.fit();
        report.case(name, app.accepts(&app.tick(&fit.token()), &fit).await);
    }

    let app = TestApp::start().await;
    let fit = app.fit().head("kid", SECOND_KID);
    report.case(
        "the second of two",
        app.accepts(&app.tick(&fit.sign(second())), &fit).await,
    );

    let app = TestApp::with_keys(key_set(&[second_jwk, long4096().jwk("long")])).await;
    let fit = app.fit().head("kid", "long");
    report.case(
        "4096 bits",
        app.accepts(&app.tick(&fit.sign(long4096())), &fit).await,
    );

    for (name, content_type) in [
        ("text/plain", "text/plain"),
        ("jwk-set+json", "application/jwk-set+json; charset=utf-8"),
    ] {
        let app = TestApp::with(
            JwksResponse::Text(200, content_type, published().to_string()),
            |app| app,
        )
        .await;
        let fit = app.fit();
        report.case(
            format!("served as {name}"),
            app.accepts(&app.tick(&fit.token()), &fit).await,
        );
    }

    let chunked = {
        let body = published().to_string();
        let (one, two) = body.split_at(100);
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
    };
    let app = TestApp::with(JwksResponse::Bytes(chunked.into_bytes()), |app| app).await;
    let fit = app.fit();
    report.case(
        "served in chunks",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );
    let unframed = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        published()
    );
    let app = TestApp::with(JwksResponse::Bytes(unframed.into_bytes()), |app| app).await;
    report.case(
        "served up to the end of the connection",
        app.accepts(
            &app.tick(&app.fit().claim("/jti", "j").token()),
            &app.fit().claim("/jti", "j"),
        )
        .await,
    );
    report.finish();
}
