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
    origins: BTreeSet<String>,
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
    #[error("the app runs already: hosts are allowed before `App::atlassian` gets them")]
    TooLate,
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
            origins: [PLATFORM, BITBUCKET].map(str::to_owned).into(),
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
        self.origins.insert(origin(&url));
        Ok(())
    }

    /// Allows one origin on this machine.
    pub(super) fn allow_loopback(&mut self, url: &str) -> Result<String, InvalidHost> {
        let url = without_credentials(url)?;
        if !is_plain_loopback(&url) {
            return Err(InvalidHost::NotLoopback(origin(&url)));
        }
        let origin = origin(&url);
        self.origins.insert(origin.clone());
        Ok(origin)
    }

    /// Nothing but loopback.
    pub(super) fn forbid_others(&mut self) {
        self.only_loopback = true;
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
        if !self.origins.contains(&origin(&url)) {
            return Err(refused("it is none of the hosts that this app calls"));
        }
        Ok(url)
    }
}

pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Plain http, to this machine.
pub(super) fn is_plain_loopback(url: &Url) -> bool {
    url.scheme() == "http" && crate::fit::is_loopback(url)
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
