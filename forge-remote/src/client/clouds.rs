//! Isolated clouds: where the APIs of their installations are.

use std::collections::BTreeSet;

use super::hosts::{self, InvalidHost};

/// An isolated cloud of Atlassian's, for [`App::isolated_cloud`](crate::App::isolated_cloud): its
/// key set and addresses come with the app's onboarding to it.
///
/// An installation's token goes to the hosts of its own cloud only: those named here and those of
/// [`AtlassianClient::allow_host`](super::AtlassianClient::allow_host). Which cloud that is, the `icLabel` of
/// the verified token says, and what is kept of it for work in the background.
///
/// ```
/// use forge_remote::client::IsolatedCloud;
/// use forge_remote::prelude::*;
///
/// let orange = IsolatedCloud::new("https://keys.orange.example/jwks.json")
///     .api_url("https://api.orange.example")
///     .storage_url("https://storage.orange.example/forge/storage/kvs");
/// let app = App::new().isolated_cloud("orange", orange);
/// # let _ = app;
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/#isolated-cloud-support>
#[derive(Clone, Debug)]
pub struct IsolatedCloud {
    pub(crate) jwks_url: String,
    api: Option<String>,
    platform: Option<String>,
    storage: Option<String>,
}

/// A cloud whose APIs aren't called.
impl From<&str> for IsolatedCloud {
    fn from(jwks_url: &str) -> Self {
        Self::new(jwks_url)
    }
}

/// A cloud whose APIs aren't called.
impl From<String> for IsolatedCloud {
    fn from(jwks_url: String) -> Self {
        Self::new(jwks_url)
    }
}

impl IsolatedCloud {
    /// A cloud with this key set. Until its addresses are given, its APIs can't be called.
    pub fn new(jwks_url: impl Into<String>) -> Self {
        Self {
            jwks_url: jwks_url.into(),
            api: None,
            platform: None,
            storage: None,
        }
    }

    /// What is `https://api.atlassian.com` elsewhere: the products' base URLs begin so. GraphQL,
    /// Forge's own APIs and storage are there too unless told otherwise. By https, or by http on
    /// this machine, for tests.
    #[must_use]
    pub fn api_url(mut self, url: impl Into<String>) -> Self {
        self.api = Some(url.into());
        self
    }

    /// Where Forge's own APIs are, and GraphQL at `/graphql` below it, where that isn't the
    /// [`api_url`](Self::api_url).
    #[must_use]
    pub fn platform_url(mut self, url: impl Into<String>) -> Self {
        self.platform = Some(url.into());
        self
    }

    /// What is `https://api.atlassian.com/forge/storage/kvs` elsewhere. Unless told otherwise,
    /// `/forge/storage/kvs` below the [`api_url`](Self::api_url).
    #[must_use]
    pub fn storage_url(mut self, url: impl Into<String>) -> Self {
        self.storage = Some(url.into());
        self
    }

    /// Its addresses, checked.
    pub(super) fn addresses(&self) -> Result<CloudUrls, InvalidHost> {
        let mut origins = BTreeSet::new();
        for url in [&self.api, &self.platform, &self.storage]
            .into_iter()
            .flatten()
        {
            origins.insert(hosts::origin(&hosts::for_tokens(url)?));
        }
        let trimmed = |url: &Option<String>| {
            let url = url.as_deref()?;
            Some(url.trim_end_matches('/').to_owned())
        };
        let api = trimmed(&self.api);
        let below = |path: &str| Some(format!("{}{path}", api.as_deref()?));
        Ok(CloudUrls {
            origins,
            storage: trimmed(&self.storage).or_else(|| below("/forge/storage/kvs")),
            platform: trimmed(&self.platform).or_else(|| below("")),
        })
    }
}

/// Where a cloud's APIs are.
#[derive(Clone, Debug)]
pub(super) struct CloudUrls {
    pub(super) origins: BTreeSet<String>,
    /// Where GraphQL and Forge's own APIs are.
    pub(super) platform: Option<String>,
    pub(super) storage: Option<String>,
}

/// Whether it can be the label of an isolated cloud.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/#isolated-cloud-support>
pub(crate) fn is_label(label: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (1..=50).contains(&label.len()) && label.chars().all(allowed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_below_the_apis_address() {
        let cloud = IsolatedCloud::new("https://keys.example/jwks.json");
        let none = cloud.addresses().unwrap();
        assert_eq!((none.platform, none.storage), (None, None));
        let cloud = cloud.api_url("https://api.orange.example/");
        let some = cloud.addresses().unwrap();
        assert_eq!(some.platform.unwrap(), "https://api.orange.example");
        let storage = "https://api.orange.example/forge/storage/kvs";
        assert_eq!(some.storage.unwrap(), storage);
        let cloud = cloud.storage_url("https://s.example/kvs/");
        let all = cloud.addresses().unwrap();
        assert_eq!(all.storage.unwrap(), "https://s.example/kvs");
        assert_eq!(all.origins.len(), 2);
    }
}
