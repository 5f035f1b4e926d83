//! A provider of pipelines.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::json;

use crate::harness::{harness, response};

/// Leaves every pipeline as it is.
#[dynamic_pipelines_provider(name = "Nothing")]
async fn pipelines(Event(call): Event<PipelinesRequest>) -> Json<PipelinesResponse> {
    Json(PipelinesResponse::new(call.pipelines_configuration))
}

#[tokio::test]
async fn a_provider_returns_the_configuration() {
    let harness = harness();
    let configuration = json!({ "pipelines": { "default": [] } });
    let request = json!({ "workspace": "{w}", "pipelines_configuration": configuration });
    assert_eq!(
        response(&harness, "pipelines", request).await.1,
        json!({ "pipelines_configuration": configuration })
    );
}
