//! Macros that are rendered by the remote.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::json;

use crate::harness::{harness, response};

#[static_macro]
async fn render(Event(call): Event<MacrosRequest>) -> Json<RenderedMacros> {
    Json(call.render(|one| format!("<p>{}</p>", one.config.len())))
}

#[tokio::test]
async fn each_macro_is_rendered() {
    let harness = harness();
    let macros = json!({ "macros": [{ "localId": "m1", "config": { "a": 1, "b": 2 } }] });
    assert_eq!(
        response(&harness, "render", macros).await.1,
        json!({ "renderedMacros": [{ "localId": "m1", "contentType": "xhtml", "value": "<p>2</p>" }] })
    );
}
