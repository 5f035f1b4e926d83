//! Scopes in addition to the handlers', and the check that they are granted.

use super::builder::App;
use crate::manifest::{DesiredManifest, TOKEN_SCOPES};

impl App {
    /// Adds the scopes of calls outside of handlers to the manifest, for example of background
    /// tasks. A handler lists its scopes in its attribute.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().scopes(["read:page:confluence", "storage:app"]);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let at = place("App::scopes", std::panic::Location::caller());
        let scopes = scopes.into_iter().map(|scope| (scope.into(), at.clone()));
        self.scopes.extend(scopes);
        self
    }

    /// Sets the scopes with which the app acts for offline users, by
    /// [`ProductApi::impersonate`](crate::client::ProductApi::impersonate). The manifest gets them with
    /// `allowImpersonation: true`; admins see this when they install the app.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().impersonation_scopes(["read:jira-work", "write:jira-work"]);
    /// # let _ = app;
    /// ```
    ///
    /// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/permissions/>
    #[track_caller]
    pub fn impersonation_scopes(
        mut self,
        scopes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let at = place("App::impersonation_scopes", std::panic::Location::caller());
        let scopes = scopes.into_iter().map(|scope| (scope.into(), at.clone()));
        self.impersonation_scopes.extend(scopes);
        self
    }

    /// Adds granular scopes (such as `read:issue:jira`) instead of classic ones (`read:jira-work`,
    /// Atlassian's recommendation) where the manifest has neither.
    pub fn prefer_granular_scopes(mut self) -> Self {
        self.prefer_granular_scopes = true;
        self
    }

    /// Requests tokens without the scopes `read:app-system-token` and `read:app-user-token`, for a deployed app whose
    /// manifest has other scopes only: a new scope is a new major version, to which each site's admin must consent.
    ///
    /// Atlassian's pages require these scopes, and its validation does not. Without any other scope, Forge
    /// creates no valid token.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().without_token_scopes();
    /// # let _ = app;
    /// ```
    pub fn without_token_scopes(mut self) -> Self {
        self.without_token_scopes = true;
        self
    }

    /// Removes the scopes that follow from tokens. A scope that an attribute lists stays.
    pub(super) fn remove_token_scopes(&self, desired: &mut DesiredManifest) {
        desired.without_token_scopes = true;
        let is_listed = |name: &str| {
            let mut handlers = self.registry.handlers().iter();
            handlers.any(|handler| handler.registration().scopes.contains(&name))
        };
        desired.scopes.retain(|scope| {
            let name = scope.name.as_str();
            !TOKEN_SCOPES.contains(&name) || is_listed(name)
        });
    }

    /// Declares that the app manages missing permissions itself, for rolling releases
    /// (`permissions.enforcement: app-managed` in the manifest): Forge may run this version on an
    /// installation whose admin has not approved its scopes yet.
    ///
    /// Before a handler's call to Atlassian is sent, its scope is compared with the installation's
    /// granted scopes. A missing one is the error
    /// [`ClientError::ScopeNotGranted`](crate::client::ClientError::ScopeNotGranted); the handler's other
    /// calls are sent. See [rolling releases](crate::versions#scopes-that-are-not-granted-yet) for
    /// the compared scopes, and for the additional request.
    ///
    /// ```
    /// use forge_remote::client::ClientError;
    /// use forge_remote::{path, prelude::*};
    ///
    /// #[scheduled_trigger(interval = "day", auth = system, scopes = ["read:jira-work", "write:jira-work"])]
    /// async fn clean(call: Invocation, token: SystemToken) -> Result<()> {
    ///     let jira = call.jira().as_app(&token);
    ///     match jira.delete(path!("/rest/api/3/issue/{}", "DEV-7")).send().await {
    ///         // The admin has not approved `write:jira-work` yet.
    ///         Err(ClientError::ScopeNotGranted { .. }) => Ok(()),
    ///         other => Ok(other.map(drop)?),
    ///     }
    /// }
    ///
    /// let app = App::new().app_managed_permissions();
    /// # let _ = app;
    /// ```
    ///
    /// Source: <https://developer.atlassian.com/platform/forge/rolling-releases/>
    pub fn app_managed_permissions(mut self) -> Self {
        self.app_managed = true;
        self
    }
}

/// Returns a place as text: `App::scopes` (src/main.rs:1:1).
fn place(method: &str, at: &std::panic::Location<'_>) -> String {
    format!("`{method}` ({at})")
}
