//! A schedule that needs nothing.

use forge_remote::prelude::*;

use crate::harness::harness;

#[scheduled_trigger(interval = "hour", licensed_only)]
async fn tick() {}

#[tokio::test]
async fn a_schedule_needs_no_body() {
    let harness = harness();
    for body in ["", "{}", r#"{"context":{"cloudId":"c"}}"#] {
        let response = harness.call("tick").body(body).send().await;
        assert_eq!(response.status(), 200, "{body}: {}", response.text());
    }
}
