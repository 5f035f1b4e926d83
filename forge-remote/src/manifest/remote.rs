//! The remotes that the code declares.

use std::collections::{BTreeMap, BTreeSet};

use super::base_url;
use crate::diagnostic::Severity;

/// A remote: your HTTPS backend that Forge calls, an item of `remotes` in the manifest.
///
/// ```
/// use forge_remote::Remote;
///
/// let remote = Remote::new("backend").base_url("https://backend.example.com");
/// assert_eq!(remote.key(), "backend");
/// ```
///
/// Properties of the manifest's item that the code does not set are preserved.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/remotes/>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    key: String,
    base_url: Option<String>,
    region_urls: BTreeMap<RemoteRegion, String>,
    operations: Option<BTreeSet<RemoteOperation>>,
    in_scope_eud: Option<bool>,
    base_path: Option<String>,
}

impl Remote {
    /// Creates a remote with this key: 1 to 23 of `a-z A-Z 0-9 _ -`.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            base_url: None,
            region_urls: BTreeMap::new(),
            operations: None,
            in_scope_eud: None,
            base_path: None,
        }
    }

    /// Sets the base URL that Forge calls: `https://`, a host, and a path if you need one, without a
    /// trailing slash. Forge appends an endpoint's path to it.
    ///
    /// With a path, such as an API gateway's stage, the remote's handlers are served at their own path and below the
    /// URL's path, so it does not matter whether the gateway removes the prefix.
    ///
    /// Default: the manifest's `baseUrl` is preserved, for example a `${VARIABLE}`.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Sets the base URL for installations whose data is in this region.
    /// [`base_url`](Self::base_url) is the default for the others.
    ///
    /// ```
    /// use forge_remote::{Remote, RemoteRegion};
    ///
    /// let remote = Remote::new("backend")
    ///     .base_url("https://backend.example.com")
    ///     .region_url(RemoteRegion::Eu, "https://eu.backend.example.com");
    /// # let _ = remote;
    /// ```
    ///
    /// All remotes that store end-user data must have URLs for the same regions.
    ///
    /// Forge names the region in no call. Run one deployment for each URL, or read the header `Host` in the handler of
    /// the `installed` event and store the region with the installation: schedules and jobs run without the URL.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/remote-realm-pinning/>
    #[must_use]
    pub fn region_url(mut self, region: RemoteRegion, url: impl Into<String>) -> Self {
        self.region_urls.insert(region, url.into());
        self
    }

    /// Sets the uses of the remote. Functions can call it only with
    /// [`Compute`](RemoteOperation::Compute), which a handler with
    /// [`function_call`](macro@crate::function_call) adds.
    ///
    /// ```
    /// use forge_remote::{Remote, RemoteOperation};
    ///
    /// let remote = Remote::new("backend")
    ///     .base_url("https://backend.example.com")
    ///     .operations([RemoteOperation::Storage, RemoteOperation::Compute])
    ///     .in_scope_eud(false);
    /// # let _ = remote;
    /// ```
    ///
    /// Default: the manifest's `operations` are preserved. A remote without `operations` counts as
    /// one that stores end-user data.
    #[must_use]
    pub fn operations(mut self, operations: impl IntoIterator<Item = RemoteOperation>) -> Self {
        self.operations = Some(operations.into_iter().collect());
        self
    }

    /// Sets whether the remote stores end-user data that is in scope for data residency
    /// (`storage.inScopeEUD`). Required with [`RemoteOperation::Storage`].
    #[must_use]
    pub fn in_scope_eud(mut self, stores: bool) -> Self {
        self.in_scope_eud = Some(stores);
        self
    }

    /// Also serves the remote's handlers below this path, such as `/functions/v1`.
    ///
    /// Needed only if neither the code nor the manifest has the app's URL, for example because it
    /// is a `${VARIABLE}` that is set only for `forge deploy`.
    #[must_use]
    pub fn base_path(mut self, path: impl Into<String>) -> Self {
        self.base_path = Some(path.into());
        self
    }

    /// Returns the remote's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the base URL, if the code sets one.
    pub fn url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    pub(crate) fn region_urls(&self) -> &BTreeMap<RemoteRegion, String> {
        &self.region_urls
    }

    pub(crate) fn declared_operations(&self) -> Option<&BTreeSet<RemoteOperation>> {
        self.operations.as_ref()
    }

    pub(crate) fn stores_in_scope_eud(&self) -> Option<bool> {
        self.in_scope_eud
    }

    /// Returns the paths that the code declares for the remote's handlers.
    pub(crate) fn base_paths(&self) -> impl Iterator<Item = &str> {
        let urls = self.base_url.iter().chain(self.region_urls.values());
        let paths = urls.filter_map(|url| base_url::path(url));
        paths.chain(self.base_path.as_deref())
    }

    /// Returns the reasons why Forge would reject the remote.
    pub(crate) fn problems(&self) -> Vec<String> {
        let key = &self.key;
        let mut problems = Vec::new();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if key.is_empty() || key.len() > 23 || !key.chars().all(allowed) {
            problems.push(format!(
                "`{key}` is not a valid remote key: use 1 to 23 letters, digits, `_` and `-`"
            ));
        }
        for url in self.base_url.iter().chain(self.region_urls.values()) {
            // Only the manifest has the values of its variables: they are checked there.
            if url.contains("${") {
                continue;
            }
            if let Some((Severity::Error, what)) = base_url::finding(url) {
                problems.push(format!("the base URL `{url}` of `{key}` {what}"));
            }
        }
        if self.base_url.is_none() && !self.region_urls.is_empty() {
            problems.push(format!(
                "`{key}` has URLs for regions but no `base_url` for the other installations"
            ));
        }
        let operations = self.operations.as_ref();
        if operations.is_some_and(BTreeSet::is_empty) {
            problems.push(format!(
                "the `operations` of `{key}` are empty: list at least one"
            ));
        }
        let stores = operations.is_some_and(|all| all.contains(&RemoteOperation::Storage));
        if stores && self.in_scope_eud.is_none() {
            problems.push(format!(
                "`{key}` stores data without declaring whether it is end-user data: call `in_scope_eud`"
            ));
        }
        if let Some(path) = &self.base_path
            && base_url::path(&format!("https://host{path}")) != Some(path)
        {
            problems.push(format!(
                "`{path}` is not a valid base path for `{key}`: start it with `/` and end it without"
            ));
        }
        problems
    }
}

/// A use of a remote: an entry of its `operations`.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/remotes/>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RemoteOperation {
    /// The remote stores data of the app. Requires [`Remote::in_scope_eud`].
    Storage,
    /// Functions call it with `invokeRemote` ([`function_call`](macro@crate::function_call)).
    Compute,
    /// The app fetches data from it.
    Fetch,
    /// Another use.
    Other,
}

impl RemoteOperation {
    #[cfg(feature = "cli")]
    pub(super) const ALL: [Self; 4] = [Self::Storage, Self::Compute, Self::Fetch, Self::Other];

    /// Returns the manifest's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Compute => "compute",
            Self::Fetch => "fetch",
            Self::Other => "other",
        }
    }
}

/// A region of data residency that a remote can have a URL for.
/// Source: <https://developer.atlassian.com/platform/forge/remote/remote-realm-pinning/>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum RemoteRegion {
    Eu,
    Us,
    Au,
    De,
    Sg,
    Ca,
    In,
    Kr,
    Jp,
    Gb,
    Ch,
}

impl RemoteRegion {
    #[cfg(feature = "cli")]
    pub(super) const ALL: [Self; 11] = [
        Self::Eu,
        Self::Us,
        Self::Au,
        Self::De,
        Self::Sg,
        Self::Ca,
        Self::In,
        Self::Kr,
        Self::Jp,
        Self::Gb,
        Self::Ch,
    ];

    /// Returns the manifest's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eu => "EU",
            Self::Us => "US",
            Self::Au => "AU",
            Self::De => "DE",
            Self::Sg => "SG",
            Self::Ca => "CA",
            Self::In => "IN",
            Self::Kr => "KR",
            Self::Jp => "JP",
            Self::Gb => "GB",
            Self::Ch => "CH",
        }
    }
}
