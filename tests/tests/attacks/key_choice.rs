//! Only a published key that `kid` names verifies a FIT, regardless of other keys in the FIT.

use forge_remote_tests::jws::{FIRST_KID, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, second, stranger};
use forge_remote_tests::test_app::TestApp;
use serde_json::json;

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
