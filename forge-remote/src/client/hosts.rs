//! The hosts that tokens may go to.

use std::collections::BTreeSet;

use reqwest::Url;

/// Jira, Confluence, GraphQL and Forge's own APIs.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
pub(super) const PLATFORM: &str = "https://api.atlassian.com";
pub(super) const BITBUCKET: &str = "https://api.bitbucket.org";
/// Only Atlassian's own developers meet it.
pub(crate) const STAGING: &str = "https://api.stg.atlassian.com";

/// Origins: scheme, host and port.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// Those of the installation's cloud.
    own: BTreeSet<String>,
    /// Those that the app allows besides.
    allowed: BTreeSet<String>,
    only_loopback: bool,
}

/// Why a URL can't be a place for tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum InvalidHost {
    #[error("`{0}` is not a URL: expected one like `{PLATFORM}`")]
    NotUrl(String),
    #[error("`{0}` is not https: tokens go by https only")]
    NotHttps(String),
    #[error("`{0}` is not http on loopback, such as `http://127.0.0.1:8079`")]
    NotLoopback(String),
    #[error("the URL of {0} has a user or password in it")]
    HasCredentials(String),
    #[error("the app runs already: hosts are allowed before `App::client` gets them")]
    TooLate,
    #[error("`{0}` can't be an isolated cloud's label: it is 1 to 50 of `a-z`, `0-9`, `_` and `-`")]
    NotLabel(String),
}

/// A URL that tokens don't go to: its origin, and why.
#[derive(Debug)]
pub(super) struct Refused {
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
    /// Allows an origin by https.
    pub(super) fn allow(&mut self, url: &str) -> Result<(), InvalidHost> {
        let url = without_credentials(url)?;
        if url.scheme() != "https" {
            return Err(InvalidHost::NotHttps(origin(&url)));
        }
        self.allowed.insert(origin(&url));
        Ok(())
    }

    /// The staging cloud's host, beside the commercial ones.
    pub(super) fn allow_staging(&mut self) {
        self.own.insert(STAGING.to_owned());
    }

    /// The same for the installations of another cloud, which has these hosts.
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

    /// Nothing but loopback.
    pub(super) fn forbid_others(&mut self) {
        self.only_loopback = true;
    }

    /// Whether the app allows this URL's host besides Atlassian's.
    pub(super) fn is_added(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.allowed.contains(&origin(&url)))
    }

    /// The URL, when a token may go there.
    pub(super) fn check(&self, url: &str) -> Result<Url, Refused> {
        let url = Url::parse(url).map_err(|_| Refused {
            origin: "what isn't a URL".to_owned(),
            reason: "it can't be read",
        })?;
        let refused = |reason| Refused {
            origin: origin(&url),
            reason,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("the URL has a user or password in it"));
        }
        if url.scheme() != "https" && !is_plain_loopback(&url) {
            return Err(refused("it is not https"));
        }
        if self.only_loopback && !is_plain_loopback(&url) {
            return Err(refused(
                "a local platform's tokens stay on this machine; in tests `Harness::with_apis` plays the APIs",
            ));
        }
        let origin = origin(&url);
        if !self.own.contains(&origin) && !self.allowed.contains(&origin) {
            return Err(refused(
                "it is none of the hosts that this app calls for the installation's cloud",
            ));
        }
        Ok(url)
    }
}

pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Plain http, to this machine.
pub(super) fn is_plain_loopback(url: &Url) -> bool {
    url.scheme() == "http" && crate::http_client::is_loopback(url)
}

/// A cloud's own address: https, or plain http on this machine.
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
