//! A page's endpoint.

use forge_remote::prelude::*;

use crate::harness::harness;

#[endpoint]
async fn overview() {}

#[tokio::test]
async fn a_page_calls_with_its_own_token() {
    let harness = harness();
    let response = harness.call("overview").send().await;
    assert_eq!(response.status(), 200, "{}", response.text());
    let unsigned = harness
        .call("overview")
        .header("authorization", "Bearer a.b.c");
    assert_eq!(unsigned.send().await.status(), 401);
}
