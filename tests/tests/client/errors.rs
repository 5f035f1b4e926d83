//! Errors of calls to Atlassian name the cause and contain neither tokens nor user data.

use std::time::Duration;

use forge_remote::client::{AtlassianClient, ClientError};
use forge_remote::path;
use forge_remote_tests::fake_api::{
    InstantClock, RawServer, SITE, Server, error_text, local, page_call_with, respond,
    scheduled_call, scheduled_call_for,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_too_large_response_is_an_error() {
    let server = Server::in_turn(vec![respond(200, json!("x".repeat(5000)))]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).response_limit(1000);
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    assert_eq!(server.lines().len(), 1);
}

/// The input is user data; only the type's part of serde's message is shown.
#[tokio::test]
async fn a_value_of_another_type_is_described_without_the_input() {
    #[derive(Debug, serde::Deserialize)]
    struct Numbered {
        #[allow(dead_code)]
        number: u32,
    }
    for (body, problem) in [
        (
            json!({ "number": "x" }),
            "a value of a type other than u32 at line 1",
        ),
        (
            json!({ "number": "a, expected secret at line 7" }),
            "a value of a type other than u32 at line 1",
        ),
        (
            json!("secret"),
            "a value of a type other than struct Numbered at line 1",
        ),
        (
            json!({ "number": 1.5 }),
            "a value of a type other than u32 at line 1",
        ),
        (json!({ "secret": 7 }), "missing field `number` at line 1"),
    ] {
        let server = Server::in_turn(vec![respond(200, body)]).await;
        let received = scheduled_call_for(&server).await;
        let jira = local(&server).jira(&received.call).as_app(&received.system);
        let call = jira.get("/rest/api/3/myself").fetch::<Numbered>();
        let error = error_text(&call.await.unwrap_err());
        assert!(
            error.contains(problem) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn errors_name_the_limit() {
    let limited = respond(429, json!({ "errorMessages": ["Rate limit exceeded."] }))
        .header("RateLimit-Reason", "jira-quota-tenant-based")
        .header("X-RateLimit-Limit", "350")
        .header("X-RateLimit-Remaining", "0")
        .header("X-RateLimit-Reset", "2026-03-26T16:00Z")
        .header("Retry-After", "1800")
        .header("atl-traceid", "8f1c0ffee");
    let server = Server::in_turn(vec![limited]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let call = jira
        .get(path!("/rest/api/3/issue/{}", "SECRET-1"))
        .query("fields", "hidden");
    let error = call.send().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Jira GET /rest/api/3/issue/{}: response 429 Too Many Requests: Rate limit exceeded. (trace 8f1c0ffee); \
         limit: jira-quota-tenant-based, 0 of 350 left, resets at 2026-03-26T16:00Z; retry in 1800 s"
    );
    assert_eq!(error.trace_id(), Some("8f1c0ffee"));
    let limit = error.status_error().unwrap().rate_limit().unwrap();
    assert_eq!(limit.reason.as_deref(), Some("jira-quota-tenant-based"));
    let all = error_text(&error);
    assert!(
        !all.contains("hidden") && !all.contains("SECRET") && !all.contains(SITE),
        "{all}"
    );
}

#[tokio::test]
async fn errors_name_the_scope() {
    for status in [401, 403] {
        let body = json!({ "code": status, "message": "Unauthorized; scope does not match" });
        let server = Server::in_turn(vec![respond(status, body)]).await;
        let received = scheduled_call_for(&server).await;
        let atlassian = local(&server);
        let confluence = atlassian.confluence(&received.call).as_user(&received.user);
        let error = confluence
            .post("/wiki/api/v2/pages")
            .send()
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("scope does not match"), "{text}");
        assert!(
            text.contains("`write:page:confluence`") && text.contains("manifest --write"),
            "{text}"
        );
        assert_eq!(
            error.status_error().unwrap().likely_scope(),
            Some("write:page:confluence")
        );
        let error = atlassian
            .storage(&received.call, &received.system)
            .get::<Value>("k")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("`storage:app`"), "{error}");
    }
}

#[tokio::test]
async fn atlassians_messages_are_read_in_every_shape_and_truncated() {
    let long = "x".repeat(10_000);
    let shapes = [
        (
            json!({ "errorMessages": ["one"], "errors": { "summary": "two" } }),
            "one; summary: two",
        ),
        (
            json!({ "errors": [{ "status": 400, "title": "three", "detail": "four" }] }),
            "three: four",
        ),
        (json!({ "statusCode": 400, "message": "five" }), "five"),
        (
            json!({ "type": "error", "error": { "message": "six", "detail": "seven" } }),
            "six; seven",
        ),
        (
            json!({ "errors": [{ "status": 404, "code": "NOT_FOUND", "title": "none", "detail": null }] }),
            "NOT_FOUND: none",
        ),
        (
            json!({ "code": "KEY_TOO_LONG", "message": "eight" }),
            "KEY_TOO_LONG: eight",
        ),
        (
            json!({ "message": "a\nforged: line\u{1b}[31m" }),
            "a forged: line [31m",
        ),
        (json!("text"), "400 Bad Request"),
    ];
    for (body, expected) in shapes {
        let server = Server::in_turn(vec![respond(400, body)]).await;
        let received = scheduled_call_for(&server).await;
        let jira = local(&server).jira(&received.call).as_app(&received.system);
        let error = jira.get("/rest").send().await.unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 1000).collect();
    let server = Server::in_turn(vec![
        respond(400, json!({ "errorMessages": many })).header("atl-traceid", &long.to_string()),
        respond(502, Value::Null).text("<html>"),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    assert!(
        jira.post("/rest")
            .send()
            .await
            .unwrap_err()
            .to_string()
            .len()
            < 2000
    );
    let error = jira.post("/rest").send().await.unwrap_err().to_string();
    assert!(error.ends_with("502 Bad Gateway"), "{error}");
}

/// An error about a response of another shape does not quote user data.
#[tokio::test]
async fn no_error_quotes_the_response() {
    let server = Server::in_turn(vec![
        respond(200, json!({ "number": "a customer's summary" })),
        respond(200, json!({ "key": "k", "value": "a customer's value" })),
        respond(200, json!({ "values": ["a customer's item"] })),
        respond(200, json!({ "other": "a customer's field" })),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        number: u32,
    }
    let storage = atlassian.storage(&received.call, &received.system);
    let errors = [
        jira.get("/shape").fetch::<Wanted>().await.unwrap_err(),
        storage.get::<u32>("k").await.unwrap_err(),
        jira.get("/x")
            .pages::<u32>()
            .next()
            .await
            .unwrap()
            .unwrap_err(),
        jira.get("/shape").fetch::<Wanted>().await.unwrap_err(),
    ];
    for error in &errors {
        let all = error_text(error);
        assert!(
            !all.contains("customer") && all.contains(" line 1 column"),
            "{all}"
        );
    }
    assert!(error_text(&errors[3]).contains("missing field `number`"));
}

#[tokio::test]
async fn an_expired_token_is_named_as_the_cause() {
    let server = Server::in_turn(vec![respond(401, json!({ "message": "Unauthorized" }))]).await;
    let received = scheduled_call_for(&server).await;
    let clock = InstantClock::default();
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira
        .get("/rest/api/3/myself")
        .send()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("probably lacks"), "{error}");
    clock.advance(Duration::from_secs(5 * 3600));
    let error = jira
        .get("/rest/api/3/myself")
        .send()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("had expired") && !error.contains("lacks"),
        "{error}"
    );
}

#[tokio::test]
async fn a_header_that_echoes_a_short_token_is_dropped() {
    let server = Server::start(|_, request| {
        let got = request
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        respond(400, json!({}))
            .header("x-trace-id", &got)
            .header("x-request-id", "abc")
    })
    .await;
    let received = page_call_with(&server, "short-opaque-token").await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    assert!(
        !error_text(&error).contains("short-opaque-token"),
        "{error}"
    );
    assert_eq!(error.trace_id(), Some("abc"));
}

#[tokio::test]
async fn no_error_holds_a_token() {
    // A server that echoes its request, as a broken proxy might.
    let server = Server::start(|_, request| {
        let got = request
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        match request.target.rsplit('/').next() {
            Some("status") => {
                respond(400, json!({ "errorMessages": [got] })).header("x-trace-id", &got)
            }
            Some("graphql") => respond(200, json!({ "errors": [{ "message": got }] })),
            _ => respond(200, json!({ "number": got })),
        }
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&received.call).as_user(&received.user);
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        number: u32,
    }
    let graphql = atlassian.graphql(&received.call).as_app(&received.system);
    let errors = [
        jira.get("/status").send().await.unwrap_err(),
        jira.get("/shape").fetch::<Wanted>().await.unwrap_err(),
        graphql
            .operation("{ me { name } }")
            .fetch::<Value>()
            .await
            .unwrap_err(),
    ];
    for error in errors {
        let all = error_text(&error);
        assert!(!received.is_in(&all), "{all}");
        let handled = format!("{:?}", forge_remote::Error::new(error));
        assert!(!received.is_in(&handled), "{handled}");
    }
    let response = jira.get("/ok").send().await.unwrap();
    assert!(!received.is_in(&format!("{response:?} {atlassian:?}")));
}

/// A program can read a failure's body, which is in no message.
#[tokio::test]
async fn the_body_of_an_error_response_can_be_read() {
    #[derive(serde::Deserialize)]
    struct Rejected {
        errors: std::collections::BTreeMap<String, String>,
    }
    let body = json!({ "errors": { "summary": "too long" }, "private": "a customer's summary" });
    let server = Server::in_turn(vec![
        respond(400, body.clone()).header("x-custom", "there"),
        respond(400, Value::Null).text(&"y".repeat(100_000)),
        respond(400, json!({ "message": "no" })),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let error = jira.post("/rest").send().await.unwrap_err();
    let response = error.status_error().unwrap();
    assert_eq!(response.headers()["x-custom"], "there");
    assert_eq!(response.body(), body.to_string().as_bytes());
    assert_eq!(
        response.json::<Rejected>().unwrap().errors["summary"],
        "too long"
    );
    assert!(response.json::<Vec<u32>>().is_none());
    assert!(
        !error_text(&error).contains("customer"),
        "{}",
        error_text(&error)
    );

    // A long body is truncated.
    let error = jira.post("/rest").send().await.unwrap_err();
    let body = error.status_error().unwrap().body().clone();
    assert_eq!(body, "y".repeat(64 * 1024).as_bytes());

    // Secrets are redacted.
    let storage = local(&server).storage(&received.call, &received.system);
    let error = storage.secrets().set("k", "hunter2").await.unwrap_err();
    assert!(error.status_error().unwrap().body().is_empty());
}

#[tokio::test]
async fn a_body_that_echoes_the_token_is_redacted() {
    let server = Server::start(|_, request| {
        let got = request.header("authorization").to_owned();
        respond(400, json!({ "got": got, "twice": [got], "end": 1 }))
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    let body: Value = error.status_error().unwrap().json().unwrap();
    assert_eq!(
        body,
        json!({ "got": "Bearer ***", "twice": ["Bearer ***"], "end": 1 })
    );
    assert!(!received.is_in(&format!("{:?}", error.status_error().unwrap().body())));
}

/// An unusable response is not reported as a missing one, nor as an unsent request.
#[tokio::test]
async fn an_unusable_response_has_its_status() {
    let server = Server::in_turn(vec![
        respond(201, json!("x".repeat(5000))).header("atl-traceid", "t1"),
        respond(200, json!({ "other": 1 })).header("atl-traceid", "t2"),
        respond(200, json!({ "values": [], "isLast": false })),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).response_limit(1000);
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira.post("/rest").send().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Jira POST /rest: the response (201 Created) cannot be used: the body is too large: raise \
         `AtlassianClient::response_limit`, or use `Request::download` (trace t1)"
    );
    assert_eq!(
        (error.status().unwrap().as_u16(), error.trace_id()),
        (201, Some("t1"))
    );
    for _ in 0..2 {
        let error = jira
            .get("/rest")
            .pages::<u32>()
            .next()
            .await
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, ClientError::Unusable { .. }), "{error}");
        assert_eq!(error.status().unwrap().as_u16(), 200);
    }
}

#[tokio::test]
async fn an_interrupted_response_is_retried() {
    let begin = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{";
    let server = RawServer::start(begin, String::new(), 0, true).await;
    let received = scheduled_call(&[("jira", &server.origin)]).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let atlassian = atlassian.clock(InstantClock::default());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("(200 OK) cannot be used: the connection broke off after 4 attempts"),
        "{text}"
    );
    assert_eq!(server.connections(), 4);
    jira.post("/rest").send().await.unwrap_err();
    assert_eq!(server.connections(), 5);
}
