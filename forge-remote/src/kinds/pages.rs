//! What hand-written modules of pages call besides their resolver: a macro's static form, a
//! widget's context.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rest;
use crate::fit::Caller;
use crate::registry::{Handler, Kind, Module, Simulation};

/// `#[static_macro]`: renders a Confluence macro where its page can't run. The macro is
/// hand-written in the manifest, with `static: { endpoint: KEY }`. An early-access feature: the
/// body is that of functions.
///
/// ```
/// use forge_remote::kinds::{MacrosCall, RenderedMacros};
/// use forge_remote::prelude::*;
///
/// #[static_macro]
/// async fn render(Event(call): Event<MacrosCall>) -> Result<Json<RenderedMacros>> {
///     Ok(Json(call.render(|one| format!("<p>{}</p>", one.config.len()))))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/macro/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticMacro;

impl Kind for StaticMacro {
    fn name(&self) -> &'static str {
        "macro"
    }

    fn caller(&self) -> Caller {
        Caller::PlatformForUser
    }

    fn module_suffix(&self) -> Option<&'static str> {
        None
    }

    fn modules(&self, _: &Handler) -> Vec<Module> {
        Vec::new()
    }

    fn simulation(&self) -> Simulation {
        let body = serde_json::json!({ "macros": [{
            "localId": "local-macro",
            "context": {
                "content": { "id": "98304", "type": "page", "version": "1" },
                "space": { "id": "65538", "key": "DEV" },
            },
            "config": {},
            "extensionPayload": {},
        }] });
        Simulation {
            timeout: Duration::from_secs(25),
            ..Simulation::of_platform(body)
        }
    }
}

/// `#[widget_context]`: what an agent may know of a dashboard's widget. The widget is hand-written
/// in the manifest, with `aiContext: { data: { endpoint: KEY } }`. Atlassian documents neither the
/// body nor the answer: take and give JSON.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[widget_context]
/// async fn context(Json(asked): Json<serde_json::Value>) -> Result<Json<serde_json::Value>> {
///     Ok(Json(serde_json::json!({ "asked": asked })))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidgetContext;

impl Kind for WidgetContext {
    fn name(&self) -> &'static str {
        "dashboards:widget"
    }

    fn caller(&self) -> Caller {
        Caller::PlatformForUser
    }

    fn module_suffix(&self) -> Option<&'static str> {
        None
    }

    fn modules(&self, _: &Handler) -> Vec<Module> {
        Vec::new()
    }

    fn may_lack_body(&self) -> bool {
        true
    }

    fn simulation(&self) -> Simulation {
        Simulation::of_platform(serde_json::json!({}))
    }
}

/// The macros of one page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MacrosCall {
    /// Each of them.
    #[serde(deserialize_with = "super::or_default")]
    pub macros: Vec<MacroCall>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl MacrosCall {
    /// Renders each as XHTML.
    pub fn render(&self, mut each: impl FnMut(&MacroCall) -> String) -> RenderedMacros {
        let rendered = self.macros.iter().map(|one| RenderedMacro {
            local_id: one.local_id.clone(),
            content_type: "xhtml",
            value: each(one),
            cache: None,
        });
        RenderedMacros {
            rendered_macros: rendered.collect(),
        }
    }
}

/// One macro on a page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MacroCall {
    /// Which it is.
    #[serde(deserialize_with = "super::or_default")]
    pub local_id: String,
    /// `content` and `space`.
    #[serde(deserialize_with = "super::or_default")]
    pub context: Rest,
    /// What its author configured.
    #[serde(deserialize_with = "super::or_default")]
    pub config: Rest,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The macros, rendered. One that is left out keeps its page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderedMacros {
    /// Each of them.
    pub rendered_macros: Vec<RenderedMacro>,
}

/// One macro, rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderedMacro {
    /// Which it is.
    #[serde(deserialize_with = "super::or_default")]
    pub local_id: String,
    /// `xhtml`, or `adf`: then the value is JSON in a string.
    pub content_type: &'static str,
    /// What it looks like.
    pub value: String,
    /// `ttlSeconds`: how long Confluence keeps it; 600 if it isn't said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheFor>,
}

/// How long Confluence keeps a rendered macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheFor {
    /// In seconds; 0 for not at all.
    pub ttl_seconds: u32,
}
