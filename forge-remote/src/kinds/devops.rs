//! The common parts of `devops:designInfoProvider` and `devops:securityInfoProvider`: modules of several
//! functions, which link entities with work items.

use forge_remote_schema::names::Names;
use serde_yaml::Mapping;

use super::items::{nested, set};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::SampleCall;

/// The target of an entity's link.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EntityAssociation {
    /// The target's type: `ati:cloud:jira:issue`.
    pub ati: Option<String>,
    /// The target's ARI.
    pub ari: Option<String>,
    /// The site's cloud id.
    pub cloud_id: Option<String>,
    /// The target's id.
    pub id: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(EntityAssociation {
    ati: "ati",
    ari: "ari",
    cloud_id: "cloudId",
    id: "id",
});

/// Builds the part of the module that one function contributes.
pub(super) fn function(
    names: &Names,
    function: &str,
    name: Option<&str>,
    home: Option<&str>,
) -> Mapping {
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

/// Returns the sample body of a function about links.
pub(super) fn association(function: &str) -> serde_json::Value {
    let with = serde_json::json!({
        "ati": "ati:cloud:jira:issue", "ari": "ari:cloud:jira:local:issue/10000",
        "cloudId": SampleCall::CLOUD, "id": "10000",
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
