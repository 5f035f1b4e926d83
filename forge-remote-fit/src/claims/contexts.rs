//! The products of an installation.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::json::{Lenient, Members, repair_str};

/// A product the app is installed in: an entry of `app.installation.contexts`.
///
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstallationContext {
    /// The product: `jira`, `confluence`, `bitbucket`, …
    pub name: String,
    /// Where this product's API is called, e.g. `https://api.atlassian.com/ex/jira/<cloudId>`.
    pub api_base_url: Option<String>,
    /// The site's cloud id, for Jira and Confluence. Missing in FITs of before mid-2026.
    pub cloud_id: Option<String>,
    /// The workspace's UUID, for Bitbucket, without braces.
    pub workspace_id: Option<String>,
}

impl fmt::Debug for InstallationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallationContext")
            .finish_non_exhaustive()
    }
}

impl InstallationContext {
    /// Creates the context of a product: `jira`, `confluence`, …
    ///
    /// ```
    /// use forge_remote_fit::InstallationContext;
    ///
    /// let mut context = InstallationContext::new("jira");
    /// context.cloud_id = Some("11223344-a1b2-3b33-c444-def123456789".to_owned());
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            api_base_url: None,
            cloud_id: None,
            workspace_id: None,
        }
    }

    /// Reads the claim's text. An entry without a name is left out, and one of its members that isn't
    /// text is empty.
    #[doc(hidden)]
    pub fn read_all(claim: &str) -> Vec<Self> {
        let claim = serde_json::from_str::<Value>(&repair_str(claim));
        claim
            .map(|claim| Vec::read(claim).unwrap_or_default())
            .unwrap_or_default()
    }
}

impl Lenient for InstallationContext {
    fn read(value: Value) -> Result<Self, Value> {
        let mut members = Members::read(value)?;
        match members.take::<String>(&["name"]) {
            name if name.is_empty() => Err(members.into_value()),
            name => Ok(Self {
                name,
                api_base_url: members.take(&["apiBaseUrl"]),
                cloud_id: members.take(&["cloudId"]),
                workspace_id: members.take(&["workspaceId"]),
            }),
        }
    }
}

impl<'de> Deserialize<'de> for InstallationContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(value).map_err(|_| serde::de::Error::missing_field("name"))
    }
}
