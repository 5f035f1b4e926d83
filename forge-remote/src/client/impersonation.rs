//! Impersonation of users who are not in session: the app's token is exchanged for the user's.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::api::Api;
use super::error::GraphQlError;
use super::error::{self, ClientError};
use super::graphql;
use super::product::ProductApi;
use super::single_flight::{Now, Timed, hash};
use super::token_caches::UserTokenKey;
use crate::credentials::{Owner, SystemToken, UserToken, expires_at};

/// The documented exchange.
const MUTATION: &str =
    "mutation forge_remote_offlineUserAuthToken($input: OfflineUserAuthTokenInput!) {
  offlineUserAuthToken(input: $input) { success errors { message } authToken { token ttl } }
}";

const UNDECLARED: &str = "the app declares no scopes for impersonated users: list them in \
                          `App::impersonation_scopes`, run `manifest --write`, deploy, and have the \
                          installation upgraded";

/// A token is not used within this time before its expiry, or within a tenth of its lifetime.
const MARGIN: Duration = Duration::from_secs(60);
/// Upper bound on a token's lifetime, regardless of the response.
const MAX_TOKEN_LIFE: Duration = Duration::from_secs(4 * 3600);

impl ProductApi {
    /// Returns a token to act as a user who is not in session, for background work on Jira and
    /// Confluence.
    ///
    /// The app's token is exchanged for a user token, which is cached per installation, product and user until it
    /// expires. Concurrent callers share one exchange. A system token from a page's call must be proven first (see
    /// [`SystemToken`]). A new exchange follows after a 401, if the user's token is older than a minute, and after
    /// [`forget`](Self::forget).
    ///
    /// The manifest must list the scopes with `allowImpersonation: true`:
    /// [`App::impersonation_scopes`](crate::App::impersonation_scopes) does that. Service accounts cannot be
    /// impersonated. Atlassian allows 1,000 exchanges a minute for each app.
    ///
    /// ```
    /// use forge_remote::client::AtlassianClient;
    /// use forge_remote::token::Installation;
    /// use forge_remote::{Result, SystemToken, path};
    /// use serde_json::json;
    ///
    /// async fn greet(atlassian: &AtlassianClient, there: &Installation, token: &SystemToken) -> Result<()> {
    ///     let jira = atlassian.jira(there);
    ///     let user = jira.impersonate(token, "5b10ac8d82e05b22cc7d4ef5").await?;
    ///     let comment = json!({ "body": "Good morning" });
    ///     jira.as_user(&user).post(path!("/rest/api/2/issue/{}/comment", "TEST-1")).json(&comment).send().await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn impersonate(
        &self,
        token: &SystemToken,
        account_id: &str,
    ) -> Result<UserToken, ClientError> {
        let context = self.token_context()?;
        if account_id.is_empty() || account_id.len() > 256 {
            return Err(self.invalid_exchange("the account id must be 1 to 256 bytes long"));
        }
        if let Some(reason) = self.mismatch(token.owner()) {
            return Err(ClientError::WrongToken {
                api: self.0.api,
                reason,
            });
        }
        // An unproven token may belong to another app: it must not share cached tokens.
        let is_proven = |owner: &Owner| owner.unproven().is_none();
        let owner = token.owner().filter(|owner| is_proven(owner));
        let key = UserTokenKey {
            installation_id: self.0.installation_id.clone(),
            account_id: account_id.to_owned(),
            context,
            system: owner.is_none().then(|| hash(token.expose_secret())),
        };
        let owner = token.owner().map(|owner| owner.exchanged_for(&key.context));
        let start = |number| {
            exchange(self.clone(), token.clone(), key.clone(), number)
                .boxed()
                .shared()
        };
        let cache = &self.0.atlassian.shared.user_tokens;
        let cached = match cache.get(&key, self.now(), start) {
            Ok(cached) => cached,
            Err(exchange) => exchange.await.map_err(ClientError::Impersonation)?,
        };
        Ok(UserToken::new(&cached.value, owner))
    }

    /// Forgets the cached tokens of a user of this installation.
    ///
    /// Call it after a 403 or when the user's permissions have changed: the next
    /// [`impersonate`](Self::impersonate) then makes a new exchange.
    pub fn forget(&self, account_id: &str) {
        let installation_id = &self.0.installation_id;
        self.0
            .atlassian
            .shared
            .user_tokens
            .forget(|key| key.installation_id == *installation_id && key.account_id == account_id);
    }

    /// Returns the ARI of the product and site that the token is for.
    fn token_context(&self) -> Result<String, ClientError> {
        if !matches!(self.0.api, Api::Jira | Api::Confluence) {
            return Err(
                self.invalid_exchange("users can be impersonated on Jira and Confluence only")
            );
        }
        if let Err(missing) = &self.0.base {
            return Err(missing.error(self.0.api));
        }
        self.context().ok_or_else(|| {
            self.invalid_exchange("the installation's base URL has no site's cloud id")
        })
    }

    fn now(&self) -> Now {
        Now::of(&*self.0.atlassian.settings().clock)
    }

    fn invalid_exchange(&self, reason: &str) -> ClientError {
        ClientError::Invalid {
            call: error::Operation {
                api: self.0.api,
                method: axum::http::Method::POST,
                path: "/graphql".to_owned(),
            },
            reason: reason.to_owned(),
        }
    }
}

async fn exchange(
    product: ProductApi,
    token: SystemToken,
    key: UserTokenKey,
    number: u64,
) -> Result<Timed<Arc<Zeroizing<String>>>, Arc<ClientError>> {
    // The lifetime counts from before the request, so that it includes the time on the network.
    let started = product.now();
    let exchanged = send_exchange(&product, &token, &key).await;
    let outcome = exchanged.map_err(Arc::new).map(|(token, life)| {
        // The token's own expiry counts too: Atlassian may return a token it issued earlier.
        let own =
            expires_at(&token).map(|ends| ends.duration_since(started.wall).unwrap_or_default());
        let life = match (life, own) {
            (Some(life), Some(own)) => life.min(own),
            (Some(life), None) | (None, Some(life)) => life,
            (None, None) => Duration::ZERO,
        };
        let life = life.min(MAX_TOKEN_LIFE);
        let usable = life.saturating_sub(MARGIN.min(life / 10));
        Timed::new(Arc::new(token), started, usable)
    });
    let cache = &product.0.atlassian.shared.user_tokens;
    cache.finish(key, number, outcome.as_ref().ok().cloned(), product.now());
    outcome
}

/// Sends the exchange. It can fail with a status, with GraphQL errors, or with errors in its payload.
async fn send_exchange(
    product: &ProductApi,
    token: &SystemToken,
    key: &UserTokenKey,
) -> Result<(Zeroizing<String>, Option<Duration>), ClientError> {
    let gateway = graphql::GraphQl(product.gateway());
    let input = json!({ "contextIds": [key.context], "userId": key.account_id });
    let response = gateway
        .as_app(token)
        .operation(MUTATION)
        .variable("input", input)
        // A repeated exchange only returns another token for the same user.
        .idempotent()
        .send()
        .await?;
    let parsed = graphql::read::<Value>(&response)?;
    let outcome = parsed
        .data
        .and_then(|mut data| data.get_mut("offlineUserAuthToken").map(Value::take))
        .unwrap_or_default();
    let text = |pointer: &str| outcome.pointer(pointer).and_then(Value::as_str);
    let life = outcome.pointer("/authToken/ttl").and_then(Value::as_u64);
    let succeeded = outcome.get("success").and_then(Value::as_bool) != Some(false);
    let is_token =
        |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match text("/authToken/token").filter(is_token) {
        Some(token) if succeeded && parsed.errors.is_empty() => Ok((
            Zeroizing::new(token.to_owned()),
            life.map(Duration::from_secs),
        )),
        _ => {
            let own = outcome.get("errors").and_then(Value::as_array);
            let own = own.into_iter().flatten();
            let own = own.filter_map(|error| error.get("message").and_then(Value::as_str));
            let mut errors = parsed.errors;
            let own = own
                .take(5)
                .map(|message| error::plain(message, token.expose_secret()));
            errors.extend(own.map(GraphQlError::new));
            if errors.is_empty() {
                let nothing = "the exchange returned neither a token nor an error";
                errors.push(GraphQlError::new(nothing));
            }
            let declared = product.0.atlassian.settings().impersonates;
            errors.push(GraphQlError::new(if declared == Some(false) {
                UNDECLARED
            } else {
                "check that the scopes are listed with `allowImpersonation: true` \
                 (`App::impersonation_scopes`) and that the user may use the product"
            }));
            Err(graphql::failed(&response, errors))
        }
    }
}
