//! `devops:securityInfoProvider`: a module of up to five functions.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;

use super::devops::{EntityAssociation, association, function};
use super::items::{module, set};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[security_info_provider]`: one function of the provider.
///
/// Set `name` and `home_url` at one of the functions. Set the same `key` at all of them, or none.
/// Forge requires `fetchWorkspaces`, `fetchContainers` and `searchContainers`.
///
/// ```
/// use forge_remote::kinds::{SecurityResponse, SecurityRequest, Workspace};
/// use forge_remote::prelude::*;
///
/// #[security_info_provider(function = "fetchWorkspaces", name = "Scanner", home_url = "https://scanner.example.com")]
/// async fn workspaces(Event(call): Event<SecurityRequest>) -> Result<Json<SecurityResponse>> {
///     let workspaces = call.ids.into_iter().map(|id| Workspace {
///         name: format!("Workspace {id}"),
///         url: format!("https://scanner.example.com/{id}"),
///         avatar_url: None,
///         id,
///     });
///     Ok(Json(SecurityResponse::Workspaces { workspaces: workspaces.collect() }))
/// }
/// ```
///
/// Atlassian documents the bodies but not the method, so any method is accepted.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/jira-software-security-info/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityInfoProvider {
    /// The function: `fetchWorkspaces`, `fetchContainers`, `searchContainers`, `onEntityAssociated` or
    /// `onEntityDisassociated`.
    pub function: &'static str,
    /// The provider's name.
    pub name: Option<&'static str>,
    /// The URL of the provider's home page.
    pub home_url: Option<&'static str>,
    /// The URL of the provider's logo.
    pub logo_url: Option<&'static str>,
    /// The URL of the provider's documentation.
    pub documentation_url: Option<&'static str>,
}

impl SecurityInfoProvider {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        function: "",
        name: None,
        home_url: None,
        logo_url: None,
        documentation_url: None,
    };
}

impl Kind for SecurityInfoProvider {
    fn spec(&self) -> &'static KindSpec {
        &kinds::SECURITY_INFO_PROVIDER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = function(names, self.function, self.name, self.home_url);
        set(&mut item, "logoUrl", self.logo_url);
        set(&mut item, "documentationUrl", self.documentation_url);
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall::from_platform(match self.function {
            "fetchWorkspaces" | "fetchContainers" => serde_json::json!({ "ids": ["local"] }),
            "searchContainers" => serde_json::json!({
                "cloudId": SampleCall::CLOUD, "workspaceId": "local", "searchQuery": "",
            }),
            other => association(other),
        })
    }
}

/// The payload of a security function.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SecurityRequest {
    /// The ids of workspaces or containers.
    pub ids: Vec<String>,
    /// The cloud id of the site to search.
    pub cloud_id: Option<String>,
    /// The id of the workspace to search.
    pub workspace_id: Option<String>,
    /// The search text.
    pub search_query: Option<String>,
    /// A vulnerability: `ari` and `id`.
    pub entity: Option<Rest>,
    /// The entity that the vulnerability was linked to.
    pub associated_with: Option<EntityAssociation>,
    /// The entity that the vulnerability was unlinked from.
    pub disassociated_from: Option<EntityAssociation>,
    /// All other members.
    pub rest: Rest,
}

payload!(SecurityRequest {
    ids: "ids",
    cloud_id: "cloudId",
    workspace_id: "workspaceId",
    search_query: "searchQuery",
    entity: "entity",
    associated_with: "associatedWith",
    disassociated_from: "disassociatedFrom",
});

/// The response of a security function. The two functions about links return nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SecurityResponse {
    /// The response to `fetchWorkspaces`.
    Workspaces {
        /// The requested workspaces.
        workspaces: Vec<Workspace>,
    },
    /// The response to `fetchContainers` and `searchContainers`.
    Containers {
        /// The requested containers.
        containers: Vec<Container>,
    },
}

/// A workspace of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// The workspace's id.
    pub id: String,
    /// The workspace's name.
    pub name: String,
    /// The workspace's URL.
    pub url: String,
    /// The URL of the workspace's avatar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A container of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The container's id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// The container's URL.
    pub url: String,
    /// The URL of the container's avatar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The time of the last change, such as `2022-01-19T23:27:25+00:00`.
    pub last_updated_date: String,
}
