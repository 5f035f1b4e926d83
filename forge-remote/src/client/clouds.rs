//! Isolated clouds and the URLs of their APIs.

use std::collections::BTreeSet;

use super::hosts::{self, InvalidHost};

/// The configuration of an Atlassian isolated cloud, for [`App::isolated_cloud`](crate::App::isolated_cloud).
///
/// Atlassian provides its key set and URLs when the app is onboarded to the cloud.
///
/// An installation's token is sent only to the hosts of its cloud: the hosts configured here and with
/// [`AtlassianClient::allow_host`](super::AtlassianClient::allow_host). The cloud is identified by the `icLabel` of the
/// verified FIT; the label is also stored, for work in the background.
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

/// Creates a cloud without API URLs.
impl From<&str> for IsolatedCloud {
    fn from(jwks_url: &str) -> Self {
        Self::new(jwks_url)
    }
}

/// Creates a cloud without API URLs.
impl From<String> for IsolatedCloud {
    fn from(jwks_url: String) -> Self {
        Self::new(jwks_url)
    }
}

impl IsolatedCloud {
    /// Creates a cloud with this key set. Its APIs cannot be called until their URLs are set.
    pub fn new(jwks_url: impl Into<String>) -> Self {
        Self {
            jwks_url: jwks_url.into(),
            api: None,
            platform: None,
            storage: None,
        }
    }

    /// Sets the cloud's counterpart of `https://api.atlassian.com`, the start of the products' base URLs.
    ///
    /// It is also the default for GraphQL, Forge's own APIs and storage. It must be https, or http on
    /// this machine for tests.
    #[must_use]
    pub fn api_url(mut self, url: impl Into<String>) -> Self {
        self.api = Some(url.into());
        self
    }

    /// Sets the URL of Forge's own APIs, with GraphQL at `/graphql` below it.
    ///
    /// The default is the [`api_url`](Self::api_url).
    #[must_use]
    pub fn platform_url(mut self, url: impl Into<String>) -> Self {
        self.platform = Some(url.into());
        self
    }

    /// Sets the cloud's counterpart of `https://api.atlassian.com/forge/storage/kvs`.
    ///
    /// The default is `/forge/storage/kvs` below the [`api_url`](Self::api_url).
    #[must_use]
    pub fn storage_url(mut self, url: impl Into<String>) -> Self {
        self.storage = Some(url.into());
        self
    }

    /// Checks the URLs.
    pub(crate) fn check(&self) -> Result<(), InvalidHost> {
        self.urls().map(drop)
    }

    /// Checks and returns the URLs.
    pub(super) fn urls(&self) -> Result<CloudUrls, InvalidHost> {
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

/// The URLs of a cloud's APIs.
#[derive(Clone, Debug)]
pub(super) struct CloudUrls {
    pub(super) origins: BTreeSet<String>,
    /// The URL of GraphQL and Forge's own APIs.
    pub(super) platform: Option<String>,
    pub(super) storage: Option<String>,
}

/// Returns whether this is a valid label of an isolated cloud.
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
    fn urls_default_to_paths_below_the_api_url() {
        let cloud = IsolatedCloud::new("https://keys.example/jwks.json");
        let none = cloud.urls().unwrap();
        assert_eq!((none.platform, none.storage), (None, None));
        let cloud = cloud.api_url("https://api.orange.example/");
        let some = cloud.urls().unwrap();
        assert_eq!(some.platform.unwrap(), "https://api.orange.example");
        let storage = "https://api.orange.example/forge/storage/kvs";
        assert_eq!(some.storage.unwrap(), storage);
        let cloud = cloud.storage_url("https://s.example/kvs/");
        let all = cloud.urls().unwrap();
        assert_eq!(all.storage.unwrap(), "https://s.example/kvs");
        assert_eq!(all.origins.len(), 2);
    }
}
