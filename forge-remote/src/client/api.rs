//! The APIs that can be called.

use std::fmt;

/// An API, as messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Api {
    Jira,
    Confluence,
    Bitbucket,
    Compass,
    GraphQl,
    Storage,
    /// Forge's own, at `https://api.atlassian.com`.
    Platform,
}

impl Api {
    /// Whether its URL names no site, so that the token alone says whose data it is.
    pub(super) fn knows_tenant_by_token(self) -> bool {
        match self {
            Self::GraphQl | Self::Compass | Self::Storage | Self::Platform => true,
            Self::Jira | Self::Confluence | Self::Bitbucket => false,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jira => "Jira",
            Self::Confluence => "Confluence",
            Self::Bitbucket => "Bitbucket",
            Self::Compass => "Compass",
            Self::GraphQl => "Atlassian's GraphQL",
            Self::Storage => "Forge storage",
            Self::Platform => "Forge",
        })
    }
}
