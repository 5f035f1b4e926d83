//! Calls back to Atlassian: how they fail, and what of it is told.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use forge_remote::client::{AtlassianClient, ClientError};
use forge_remote::path;
use forge_remote_tests::back::{
    Counting, Raw, SITE, Server, came, came_from, came_with, local, told, words,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_large_answer_is_not_taken() {
    let server = Server::in_turn(vec![told(200, json!("x".repeat(5000)))]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server).response_limit(1000);
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn errors_name_the_limit() {
    let limited = told(429, json!({ "errorMessages": ["Rate limit exceeded."] }))
        .header("RateLimit-Reason", "jira-quota-tenant-based")
        .header("X-RateLimit-Limit", "350")
        .header("X-RateLimit-Remaining", "0")
        .header("X-RateLimit-Reset", "2026-03-26T16:00Z")
        .header("Retry-After", "1800")
        .header("atl-traceid", "8f1c0ffee");
    let server = Server::in_turn(vec![limited]).await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
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
    let limit = error.answer().unwrap().rate_limit().unwrap();
    assert_eq!(limit.reason.as_deref(), Some("jira-quota-tenant-based"));
    let all = words(&error);
    assert!(
        !all.contains("hidden") && !all.contains("SECRET") && !all.contains(SITE),
        "{all}"
    );
}

#[tokio::test]
async fn errors_name_the_scope() {
    for status in [401, 403] {
        let body = json!({ "code": status, "message": "Unauthorized; scope does not match" });
        let server = Server::in_turn(vec![told(status, body)]).await;
        let came = came_from(&server).await;
        let atlassian = local(&server);
        let confluence = atlassian.confluence(&came.call).as_user(&came.user);
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
            error.answer().unwrap().likely_scope(),
            Some("write:page:confluence")
        );
        let error = atlassian
            .storage(&came.call, &came.system)
            .get::<Value>("k")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("`storage:app`"), "{error}");
    }
}

#[tokio::test]
async fn atlassians_messages_are_read_in_every_shape_and_bounded() {
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
        let server = Server::in_turn(vec![told(400, body)]).await;
        let came = came_from(&server).await;
        let jira = local(&server).jira(&came.call).as_app(&came.system);
        let error = jira.get("/rest").send().await.unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 1000).collect();
    let server = Server::in_turn(vec![
        told(400, json!({ "errorMessages": many })).header("atl-traceid", &long.to_string()),
        told(502, Value::Null).text("<html>"),
    ])
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
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

/// What a customer wrote is in no message about an answer of another shape.
#[tokio::test]
async fn no_error_quotes_what_it_read() {
    let server = Server::in_turn(vec![
        told(200, json!({ "number": "a customer's summary" })),
        told(200, json!({ "key": "k", "value": "a customer's value" })),
        told(200, json!({ "values": ["a customer's item"] })),
        told(200, json!({ "other": "a customer's field" })),
    ])
    .await;
    let came = came_from(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        number: u32,
    }
    let storage = atlassian.storage(&came.call, &came.system);
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
        let all = words(error);
        assert!(
            !all.contains("customer") && all.contains(" line 1 column"),
            "{all}"
        );
    }
    assert!(words(&errors[3]).contains("missing field `number`"));
}

#[tokio::test]
async fn a_token_that_has_run_out_is_named_as_the_cause() {
    let server = Server::in_turn(vec![told(401, json!({ "message": "Unauthorized" }))]).await;
    let came = came_from(&server).await;
    let clock = Counting::default();
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&came.call).as_app(&came.system);
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
    let server = Server::start(|_, asked| {
        let got = asked
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        told(400, json!({}))
            .header("x-trace-id", &got)
            .header("x-request-id", "abc")
    })
    .await;
    let came = came_with(&server, "short-opaque-token").await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    assert!(!words(&error).contains("short-opaque-token"), "{error}");
    assert_eq!(error.trace_id(), Some("abc"));
}

#[tokio::test]
async fn no_error_holds_a_token() {
    // A server that echoes what it got, as a broken proxy might.
    let server = Server::start(|_, asked| {
        let got = asked
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        match asked.target.rsplit('/').next() {
            Some("status") => {
                told(400, json!({ "errorMessages": [got] })).header("x-trace-id", &got)
            }
            Some("graphql") => told(200, json!({ "errors": [{ "message": got }] })),
            _ => told(200, json!({ "number": got })),
        }
    })
    .await;
    let came = came_from(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&came.call).as_user(&came.user);
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        number: u32,
    }
    let graphql = atlassian.graphql(&came.call).as_app(&came.system);
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
        let all = words(&error);
        assert!(!came.is_in(&all), "{all}");
        let handled = format!("{:?}", forge_remote::Error::new(error));
        assert!(!came.is_in(&handled), "{handled}");
    }
    let response = jira.get("/ok").send().await.unwrap();
    assert!(!came.is_in(&format!("{response:?} {atlassian:?}")));
}

/// What the program needs of a failure is there, and in no message.
#[tokio::test]
async fn a_failures_answer_can_be_read() {
    #[derive(serde::Deserialize)]
    struct Refused {
        errors: std::collections::BTreeMap<String, String>,
    }
    let body = json!({ "errors": { "summary": "too long" }, "private": "a customer's summary" });
    let server = Server::in_turn(vec![
        told(400, body.clone()).header("x-custom", "there"),
        told(400, Value::Null).text(&"y".repeat(100_000)),
        told(400, json!({ "message": "no" })),
    ])
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let error = jira.post("/rest").send().await.unwrap_err();
    let answer = error.answer().unwrap();
    assert_eq!(answer.headers()["x-custom"], "there");
    assert_eq!(answer.body(), body.to_string().as_bytes());
    assert_eq!(
        answer.json::<Refused>().unwrap().errors["summary"],
        "too long"
    );
    assert!(answer.json::<Vec<u32>>().is_none());
    assert!(!words(&error).contains("customer"), "{}", words(&error));

    // Of a long one, the beginning.
    let error = jira.post("/rest").send().await.unwrap_err();
    let body = error.answer().unwrap().body().clone();
    assert_eq!(body, "y".repeat(64 * 1024).as_bytes());

    // Of what is secret, nothing.
    let storage = local(&server).storage(&came.call, &came.system);
    let error = storage.secrets().set("k", "hunter2").await.unwrap_err();
    assert!(error.answer().unwrap().body().is_empty());
}

#[tokio::test]
async fn a_body_that_echoes_the_token_is_kept_without_it() {
    let server = Server::start(|_, asked| {
        let got = asked.header("authorization").to_owned();
        told(400, json!({ "got": got, "twice": [got], "end": 1 }))
    })
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    let body: Value = error.answer().unwrap().json().unwrap();
    assert_eq!(
        body,
        json!({ "got": "Bearer ***", "twice": ["Bearer ***"], "end": 1 })
    );
    assert!(!came.is_in(&format!("{:?}", error.answer().unwrap().body())));
}

/// An answer came: it isn't told as if none had, and not as if nothing had been sent.
#[tokio::test]
async fn an_answer_that_is_of_no_use_has_its_status() {
    let server = Server::in_turn(vec![
        told(201, json!("x".repeat(5000))).header("atl-traceid", "t1"),
        told(200, json!({ "other": 1 })).header("atl-traceid", "t2"),
        told(200, json!({ "values": [], "isLast": false })),
    ])
    .await;
    let came = came_from(&server).await;
    let atlassian = local(&server).response_limit(1000);
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira.post("/rest").send().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Jira POST /rest: the response (201 Created) can't be used: the body is too large: raise \
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
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let begin = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{";
    let server = Raw::start(begin, String::new(), 0, true).await;
    let came = came(&[("jira", &server.origin)]).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let atlassian = atlassian.clock(Counting::default());
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("(200 OK) can't be used: the connection broke off after 4 attempts"),
        "{text}"
    );
    assert_eq!(server.answered(), 4);
    jira.post("/rest").send().await.unwrap_err();
    assert_eq!(server.answered(), 5);
}
