//! Only the compact serialisation with strict base64url and valid JSON is accepted.

use forge_remote_tests::http::Call;
use forge_remote_tests::jws::{Fit, compact};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::first;
use forge_remote_tests::test_app::TestApp;
use serde_json::json;

/// A barely readable payload is rejected, or reaches the handler whole.
#[tokio::test]
async fn a_barely_readable_payload_is_rejected_or_read_whole() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("barely readable payloads");
    let fit = app.page();
    let whole = |context: &serde_json::Value| fit.clone().claim("/context", context.clone());
    let mut cases: Vec<(String, Fit, String)> = Vec::new();
    for depth in 118..=134 {
        let nested = (0..depth).fold(json!("deep"), |inside, _| json!([inside]));
        let lists = nested.to_string();
        let fit = whole(&nested);
        cases.push((
            format!("a context {depth} deep"),
            fit.clone(),
            fit.claims_json(),
        ));
        let json = with(&app.page(), "x", &lists);
        cases.push((format!("an unknown claim {depth} deep"), json.0, json.1));
    }
    for (name, value) in [
        ("a number beyond every type", "1e999"),
        ("half a surrogate", r#""\ud800""#),
        ("half a surrogate in a name", r#"{"\ud800":1}"#),
        ("a member twice", r#"{"a":1,"a":2}"#),
        ("a very long number", &"9".repeat(400)),
    ] {
        let json = with(&app.page(), "x", value);
        cases.push((format!("an unknown claim of {name}"), json.0, json.1));
        let mut fit = app.page();
        let app_claim = fit.claims["app"].to_string();
        let app_claim = format!("{{\"x\":{value},{}", &app_claim[1..]);
        let json = fit.claims_json_with("app", &app_claim);
        fit = fit.claim("/app/x", 0);
        cases.push((format!("an unknown member of app of {name}"), fit, json));
    }
    for (name, fit, json) in cases {
        let token = compact(fit.header_json(), json, first());
        let call = Call::post("/ui").bearer(&token);
        let outcome = match app.send(&call).await {
            Ok(response) if response.status == 401 => Ok(()),
            Ok(response) if response.status == 200 => app.saw(&app.seen.last().unwrap(), &fit),
            Ok(response) => Err(response.status.to_string()),
            Err(error) => Err(error),
        };
        report.case(name, outcome);
    }
    report.finish();
}

/// Returns the token's claims with an additional hand-written one.
fn with(fit: &Fit, name: &str, json: &str) -> (Fit, String) {
    (fit.clone(), fit.claims_json_with(name, json))
}
