//! Where calls are made for.

use super::Product;
use crate::extract::Invocation;
use crate::fit::{Claims, InstallationContext};
use crate::token::Installation;

/// Where calls are made for: a verified call ([`Invocation`], [`Claims`]) or a kept
/// [`Installation`].
pub trait Tenant: sealed::Tenant {}

impl<T: sealed::Tenant> Tenant for T {}

mod sealed {
    use super::*;

    /// Claims that say where to call.
    pub trait Tenant {
        fn installation_id(&self) -> &str;
        fn api_base_url(&self) -> Option<&str>;
        fn contexts(&self) -> Vec<InstallationContext>;
        /// The trace to go on with: trace id and span id.
        fn trace(&self) -> [Option<&str>; 2] {
            [None, None]
        }
    }

    impl Tenant for Claims {
        fn installation_id(&self) -> &str {
            self.installation_id()
        }

        fn api_base_url(&self) -> Option<&str> {
            self.api_base_url()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.installation_contexts()
        }
    }

    impl Tenant for Invocation {
        fn installation_id(&self) -> &str {
            self.claims().installation_id()
        }

        fn api_base_url(&self) -> Option<&str> {
            self.claims().api_base_url()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.installation_contexts()
        }

        fn trace(&self) -> [Option<&str>; 2] {
            [self.trace_id(), self.span_id()]
        }
    }

    impl Tenant for Installation {
        fn installation_id(&self) -> &str {
            self.installation_id()
        }

        fn api_base_url(&self) -> Option<&str> {
            self.api_base_url()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.installation_contexts()
        }
    }
}

/// Atlassian's APIs, for the installation that the call comes from.
impl Invocation {
    /// Jira: see [`Atlassian::jira`](super::Atlassian::jira).
    pub fn jira(&self) -> Product {
        self.atlassian().jira(self)
    }

    /// Confluence: see [`Atlassian::confluence`](super::Atlassian::confluence).
    pub fn confluence(&self) -> Product {
        self.atlassian().confluence(self)
    }

    /// Bitbucket: see [`Atlassian::bitbucket`](super::Atlassian::bitbucket).
    pub fn bitbucket(&self) -> Product {
        self.atlassian().bitbucket(self)
    }

    /// Forge's own REST APIs: see [`Atlassian::platform`](super::Atlassian::platform).
    pub fn platform(&self) -> Product {
        self.atlassian().platform(self)
    }
}
