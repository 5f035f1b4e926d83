//! Verification that a token from a page's or a function's call belongs to this installation, once per token.
//!
//! OAuth headers are not signed, so a page's user can send the token of another app or another
//! site, and a function can pass it on. Where the token alone identifies the installation, such a call would use another installation's data.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt as _;
use serde_json::Value;

use super::api::Api;
use super::error::ClientError;
use super::graphql::GraphQlClient;
use super::known_scopes::details_path;
use super::product::ProductApi;
use super::product_client::ProductClient;
use super::single_flight::{Now, Timed, hash};
use super::token_caches::{ProofKey, ProofResult};
use crate::credentials::{Unproven, expires_at};

/// Lifetime of a proof if the token's expiry cannot be read.
const UNKNOWN_LIFE: Duration = Duration::from_secs(3600);
/// Upper bound on a token's lifetime.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
const MAX_TOKEN_LIFE: Duration = Duration::from_secs(4 * 3600);
/// Lifetime of a rejection: the interval that Atlassian demands between two requests.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
const REJECTED_LIFE: Duration = Duration::from_secs(5 * 60);
/// Upper bound on rejected tokens of one user of an installation within that time. Atlassian allows
/// 50 requests a minute for all installations together.
const MAX_REJECTED: usize = 3;

const FIX_SYSTEM: &str = "Store tokens (`App::token_store` with `App::keep_tokens_fresh`), so that pages' \
                          handlers get the token that Forge itself delivered";
const FIX_USER: &str = "List a scope in which Atlassian names the token's account (`read:me`, \
                        `read:jira-user` or `read:confluence-user`), or use `ProductApi::impersonate`";

impl ProductClient {
    /// Returns the installation's base URL of this API, for use with another HTTP client.
    ///
    /// # Errors
    ///
    /// - The app is not installed in the product.
    /// - The token belongs to another installation or is not proven (see [`SystemToken`](crate::SystemToken)).
    /// - The host must not receive tokens.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// fn configure(call: &Invocation, token: &SystemToken) -> Result<(String, String)> {
    ///     let jira = call.jira().as_app(token);
    ///     Ok((jira.base_url()?.to_owned(), token.expose_secret().to_owned()))
    /// }
    /// ```
    pub fn base_url(&self) -> Result<&str, ClientError> {
        if !self.is_proven() {
            let reason = "this client has not made a call yet, which would verify the token";
            return Err(self.unproven(reason, None));
        }
        self.base()
    }

    /// Returns whether the token may be used without a request to Atlassian.
    fn is_proven(&self) -> bool {
        let Some(token) = &self.unproven else {
            return true;
        };
        let proofs = &self.target.atlassian.shared.proofs;
        proofs.peek(&self.proof_key(token), self.now()) == Some(ProofResult::Proven)
    }

    /// Verifies that the token belongs to this installation.
    pub(super) async fn prove(&self) -> Result<(), ClientError> {
        let Some(token) = &self.unproven else {
            return Ok(());
        };
        if self.is_stored(token).await {
            return Ok(());
        }
        let key = self.proof_key(token);
        let principal: Option<Arc<str>> = token.account_id().map(Into::into);
        let shared = &self.target.atlassian.shared;
        let proofs = &shared.proofs;
        let turn;
        let mut _has_turn = None;
        if proofs.peek(&key, self.now()).is_none() {
            turn = shared
                .turns
                .of((key.installation_id.clone(), principal.clone()));
            _has_turn = Some(turn.lock().await);
        }
        let now = self.now();
        if proofs.peek(&key, now).is_none() {
            let rejected = proofs.count(now, |other, verdict| {
                other.installation_id == key.installation_id
                    && *verdict == ProofResult::Rejected(principal.clone())
            });
            if rejected >= MAX_REJECTED {
                let reason = "too many of this user's tokens were rejected within 5 minutes";
                return Err(self.unproven(reason, None));
            }
        }
        let start = |number| {
            let client = self.for_verification();
            verify(client, token.clone(), key.clone(), principal, number)
                .boxed()
                .shared()
        };
        let verdict = match proofs.get(&key, now, start) {
            Ok(verdict) => Ok(verdict),
            Err(flight) => flight.await,
        };
        match verdict {
            Ok(verdict) if verdict.value == ProofResult::Proven => Ok(()),
            Ok(_) if self.is_user() => {
                Err(self.unproven("Atlassian does not return its user for it", None))
            }
            Ok(_) => Err(self.unproven("Atlassian rejects it for this app and installation", None)),
            Err(error) => Err(self.unproven("the request to Atlassian failed", Some(error))),
        }
    }

    /// Builds the error of a token that is not proven.
    fn unproven(&self, reason: &'static str, source: Option<Arc<ClientError>>) -> ClientError {
        ClientError::UnprovenToken {
            api: self.api(),
            reason,
            fix: if self.is_user() { FIX_USER } else { FIX_SYSTEM },
            source,
        }
    }

    /// Returns whether the platform itself delivered this token.
    async fn is_stored(&self, token: &Unproven) -> bool {
        let (Some(tokens), Unproven::Call(call)) =
            (self.target.atlassian.shared.tokens.get(), token)
        else {
            return false;
        };
        if self.is_user() {
            return false;
        }
        let stored = tokens.of_platform(call.claims()).await;
        stored.is_some_and(|stored| stored.expose_secret() == self.secret())
    }

    fn proof_key(&self, token: &Unproven) -> ProofKey {
        let account = token.account_id().map(str::to_owned);
        ProofKey {
            installation_id: token.installation_id().to_owned(),
            token: hash(self.secret()),
            account: account.filter(|_| self.is_user()),
        }
    }

    /// Returns a client with the same token for the verification itself.
    fn for_verification(&self) -> Self {
        Self {
            unproven: None,
            tokens: None,
            ..self.clone()
        }
    }

    /// Returns a client with the same token for another API.
    fn at(&self, product: ProductApi) -> Self {
        Self {
            target: product.0,
            ..self.clone()
        }
    }

    fn now(&self) -> Now {
        Now::of(&*self.settings().clock)
    }
}

async fn verify(
    client: ProductClient,
    token: Unproven,
    key: ProofKey,
    principal: Option<Arc<str>>,
    number: u64,
) -> Result<Timed<ProofResult>, Arc<ClientError>> {
    let started = client.now();
    let proven = if client.is_user() {
        belongs_to_user(&client, &token).await
    } else {
        belongs_to_installation(&client, &token).await
    };
    let verdict = proven.map_err(Arc::new).map(|proven| {
        if !proven {
            return Timed::new(ProofResult::Rejected(principal), started, REJECTED_LIFE);
        }
        let life = expires_at(client.secret());
        let life = life.map(|ends| ends.duration_since(started.wall).unwrap_or_default());
        let life = life.unwrap_or(UNKNOWN_LIFE).min(MAX_TOKEN_LIFE);
        Timed::new(ProofResult::Proven, started, life)
    });
    let proofs = &client.target.atlassian.shared.proofs;
    proofs.finish(key, number, verdict.as_ref().ok().cloned(), client.now());
    verdict
}

/// Returns whether Atlassian accepts the app's token for this app, environment and installation. The API returns 401
/// unless the token was issued for the installation in the path.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
async fn belongs_to_installation(
    client: &ProductClient,
    token: &Unproven,
) -> Result<bool, ClientError> {
    let environment = token.environment_id();
    let environment = environment.filter(|id| !id.is_empty() && !id.ends_with('/'));
    let (Some(app), Some(environment)) = (token.app_id(), environment) else {
        return Ok(false);
    };
    let path = details_path(app, environment, token.installation_id());
    let forge = client.at(client.target.on_platform(Api::Platform));
    match forge.get(path).send().await {
        Ok(details) => {
            client.learn_scopes(&details);
            Ok(true)
        }
        Err(error) if is_rejection(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether a user's token belongs to the call's user, according to Atlassian. The API that can be used depends
/// on the app's scopes, so each is tried in turn.
/// Sources: <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-myself/>,
/// <https://developer.atlassian.com/cloud/confluence/rest/v1/api-group-users/>
async fn belongs_to_user(client: &ProductClient, token: &Unproven) -> Result<bool, ClientError> {
    let Some(principal) = token.account_id() else {
        return Ok(false);
    };
    let atlassian = &client.target.atlassian;
    for (api, path) in [
        (Api::Jira, "/rest/api/3/myself"),
        (Api::Confluence, "/wiki/rest/api/user/current"),
    ] {
        let product = match token {
            Unproven::Call(call) => ProductApi::new(atlassian, api, call.claims()),
            Unproven::Restored(token) => ProductApi::new(atlassian, api, &**token),
        };
        let product = client.at(product);
        if product.target.base.is_err() {
            continue;
        }
        match account(product.get(path).fetch::<Value>().await, "/accountId")? {
            Some(account) => return Ok(account == principal),
            None => continue,
        }
    }
    let graphql = GraphQlClient(client.at(client.target.on_platform(Api::GraphQl)));
    let query = graphql.operation("query { me { user { accountId } } }");
    let account = account(query.fetch::<Value>().await, "/me/user/accountId")?;
    Ok(account.is_some_and(|account| account == principal))
}

/// Returns the account in a response; `None` if the API rejects the token.
fn account(
    response: Result<Value, ClientError>,
    pointer: &str,
) -> Result<Option<String>, ClientError> {
    match response {
        Ok(response) => Ok(response
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)),
        Err(error) if is_rejection(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether Atlassian rejected the token, rather than failed to respond.
fn is_rejection(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::GraphQl { .. } | ClientError::Unreadable { .. }
    ) || matches!(
        error.status(),
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
    )
}
