//! What hand-written modules of pages call besides their resolver: a macro's static form, a
//! widget's context.

use std::time::Duration;

use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;

use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, SampleCall};

/// `#[static_macro]`: renders a Confluence macro where its page can't run. The macro is
/// hand-written in the manifest, with `static: { endpoint: KEY }`. An early-access feature: the
/// body is that of functions.
///
/// ```
/// use forge_remote::kinds::{MacrosRequest, RenderedMacros};
/// use forge_remote::prelude::*;
///
/// #[static_macro]
/// async fn render(Event(call): Event<MacrosRequest>) -> Result<Json<RenderedMacros>> {
///     Ok(Json(call.render(|one| format!("<p>{}</p>", one.config.len()))))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/macro/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticMacro;

impl Kind for StaticMacro {
    fn spec(&self) -> &'static KindSpec {
        &kinds::STATIC_MACRO
    }

    fn simulation(&self) -> SampleCall {
        let body = serde_json::json!({ "macros": [{
            "localId": "local-macro",
            "context": {
                "content": { "id": "98304", "type": "page", "version": "1" },
                "space": { "id": "65538", "key": "DEV" },
            },
            "config": {},
            "extensionPayload": {},
        }] });
        SampleCall {
            timeout: Duration::from_secs(25),
            ..SampleCall::of_platform(body)
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
    fn spec(&self) -> &'static KindSpec {
        &kinds::WIDGET_CONTEXT
    }

    fn simulation(&self) -> SampleCall {
        SampleCall::of_platform(serde_json::json!({}))
    }
}

/// The macros of one page.
#[derive(Clone, Debug, Default)]
pub struct MacrosRequest {
    /// Each of them.
    pub macros: Vec<MacroRequest>,
    /// Everything else.
    pub rest: Rest,
}

payload!(MacrosRequest { macros: "macros" });

impl MacrosRequest {
    /// Renders each as XHTML.
    pub fn render(&self, mut each: impl FnMut(&MacroRequest) -> String) -> RenderedMacros {
        let rendered = self.macros.iter().map(|one| one.xhtml(each(one)));
        RenderedMacros {
            rendered_macros: rendered.collect(),
        }
    }

    /// Renders each, one after the other, with work that takes time or can fail; what gives `None`
    /// keeps its page.
    ///
    /// ```
    /// use forge_remote::kinds::{MacrosRequest, RenderedMacros};
    /// use forge_remote::prelude::*;
    ///
    /// # async fn title_of(_: Option<&str>) -> Option<String> { None }
    /// #[static_macro]
    /// async fn render(Event(call): Event<MacrosRequest>) -> Result<Json<RenderedMacros>> {
    ///     let rendered = call.render_with(|one| async move {
    ///         let title = title_of(one.config.get("id").and_then(|id| id.as_str())).await?;
    ///         Some(one.xhtml(format!("<p>{title}</p>")).kept_for(60))
    ///     });
    ///     Ok(Json(rendered.await))
    /// }
    /// ```
    pub async fn render_with<F>(self, mut each: impl FnMut(MacroRequest) -> F) -> RenderedMacros
    where
        F: Future<Output = Option<RenderedMacro>>,
    {
        let mut rendered_macros = Vec::with_capacity(self.macros.len());
        for one in self.macros {
            rendered_macros.extend(each(one).await);
        }
        RenderedMacros { rendered_macros }
    }
}

/// One macro on a page.
#[derive(Clone, Debug, Default)]
pub struct MacroRequest {
    /// Which it is.
    pub local_id: String,
    /// `content` and `space`.
    pub context: Rest,
    /// What its author configured.
    pub config: Rest,
    /// Everything else.
    pub rest: Rest,
}

payload!(MacroRequest {
    local_id: "localId",
    context: "context",
    config: "config",
});

impl MacroRequest {
    /// This macro as XHTML, Confluence's storage format.
    pub fn xhtml(&self, value: impl Into<String>) -> RenderedMacro {
        self.rendered(MacroFormat::Xhtml, value.into())
    }

    /// This macro as a document in the Atlassian Document Format.
    pub fn adf(&self, document: &serde_json::Value) -> RenderedMacro {
        self.rendered(MacroFormat::Adf, document.to_string())
    }

    fn rendered(&self, content_type: MacroFormat, value: String) -> RenderedMacro {
        RenderedMacro {
            local_id: self.local_id.clone(),
            content_type,
            value,
            cache: None,
        }
    }
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
    pub local_id: String,
    /// What the value is.
    pub content_type: MacroFormat,
    /// What it looks like.
    pub value: String,
    /// `ttlSeconds`: how long Confluence keeps it; 600 if it isn't said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheTtl>,
}

impl RenderedMacro {
    /// The same, kept for so many seconds; 0 for not at all.
    #[must_use]
    pub fn kept_for(mut self, ttl_seconds: u32) -> Self {
        self.cache = Some(CacheTtl { ttl_seconds });
        self
    }
}

/// What a rendered macro's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MacroFormat {
    /// Confluence's storage format.
    Xhtml,
    /// The Atlassian Document Format: JSON in a string.
    Adf,
}

/// How long Confluence keeps a rendered macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheTtl {
    /// In seconds; 0 for not at all.
    pub ttl_seconds: u32,
}
