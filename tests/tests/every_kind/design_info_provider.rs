//! The four functions of a design information provider.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{elsewhere, harness};

#[design_info_provider(
    function = "getEntityByUrl",
    name = "Sketches",
    home_url = "https://sketches.example.com"
)]
async fn by_url(Event(call): Event<DesignRequest>) -> Json<Value> {
    Json(json!({ "url": call.url() }))
}

#[design_info_provider(function = "checkAuth")]
async fn check_auth() {}

#[design_info_provider(function = "onEntityAssociated")]
async fn design_linked(Event(call): Event<DesignRequest>) -> Json<Value> {
    Json(json!(call.associated_with.and_then(|with| with.id)))
}

#[design_info_provider(function = "onEntityDisassociated")]
async fn design_unlinked(Event(call): Event<DesignRequest>) -> Json<Value> {
    Json(json!(call.disassociated_from.and_then(|from| from.id)))
}

#[tokio::test]
async fn a_providers_functions_serve_any_method() {
    let harness = harness();
    for method in ["GET", "POST", "PUT"] {
        let path = "/check-auth?userId=1";
        assert_eq!(
            elsewhere(&harness, "check-auth", method, path, b"").await.0,
            200
        );
    }
    let linked = br#"{"associatedWith":{"id":"1"}}"#;
    let response = elsewhere(&harness, "design-linked", "PUT", "/design-linked", linked).await;
    assert_eq!(response, (200, json!("1")));
}
