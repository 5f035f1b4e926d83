//! The Atlassian APIs that the client supports.

use std::fmt;

/// An Atlassian API.
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
    /// Forge's own APIs, at `https://api.atlassian.com`.
    Platform,
}

impl Api {
    /// Returns the API's name in spans and metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Jira => "jira",
            Self::Confluence => "confluence",
            Self::Bitbucket => "bitbucket",
            Self::Compass => "compass",
            Self::GraphQl => "graphql",
            Self::Storage => "storage",
            Self::Platform => "platform",
        }
    }

    /// Returns whether the token alone identifies the installation, because the API's URL names no site. Bitbucket's
    /// names no workspace: the app's token decides which ones a path can reach, while a user's token reaches what that
    /// user may see anyway.
    pub(super) fn knows_installation_by_token(self, is_user: bool) -> bool {
        match self {
            Self::GraphQl | Self::Compass | Self::Storage | Self::Platform => true,
            Self::Bitbucket => !is_user,
            Self::Jira | Self::Confluence => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an API's name in the documentation, and the API after it: each has a row, because a `match` needs one.
    fn documented(api: Api) -> (&'static str, Option<Api>) {
        match api {
            Api::Jira => ("Jira", Some(Api::Confluence)),
            Api::Confluence => ("Confluence", Some(Api::Bitbucket)),
            Api::Bitbucket => ("Bitbucket", Some(Api::Compass)),
            Api::Compass => ("Compass", Some(Api::GraphQl)),
            Api::GraphQl => ("GraphQL", Some(Api::Storage)),
            Api::Storage => ("Forge storage", Some(Api::Platform)),
            Api::Platform => ("Forge's own APIs", None),
        }
    }

    #[test]
    fn the_documentation_names_the_apis_that_need_a_proof() {
        const BY_TOKEN: &str = "identify the installation only by the system token";
        const OF_USER: &str = "are called only once Atlassian has confirmed";
        let tokens = include_str!("../credentials/tokens.rs");
        let changes = include_str!("../../../CHANGELOG.md");
        for (text, part, is_user) in [
            (include_str!("../docs/security.md"), BY_TOKEN, false),
            (tokens, BY_TOKEN, false),
            (changes, BY_TOKEN, false),
            (tokens, OF_USER, true),
            (changes, OF_USER, true),
        ] {
            let words: Vec<&str> = text
                .split_whitespace()
                .filter(|word| *word != "///")
                .collect();
            let text = words.join(" ");
            let before = text.split(part).next().unwrap();
            let subject = before.rsplit(". ").next().unwrap();
            for api in std::iter::successors(Some(Api::Jira), |api| documented(*api).1) {
                let (name, _) = documented(api);
                // Forge storage takes no user token.
                let is_called = !(is_user && matches!(api, Api::Storage));
                let needs_proof = is_called && api.knows_installation_by_token(is_user);
                assert_eq!(subject.contains(name), needs_proof, "{name}: {subject}");
            }
        }
    }
}
