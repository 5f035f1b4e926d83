//! GraphQL errors are returned with their details, and each call logs one line.

use forge_remote::client::{ClientError, GraphQlResponse};
use forge_remote::path;
use forge_remote_tests::fake_api::{Server, instant_client, respond, scheduled_call_for};
use forge_remote_tests::log_capture::LogCapture;
use serde_json::{Value, json};

#[tokio::test]
async fn every_error_is_returned_with_its_details() {
    let server = Server::start(|_, request| {
        let token = request.header("authorization").trim_start_matches("Bearer ").to_owned();
        let mut errors = vec![
            json!({
                "message": format!("no access for {token}"),
                "path": ["jira", "issues", 0, "key"],
                "extensions": { "classification": "DataFetchingException", "statusCode": 403, "more": [1] },
            }),
            json!({ "message": null, "path": "odd", "extensions": "odd" }),
            json!({ "message": "x", "extensions": { "errorType": "LIMIT", "statusCode": "429" } }),
        ];
        errors.extend((0..7).map(|at| json!({ "message": format!("error {at}") })));
        respond(200, json!({ "data": { "a": 1 }, "errors": errors }))
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let graphql = instant_client(&server)
        .graphql(&received.call)
        .as_app(&received.system);
    let response: GraphQlResponse<Value> = graphql.operation("{ a }").response().await.unwrap();
    assert_eq!(response.data, Some(json!({ "a": 1 })));
    assert_eq!(response.errors.len(), 10);
    let first = &response.errors[0];
    assert_eq!(first.message, "no access for ***");
    assert_eq!(first.path, "jira.issues.0.key");
    assert_eq!(
        first.classification.as_deref(),
        Some("DataFetchingException")
    );
    assert_eq!(first.status_code, Some(403));
    assert_eq!(first.extensions["more"], json!([1]));
    assert_eq!(response.errors[1].message, "an error without a message");
    assert_eq!(
        (
            response.errors[1].path.as_str(),
            response.errors[1].status_code
        ),
        ("", None)
    );
    assert_eq!(response.errors[2].classification.as_deref(), Some("LIMIT"));
    assert_eq!(response.errors[2].status_code, Some(429));

    let error = graphql
        .operation("{ a }")
        .fetch::<Value>()
        .await
        .unwrap_err();
    assert_eq!(error.status().unwrap(), 403);
    let text = error.to_string();
    let named = "no access for *** (DataFetchingException, 403, at jira.issues.0.key)";
    assert!(
        text.contains(named) && text.contains("and 5 more"),
        "{text}"
    );
    assert!(text.contains("probably lacks a scope"), "{text}");
    let ClientError::GraphQl { errors, .. } = error else {
        panic!("{text}");
    };
    assert_eq!(errors.len(), 10);
    assert!(!format!("{errors:?}").contains(received.system.expose_secret()));
}

#[tokio::test]
async fn a_rate_limit_within_a_response_is_named() {
    let limit = json!({ "message": "slow down", "extensions": { "statusCode": 429 } });
    let server = Server::in_turn(vec![respond(200, json!({ "errors": [limit] }))]).await;
    let received = scheduled_call_for(&server).await;
    let graphql = instant_client(&server)
        .graphql(&received.call)
        .as_user(&received.user);
    let error = graphql
        .operation("{ a }")
        .fetch::<Value>()
        .await
        .unwrap_err();
    assert_eq!(error.status().unwrap(), 429);
    assert!(error.to_string().contains("rate limit"), "{error}");
}

/// The line names the operation, the outcome and the duration, and no user data.
#[tokio::test]
async fn a_call_logs_one_line() {
    let server = Server::in_turn(vec![respond(503, json!({})), respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let jira = instant_client(&server)
        .jira(&received.call)
        .as_app(&received.system);
    let logged = LogCapture::default();
    let logging = logged.start();
    let call = jira
        .get(path!("/rest/api/3/issue/{}", "SECRET-1"))
        .query("jql", "secret");
    call.send().await.unwrap();
    drop(logging);
    let log = logged.take();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("called Atlassian"))
        .collect();
    let [line] = lines.as_slice() else {
        panic!("{log}");
    };
    for part in [
        "api=Jira",
        "method=GET",
        "/rest/api/3/issue/{}",
        "status=200",
        "elapsed=",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    for part in ["SECRET-1", "secret", received.system.expose_secret()] {
        assert!(!log.contains(part), "{part}");
    }
}
