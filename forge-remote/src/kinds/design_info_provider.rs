//! `devops:designInfoProvider`: a module of four functions.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};

use super::devops::{EntityAssociation, association, function};
use super::items::{module, set};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[design_info_provider]`: one function of the provider.
///
/// Set `name` and `home_url` at one of the functions. Set the same `key` at all of them, or none.
/// Forge requires all four functions.
///
/// ```
/// use forge_remote::kinds::DesignRequest;
/// use forge_remote::prelude::*;
///
/// #[design_info_provider(function = "getEntityByUrl", name = "Sketches", home_url = "https://sketches.example.com")]
/// async fn by_url(Event(call): Event<DesignRequest>) -> Result<Json<serde_json::Value>> {
///     Ok(Json(serde_json::json!({ "id": "1", "url": call.url() })))
/// }
/// ```
///
/// Atlassian does not document the bodies for Forge. The payload follows Connect's bodies, as used
/// by `atlassian/figma-for-jira`; every member is optional. Connect calls `checkAuth` by GET with
/// `?userId=` and no body, and reports links by PUT. Forge's methods are unknown, so any method is
/// accepted: take `Query` or no argument for `checkAuth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesignInfoProvider {
    /// The function: `checkAuth`, `getEntityByUrl`, `onEntityAssociated` or `onEntityDisassociated`.
    pub function: &'static str,
    /// The provider's name.
    pub name: Option<&'static str>,
    /// The URL of the provider's home page.
    pub home_url: Option<&'static str>,
    /// The URL of the provider's logo.
    pub logo_url: Option<&'static str>,
    /// The domain of the links that the provider handles.
    pub handled_domain_name: Option<&'static str>,
    /// The URL of the provider's documentation.
    pub documentation_url: Option<&'static str>,
}

impl DesignInfoProvider {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        function: "",
        name: None,
        home_url: None,
        logo_url: None,
        handled_domain_name: None,
        documentation_url: None,
    };
}

impl Kind for DesignInfoProvider {
    fn spec(&self) -> &'static KindSpec {
        &kinds::DESIGN_INFO_PROVIDER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = function(names, self.function, self.name, self.home_url);
        set(&mut item, "logoUrl", self.logo_url);
        set(&mut item, "handledDomainName", self.handled_domain_name);
        set(&mut item, "documentationUrl", self.documentation_url);
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall::from_platform(match self.function {
            "getEntityByUrl" => serde_json::json!({
                "entity": { "url": "https://sketches.example.com/1" }, "user": { "id": "557058:local" },
            }),
            "checkAuth" => serde_json::json!({ "user": { "id": "557058:local" } }),
            other => association(other),
        })
    }
}

/// The payload of a design function.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DesignRequest {
    /// The design: `url`, or `ari` and `id`.
    pub entity: Rest,
    /// The user: `id`, the account id.
    pub user: Option<Rest>,
    /// The entity that the design was linked to.
    pub associated_with: Option<EntityAssociation>,
    /// The entity that the design was unlinked from.
    pub disassociated_from: Option<EntityAssociation>,
    /// All other members.
    pub rest: Rest,
}

payload!(DesignRequest {
    entity: "entity",
    user: "user",
    associated_with: "associatedWith",
    disassociated_from: "disassociatedFrom",
});

impl DesignRequest {
    /// Returns the design's URL.
    pub fn url(&self) -> Option<&str> {
        self.entity.get("url")?.as_str()
    }
}
