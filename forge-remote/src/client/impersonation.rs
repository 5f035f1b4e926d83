//! Acting for a user who isn't there: the app's token is exchanged for the user's.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::{self, ClientError};
use super::{Api, Product, graphql};
use crate::extract::{SystemToken, UserToken};
use crate::registry::BoxFuture;

/// The documented exchange.
const MUTATION: &str =
    "mutation forge_remote_offlineUserAuthToken($input: OfflineUserAuthTokenInput!) {
  offlineUserAuthToken(input: $input) { success errors { message } authToken { token ttl } }
}";

/// No token is handed out within this time of its end, or a tenth of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// A life longer than this isn't believed.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// How many users' tokens are remembered. Those that end first make room.
const LIMIT: usize = 10_000;

/// Whose token, obtained with which. The system token is part of it: a call with another one
/// neither gets what this one fetched nor spoils it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    installation_id: String,
    account_id: String,
    context: String,
    system: [u8; 32],
}

#[derive(Clone)]
struct Kept {
    token: Arc<Zeroizing<String>>,
    /// On the clock's `elapsed`.
    good_until: Duration,
}

type Exchanging = BoxFuture<Result<Kept, Arc<ClientError>>>;
type Exchange = Shared<Exchanging>;

/// Users' tokens, and the exchanges under way.
#[derive(Default)]
pub(super) struct Cache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    kept: HashMap<Key, Kept>,
    /// Weak: when all who wait have gone, nobody drives it, and the next one starts anew.
    running: HashMap<Key, WeakShared<Exchanging>>,
}

impl Product {
    /// A token to act as this user (an account id), who isn't in session: for background work on
    /// Jira and Confluence.
    ///
    /// The app's token is exchanged for it once for as long as both live, however many ask: a new
    /// system token means a new exchange. The
    /// manifest must list the scopes with `allowImpersonation: true`, which
    /// [`App::impersonation`](crate::App::impersonation) sees to. Service accounts can't be
    /// impersonated, and Atlassian allows 1,000 exchanges a minute for each app.
    ///
    /// ```
    /// use forge_remote::client::Atlassian;
    /// use forge_remote::token::Installation;
    /// use forge_remote::{Result, SystemToken, path};
    /// use serde_json::json;
    ///
    /// async fn greet(atlassian: &Atlassian, there: &Installation, token: &SystemToken) -> Result<()> {
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
        let context = self.context()?;
        if account_id.is_empty() || account_id.len() > 256 {
            return Err(self.no_exchange("an account id is 1 to 256 bytes long"));
        }
        let mut system = [0; 32];
        let hash = digest(&SHA256, token.expose_secret().as_bytes());
        system.copy_from_slice(hash.as_ref());
        let key = Key {
            installation_id: self.0.installation_id.clone(),
            account_id: account_id.to_owned(),
            context,
            system,
        };
        let now = self.0.atlassian.settings().clock.elapsed();
        let start = || {
            exchange(self.clone(), token.clone(), key.clone())
                .boxed()
                .shared()
        };
        let exchange = match self.0.atlassian.shared.acting.get(&key, now, start) {
            Ok(kept) => return Ok(UserToken::obtained(&kept.token)),
            Err(exchange) => exchange,
        };
        match exchange.await {
            Ok(kept) => Ok(UserToken::obtained(&kept.token)),
            Err(error) => Err(ClientError::Impersonation(error)),
        }
    }

    /// Forgets the tokens of a user of this installation: after a 401 or 403, or when what they may
    /// do has changed, the next [`impersonate`](Self::impersonate) exchanges anew.
    pub fn forget(&self, account_id: &str) {
        let installation_id = &self.0.installation_id;
        self.0
            .atlassian
            .shared
            .acting
            .forget(|key| key.installation_id == *installation_id && key.account_id == account_id);
    }

    /// What the token is for.
    fn context(&self) -> Result<String, ClientError> {
        let product = match self.0.api {
            Api::Jira => "jira",
            Api::Confluence => "confluence",
            _ => {
                return Err(
                    self.no_exchange("users can be impersonated on Jira and Confluence only")
                );
            }
        };
        if let Err(present) = &self.0.base {
            return Err(ClientError::NotInstalled {
                api: self.0.api,
                present: present.clone(),
            });
        }
        let Some(cloud_id) = self.cloud_id() else {
            return Err(self.no_exchange("Forge gave no cloud id for this installation"));
        };
        Ok(format!("ari:cloud:{product}::site/{cloud_id}"))
    }

    fn no_exchange(&self, reason: &str) -> ClientError {
        ClientError::Invalid {
            call: error::CallName {
                api: self.0.api,
                method: axum::http::Method::POST,
                path: "/graphql".to_owned(),
            },
            reason: reason.to_owned(),
        }
    }
}

async fn exchange(
    product: Product,
    token: SystemToken,
    key: Key,
) -> Result<Kept, Arc<ClientError>> {
    let atlassian = product.0.atlassian.clone();
    // From before it was asked for: the answer's way takes from the token's life.
    let asked = atlassian.settings().clock.elapsed();
    let exchanged = ask(&product, &token, &key).await;
    let kept = match exchanged {
        Ok((token, life)) => {
            let life = life.min(LONGEST);
            let usable = life.saturating_sub(MARGIN.min(life / 10));
            Ok(Kept {
                token: Arc::new(token),
                good_until: asked.saturating_add(usable),
            })
        }
        Err(error) => Err(Arc::new(error)),
    };
    let now = atlassian.settings().clock.elapsed();
    atlassian
        .shared
        .acting
        .finish(key, kept.as_ref().ok().cloned(), now);
    kept
}

/// The exchange: it fails by its status, by GraphQL's errors, or by its own.
async fn ask(
    product: &Product,
    token: &SystemToken,
    key: &Key,
) -> Result<(Zeroizing<String>, Duration), ClientError> {
    let gateway = graphql::GraphQl(product.gateway());
    let input = json!({ "contextIds": [key.context], "userId": key.account_id });
    let response = gateway
        .as_app(token)
        .ask(MUTATION)
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
            Duration::from_secs(life.unwrap_or(0)),
        )),
        _ => {
            let own = outcome.get("errors").and_then(Value::as_array);
            let own = own.into_iter().flatten();
            let own = own.filter_map(|error| error.get("message").and_then(Value::as_str));
            let mut messages = answer.errors;
            messages.extend(
                own.take(5)
                    .map(|message| error::plain(message, token.expose_secret())),
            );
            if messages.is_empty() {
                messages.push("the exchange gave no token, and no reason".to_owned());
            }
            messages.push(
                "are the scopes listed with `allowImpersonation: true` (`App::impersonation`), and \
                 may the user use the product?"
                    .to_owned(),
            );
            Err(graphql::failed(&response, messages))
        }
    }
}

impl Cache {
    /// The token; or the exchange to wait for, which is started if none is under way.
    fn get(
        &self,
        key: &Key,
        now: Duration,
        start: impl FnOnce() -> Exchange,
    ) -> Result<Kept, Exchange> {
        let mut entries = self.entries();
        if let Some(kept) = entries.kept.get(key).filter(|kept| kept.good_until > now) {
            return Ok(kept.clone());
        }
        if let Some(running) = entries.running.get(key).and_then(WeakShared::upgrade) {
            return Err(running);
        }
        if entries.running.len() >= LIMIT {
            entries
                .running
                .retain(|_, running| running.upgrade().is_some());
        }
        let exchange = start();
        // It has just been made and never polled to its end.
        if let Some(weak) = exchange.downgrade() {
            entries.running.insert(key.clone(), weak);
        }
        Err(exchange)
    }

    fn finish(&self, key: Key, kept: Option<Kept>, now: Duration) {
        let mut entries = self.entries();
        entries.running.remove(&key);
        let Some(kept) = kept else {
            return;
        };
        if entries.kept.len() >= LIMIT {
            entries.kept.retain(|_, kept| kept.good_until > now);
        }
        if entries.kept.len() >= LIMIT {
            let first = entries.kept.iter().min_by_key(|(_, kept)| kept.good_until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                entries.kept.remove(&first);
            }
        }
        entries.kept.insert(key, kept);
    }

    pub(super) fn forget_all(&self) {
        self.forget(|_| true);
    }

    /// What is under way goes on for those who wait, and isn't handed to others.
    fn forget(&self, which: impl Fn(&Key) -> bool) {
        let mut entries = self.entries();
        entries.kept.retain(|key, _| !which(key));
        entries.running.retain(|key, _| !which(key));
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
