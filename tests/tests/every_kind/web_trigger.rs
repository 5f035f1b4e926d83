//! Web triggers: requests as Forge describes them or forwards them, and chosen outputs.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::json;
use tower::ServiceExt as _;

use crate::harness::{elsewhere, harness, response};

#[web_trigger(
    outputs = [
        "accepted=202",
        (key = "wrong", status = 400, content_type = "text/plain", body = "What do you mean?"),
    ],
    hmac,
    url_format = "v2"
)]
async fn hook(request: WebTriggerRequest) -> Json<WebTriggerOutput> {
    let right = request.header("x-kind") == Some("right");
    Json(WebTriggerOutput::new(if right {
        "accepted"
    } else {
        "wrong"
    }))
}

#[web_trigger]
async fn echo(request: WebTriggerRequest) -> WebTriggerResponse {
    let query = request
        .query_parameters
        .get("q")
        .and_then(|all| all.first());
    let body = match request.text() {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{:02x?}", &request.body[..]),
    };
    let path = &request.user_path;
    let text = format!("{} {body} {query:?} {path}", request.method);
    WebTriggerResponse::new(200, text).header("Content-Type", "text/plain")
}

#[tokio::test]
async fn a_web_trigger_reads_the_request_and_its_description() {
    let harness = harness();
    let described = json!({
        "method": "PUT", "headers": { "X-Kind": ["right"] }, "body": "b", "path": "/x1/1/deeper",
        "userPath": "/deeper", "queryParameters": { "q": ["1"] },
    });
    assert_eq!(
        response(&harness, "hook", described.clone()).await.1,
        json!({ "outputKey": "accepted" })
    );
    let text = harness.call("echo").json(&described).send().await.json();
    assert_eq!(text["body"], "PUT b Some(\"1\") /deeper");
    assert_eq!(text["headers"]["Content-Type"], json!(["text/plain"]));

    let passed_on = harness
        .call("hook")
        .body("raw")
        .header("X-Kind", "right")
        .send()
        .await;
    assert_eq!(passed_on.json(), json!({ "outputKey": "accepted" }));
    let passed_on = harness
        .call("echo")
        .body("raw")
        .query("q=2")
        .send()
        .await
        .json();
    assert_eq!(passed_on["body"], "POST raw Some(\"2\") ");
}

#[tokio::test]
async fn a_web_trigger_serves_every_method_on_its_path_and_below() {
    let harness = harness();
    for (method, path, expected) in [
        ("GET", "/echo?q=1", "GET b Some(\"1\") "),
        ("DELETE", "/echo/", "DELETE b None /"),
        ("PUT", "/echo/a%20b/c?q=2", "PUT b Some(\"2\") /a%20b/c"),
        ("PROPFIND", "/echo//d/", "PROPFIND b None //d/"),
        ("OPTIONS", "/echo/e", "OPTIONS b None /e"),
    ] {
        let (status, response) = elsewhere(&harness, "echo", method, path, b"b").await;
        assert_eq!(
            (status, &response["body"]),
            (200, &json!(expected)),
            "{path}"
        );
    }
    // The sent bytes, valid text or not.
    let (_, response) = elsewhere(&harness, "echo", "POST", "/echo/x", b"\xff\x00").await;
    assert_eq!(response["body"], "POST [ff, 00] None /x");
    // A body that resembles a description, but cannot be one, stays a body.
    let faked = br#"{"method":"GET","headers":{},"path":"/x"}"#;
    let (_, response) = elsewhere(&harness, "echo", "POST", "/echo/x", faked).await;
    assert!(
        response["body"].as_str().unwrap().starts_with("POST {"),
        "{response}"
    );
    // A path with the same prefix has no handler, and another handler has only its own method.
    for (path, status) in [("/echoes", 404), ("/follow/x", 404), ("/urgent", 405)] {
        assert_eq!(
            elsewhere(&harness, "echo", "GET", path, b"").await.0,
            status,
            "{path}"
        );
    }
    // It still requires a token.
    let unsigned =
        forge_remote::http::Request::get("/echo/x").body(forge_remote::axum::body::Body::empty());
    let response = harness
        .app()
        .router()
        .oneshot(unsigned.unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
}
