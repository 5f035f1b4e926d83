//! The installation that calls are made for.

use crate::credentials::RestoredFor;
use crate::fit::{Claims, InstallationContext};
use crate::token::Installation;

/// An installation that can be called.
///
/// Implemented for a verified call ([`Invocation`](crate::Invocation), [`Claims`]), a stored
/// [`Installation`], and your own [`InstallationUrls`].
pub trait InstallationRef: sealed::CalledInstallation {}

impl<T: sealed::CalledInstallation> InstallationRef for T {}

pub(crate) mod sealed {
    use super::{Claims, Installation, InstallationContext, InstallationUrls, RestoredFor};

    /// The installation's id, URLs and cloud.
    pub trait CalledInstallation {
        fn installation_id(&self) -> &str;
        fn api_base_url(&self) -> Option<&str>;
        fn contexts(&self) -> Vec<InstallationContext>;
        fn isolated_cloud_label(&self) -> Option<&str>;
        /// Returns the app's id, if it is known.
        fn app_id(&self) -> Option<&str> {
            None
        }
        fn environment_id(&self) -> Option<&str> {
            None
        }
        /// Returns whether the app supplied the URLs, rather than a verified call.
        fn is_supplied(&self) -> bool {
            false
        }
        /// Returns the trace id and the span id to propagate.
        fn trace(&self) -> [Option<&str>; 2] {
            [None, None]
        }
    }

    /// Implements the trait for types whose own methods have these names.
    macro_rules! called_installation {
        ($type:ty) => {
            impl CalledInstallation for $type {
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

                fn app_id(&self) -> Option<&str> {
                    Some(self.app_id())
                }

                fn environment_id(&self) -> Option<&str> {
                    self.environment_id()
                }
            }
        };
    }

    called_installation!(Claims);
    called_installation!(Installation);

    impl CalledInstallation for RestoredFor {
        fn installation_id(&self) -> &str {
            &self.installation_id
        }

        fn api_base_url(&self) -> Option<&str> {
            self.api_base_url.as_deref()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.contexts.clone()
        }

        fn isolated_cloud_label(&self) -> Option<&str> {
            self.isolated_cloud_label.as_deref()
        }

        fn app_id(&self) -> Option<&str> {
            self.app_id.as_deref()
        }

        fn environment_id(&self) -> Option<&str> {
            self.environment_id.as_deref()
        }

        fn is_supplied(&self) -> bool {
            self.is_supplied
        }
    }

    impl CalledInstallation for InstallationUrls {
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

        fn app_id(&self) -> Option<&str> {
            self.app_id.as_deref()
        }

        fn environment_id(&self) -> Option<&str> {
            self.environment_id.as_deref()
        }

        fn is_supplied(&self) -> bool {
            true
        }
    }
}

/// The id and URLs of an installation, for example from your own database.
///
/// Base URLs are checked like those of a call: tokens are sent only to Atlassian's hosts. The cloud id in a URL must be
/// that of a site of the token's installation, if Forge has named its sites. Otherwise a call fails with
/// [`ClientError::WrongToken`](super::ClientError::WrongToken).
///
/// ```
/// use forge_remote::client::{InstallationUrls, AtlassianClient};
/// use forge_remote::prelude::*;
/// # use serde_json::Value;
///
/// async fn current_user(atlassian: &AtlassianClient, tokens: &Tokens, installation_id: &str, jira: &str) -> Result<Value> {
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
    /// The app's id and environment, if they were copied from a call or an installation.
    app_id: Option<String>,
    environment_id: Option<String>,
}

/// Prints only the type's name: the fields are user data.
impl std::fmt::Debug for InstallationUrls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstallationUrls").finish_non_exhaustive()
    }
}

impl InstallationUrls {
    /// Creates an installation from its ARI, as returned by [`Claims::installation_id`].
    ///
    /// Calls with another installation's token fail.
    pub fn new(installation_id: impl Into<String>) -> Self {
        Self {
            installation_id: installation_id.into(),
            contexts: Vec::new(),
            isolated_cloud_label: None,
            app_id: None,
            environment_id: None,
        }
    }

    /// Sets Jira's base URL: `https://api.atlassian.com/ex/jira/<cloudId>`.
    #[must_use]
    pub fn jira(self, base_url: impl Into<String>) -> Self {
        self.product("jira", base_url)
    }

    /// Sets Confluence's base URL: `https://api.atlassian.com/ex/confluence/<cloudId>`.
    #[must_use]
    pub fn confluence(self, base_url: impl Into<String>) -> Self {
        self.product("confluence", base_url)
    }

    /// Sets Bitbucket's base URL: `https://api.bitbucket.org`.
    #[must_use]
    pub fn bitbucket(self, base_url: impl Into<String>) -> Self {
        self.product("bitbucket", base_url)
    }

    /// Sets a product's name and base URL, as in [`InstallationContext`].
    #[must_use]
    pub fn product(mut self, name: impl Into<String>, base_url: impl Into<String>) -> Self {
        let name = name.into();
        self.contexts.retain(|one| one.name != name);
        let mut context = InstallationContext::new(name);
        context.api_base_url = Some(base_url.into());
        self.contexts.push(context);
        self
    }

    /// Sets the isolated cloud's label, as returned by [`Claims::isolated_cloud_label`].
    ///
    /// The app must configure that cloud.
    #[must_use]
    pub fn isolated_cloud(mut self, label: impl Into<String>) -> Self {
        self.isolated_cloud_label = Some(label.into());
        self
    }
}

/// Copies the URLs of a call or a stored installation, to add a product that they lack, for example
/// Bitbucket.
impl<T: InstallationRef> From<&T> for InstallationUrls {
    fn from(installation: &T) -> Self {
        let mut contexts = installation.contexts();
        // A call without contexts has one product.
        let url = installation.api_base_url().filter(|_| contexts.is_empty());
        if let Some(url) = url {
            let name = url
                .split("/ex/")
                .nth(1)
                .and_then(|path| path.split('/').next());
            let mut context = InstallationContext::new(name.unwrap_or("bitbucket"));
            context.api_base_url = Some(url.to_owned());
            contexts.push(context);
        }
        Self {
            installation_id: installation.installation_id().to_owned(),
            contexts,
            isolated_cloud_label: installation.isolated_cloud_label().map(str::to_owned),
            app_id: installation.app_id().map(str::to_owned),
            environment_id: installation.environment_id().map(str::to_owned),
        }
    }
}
