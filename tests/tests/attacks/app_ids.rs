//! One backend for several apps: a token is accepted only for the app that it is issued for, and only
//! if it names that app everywhere.

use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{APP_ID, Fit, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

/// One of the two apps that this backend serves: the one of [`TestApp::fit`].
const LITE: &str = APP_ID;
const FULL: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000002";
/// An app that this backend does not serve.
const OTHER: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000003";

async fn start() -> TestApp {
    let keys = JwksResponse::Keys(published());
    TestApp::with(keys, |app| app.app_ids([LITE, FULL])).await
}

/// Returns a token for these audiences whose `app.id` is this.
fn fit(app: &TestApp, audience: impl Into<Value>, id: impl Into<Value>) -> Fit {
    app.fit().claim("/aud", audience).claim("/app/id", id)
}

#[tokio::test]
async fn a_token_of_each_app_is_accepted_as_that_apps() {
    let app = start().await;
    let mut report = Report::new("audiences");
    for (name, audience, id) in [
        ("the first", json!(LITE), LITE),
        ("the second", json!(FULL), FULL),
        ("a list of one", json!([FULL]), FULL),
        ("a list with a stranger's app", json!([OTHER, FULL]), FULL),
    ] {
        let fit = fit(&app, audience, id);
        // `accepts` compares the app's id that the handler saw.
        let outcome = app.accepts(&app.tick(&fit.token()), &fit).await;
        report.case(name, outcome);
    }
    report.finish();
}

#[tokio::test]
async fn a_token_that_mixes_apps_is_rejected() {
    let app = start().await;
    let mut report = Report::new("mixed apps");
    for (name, audience, id) in [
        ("another app of this backend", json!(LITE), json!(FULL)),
        ("and the other way round", json!(FULL), json!(LITE)),
        ("a stranger's app", json!(LITE), json!(OTHER)),
        ("a stranger's audience", json!(OTHER), json!(LITE)),
        ("a stranger's token", json!(OTHER), json!(OTHER)),
        ("both audiences", json!([LITE, FULL]), json!(LITE)),
        ("both audiences, reversed", json!([FULL, LITE]), json!(LITE)),
        (
            "both and a stranger's",
            json!([LITE, OTHER, FULL]),
            json!(FULL),
        ),
        ("a list of the other", json!([FULL, OTHER]), json!(LITE)),
        ("no audience in the list", json!([]), json!(LITE)),
        (
            "both ids in one text",
            json!(format!("{LITE},{FULL}")),
            json!(LITE),
        ),
        (
            "the ids without ARI",
            json!(&LITE[LITE.len() - 36..]),
            json!(LITE),
        ),
        ("both ids of the app", json!(LITE), json!([LITE, FULL])),
        ("no id of the app", json!(LITE), json!("")),
    ] {
        let token = fit(&app, audience, id).token();
        report.case(name, app.rejects(&token).await);
    }
    let missing = fit(&app, LITE, LITE);
    for claim in ["/aud", "/app/id"] {
        let token = missing.clone().without(claim).token();
        report.case(format!("without {claim}"), app.rejects(&token).await);
    }
    report.finish();
}
