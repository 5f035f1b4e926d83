//! The remotes that the code declares.

/// A remote: your HTTPS backend that Forge calls, an item of `remotes` in the manifest.
///
/// ```
/// use forge_remote::Remote;
///
/// let remote = Remote::new("backend").base_url("https://backend.example.com");
/// assert_eq!(remote.key(), "backend");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    key: String,
    base_url: Option<String>,
}

impl Remote {
    /// Creates a remote with this key: 1 to 23 of `a-z A-Z 0-9 _ -`.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            base_url: None,
        }
    }

    /// Sets the base URL that Forge calls: scheme and host, without a path or a trailing slash.
    ///
    /// Default: the manifest's `baseUrl` is preserved, for example a `${VARIABLE}`.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
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

    /// Returns the reason why Forge would reject the remote, if it would.
    pub(crate) fn problem(&self) -> Option<String> {
        let key = &self.key;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if key.is_empty() || key.len() > 23 || !key.chars().all(allowed) {
            return Some(format!(
                "`{key}` is not a valid remote key: use 1 to 23 letters, digits, `_` and `-`"
            ));
        }
        let url = self.base_url.as_deref()?;
        let host = url.strip_prefix("https://").unwrap_or_default();
        if url.contains("${") {
            // A manifest variable: only `forge deploy` knows its value.
            return None;
        }
        if host.is_empty() || host.contains(['/', '?', '#', ' ', '@']) {
            return Some(format!(
                "`{url}` is not a valid base URL for `{key}`: write `https://` and a host, without a path \
                 or a trailing slash"
            ));
        }
        None
    }
}
