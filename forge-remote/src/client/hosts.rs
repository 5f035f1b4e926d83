//! The hosts that tokens may be sent to.

use std::collections::BTreeSet;

use reqwest::Url;

/// Jira, Confluence, GraphQL and Forge's own APIs.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
pub(super) const PLATFORM: &str = "https://api.atlassian.com";
pub(super) const BITBUCKET: &str = "https://api.bitbucket.org";
/// Atlassian's staging cloud, which only its own developers use.
pub(crate) const STAGING: &str = "https://api.stg.atlassian.com";

/// The allowed origins: scheme, host and port.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// The origins of the installation's cloud.
    own: BTreeSet<String>,
    /// The origins that the app allows in addition.
    allowed: BTreeSet<String>,
    only_loopback: bool,
}

/// The error of a URL that must not receive tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum InvalidHost {
    #[error("`{0}` is not a URL: expected one like `{PLATFORM}`")]
    NotUrl(String),
    #[error("`{0}` is not https: tokens are only sent over https")]
    NotHttps(String),
    #[error("`{0}` is not http on loopback, such as `http://127.0.0.1:8079`")]
    NotLoopback(String),
    #[error("the URL of {0} contains a user or password: remove it")]
    HasCredentials(String),
    #[error(
        "the app is already running: configure the hosts before passing the client to `App::client`"
    )]
    TooLate,
    #[error(
        "`{0}` is not a valid isolated cloud label: expected 1 to 50 of `a-z`, `0-9`, `_` and `-`"
    )]
    NotLabel(String),
}

/// A URL that must not receive tokens, with the reason.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) origin: String,
    pub(super) reason: &'static str,
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            own: [PLATFORM, BITBUCKET].map(str::to_owned).into(),
            allowed: BTreeSet::new(),
            only_loopback: false,
        }
    }
}

impl Hosts {
    /// Allows an https origin.
    pub(super) fn allow(&mut self, url: &str) -> Result<(), InvalidHost> {
        let url = without_credentials(url)?;
        if url.scheme() != "https" {
            return Err(InvalidHost::NotHttps(origin(&url)));
        }
        self.allowed.insert(origin(&url));
        Ok(())
    }

    /// Allows the staging cloud's host in addition to the commercial ones.
    pub(super) fn allow_staging(&mut self) {
        self.own.insert(STAGING.to_owned());
    }

    /// Returns the allowed origins for installations of another cloud with these hosts.
    pub(super) fn of_cloud(&self, origins: &BTreeSet<String>) -> Self {
        Self {
            own: origins.clone(),
            allowed: self.allowed.clone(),
            only_loopback: self.only_loopback,
        }
    }

    /// Allows one origin on this machine.
    pub(super) fn allow_loopback(&mut self, url: &str) -> Result<String, InvalidHost> {
        let url = without_credentials(url)?;
        if !is_plain_loopback(&url) {
            return Err(InvalidHost::NotLoopback(origin(&url)));
        }
        let origin = origin(&url);
        self.own.insert(origin.clone());
        Ok(origin)
    }

    /// Allows only loopback.
    pub(super) fn forbid_others(&mut self) {
        self.only_loopback = true;
    }

    /// Returns whether the app allows this URL's host in addition to Atlassian's.
    pub(super) fn is_added(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.allowed.contains(&origin(&url)))
    }

    /// Parses the URL and checks that it may receive tokens.
    pub(super) fn check(&self, url: &str) -> Result<Url, Rejected> {
        let url = Url::parse(url).map_err(|_| Rejected {
            origin: "an invalid URL".to_owned(),
            reason: "the URL cannot be parsed",
        })?;
        let rejected = |reason| Rejected {
            origin: origin(&url),
            reason,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(rejected("the URL contains a user or password"));
        }
        if url.scheme() != "https" && !is_plain_loopback(&url) {
            return Err(rejected("the URL is not https"));
        }
        if self.only_loopback && !is_plain_loopback(&url) {
            return Err(rejected(
                "tokens of a local platform must stay on this machine; in tests, simulate the APIs with `Harness::with_apis`",
            ));
        }
        let origin = origin(&url);
        if !self.own.contains(&origin) && !self.allowed.contains(&origin) {
            return Err(rejected(
                "it is not a host that this app calls for the installation's cloud",
            ));
        }
        Ok(url)
    }
}

pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Returns whether the URL is plain http to this machine.
pub(super) fn is_plain_loopback(url: &Url) -> bool {
    url.scheme() == "http" && crate::http_client::is_loopback(url)
}

/// Parses a cloud's own URL: https, or plain http on this machine.
pub(super) fn for_tokens(text: &str) -> Result<Url, InvalidHost> {
    let url = without_credentials(text)?;
    if url.scheme() != "https" && !is_plain_loopback(&url) {
        return Err(InvalidHost::NotHttps(origin(&url)));
    }
    Ok(url)
}

fn without_credentials(text: &str) -> Result<Url, InvalidHost> {
    let url = Url::parse(text).map_err(|_| InvalidHost::NotUrl(text.to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidHost::HasCredentials(
            url.host_str().unwrap_or_default().to_owned(),
        ));
    }
    Ok(url)
}
