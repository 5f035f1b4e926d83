//! Only a published key that `kid` names verifies a token, whatever other keys the token names.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use forge_remote_tests::jws::{FIRST_KID, SECOND_KID, b64, compact, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, pem, second, stranger};
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

#[tokio::test]
async fn unpublished_keys_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("unpublished keys");
    for (name, token) in [
        ("under the first kid", app.fit().sign(stranger())),
        (
            "under the second kid",
            app.fit().head("kid", SECOND_KID).sign(stranger()),
        ),
        (
            "under an unknown kid",
            app.fit().head("kid", "stranger").sign(stranger()),
        ),
        (
            "under a likely kid",
            app.fit()
                .head("kid", "forge/invocation-token/wf-0")
                .sign(stranger()),
        ),
        (
            "the second key under the first kid",
            app.fit().sign(second()),
        ),
        (
            "the first key under the second kid",
            app.fit().head("kid", SECOND_KID).sign(first()),
        ),
        (
            "the first key under an unknown kid",
            app.fit().head("kid", "stranger").sign(first()),
        ),
    ] {
        report.case(name, app.rejects(&token).await);
    }
    report.finish();
}

#[tokio::test]
async fn kids_that_name_no_published_key_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("odd kids");
    let url = app.trap.url();
    let mut kids: Vec<(String, Value)> = vec![
        ("null".into(), Value::Null),
        ("number".into(), json!(1)),
        ("zero".into(), json!(0)),
        ("true".into(), json!(true)),
        ("list".into(), json!([FIRST_KID])),
        ("empty list".into(), json!([])),
        ("object".into(), json!({"kid": FIRST_KID})),
        ("query object".into(), json!({"$ne": null})),
    ];
    for text in [
        "",
        " ",
        "0",
        "null",
        "undefined",
        "*",
        "%",
        "__proto__",
        "constructor",
        "toString",
        "keys",
        "..",
        "/",
        "/dev/null",
        "../../../../../../dev/null",
        "../../../../etc/passwd",
        "..\\..\\..\\windows\\win.ini",
        "file:///dev/null",
        "/proc/self/environ",
        "' OR '1'='1",
        "x' UNION SELECT 'AA",
        "\"; DROP TABLE keys; --",
        "| whoami",
        "; sleep 10",
        "`sleep 10`",
        "$(sleep 10)",
        "${jndi:ldap://127.0.0.1/x}",
        "{{7*7}}",
        "%00",
        "\0",
        "a\0b",
        "\r\nX-Header: 1",
        "\u{202e}",
        "🦀",
    ] {
        kids.push((format!("{text:?}"), json!(text)));
    }
    for (name, text) in [
        ("the attacker's URL", url.clone()),
        ("the published kid and a blank", format!("{FIRST_KID} ")),
        ("a blank and the published kid", format!(" {FIRST_KID}")),
        ("the published kid and a NUL", format!("{FIRST_KID}\0")),
        ("the published kid and a newline", format!("{FIRST_KID}\n")),
        ("the published kid and a slash", format!("{FIRST_KID}/")),
        ("the published kid and more", format!("{FIRST_KID}x")),
        (
            "the published kid and less",
            FIRST_KID[..FIRST_KID.len() - 1].to_owned(),
        ),
        ("the published kid in capitals", FIRST_KID.to_uppercase()),
        ("the published kid, encoded", FIRST_KID.replace('/', "%2F")),
        (
            "the published kid, doubled slashes",
            FIRST_KID.replace('/', "//"),
        ),
        (
            "the published kid with a path trick",
            FIRST_KID.replace('/', "/./"),
        ),
        (
            "the published kid without its prefix",
            FIRST_KID.rsplit('/').next().unwrap().to_owned(),
        ),
        ("both published kids", format!("{FIRST_KID},{SECOND_KID}")),
        (
            "the published kid with a zero-width space",
            format!("{FIRST_KID}\u{200b}"),
        ),
        ("the published kid, fullwidth", FIRST_KID.replace('0', "０")),
        ("1,000 characters", "k".repeat(1000)),
        ("30,000 characters", "k".repeat(30_000)),
        (
            "the published kid and 1,000 characters",
            format!("{FIRST_KID}{}", " ".repeat(1000)),
        ),
    ] {
        kids.push((name.to_owned(), json!(text)));
    }
    for (name, kid) in &kids {
        // Signed by the published key: only the kid is wrong.
        report.case(
            format!("kid {name}"),
            app.rejects(&app.fit().head("kid", kid.clone()).token())
                .await,
        );
        report.case(
            format!("kid {name}, foreign"),
            app.rejects(&app.fit().head("kid", kid.clone()).sign(stranger()))
                .await,
        );
    }
    report.case(
        "kid missing",
        app.rejects(&app.fit().headless("kid").token()).await,
    );
    report.case(
        "kid missing, foreign",
        app.rejects(&app.fit().headless("kid").sign(stranger()))
            .await,
    );
    for (name, header) in [
        ("Kid", format!(r#"{{"alg":"RS256","Kid":"{FIRST_KID}"}}"#)),
        ("KID", format!(r#"{{"alg":"RS256","KID":"{FIRST_KID}"}}"#)),
        (
            "twice",
            format!(r#"{{"alg":"RS256","kid":"{FIRST_KID}","kid":"{FIRST_KID}"}}"#),
        ),
        (
            "twice, the first foreign",
            format!(r#"{{"alg":"RS256","kid":"x","kid":"{FIRST_KID}"}}"#),
        ),
        (
            "twice, the second foreign",
            format!(r#"{{"alg":"RS256","kid":"{FIRST_KID}","kid":"x"}}"#),
        ),
        (
            "twice, one escaped",
            format!(r#"{{"alg":"RS256","kid":"{FIRST_KID}","k\u0069d":"x"}}"#),
        ),
        (
            "half a surrogate",
            r#"{"alg":"RS256","kid":"\ud800"}"#.to_owned(),
        ),
        ("in the payload only", r#"{"alg":"RS256"}"#.to_owned()),
    ] {
        let fit = app.fit().claim("/kid", FIRST_KID);
        report.case(
            format!("kid {name}"),
            app.rejects(&compact(header, fit.claims_json(), first()))
                .await,
        );
    }
    report.finish();
}

/// A token with key material in its header is rejected, regardless of its signer, and nothing is fetched.
#[tokio::test]
async fn keys_in_the_header_are_ignored_and_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("keys in the header");
    let url = app.trap.url();
    let certificate = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        stranger().spki_der(),
    );
    let set = json!({"keys": [stranger().jwk("stranger")]});
    let members: Vec<(&str, Value)> = vec![
        ("jwk", stranger().jwk("stranger")),
        ("jwk", stranger().jwk(FIRST_KID)),
        ("jwk", first().jwk(FIRST_KID)),
        ("jwk", json!({"kty": "oct", "k": b64("secret")})),
        ("jwk", json!(stranger().jwk("stranger").to_string())),
        ("jwk", Value::Null),
        ("jwk", json!({})),
        ("jku", json!(url)),
        ("jku", json!(app.source.url())),
        (
            "jku",
            json!("https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"),
        ),
        (
            "jku",
            json!(format!(
                "https://forge.cdn.prod.atlassian-dev.net@{}/jwks.json",
                app.trap.authority()
            )),
        ),
        ("jku", json!(format!("data:application/json,{set}"))),
        ("jku", json!("file:///etc/passwd")),
        ("jku", json!([url])),
        ("jku", json!("")),
        ("x5u", json!(url)),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("x5c", json!([certificate])),
        ("x5c", json!([pem("CERTIFICATE", &stranger().spki_der())])),
        ("x5c", json!(certificate)),
        ("x5c", json!([])),
        ("x5t", json!(b64([1; 20]))),
        ("x5t", json!("")),
        ("x5t#S256", json!(b64([1; 32]))),
    ];
    for (name, value) in members {
        let described = format!(
            "{name} {}",
            value.to_string().chars().take(60).collect::<String>()
        );
        for kid in [FIRST_KID, "stranger"] {
            let fit = app.fit().head(name, value.clone()).head("kid", kid);
            report.case(
                format!("{described}, kid {kid}, foreign"),
                app.rejects(&fit.sign(stranger())).await,
            );
            report.case(
                format!("{described}, kid {kid}, genuine"),
                app.rejects(&fit.sign(first())).await,
            );
        }
        let fit = app.fit().head(name, value).headless("kid");
        report.case(
            format!("{described}, no kid, foreign"),
            app.rejects(&fit.sign(stranger())).await,
        );
    }
    // All of them at once.
    let fit = app
        .fit()
        .head("jwk", stranger().jwk("s"))
        .head("jku", url.clone())
        .head("x5u", url.clone())
        .head("x5c", json!([certificate]));
    report.case("all of them", app.rejects(&fit.sign(stranger())).await);
    // Escaped, so that a text search does not find the name.
    let header = format!(
        r#"{{"alg":"RS256","kid":"{FIRST_KID}","j\u0077k":{}}}"#,
        stranger().jwk("s")
    );
    let token = compact(header, app.fit().claims_json(), stranger());
    report.case("an escaped jwk", app.rejects(&token).await);
    // Names that libraries used without a standard.
    for name in [
        "jwks", "jwks_uri", "key", "pem", "cert", "certs", "x5u#S256", "iss",
    ] {
        let fit = app.fit().head(name, json!(url));
        report.case(
            format!("{name}, foreign"),
            app.rejects(&fit.sign(stranger())).await,
        );
    }
    report.finish();
}

/// Claims by which some verifiers choose keys.
#[tokio::test]
async fn claims_do_not_choose_the_key() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("keys by claims");
    let url = app.trap.url();
    let authority = app.trap.authority();
    for (name, fit) in [
        (
            "the attacker as issuer",
            app.fit().claim("/iss", url.clone()),
        ),
        (
            "the attacker's host as issuer",
            app.fit().claim("/iss", format!("http://{authority}")),
        ),
        (
            "the attacker's API",
            app.fit().claim("/app/apiBaseUrl", url.clone()),
        ),
        (
            "Atlassian's staging",
            app.fit()
                .claim("/app/apiBaseUrl", "https://api.stg.atlassian.com/ex/jira/x"),
        ),
        ("an isolated cloud", app.fit().claim("/icLabel", "orange")),
        (
            "an isolated cloud at the attacker's",
            app.fit().claim("/icLabel", format!("{authority}/#")),
        ),
        (
            "an isolated cloud, by path",
            app.fit().claim("/icLabel", "../../x"),
        ),
        ("an isolated cloud, empty", app.fit().claim("/icLabel", "")),
        ("a jwks_uri", app.fit().claim("/jwks_uri", url.clone())),
        ("a jku", app.fit().claim("/jku", url.clone())),
        (
            "a confirmation key",
            app.fit().claim("/cnf", json!({"jwk": stranger().jwk("s")})),
        ),
    ] {
        report.case(
            format!("{name}, foreign"),
            app.rejects(&fit.sign(stranger())).await,
        );
        let unknown = fit.head("kid", "stranger");
        report.case(
            format!("{name}, foreign, unknown kid"),
            app.rejects(&unknown.sign(stranger())).await,
        );
    }
    report.finish();
    assert_eq!(
        app.source.last_request().lines().next(),
        Some("GET /.well-known/jwks.json HTTP/1.1")
    );
}

/// With an isolated cloud's key set configured, a token can choose only between the two sets.
#[tokio::test]
async fn a_token_chooses_only_between_configured_clouds() {
    use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
    use forge_remote_tests::jws::key_set;

    let isolated =
        JwksServer::start(JwksResponse::Keys(key_set(&[second().jwk("isolated")]))).await;
    let url = isolated.url();
    let app = TestApp::with(
        JwksResponse::Keys(key_set(&[first().jwk(FIRST_KID)])),
        |app| app.isolated_cloud("orange", url),
    )
    .await;
    let mut report = Report::new("isolated clouds");
    let orange = |kid: &str| app.fit().head("kid", kid).claim("/icLabel", "orange");

    let fit = orange("isolated");
    report.case(
        "its own token",
        app.accepts(&app.tick(&fit.sign(second())), &fit).await,
    );
    let fit = app.fit();
    report.case(
        "a commercial token",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );

    for (name, token) in [
        (
            "a commercial key for the isolated cloud",
            orange(FIRST_KID).sign(first()),
        ),
        (
            "the isolated cloud's key without a label",
            app.fit().head("kid", "isolated").sign(second()),
        ),
        (
            "the isolated cloud's key with another label",
            orange("isolated").claim("/icLabel", "blue").sign(second()),
        ),
        (
            "the isolated cloud's key with a label in capitals",
            orange("isolated")
                .claim("/icLabel", "ORANGE")
                .sign(second()),
        ),
        (
            "the isolated cloud's key with a list of labels",
            orange("isolated")
                .claim("/icLabel", json!(["orange"]))
                .sign(second()),
        ),
        ("a foreign key", orange("isolated").sign(stranger())),
    ] {
        report.case(name, app.rejects(&token).await);
    }
    report.finish();
}

/// The request for the key set is a plain GET that contains nothing of the token.
#[tokio::test]
async fn the_request_for_keys_contains_nothing_of_a_token() {
    let app = TestApp::with_layer().await;
    let fit = app
        .fit()
        .head("kid", "secret-kid")
        .claim("/jti", "secret-jti");
    app.rejects(&fit.sign(stranger())).await.unwrap();
    let request = app.source.last_request();
    assert!(
        request.starts_with("GET /.well-known/jwks.json HTTP/1.1\r\n"),
        "{request}"
    );
    for secret in ["secret-kid", "secret-jti", "uthorization:", "ookie:", "eyJ"] {
        assert!(!request.contains(secret), "{request}");
    }
    assert_eq!(published()["keys"].as_array().unwrap().len(), 2);
}
