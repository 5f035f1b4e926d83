//! `macro`: the static rendering of a hand-written macro, in addition to the page's resolver.

use std::time::Duration;

use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;

use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, SampleCall};

/// The kind of `#[static_macro]`: renders a Confluence macro where its page cannot run.
///
/// The macro is hand-written in the manifest, with `static: { endpoint: KEY }`. The feature is in Preview since
/// 2026-10-06 ([CHANGE-3505](https://developer.atlassian.com/changelog/#CHANGE-3505)). It is assumed that the body
/// is the same as for functions.
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

    fn sample_call(&self) -> SampleCall {
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
            ..SampleCall::from_platform(body)
        }
    }
}

/// The payload of a static macro: the macros of one page.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MacrosRequest {
    /// The macros.
    pub macros: Vec<MacroRequest>,
    /// All other members.
    pub rest: Rest,
}

payload!(MacrosRequest { macros: "macros" });

impl MacrosRequest {
    /// Renders each macro as XHTML.
    pub fn render(&self, mut each: impl FnMut(&MacroRequest) -> String) -> RenderedMacros {
        let rendered = self.macros.iter().map(|one| one.xhtml(each(one)));
        RenderedMacros {
            rendered_macros: rendered.collect(),
        }
    }

    /// Renders each macro in turn with an async function. A macro for which the function returns
    /// `None` is shown as its page.
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
#[non_exhaustive]
pub struct MacroRequest {
    /// The macro's id on the page.
    pub local_id: String,
    /// The context: `content` and `space`.
    pub context: Rest,
    /// The author's configuration.
    pub config: Rest,
    /// All other members.
    pub rest: Rest,
}

payload!(MacroRequest {
    local_id: "localId",
    context: "context",
    config: "config",
});

impl MacroRequest {
    /// Renders this macro as XHTML, Confluence's storage format.
    pub fn xhtml(&self, value: impl Into<String>) -> RenderedMacro {
        self.rendered(MacroFormat::Xhtml, value.into())
    }

    /// Renders this macro as a document in the Atlassian Document Format.
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

/// The response of a static macro: the rendered macros. A macro that is left out is shown as its
/// page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderedMacros {
    /// The rendered macros.
    pub rendered_macros: Vec<RenderedMacro>,
}

/// One rendered macro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderedMacro {
    /// The macro's id on the page.
    pub local_id: String,
    /// The value's format.
    pub content_type: MacroFormat,
    /// The rendered content.
    pub value: String,
    /// The time for which Confluence caches it (default: 600 seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheTtl>,
}

impl RenderedMacro {
    /// Sets the time for which Confluence caches it, in seconds; 0 disables caching.
    #[must_use]
    pub fn kept_for(mut self, ttl_seconds: u32) -> Self {
        self.cache = Some(CacheTtl { ttl_seconds });
        self
    }
}

/// The format of a rendered macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MacroFormat {
    /// Confluence's storage format.
    Xhtml,
    /// The Atlassian Document Format: JSON in a string.
    Adf,
}

/// The time for which Confluence caches a rendered macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheTtl {
    /// The time in seconds; 0 disables caching.
    pub ttl_seconds: u32,
}
