//! Functions of a security information provider.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

#[security_info_provider(
    function = "fetchWorkspaces",
    name = "Scanner",
    home_url = "https://scanner.example.com"
)]
async fn workspaces(Event(call): Event<SecurityRequest>) -> Json<SecurityResponse> {
    let workspaces = call.ids.into_iter().map(|id| Workspace {
        name: id.clone(),
        url: format!("https://scanner.example.com/{id}"),
        avatar_url: None,
        id,
    });
    Json(SecurityResponse::Workspaces {
        workspaces: workspaces.collect(),
    })
}

#[security_info_provider(function = "fetchContainers")]
async fn containers() -> Json<SecurityResponse> {
    Json(SecurityResponse::Containers {
        containers: Vec::new(),
    })
}

#[security_info_provider(function = "searchContainers")]
async fn search(Event(call): Event<SecurityRequest>) -> Json<Value> {
    Json(json!([call.workspace_id, call.search_query]))
}

#[tokio::test]
async fn workspaces_are_returned() {
    let harness = harness();
    assert_eq!(
        response(&harness, "workspaces", json!({ "ids": ["w"] }))
            .await
            .1["workspaces"][0]["id"],
        "w"
    );
}
