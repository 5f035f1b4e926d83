//! Web triggers recognise Forge's description of a request, and reject invalid responses with a log.

use forge_remote::axum::response::Response;
use forge_remote::handler;
use forge_remote::kinds::*;
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::testing::Harness;
use forge_remote_tests::log_capture::LogCapture;
use serde_json::{Value, json};

/// Responds as its request demands.
#[web_trigger(outputs = [
    "accepted = 202",
    (key = "a = b", status = 200, content_type = "text/html; charset=utf-8", body = "<p>a = b</p>"),
    (key = "gone", status = 410, body = "gone for good"),
])]
async fn chosen(request: WebTriggerRequest) -> Response {
    match request.json::<Value>() {
        Ok(response) => Json(response).into_response(),
        Err(_) => WebTriggerOutput::new(request.text().unwrap()).into_response(),
    }
}

#[web_trigger]
async fn free(request: WebTriggerRequest) -> Response {
    match request.json::<Value>() {
        Ok(response) => Json(response).into_response(),
        Err(_) => WebTriggerResponse::new(404, "")
            .status_text("Nothing here")
            .into_response(),
    }
}

/// Returns what it saw.
#[web_trigger]
async fn seen(request: WebTriggerRequest) -> WebTriggerResponse {
    let seen = json!([
        request.method,
        request.headers,
        request.text().unwrap(),
        request.user_path,
        request.query_parameters
    ]);
    WebTriggerResponse::new(200, seen.to_string())
}

fn harness() -> Harness {
    let app = App::empty().remote(Remote::new("backend").base_url("https://backend.example.com"));
    let app = app.handler(handler!(chosen)).handler(handler!(free));
    Harness::new(app.handler(handler!(seen))).unwrap()
}

#[test]
fn outputs_follow_from_their_parts() {
    let backend = Remote::new("backend").base_url("https://backend.example.com");
    let wanted = Registry::from_registrations([handler!(chosen)]).desired_manifest(&[backend]);
    let response = wanted.modules["webtrigger"][0].to_json()["response"].clone();
    let outputs = json!([
        { "key": "accepted", "statusCode": 202 },
        { "key": "a = b", "statusCode": 200, "contentType": "text/html; charset=utf-8", "body": "<p>a = b</p>" },
        { "key": "gone", "statusCode": 410, "body": "gone for good" },
    ]);
    assert_eq!(response, json!({ "type": "static", "outputs": outputs }));
}

#[tokio::test]
async fn a_response_that_the_options_exclude_is_500() {
    let harness = harness();
    let large = "x".repeat(100_000);
    for (key, response, status) in [
        ("chosen", json!({ "outputKey": "accepted" }), 200),
        ("chosen", json!({ "outputKey": "a = b" }), 200),
        ("chosen", json!({ "outputKey": "accepted = 202" }), 500),
        ("chosen", json!({ "outputKey": "acepted" }), 500),
        (
            "chosen",
            json!({ "statusCode": 200, "body": "x", "headers": {} }),
            500,
        ),
        // It names an output, regardless of its other contents.
        (
            "chosen",
            json!({ "outputKey": "gone", "statusCode": 410 }),
            200,
        ),
        ("chosen", json!(["anything", "else"]), 200),
        ("free", json!({ "statusCode": 200, "body": "x" }), 200),
        ("free", json!({ "outputKey": "accepted" }), 500),
        ("free", json!({ "statusCode": 200, "body": large }), 200),
    ] {
        let call = harness.call(key).json(&response).send().await;
        let shown = response.to_string();
        assert_eq!(
            call.status(),
            status,
            "{key} {}",
            &shown[..shown.len().min(80)]
        );
        if status == 200 {
            assert_eq!(call.json(), response);
        } else {
            // Only the log names the reason.
            assert!(!call.text().contains("output"), "{}", call.text());
        }
    }
    for (response, status) in [("gone", 200), ("goner", 500)] {
        let call = harness.call("chosen").body(response).send().await;
        assert_eq!(call.status(), status, "{response}");
    }
}

#[tokio::test]
async fn a_status_has_its_configured_text() {
    let response = harness().call("free").body("-").send().await;
    let expected =
        json!({ "statusCode": 404, "statusText": "Nothing here", "headers": {}, "body": "" });
    assert_eq!(response.json(), expected);
    let response = harness().call("seen").send().await;
    assert_eq!(response.json().get("statusText"), None);
}

#[tokio::test]
async fn a_description_is_recognised_by_its_required_members() {
    let harness = harness();
    let seen = async |body: Value| -> Value {
        let response = harness.call("seen").json(&body).send().await;
        serde_json::from_str(response.json()["body"].as_str().unwrap()).unwrap()
    };
    // Headers, a body and a query aren't required.
    let least = json!({ "method": "GET", "path": "/x1/a", "userPath": "" });
    assert_eq!(seen(least).await, json!(["GET", {}, "", "", {}]));
    let before =
        json!({ "method": "GET", "path": "/x1/a", "headers": { "A": ["1", "2"], "B": "3" } });
    let headers = json!({ "A": ["1", "2"], "B": ["3"] });
    assert_eq!(seen(before).await, json!(["GET", headers, "", "", {}]));
    let nothing = json!({ "method": "PUT", "path": "/x1/a/b", "userPath": "/b", "headers": null, "body": null,
        "queryParameters": null, "later": [1] });
    assert_eq!(seen(nothing).await, json!(["PUT", {}, "", "/b", {}]));
    let query = json!({ "method": "PUT", "path": "/x1/a", "userPath": "", "queryParameters": { "q": ["1"] } });
    assert_eq!(seen(query).await[4], json!({ "q": ["1"] }));

    // A body that lacks one of them or has another shape is a caller's body.
    for body in [
        json!({ "method": "GET", "userPath": "/a" }),
        json!({ "path": "/x1/a", "userPath": "/a", "headers": {} }),
        json!({ "method": "GET", "path": "/a" }),
        json!({ "method": "GET", "path": "/a", "userPath": 1 }),
        json!({ "method": "GET", "path": "/a", "userPath": "", "body": {} }),
        json!([]),
        json!(["GET", "/a", "body", "", {}, {}]),
    ] {
        let seen = seen(body.clone()).await;
        assert_eq!(
            (&seen[0], &seen[2]),
            (&json!("POST"), &json!(body.to_string()))
        );
    }
}

#[tokio::test]
async fn a_near_description_is_logged_without_its_content() {
    let harness = harness();
    let log = LogCapture::default();
    let _logging = log.start();
    const WARNING: &str = "looks like Forge's description of a request";
    for (body, warned) in [
        (
            json!({ "method": "secret", "path": "secret", "userPath": 1, "body": "secret" }),
            true,
        ),
        (
            json!({ "method": "secret", "userPath": "secret", "headers": { "a": ["secret"] } }),
            true,
        ),
        (
            json!({ "method": "secret", "path": "secret", "body": "secret" }),
            false,
        ),
        (
            json!({ "method": "GET", "path": "secret", "userPath": "" }),
            false,
        ),
        (json!(["secret", "secret", "secret"]), false),
    ] {
        log.take();
        assert_eq!(harness.call("seen").json(&body).send().await.status(), 200);
        let text = log.take();
        assert_eq!(text.contains(WARNING), warned, "{body}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
    // The log has the reason for a 500 as well.
    let typo = harness.call("chosen").body("acepted").send().await;
    assert_eq!(typo.status(), 500);
    let text = log.take();
    assert!(
        text.contains("ERROR")
            && text.contains("no output \"acepted\"")
            && text.contains("accepted, a = b, gone"),
        "{text}"
    );
}
