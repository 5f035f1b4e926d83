//! `devops:designInfoProvider` and `devops:securityInfoProvider`: several functions make one
//! module.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;
use serde_yaml::Mapping;

use super::items::{nested, set};
use super::rest::Rest;
use crate::json::payload;
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[design_info_provider]`: one function of the provider. `name` and `home_url`
/// are written at one of them; all have the same `key`, or none. Forge wants all four functions.
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
/// No page of Atlassian's has this contract for Forge: the bodies are those of Connect, as
/// `atlassian/figma-for-jira` has them, and everything in them is optional. Connect calls
/// `checkAuth` by GET with `?userId=` and no body, and tells of links by PUT; what Forge does isn't
/// known, so any method is answered: take `Query` or nothing for `checkAuth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesignInfoProvider {
    /// `checkAuth`, `getEntityByUrl`, `onEntityAssociated` or `onEntityDisassociated`.
    pub function: &'static str,
    /// The provider's name.
    pub name: Option<&'static str>,
    /// Its home page.
    pub home_url: Option<&'static str>,
    /// Its logo.
    pub logo_url: Option<&'static str>,
    /// The domain whose links it knows.
    pub handled_domain_name: Option<&'static str>,
    /// Its documentation.
    pub documentation_url: Option<&'static str>,
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
        vec![Module {
            module_type: self.spec().module_type,
            item,
            owned: OwnedProperties::All,
        }]
    }

    fn simulation(&self) -> SampleCall {
        SampleCall::of_platform(match self.function {
            "getEntityByUrl" => serde_json::json!({
                "entity": { "url": "https://sketches.example.com/1" }, "user": { "id": "557058:local" },
            }),
            "checkAuth" => serde_json::json!({ "user": { "id": "557058:local" } }),
            other => association(other),
        })
    }
}

/// The options of `#[security_info_provider]`: one function of the provider. `name` and `home_url`
/// are written at one of them; all have the same `key`, or none. Forge wants the first three.
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
/// Atlassian's page has the bodies and not the method: any is answered.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/jira-software-security-info/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityInfoProvider {
    /// `fetchWorkspaces`, `fetchContainers`, `searchContainers`, `onEntityAssociated` or
    /// `onEntityDisassociated`.
    pub function: &'static str,
    /// The provider's name.
    pub name: Option<&'static str>,
    /// Its home page.
    pub home_url: Option<&'static str>,
    /// Its logo.
    pub logo_url: Option<&'static str>,
    /// Its documentation.
    pub documentation_url: Option<&'static str>,
}

impl Kind for SecurityInfoProvider {
    fn spec(&self) -> &'static KindSpec {
        &kinds::SECURITY_INFO_PROVIDER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = function(names, self.function, self.name, self.home_url);
        set(&mut item, "logoUrl", self.logo_url);
        set(&mut item, "documentationUrl", self.documentation_url);
        vec![Module {
            module_type: self.spec().module_type,
            item,
            owned: OwnedProperties::All,
        }]
    }

    fn simulation(&self) -> SampleCall {
        SampleCall::of_platform(match self.function {
            "fetchWorkspaces" | "fetchContainers" => serde_json::json!({ "ids": ["local"] }),
            "searchContainers" => serde_json::json!({
                "cloudId": "local", "workspaceId": "local", "searchQuery": "",
            }),
            other => association(other),
        })
    }
}

/// The part of the module that one function makes.
fn function(names: &Names, function: &str, name: Option<&str>, home: Option<&str>) -> Mapping {
    let mut item = Mapping::new();
    item.insert("key".into(), names.key.as_str().into());
    if let Some(name) = name {
        item.insert("name".into(), nested("value", name.into()));
    }
    set(&mut item, "homeUrl", home);
    item.insert(
        function.into(),
        nested("endpoint", names.endpoint.as_str().into()),
    );
    item
}

fn association(function: &str) -> serde_json::Value {
    let with = serde_json::json!({
        "ati": "ati:cloud:jira:issue", "ari": "ari:cloud:jira:local:issue/10000",
        "cloudId": "local", "id": "10000",
    });
    let mut body = serde_json::json!({ "entity": { "ari": "ari:local", "id": "1" } });
    let name = if function == "onEntityAssociated" {
        "associatedWith"
    } else {
        "disassociatedFrom"
    };
    body[name] = with;
    body
}

/// What a design function is asked.
#[derive(Clone, Debug, Default)]
pub struct DesignRequest {
    /// `url`, or `ari` and `id`.
    pub entity: Rest,
    /// `id`: the account.
    pub user: Option<Rest>,
    /// What the design is linked to.
    pub associated_with: Option<EntityAssociation>,
    /// What it is no longer linked to.
    pub disassociated_from: Option<EntityAssociation>,
    /// Everything else.
    pub rest: Rest,
}

payload!(DesignRequest {
    entity: "entity",
    user: "user",
    associated_with: "associatedWith",
    disassociated_from: "disassociatedFrom",
});

impl DesignRequest {
    /// The design's URL.
    pub fn url(&self) -> Option<&str> {
        self.entity.get("url")?.as_str()
    }
}

/// What an entity is linked to.
#[derive(Clone, Debug, Default)]
pub struct EntityAssociation {
    /// The kind: `ati:cloud:jira:issue`.
    pub ati: Option<String>,
    /// The thing.
    pub ari: Option<String>,
    /// The site.
    pub cloud_id: Option<String>,
    /// The thing's id.
    pub id: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(EntityAssociation {
    ati: "ati",
    ari: "ari",
    cloud_id: "cloudId",
    id: "id",
});

/// What a security function is asked.
#[derive(Clone, Debug, Default)]
pub struct SecurityRequest {
    /// Of workspaces or containers.
    pub ids: Vec<String>,
    /// Where to search.
    pub cloud_id: Option<String>,
    /// Where to search.
    pub workspace_id: Option<String>,
    /// What to search for.
    pub search_query: Option<String>,
    /// A vulnerability: `ari` and `id`.
    pub entity: Option<Rest>,
    /// What it is linked to.
    pub associated_with: Option<EntityAssociation>,
    /// What it is no longer linked to.
    pub disassociated_from: Option<EntityAssociation>,
    /// Everything else.
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

/// What a security function answers; nothing for the two about links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SecurityResponse {
    /// To `fetchWorkspaces`.
    Workspaces {
        /// Those asked for.
        workspaces: Vec<Workspace>,
    },
    /// To `fetchContainers` and `searchContainers`.
    Containers {
        /// Those asked for.
        containers: Vec<Container>,
    },
}

/// A workspace of the provider's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// A picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A container of the provider's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// A picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// When it last changed, as `2022-01-19T23:27:25+00:00`.
    pub last_updated_date: String,
}
