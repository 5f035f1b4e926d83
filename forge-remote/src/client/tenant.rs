//! Where calls are made for.

use crate::fit::{Claims, InstallationContext};
use crate::token::Installation;

/// Where calls are made for: a verified call ([`Invocation`](crate::Invocation), [`Claims`]), a kept [`Installation`],
/// or [`InstallationUrls`] that you put together.
pub trait Tenant: sealed::Tenant {}

impl<T: sealed::Tenant> Tenant for T {}

pub(crate) mod sealed {
    use super::*;

    /// Claims that say where to call.
    pub trait Tenant {
        fn installation_id(&self) -> &str;
        fn api_base_url(&self) -> Option<&str>;
        fn contexts(&self) -> Vec<InstallationContext>;
        fn isolated_cloud_label(&self) -> Option<&str>;
        /// Whether the app supplied the addresses, rather than a verified call.
        fn is_supplied(&self) -> bool {
            false
        }
        /// The trace to go on with: trace id and span id.
        fn trace(&self) -> [Option<&str>; 2] {
            [None, None]
        }
    }

    /// For types whose own methods have these names.
    macro_rules! tenant {
        ($type:ty) => {
            impl Tenant for $type {
                fn installation_id(&self) -> &str {
                    self.installation_id()
                }

                fn api_base_url(&self) -> Option<&str> {
                    self.api_base_url()
                }

                fn contexts(&self) -> Vec<InstallationContext> {
                    self.installation_contexts()
                }

                fn isolated_cloud_label(&self) -> Option<&str> {
                    self.isolated_cloud_label()
                }
            }
        };
    }

    tenant!(Claims);
    tenant!(Installation);

    impl Tenant for InstallationUrls {
        fn installation_id(&self) -> &str {
            &self.installation_id
        }

        fn api_base_url(&self) -> Option<&str> {
            None
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.contexts.clone()
        }

        fn isolated_cloud_label(&self) -> Option<&str> {
            self.isolated_cloud_label.as_deref()
        }

        fn is_supplied(&self) -> bool {
            true
        }
    }
}

/// An installation by what you know of it, from your own database say, rather than from a call or
/// a kept token. Base URLs are checked as those of a call are: tokens go to Atlassian's hosts only.
/// The cloud id in them must be one of the sites of the token's installation, where Forge names
/// those: otherwise a call fails with [`ClientError::WrongToken`](super::ClientError::WrongToken).
///
/// ```
/// use forge_remote::client::{InstallationUrls, AtlassianClient};
/// use forge_remote::prelude::*;
/// # use serde_json::Value;
///
/// async fn me(atlassian: &AtlassianClient, tokens: &Tokens, installation_id: &str, jira: &str) -> Result<Value> {
///     let site = InstallationUrls::new(installation_id).jira(jira);
///     let token = tokens.system(installation_id).await?;
///     Ok(atlassian.jira(&site).as_app(&token).get("/rest/api/3/myself").fetch().await?)
/// }
/// ```
#[derive(Clone)]
pub struct InstallationUrls {
    installation_id: String,
    contexts: Vec<InstallationContext>,
    isolated_cloud_label: Option<String>,
}

/// Only its name: the rest is customers' data.
impl std::fmt::Debug for InstallationUrls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

impl InstallationUrls {
    /// An installation by its ARI, as [`Claims::installation_id`] gave it: a token of another isn't
    /// used for it.
    pub fn new(installation_id: impl Into<String>) -> Self {
        Self {
            installation_id: installation_id.into(),
            contexts: Vec::new(),
            isolated_cloud_label: None,
        }
    }

    /// Where its Jira is: `https://api.atlassian.com/ex/jira/<cloudId>`.
    #[must_use]
    pub fn jira(self, base_url: impl Into<String>) -> Self {
        self.product("jira", base_url)
    }

    /// Where its Confluence is: `https://api.atlassian.com/ex/confluence/<cloudId>`.
    #[must_use]
    pub fn confluence(self, base_url: impl Into<String>) -> Self {
        self.product("confluence", base_url)
    }

    /// Where its Bitbucket is: `https://api.bitbucket.org`.
    #[must_use]
    pub fn bitbucket(self, base_url: impl Into<String>) -> Self {
        self.product("bitbucket", base_url)
    }

    /// Where a product of this name is, as [`InstallationContext`] has both.
    #[must_use]
    pub fn product(mut self, name: impl Into<String>, base_url: impl Into<String>) -> Self {
        let name = name.into();
        self.contexts.retain(|one| one.name != name);
        self.contexts.push(InstallationContext {
            name,
            api_base_url: Some(base_url.into()),
            cloud_id: None,
            workspace_id: None,
        });
        self
    }

    /// The isolated cloud it is in, as [`Claims::isolated_cloud_label`] gave it: the app must know
    /// that cloud.
    #[must_use]
    pub fn isolated_cloud(mut self, label: impl Into<String>) -> Self {
        self.isolated_cloud_label = Some(label.into());
        self
    }
}

/// What a call or a kept installation says, to be completed: a Bitbucket that it doesn't name, say.
impl<T: Tenant> From<&T> for InstallationUrls {
    fn from(tenant: &T) -> Self {
        let mut contexts = tenant.contexts();
        // The one product of calls that name none.
        let url = tenant.api_base_url().filter(|_| contexts.is_empty());
        if let Some(url) = url {
            let name = url
                .split("/ex/")
                .nth(1)
                .and_then(|path| path.split('/').next());
            contexts.push(InstallationContext {
                name: name.unwrap_or("bitbucket").to_owned(),
                api_base_url: Some(url.to_owned()),
                cloud_id: None,
                workspace_id: None,
            });
        }
        Self {
            installation_id: tenant.installation_id().to_owned(),
            contexts,
            isolated_cloud_label: tenant.isolated_cloud_label().map(str::to_owned),
        }
    }
}
