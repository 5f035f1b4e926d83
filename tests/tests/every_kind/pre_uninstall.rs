//! The call before an app is uninstalled.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::json;

use crate::harness::{harness, response};

#[pre_uninstall(auth = system)]
async fn farewell(Event(event): Event<UninstallEvent>) -> Result<()> {
    assert!(event.context.is_some());
    Ok(())
}

#[tokio::test]
async fn a_call_without_a_body_has_an_empty_context() {
    let harness = harness();
    let call = harness.call("farewell").body("").send().await;
    assert_eq!(call.status(), 500, "the handler expects a context");
    let context = json!({ "context": { "cloudId": "c" } });
    assert_eq!(response(&harness, "farewell", context).await.0, 200);
}
