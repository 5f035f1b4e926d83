//! Every return type, and its response.

use std::error::Error as StdError;

use forge_remote::axum::response::{Html, Response};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde::Serialize;

#[derive(Debug, thiserror::Error)]
#[error("secret")]
struct Failure;

struct TokenRejection;

impl IntoResponse for TokenRejection {
    fn into_response(self) -> Response {
        StatusCode::IM_A_TEAPOT.into_response()
    }
}

/// Both an error and a response: the response is what its author wants.
#[derive(Debug, thiserror::Error)]
#[error("secret")]
struct Both;

impl IntoResponse for Both {
    fn into_response(self) -> Response {
        StatusCode::CONFLICT.into_response()
    }
}

#[derive(Serialize)]
struct Answer {
    number: u8,
}

type Outcome = Result<Json<Answer>, Failure>;

#[endpoint]
async fn nothing() {}

#[endpoint]
async fn unit() -> () {}

#[endpoint]
async fn result() -> Result<()> {
    Ok(())
}

#[endpoint]
async fn failed() -> Result<()> {
    Err(Failure)?
}

#[endpoint]
async fn rejected() -> Result<()> {
    Err(Error::http(StatusCode::NOT_FOUND, "no such thing"))
}

#[endpoint]
async fn json() -> Json<Answer> {
    Json(Answer { number: 1 })
}

#[endpoint]
async fn json_or_failure() -> Result<Json<Answer>, Failure> {
    Ok(Json(Answer { number: 2 }))
}

#[endpoint]
async fn alias() -> Outcome {
    Err(Failure)
}

#[endpoint]
async fn anyhow_ok() -> anyhow::Result<Json<Answer>> {
    Ok(Json(Answer { number: 3 }))
}

#[endpoint]
async fn anyhow_failed() -> anyhow::Result<()> {
    anyhow::bail!("secret")
}

#[endpoint]
async fn boxed() -> Result<(), Box<dyn StdError + Send + Sync>> {
    Err("secret".into())
}

#[endpoint]
async fn status() -> StatusCode {
    StatusCode::NO_CONTENT
}

#[endpoint]
async fn status_or_failure() -> Result<StatusCode, Failure> {
    Ok(StatusCode::ACCEPTED)
}

#[endpoint]
async fn text() -> &'static str {
    "text"
}

#[endpoint]
async fn tuple() -> (StatusCode, [(&'static str, &'static str); 1], Json<Answer>) {
    (
        StatusCode::CREATED,
        [("x-one", "1")],
        Json(Answer { number: 4 }),
    )
}

#[endpoint]
async fn opaque() -> impl IntoResponse {
    Html("opaque")
}

#[endpoint]
async fn opaque_in_a_result() -> Result<impl IntoResponse, Failure> {
    Ok(Html("opaque"))
}

#[endpoint]
async fn opaque_error() -> Result<Json<Answer>, impl StdError + Send + Sync> {
    Err::<Json<Answer>, _>(Failure)
}

#[endpoint]
async fn response() -> Response {
    StatusCode::IM_USED.into_response()
}

#[endpoint]
async fn own_rejection() -> Result<(), TokenRejection> {
    Err(TokenRejection)
}

#[endpoint]
async fn error_and_response() -> Result<(), Both> {
    Err(Both)
}

#[endpoint]
async fn two_responses() -> Result<StatusCode, (StatusCode, &'static str)> {
    Err((StatusCode::BAD_REQUEST, "bad"))
}

#[tokio::test]
async fn every_return_type_is_a_response() -> Result<()> {
    let harness = Harness::new(crate::app_of("attributes/returns.rs"))?;
    let expected = [
        ("nothing", 200, ""),
        ("unit", 200, ""),
        ("result", 200, ""),
        ("failed", 500, "internal_error"),
        ("rejected", 404, "no such thing"),
        ("json", 200, r#"{"number":1}"#),
        ("json-or-failure", 200, r#"{"number":2}"#),
        ("alias", 500, "internal_error"),
        ("anyhow-ok", 200, r#"{"number":3}"#),
        ("anyhow-failed", 500, "internal_error"),
        ("boxed", 500, "internal_error"),
        ("status", 204, ""),
        ("status-or-failure", 202, ""),
        ("text", 200, "text"),
        ("tuple", 201, r#"{"number":4}"#),
        ("opaque", 200, "opaque"),
        ("opaque-in-a-result", 200, "opaque"),
        ("opaque-error", 500, "internal_error"),
        ("response", 226, ""),
        ("own-rejection", 418, ""),
        ("error-and-response", 409, ""),
        ("two-responses", 400, "bad"),
    ];
    for (key, status, body) in expected {
        let answer = harness.call(key).send().await;
        assert_eq!(answer.status(), status, "{key}: {answer:?}");
        assert!(answer.text().contains(body), "{key}: {answer:?}");
        assert!(!answer.text().contains("secret"), "{key}: {answer:?}");
    }
    assert_eq!(harness.app().registry().handlers().len(), expected.len());
    // A handler stays a function that anyone can call.
    assert!(failed().await.is_err());
    assert_eq!(json().await.0.number, 1);
    Ok(())
}
