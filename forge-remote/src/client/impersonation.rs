//! Acting for a user who isn't there: the app's token is exchanged for the user's.
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
use super::token_caches::Key;
use crate::credentials::{Owner, SystemToken, UserToken, expires_at};

/// The documented exchange.
const MUTATION: &str =
    "mutation forge_remote_offlineUserAuthToken($input: OfflineUserAuthTokenInput!) {
  offlineUserAuthToken(input: $input) { success errors { message } authToken { token ttl } }
}";

const UNDECLARED: &str = "the app declares no scopes for users who aren't in session: list them in \
                          `App::impersonation_scopes`, run `manifest --write`, deploy, and have the \
                          installation upgraded";

/// No token is handed out within this time of its end, or a tenth of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// A life longer than this isn't believed.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

impl ProductApi {
    /// A token to act as this user (an account id), who isn't in session: for background work on
    /// Jira and Confluence.
    ///
    /// The app's token is exchanged for it once for each installation, product and user, however
    /// many ask, and again when it ends. A system token that came with a page's call must be proven
    /// first (see [`SystemToken`]). A 401 makes an older one be exchanged anew, and so does [`forget`](Self::forget).
    ///
    /// The manifest must list the scopes with `allowImpersonation: true`, which
    /// [`App::impersonation_scopes`](crate::App::impersonation_scopes) sees to. Service accounts can't be
    /// impersonated, and Atlassian allows 1,000 exchanges a minute for each app.
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
        let context = self.exchanged_for()?;
        if account_id.is_empty() || account_id.len() > 256 {
            return Err(self.no_exchange("an account id is 1 to 256 bytes long"));
        }
        if let Some(reason) = self.mismatch(token.owner()) {
            return Err(ClientError::WrongToken {
                api: self.0.api,
                reason,
            });
        }
        // Another app's could be exchanged for what others fetched.
        let is_proven = |owner: &Owner| owner.unproven().is_none();
        let owner = token.owner().filter(|owner| is_proven(owner));
        let key = Key {
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
        let kept = match self.0.atlassian.shared.acting.get(&key, self.now(), start) {
            Ok(kept) => kept,
            Err(exchange) => exchange.await.map_err(ClientError::Impersonation)?,
        };
        Ok(UserToken::new(&kept.value, owner))
    }

    /// Forgets the tokens of a user of this installation: after a 403, or when what they may do has
    /// changed, the next [`impersonate`](Self::impersonate) exchanges anew.
    pub fn forget(&self, account_id: &str) {
        let installation_id = &self.0.installation_id;
        self.0
            .atlassian
            .shared
            .acting
            .forget(|key| key.installation_id == *installation_id && key.account_id == account_id);
    }

    /// What the token is for.
    fn exchanged_for(&self) -> Result<String, ClientError> {
        if !matches!(self.0.api, Api::Jira | Api::Confluence) {
            return Err(self.no_exchange("users can be impersonated on Jira and Confluence only"));
        }
        if let Err(nowhere) = &self.0.base {
            return Err(nowhere.error(self.0.api));
        }
        self.context()
            .ok_or_else(|| self.no_exchange("Forge gave no cloud id for this installation"))
    }

    fn now(&self) -> Now {
        Now::of(&*self.0.atlassian.settings().clock)
    }

    fn no_exchange(&self, reason: &str) -> ClientError {
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
    key: Key,
    number: u64,
) -> Result<Timed<Arc<Zeroizing<String>>>, Arc<ClientError>> {
    // From before it was asked for: the answer's way takes from the token's life.
    let asked = product.now();
    let exchanged = ask(&product, &token, &key).await;
    let kept = exchanged.map_err(Arc::new).map(|(token, life)| {
        // What the token says of its own end counts too: it may have been handed out before.
        let own =
            expires_at(&token).map(|ends| ends.duration_since(asked.wall).unwrap_or_default());
        let life = match (life, own) {
            (Some(life), Some(own)) => life.min(own),
            (Some(life), None) | (None, Some(life)) => life,
            (None, None) => Duration::ZERO,
        };
        let life = life.min(LONGEST);
        let usable = life.saturating_sub(MARGIN.min(life / 10));
        Timed::new(Arc::new(token), asked, usable)
    });
    let cache = &product.0.atlassian.shared.acting;
    cache.finish(key, number, kept.as_ref().ok().cloned(), product.now());
    kept
}

/// The exchange: it fails by its status, by GraphQL's errors, or by its own.
async fn ask(
    product: &ProductApi,
    token: &SystemToken,
    key: &Key,
) -> Result<(Zeroizing<String>, Option<Duration>), ClientError> {
    let gateway = graphql::GraphQl(product.gateway());
    let input = json!({ "contextIds": [key.context], "userId": key.account_id });
    let response = gateway
        .as_app(token)
        .operation(MUTATION)
        .variable("input", input)
        // Another token for the same user does no harm.
        .idempotent()
        .send()
        .await?;
    let answer = graphql::read::<Value>(&response)?;
    let outcome = answer
        .data
        .and_then(|mut data| data.get_mut("offlineUserAuthToken").map(Value::take))
        .unwrap_or_default();
    let text = |pointer: &str| outcome.pointer(pointer).and_then(Value::as_str);
    let life = outcome.pointer("/authToken/ttl").and_then(Value::as_u64);
    let succeeded = outcome.get("success").and_then(Value::as_bool) != Some(false);
    let is_token =
        |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match text("/authToken/token").filter(is_token) {
        Some(token) if succeeded && answer.errors.is_empty() => Ok((
            Zeroizing::new(token.to_owned()),
            life.map(Duration::from_secs),
        )),
        _ => {
            let own = outcome.get("errors").and_then(Value::as_array);
            let own = own.into_iter().flatten();
            let own = own.filter_map(|error| error.get("message").and_then(Value::as_str));
            let mut errors = answer.errors;
            let own = own
                .take(5)
                .map(|message| error::plain(message, token.expose_secret()));
            errors.extend(own.map(GraphQlError::new));
            if errors.is_empty() {
                let nothing = "the exchange gave no token, and no reason";
                errors.push(GraphQlError::new(nothing));
            }
            let declared = product.0.atlassian.settings().impersonates;
            errors.push(GraphQlError::new(if declared == Some(false) {
                UNDECLARED
            } else {
                "are the scopes listed with `allowImpersonation: true` (`App::impersonation_scopes`), and \
                 may the user use the product?"
            }));
            Err(graphql::failed(&response, errors))
        }
    }
}
