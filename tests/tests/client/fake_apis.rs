//! The test kit's fake APIs return custom responses and failures, and validate as Atlassian's do.

use std::time::Duration;

use forge_remote::client::{AtlassianClient, RetryPolicy};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{ApiResponse, Harness};
use serde_json::{Value, json};

use crate::fake_storage::manifest;

#[endpoint(auth = [system, user], scopes = ["read:jira-work"])]
async fn sync(call: Invocation, token: SystemToken) -> Result<Json<Value>> {
    let jira = call.jira().as_app(&token);
    Ok(Json(
        jira.get("/rest/agile/1.0/board")
            .query("type", "scrum")
            .fetch()
            .await?,
    ))
}

#[endpoint(auth = system, scopes = ["read:jira-work"])]
async fn acts(call: Invocation, token: SystemToken) -> Result<Json<Value>> {
    let jira = call.jira();
    let user = jira.impersonate(&token, "somebody").await;
    let user = user.map_err(|error| Error::http(StatusCode::CONFLICT, error.to_string()))?;
    Ok(Json(
        jira.as_user(&user)
            .get("/rest/api/3/myself")
            .fetch()
            .await?,
    ))
}

pub(crate) fn app() -> App {
    App::empty()
        .handler(handler!(sync))
        .handler(handler!(acts))
        // Retried at once.
        .client(
            AtlassianClient::new()
                .retries(RetryPolicy::new().waits(Duration::ZERO, Duration::ZERO)),
        )
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

#[tokio::test]
async fn a_test_adds_responses_and_failures() {
    let harness = Harness::with_apis(app()).await.unwrap();
    let apis = harness.platform().apis();
    // Not implemented by the fake, which the error says.
    assert_eq!(harness.call("sync").send().await.status(), 500);
    assert_eq!(apis.calls()[0].status, 501);

    apis.respond(|call| {
        let is_board = call.path.ends_with("/rest/agile/1.0/board");
        let kind = call.query_value("type")?.to_owned();
        is_board.then(|| ApiResponse::json(200, json!({ "boards": kind })).header("x-own", "1"))
    });
    let response = harness.call("sync").send().await;
    assert_eq!(response.json(), json!({ "boards": "scrum" }));
    // The last added API is tried first and passes unknown requests to the others.
    apis.respond(|call| {
        call.path
            .ends_with("/nowhere")
            .then(|| ApiResponse::status(204))
    });
    assert_eq!(harness.call("sync").send().await.status(), 200);
    apis.respond(|_| Some(ApiResponse::json(200, json!("mine"))));
    assert_eq!(harness.call("sync").send().await.json(), "mine");

    let seen = apis.calls().pop().unwrap();
    assert_eq!((seen.request.method.as_str(), seen.status), ("GET", 200));
    assert_eq!(
        seen.request.query,
        [("type".to_owned(), "scrum".to_owned())]
    );
    assert!(seen.request.installation_id.is_some() && seen.request.as_user.is_none());
    assert!(seen.request.headers.contains_key("x-b3-traceid"));
    assert!(!seen.request.headers.contains_key("authorization"));

    // Ordered failures come first, as often as ordered.
    let before = apis.calls().len();
    apis.fail_next(2, ApiResponse::status(503).header("retry-after", "0"));
    apis.fail_next(
        1,
        ApiResponse::json(429, json!({ "message": "slow" })).header("retry-after", "0"),
    );
    assert_eq!(harness.call("sync").send().await.json(), "mine");
    let statuses: Vec<u16> = apis.calls()[before..]
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(statuses, [503, 503, 429, 200]);
    apis.fail_next(1, ApiResponse::json(403, json!({ "message": "no" })));
    assert_eq!(harness.call("sync").send().await.status(), 500);
}

/// An app that does not declare impersonation fails here as at Atlassian.
#[tokio::test]
async fn the_exchange_needs_a_declared_impersonation() {
    let without = Harness::with_apis(app()).await.unwrap();
    let response = without.call("acts").send().await;
    assert_eq!(response.status(), 409);
    assert!(
        response.text().contains("`App::impersonation_scopes`"),
        "{}",
        response.text()
    );
    let with = Harness::with_apis(app().impersonation_scopes(["read:jira-work"]))
        .await
        .unwrap();
    assert_eq!(
        with.call("acts").send().await.json()["accountId"],
        "somebody"
    );

    // A declaration by hand in the manifest works too.
    let file =
        manifest("permissions:\n  scopes:\n    read:jira-work:\n      allowImpersonation: true\n");
    let by_hand = Harness::with_apis(app().manifest_path(&file))
        .await
        .unwrap();
    assert_eq!(by_hand.call("acts").send().await.status(), 200);
}
