//! `dashboards:widget`: the context of a hand-written widget, in addition to the page's resolver.

use forge_remote_schema::{KindSpec, kinds};

use crate::registry::{Kind, SampleCall};

/// The kind of `#[widget_context]`: provides a dashboard widget's context to an agent.
///
/// The widget is hand-written in the manifest, with `aiContext: { data: { endpoint: KEY } }`. Atlassian
/// documents neither the body nor the response: take and return JSON.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[widget_context]
/// async fn context(Json(body): Json<serde_json::Value>) -> Result<Json<serde_json::Value>> {
///     Ok(Json(serde_json::json!({ "request": body })))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidgetContext;

impl Kind for WidgetContext {
    fn spec(&self) -> &'static KindSpec {
        &kinds::WIDGET_CONTEXT
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall::from_platform(serde_json::json!({}))
    }
}
