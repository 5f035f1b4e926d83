//! The context of a widget.

use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

#[widget_context]
async fn widget(Json(request): Json<Value>) -> Json<Value> {
    Json(request)
}

#[tokio::test]
async fn the_context_is_the_handlers_json() {
    let harness = harness();
    let request = json!({ "config": { "board": 7 } });
    assert_eq!(
        response(&harness, "widget", request.clone()).await,
        (200, request)
    );
}
