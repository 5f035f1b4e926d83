//! The app's clients and stored tokens as arguments, and Atlassian's APIs for an [`Invocation`].

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::invocation::{Invocation, Verified};
use super::job_call::JobCall;
use super::rejection::StateRejection;
use super::state::AppState;
use crate::client::{
    AtlassianClient, CalledInstallation, DynamicModules, GrantedPermissions, GraphQl, ProductApi,
    Storage,
};
use crate::credentials::SystemToken;
use crate::fit::InstallationContext;
use crate::token::Tokens;

impl FromRequestParts<AppState> for AtlassianClient {
    type Rejection = StateRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, StateRejection> {
        // Every app has one.
        let fix = "build the app with `App::build`";
        let client: Self = state
            .get()
            .ok_or(StateRejection::new("AtlassianClient", fix))?;
        let call = parts.extensions.get::<Verified>();
        Ok(client.called_by(call.and_then(|call| call.atlassian().handler())))
    }
}

impl FromRequestParts<AppState> for Tokens {
    type Rejection = StateRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, StateRejection> {
        // Only inside another extractor: launch checks the rest.
        let fix = "give it a store with `App::token_store`";
        let tokens: Self = state.get().ok_or(StateRejection::new("Tokens", fix))?;
        // Never those of another app of this backend.
        if let Some(call) = parts.extensions.get::<Verified>() {
            return Ok(tokens.of_call(call.claims()));
        }
        let job = parts.extensions.get::<JobCall>();
        Ok(job.map_or(tokens.clone(), |job| tokens.of_app(job.app_id())))
    }
}

impl CalledInstallation for Invocation {
    fn installation_id(&self) -> &str {
        self.claims().installation_id()
    }

    fn api_base_url(&self) -> Option<&str> {
        self.claims().api_base_url()
    }

    fn contexts(&self) -> Vec<InstallationContext> {
        self.installation_contexts()
    }

    fn isolated_cloud_label(&self) -> Option<&str> {
        self.claims().isolated_cloud_label()
    }

    fn app_id(&self) -> Option<&str> {
        Some(self.claims().app_id())
    }

    fn environment_id(&self) -> Option<&str> {
        self.claims().environment_id()
    }

    fn trace(&self) -> [Option<&str>; 2] {
        [self.trace_id(), self.span_id()]
    }
}

/// Atlassian's APIs, for the installation that the call comes from.
impl Invocation {
    /// Returns the Jira API: see [`AtlassianClient::jira`](AtlassianClient::jira).
    pub fn jira(&self) -> ProductApi {
        self.atlassian().jira(self)
    }

    /// Returns the Confluence API: see [`AtlassianClient::confluence`](AtlassianClient::confluence).
    pub fn confluence(&self) -> ProductApi {
        self.atlassian().confluence(self)
    }

    /// Returns the Bitbucket API: see [`AtlassianClient::bitbucket`](AtlassianClient::bitbucket).
    pub fn bitbucket(&self) -> ProductApi {
        self.atlassian().bitbucket(self)
    }

    /// Returns Forge's own REST APIs: see [`AtlassianClient::platform`](AtlassianClient::platform).
    pub fn platform(&self) -> ProductApi {
        self.atlassian().platform(self)
    }

    /// Returns the GraphQL gateway: see [`AtlassianClient::graphql`].
    pub fn graphql(&self) -> GraphQl {
        self.atlassian().graphql(self)
    }

    /// Returns the Compass API: see [`AtlassianClient::compass`].
    pub fn compass(&self) -> GraphQl {
        self.atlassian().compass(self)
    }

    /// Returns Forge's storage of this installation: see [`AtlassianClient::storage`].
    pub fn storage(&self, token: &SystemToken) -> Storage {
        self.atlassian().storage(self, token)
    }

    /// Returns the permissions that this installation's admin granted: see
    /// [`AtlassianClient::permissions`].
    pub fn permissions(&self, token: &SystemToken) -> GrantedPermissions {
        self.atlassian().permissions(self, token)
    }

    /// Returns the modules that the app registered for this installation at run time: see
    /// [`AtlassianClient::dynamic_modules`].
    pub fn dynamic_modules(&self, token: &SystemToken) -> DynamicModules {
        self.atlassian().dynamic_modules(self, token)
    }
}
