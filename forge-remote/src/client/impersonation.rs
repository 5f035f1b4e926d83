//! Acting for a user who isn't there: the app's token is exchanged for the user's.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::{self, ClientError};
use super::{Api, GraphQlError, Product, graphql};
use crate::extract::{Owner, SystemToken, UserToken, ends_at};
use crate::registry::BoxFuture;

/// The documented exchange.
const MUTATION: &str =
    "mutation forge_remote_offlineUserAuthToken($input: OfflineUserAuthTokenInput!) {
  offlineUserAuthToken(input: $input) { success errors { message } authToken { token ttl } }
}";

const UNDECLARED: &str = "the app declares no scopes for users who aren't in session: list them in \
                          `App::impersonation`, run `manifest --write`, deploy, and have the \
                          installation upgraded";

/// No token is handed out within this time of its end, or a tenth of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// A life longer than this isn't believed.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// How many users' tokens are remembered. Those that end first make room.
const LIMIT: usize = 10_000;

/// A token that is refused so soon after its exchange isn't refused for its age.
const YOUNG: Duration = Duration::from_secs(60);

/// Whose token, and what for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    installation_id: String,
    account_id: String,
    context: String,
    /// The system token that it is obtained with, where Forge didn't deliver that itself: it may be
    /// of a page's own making, so it neither gets what others fetched nor spoils it. Forge's own
    /// are all as good: a new one needs no new exchange.
    system: Option<[u8; 32]>,
}

#[derive(Clone)]
struct Kept {
    token: Arc<Zeroizing<String>>,
    /// On the clock's `elapsed`.
    since: Duration,
    good_until: Duration,
    /// The same on the wall clock, which goes on while a machine sleeps.
    ends_at: SystemTime,
}

/// Both of a clock's times.
#[derive(Clone, Copy)]
struct Now {
    elapsed: Duration,
    wall: SystemTime,
}

impl Kept {
    fn is_good(&self, now: Now) -> bool {
        self.good_until > now.elapsed && self.ends_at > now.wall
    }
}

type Exchanging = BoxFuture<Result<Kept, Arc<ClientError>>>;
type Exchange = Shared<Exchanging>;

/// Users' tokens, and the exchanges under way.
#[derive(Default)]
pub(super) struct Cache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    kept: HashMap<Key, Kept>,
    /// By its number: one that was forgotten meanwhile leaves nothing behind. Weak: when all who
    /// wait have gone, nobody drives it, and the next one starts anew.
    running: HashMap<Key, (u64, WeakShared<Exchanging>)>,
    started: u64,
}

impl Product {
    /// A token to act as this user (an account id), who isn't in session: for background work on
    /// Jira and Confluence.
    ///
    /// The app's token is exchanged for it once for each installation, product and user, however
    /// many ask, and again when it ends. (A system token that came with a page's call may be of the
    /// page's own making: what it is exchanged for serves only those who come with the same.) A 401
    /// makes an older one be exchanged anew, and so does [`forget`](Self::forget).
    ///
    /// The manifest must list the scopes with `allowImpersonation: true`, which
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
        let is_forges = token.owner().is_some_and(|owner| owner.is_forges);
        let key = Key {
            installation_id: self.0.installation_id.clone(),
            account_id: account_id.to_owned(),
            context,
            system: (!is_forges).then(|| hash(token.expose_secret())),
        };
        let owner = Owner {
            installation_id: key.installation_id.as_str().into(),
            context: Some(key.context.as_str().into()),
            is_forges,
        };
        let start = |number| {
            exchange(self.clone(), token.clone(), key.clone(), number)
                .boxed()
                .shared()
        };
        let kept = match self.0.atlassian.shared.acting.get(&key, self.now(), start) {
            Ok(kept) => kept,
            Err(exchange) => exchange.await.map_err(ClientError::Impersonation)?,
        };
        Ok(UserToken::obtained(&kept.token, owner))
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
        let clock = &self.0.atlassian.settings().clock;
        Now {
            elapsed: clock.elapsed(),
            wall: clock.now(),
        }
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

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

async fn exchange(
    product: Product,
    token: SystemToken,
    key: Key,
    number: u64,
) -> Result<Kept, Arc<ClientError>> {
    // From before it was asked for: the answer's way takes from the token's life.
    let asked = product.now();
    let exchanged = ask(&product, &token, &key).await;
    let kept = exchanged.map_err(Arc::new).map(|(token, life)| {
        // What the token says of its own end counts too: it may have been handed out before.
        let own = ends_at(&token).map(|ends| ends.duration_since(asked.wall).unwrap_or_default());
        let life = match (life, own) {
            (Some(life), Some(own)) => life.min(own),
            (Some(life), None) | (None, Some(life)) => life,
            (None, None) => Duration::ZERO,
        };
        let life = life.min(LONGEST);
        let usable = life.saturating_sub(MARGIN.min(life / 10));
        Kept {
            token: Arc::new(token),
            since: asked.elapsed,
            good_until: asked.elapsed.saturating_add(usable),
            ends_at: asked.wall + usable,
        }
    });
    let cache = &product.0.atlassian.shared.acting;
    cache.finish(key, number, kept.as_ref().ok().cloned(), product.now());
    kept
}

/// The exchange: it fails by its status, by GraphQL's errors, or by its own.
async fn ask(
    product: &Product,
    token: &SystemToken,
    key: &Key,
) -> Result<(Zeroizing<String>, Option<Duration>), ClientError> {
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
                "are the scopes listed with `allowImpersonation: true` (`App::impersonation`), and \
                 may the user use the product?"
            }));
            Err(graphql::failed(&response, errors))
        }
    }
}

impl Cache {
    /// The token; or the exchange to wait for, which is started if none is under way.
    fn get(
        &self,
        key: &Key,
        now: Now,
        start: impl FnOnce(u64) -> Exchange,
    ) -> Result<Kept, Exchange> {
        let mut entries = self.entries();
        if let Some(kept) = entries.kept.get(key).filter(|kept| kept.is_good(now)) {
            return Ok(kept.clone());
        }
        let running = entries.running.get(key);
        if let Some(running) = running.and_then(|(_, running)| running.upgrade()) {
            return Err(running);
        }
        if entries.running.len() >= LIMIT {
            entries
                .running
                .retain(|_, (_, running)| running.upgrade().is_some());
        }
        entries.started += 1;
        let number = entries.started;
        let exchange = start(number);
        // It has just been made and never polled to its end.
        if let Some(weak) = exchange.downgrade() {
            entries.running.insert(key.clone(), (number, weak));
        }
        Err(exchange)
    }

    /// The end of an exchange. One that was forgotten, or followed by another, changes nothing.
    fn finish(&self, key: Key, number: u64, kept: Option<Kept>, now: Now) {
        let mut entries = self.entries();
        if entries.running.get(&key).map(|(number, _)| *number) != Some(number) {
            return;
        }
        entries.running.remove(&key);
        let Some(kept) = kept else {
            return;
        };
        if entries.kept.len() >= LIMIT {
            entries.kept.retain(|_, kept| kept.is_good(now));
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

    /// Atlassian refused this token (401). One that was just obtained stays: another would fare no
    /// better, and exchanges are counted.
    pub(super) fn refused(&self, token: &str, now: Duration) {
        let is_it =
            |kept: &Kept| kept.token.as_str() == token && now.saturating_sub(kept.since) >= YOUNG;
        self.entries().kept.retain(|_, kept| !is_it(kept));
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
