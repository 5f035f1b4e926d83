//! The permissions that an installation's admin granted, which may be older than the app's code.
//!
//! Sources: <https://developer.atlassian.com/platform/forge/rolling-releases/>,
//! <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use futures_util::FutureExt as _;

use super::api::Api;
use super::atlassian::AtlassianClient;
use super::error::{ClientError, Operation};
use super::installation_ref::InstallationRef;
use super::known_scopes::{DETAILS, details_path, scopes_in};
use super::permission_cache::{KnownScopes, PermissionKey};
use super::product::ProductApi;
use super::product_client::ProductClient;
use super::retry::RetryPolicy;
use super::single_flight::Timed;
use crate::credentials::SystemToken;

/// Timeout of the request: a handler's call may wait for it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After a failure, the next request for the same installation is sent after this time.
const FAILED_LIFE: Duration = Duration::from_secs(60);
/// Upper bound on the wait after a 429: the interval that Atlassian allows for an installation.
const MAX_WAIT: Duration = Duration::from_secs(5 * 60);
/// Upper bound on the pause of requests for all installations after a 429: the app's limit is by the
/// minute.
const MAX_PAUSE: Duration = Duration::from_secs(60);

impl AtlassianClient {
    /// Returns the permissions that this installation's admin granted.
    ///
    /// It needs the system token and no scope; a token from a page's call is
    /// [proven](SystemToken#on-a-pages-call) first. The installation is a call or a stored
    /// [`Installation`](crate::token::Installation), which name the app and its environment.
    ///
    /// ```
    /// use forge_remote::client::AtlassianClient;
    /// use forge_remote::prelude::*;
    ///
    /// /// A background task.
    /// async fn sweep(tokens: Tokens, atlassian: AtlassianClient) -> Result<()> {
    ///     for installation in tokens.installations().await? {
    ///         let token = tokens.system(installation.installation_id()).await?;
    ///         let permissions = atlassian.permissions(&installation, &token);
    ///         if permissions.has_scope("write:jira-work").await? {
    ///             // …
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = App::new().background(sweep);
    /// ```
    pub fn permissions(
        &self,
        installation: &impl InstallationRef,
        token: &SystemToken,
    ) -> GrantedPermissions {
        GrantedPermissions(ProductApi::new(self, Api::Platform, installation).as_app(token))
    }
}

/// The permissions that an installation's admin granted.
///
/// With rolling releases (`permissions.enforcement: app-managed` in the manifest), Forge runs new code
/// before the admin approves its scopes. A handler checks for a new one before it uses it:
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[endpoint(auth = system, scopes = ["write:jira-work"])]
/// async fn close(call: Invocation, token: SystemToken) -> Result<()> {
///     if !call.permissions(&token).has_scope("write:jira-work").await? {
///         return Err(Error::http(StatusCode::CONFLICT, "an administrator has not approved the update yet"));
///     }
///     // …
///     Ok(())
/// }
/// ```
///
/// The scopes are cached: for an hour if the installation has every scope that the app's code declares,
/// otherwise for 10 minutes, so that an approval is seen within that time. Concurrent callers share one
/// request. Atlassian allows one request in 5 minutes for each installation, and a few a minute for all
/// installations together; after a 429 no request is sent until its `Retry-After` has passed, at most
/// 5 minutes.
///
/// Sources: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>,
/// <https://developer.atlassian.com/platform/forge/rolling-releases/>
#[derive(Clone, Debug)]
pub struct GrantedPermissions(ProductClient);

impl GrantedPermissions {
    /// Returns whether the installation has this scope.
    ///
    /// # Errors
    ///
    /// [`ClientError::Permissions`] if the details cannot be fetched, or could not be a moment ago;
    /// [`ClientError::Invalid`] if the app's environment is not known, as for
    /// [`InstallationUrls`](super::InstallationUrls).
    pub async fn has_scope(&self, scope: &str) -> Result<bool, ClientError> {
        Ok(self.scopes().await?.contains(scope))
    }

    /// Returns every scope of the installation.
    ///
    /// # Errors
    ///
    /// As for [`has_scope`](Self::has_scope).
    pub async fn scopes(&self) -> Result<Arc<BTreeSet<String>>, ClientError> {
        self.0.granted_scopes().await
    }
}

impl ProductClient {
    /// Returns the installation's scopes, from the cache or with this token.
    pub(super) async fn granted_scopes(&self) -> Result<Arc<BTreeSet<String>>, ClientError> {
        let known = match self.known_scopes() {
            Some(scopes) => Ok(scopes),
            None => {
                let start = |number| fetch(self.clone(), number).boxed().shared();
                let cache = &self.permissions().known;
                match cache.get(&self.permission_key(), self.moment(), start) {
                    Ok(known) => known.value,
                    Err(flight) => flight.await.and_then(|known| known.value),
                }
            }
        };
        known.map_err(ClientError::Permissions)
    }

    /// Returns a client of Forge's APIs with the app's token: this one's, or the stored one.
    pub(super) async fn for_details(&self) -> Option<Self> {
        let platform = self.target.on_platform(Api::Platform);
        if !self.is_user() {
            return Some(Self {
                target: platform.0,
                unproven: self.from_page.clone(),
                ..self.clone()
            });
        }
        let tokens = self.target.atlassian.shared.tokens.get()?;
        let token = tokens.system(&self.target.installation_id).await.ok()?;
        Some(platform.as_app(&token))
    }

    fn permission_key(&self) -> PermissionKey {
        let installation_id = self.target.installation_id.clone();
        (installation_id, self.unproven.is_some())
    }
}

/// Fetches an installation's scopes. A failure is kept too, for a while.
async fn fetch(client: ProductClient, number: u64) -> Result<Timed<KnownScopes>, Arc<ClientError>> {
    let started = client.moment();
    let cache = client.permissions();
    let finish = |known: Option<Timed<KnownScopes>>| {
        let key = client.permission_key();
        cache.known.finish(key, number, known, client.moment());
    };
    if let Some(error) = cache.pause_at(started.elapsed) {
        finish(None);
        return Err(error);
    }
    let error = match send(&client).await {
        Ok(scopes) => {
            let known = client.timed(scopes, started);
            finish(None);
            let key = (client.target.installation_id.clone(), false);
            cache.known.insert(key, known.clone(), client.moment());
            return Ok(known);
        }
        Err(error) => Arc::new(error),
    };
    // These say nothing about the installation: another party's token, or an unknown environment.
    if let ClientError::UnprovenToken { source: None, .. } | ClientError::Invalid { .. } = &*error {
        finish(None);
        return Err(error);
    }
    tracing::warn!(
        %error,
        "an installation's permissions could not be fetched; its handlers' calls are sent without a check for a while"
    );
    let mut life = FAILED_LIFE;
    if error.status() == Some(StatusCode::TOO_MANY_REQUESTS) {
        life = error.retry_after().unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let pause = started.elapsed.saturating_add(life.min(MAX_PAUSE));
        cache.pause(pause, &error);
    }
    let known = Timed::new(Err(error), started, life);
    finish(Some(known.clone()));
    Ok(known)
}

async fn send(client: &ProductClient) -> Result<BTreeSet<String>, ClientError> {
    client.prove().await?;
    // The verification of a page's token makes the same request, and keeps its result.
    if let Some(scopes) = client.known_scopes() {
        return Ok((*scopes).clone());
    }
    let target = &client.target;
    let (Some(app), Some(environment)) = (&target.app_id, &target.environment_id) else {
        return Err(ClientError::Invalid {
            call: Operation {
                api: Api::Platform,
                method: Method::GET,
                path: DETAILS.to_owned(),
            },
            reason: "the app's environment is not known: use the call, or an `Installation` from the app's token \
                     store"
                .to_owned(),
        });
    };
    let path = details_path(app, environment, &target.installation_id);
    let request = client.get(path).timeout(TIMEOUT);
    scopes_in(&request.retries(RetryPolicy::none()).send().await?)
}
