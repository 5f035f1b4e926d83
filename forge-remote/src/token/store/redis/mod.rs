//! The token store in Redis.

mod link;
mod scripts;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use redis::{Pipeline, RedisError, RedisResult, Script};

use super::interface::{
    MAX_LEAD_MILLIS, PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore,
    from_millis, to_millis,
};
use super::rows::{BadRow, checks_of, readable};
use crate::diagnostic::Check;
use crate::fit::BoxFuture;
use link::Link;
use scripts::{PURGE, PUT, REMOVE, SWAP};

/// How long an expired token is kept, as in the other stores.
const KEPT_AFTER_END_MILLIS: i64 = 24 * 3600 * 1000;

/// A token store in Redis (7 or newer) or Valkey, for apps of several instances (feature `redis`).
///
/// Each token's key has a TTL that ends one day after its expiry. The server must not evict keys: with
/// a `maxmemory`, its `maxmemory-policy` has to be `noeviction` (the `volatile-` policies evict tokens
/// first, because they have a TTL). If the server loses its data, instances write the tokens that they
/// have in memory again; Forge delivers the others with its next hourly calls. With `appendonly yes`,
/// at most the tokens of the last second are lost; with `appendfsync always`, none. Redis Cluster
/// isn't supported.
///
/// When the app starts, the server's version is checked, and every operation of the store is tried on
/// separate keys: a missing permission aborts the launch, not the first write.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::RedisTokens;
///
/// let app = App::new().token_store(RedisTokens::new("rediss://:secret@cache.example.com"));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct RedisTokens {
    link: Arc<Link>,
    prefix: Arc<str>,
}

impl fmt::Debug for RedisTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisTokens").field(&self.name()).finish()
    }
}

impl RedisTokens {
    /// Creates a store in the server with this URL: `redis://:password@host:6379/0`, `rediss://…` for
    /// TLS. It connects later; each instance uses one connection.
    pub fn new(url: impl AsRef<str>) -> Self {
        Self {
            link: Arc::new(Link::to(url.as_ref())),
            prefix: Arc::from("forge-remote"),
        }
    }

    /// Sets the prefix of all keys (default: `forge-remote`). Each app on a shared server needs its own.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = Arc::from(prefix);
        self
    }

    fn token_prefix(&self) -> String {
        format!("{}:token:", self.prefix)
    }

    fn token_key(&self, installation_id: &str) -> String {
        format!("{}{installation_id}", self.token_prefix())
    }

    fn site_key(&self, cloud_id: &str) -> String {
        format!("{}:site:{cloud_id}", self.prefix)
    }

    fn by_id(&self) -> String {
        format!("{}:by-id", self.prefix)
    }

    fn by_end(&self) -> String {
        format!("{}:by-end", self.prefix)
    }

    /// Returns the server's `INFO`; empty if the user lacks the permission for `INFO`. An error for a version
    /// that is too old.
    async fn info(&self) -> Result<HashMap<String, String>, StoreError> {
        let mut commands = redis::pipe();
        for section in ["server", "memory", "persistence"] {
            commands.cmd("INFO").arg(section);
        }
        let info: Vec<RedisResult<String>> = self.link.call(commands.ignore_errors()).await?;
        let info: HashMap<String, String> = info
            .iter()
            .flatten()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        if let Some(version) = info.get("redis_version") {
            let major = version.split('.').next().and_then(|word| word.parse().ok());
            if major.is_some_and(|major: u32| major < 7) {
                return Err(StoreError::new(format!(
                    "it is Redis {version}: 7 or newer is needed, or Valkey"
                ))
                .permanent());
            }
        }
        Ok(info)
    }

    async fn check_now(self) -> Result<Vec<Check>, StoreError> {
        let (name, info) = (self.name(), self.info().await?);
        let Some(log) = info.get("aof_enabled") else {
            return Ok(vec![Check::unknown(
                "durability",
                format!("{name}: its user may not read the server's settings"),
                "allow `INFO`, or check `maxmemory-policy` and `appendonly` yourself",
            )]);
        };
        Ok(vec![match evicting_policy(&info) {
            Some(policy) => Check::warning(
                "durability",
                format!(
                    "{name}: maxmemory-policy is {policy}: it evicts tokens when its memory is full"
                ),
                "set `maxmemory-policy noeviction`",
            ),
            None => {
                let after_restart = match log.as_str() {
                    "0" => {
                        "appendonly is no: a restart loses tokens until Forge's next hourly calls"
                    }
                    _ => "appendonly is yes",
                };
                Check::passed("durability", format!("{name}: {after_restart}"))
            }
        }])
    }

    /// Checks the server's version and settings, and tries every operation.
    async fn open_now(self) -> Result<(), StoreError> {
        // The user may lack the permission for INFO; the probe below checks the store's commands.
        let info = self.info().await?;
        if let Some(policy) = evicting_policy(&info) {
            tracing::warn!(
                store = self.name(),
                policy,
                "Redis may evict stored tokens when its memory is full: set `maxmemory-policy noeviction`"
            );
        }
        self.probe().await
    }

    /// Tries every operation on a separate token that expired long ago, so that Redis deletes its keys
    /// at once. Several instances may do so at the same time, so the results are ignored.
    async fn probe(&self) -> Result<(), StoreError> {
        let probe = Self {
            link: Arc::clone(&self.link),
            prefix: Arc::from(format!("{}:probe", self.prefix)),
        };
        let token = SealedToken {
            installation_id: "probe".to_owned(),
            expires_at: from_millis(1),
            cloud_ids: vec!["probe".to_owned()],
            sealed: b"probe".to_vec(),
        };
        let (id, site) = (token.installation_id.clone(), token.cloud_ids[0].clone());
        probe.clone().put_all(vec![token.clone()]).await?;
        probe.replace_if(b"other".to_vec(), token).await?;
        probe.server_time().await?;
        probe.get(&id).await?;
        probe.clone().on_site_now(site).await?;
        for ends_before in [None, Some(from_millis(2))] {
            let page = PageRequest {
                ends_before,
                ..PageRequest::first(1)
            };
            probe.clone().list_now(page).await?;
        }
        probe.remove_if(&id, b"probe".to_vec()).await?;
        probe.purge(from_millis(2)).await.map(drop)
    }

    async fn put_all(self, tokens: Vec<SealedToken>) -> Result<Vec<String>, StoreError> {
        let script = Script::new(PUT);
        let pipeline = |deadline| {
            let mut pipeline = Pipeline::with_capacity(tokens.len() + 1);
            // Loads the script in the same round trip.
            pipeline.cmd("SCRIPT").arg("LOAD").arg(PUT).ignore();
            for token in &tokens {
                let call = pipeline.cmd("EVALSHA").arg(script.get_hash());
                self.put_arguments(call, token, &[], deadline);
            }
            pipeline
        };
        let written: Vec<u64> = self.link.write(pipeline).await?;
        let outdated = tokens.iter().zip(written);
        let outdated = outdated.filter(|(_, written)| *written == 0);
        Ok(outdated
            .map(|(token, _)| token.installation_id.clone())
            .collect())
    }

    /// Appends the script's arguments for one token.
    fn put_arguments<'a>(
        &self,
        call: &'a mut Pipeline,
        token: &SealedToken,
        expected: &[u8],
        deadline: i64,
    ) -> &'a mut Pipeline {
        let ends = to_millis(token.expires_at);
        call.arg(3 + token.cloud_ids.len())
            .arg(self.token_key(&token.installation_id))
            .arg(self.by_id())
            .arg(self.by_end());
        for cloud_id in &token.cloud_ids {
            call.arg(self.site_key(cloud_id));
        }
        call.arg(&token.installation_id)
            .arg(ends)
            .arg(token.cloud_ids.join(","))
            .arg(&token.sealed)
            .arg(ends.saturating_add(KEPT_AFTER_END_MILLIS))
            .arg(MAX_LEAD_MILLIS)
            .arg(expected)
            .arg(deadline)
    }

    /// Returns the rows with these ids; missing rows are skipped.
    async fn rows(&self, ids: &[String]) -> Result<Vec<Result<SealedToken, BadRow>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids {
            pipeline
                .cmd("HMGET")
                .arg(self.token_key(id))
                .arg(&["expires_at", "sites", "sealed"]);
        }
        // A key that is not a hash must not block the others.
        let rows: Vec<RedisResult<Fields>> = self.link.call(pipeline.ignore_errors()).await?;
        let rejected = |error: &&RedisError| error.code() != Some("WRONGTYPE");
        if let Some(error) = rows
            .iter()
            .filter_map(|row| row.as_ref().err())
            .find(rejected)
        {
            return Err(self.link.failed(error).await);
        }
        let rows = ids.iter().zip(rows);
        Ok(rows.filter_map(|(id, row)| token(id, row)).collect())
    }

    async fn on_site_now(self, cloud_id: String) -> Result<Vec<SealedToken>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("SMEMBERS").arg(self.site_key(&cloud_id));
        let (mut ids,): (Vec<String>,) = self.link.call(&pipeline).await?;
        ids.sort();
        let mut tokens = readable(&self.name(), self.rows(&ids).await?);
        // The set may still name an installation that has left the site.
        tokens.retain(|token| token.cloud_ids.contains(&cloud_id));
        Ok(tokens)
    }

    async fn list_now(self, page: PageRequest) -> Result<TokenPage, StoreError> {
        let limit = page.limit as usize;
        let mut pipeline = redis::pipe();
        let ids: Vec<String> = match page.ends_before {
            None => {
                let start = match &page.after {
                    Some(after) => format!("({after}"),
                    None => "-".to_owned(),
                };
                pipeline.cmd("ZRANGEBYLEX").arg(self.by_id()).arg(start);
                pipeline.arg("+").arg("LIMIT").arg(0).arg(limit);
                let (ids,): (Vec<String>,) = self.link.call(&pipeline).await?;
                ids
            }
            // The index by end has few such ids; they are sorted and cut to a page here.
            Some(before) => {
                pipeline.cmd("ZRANGEBYSCORE").arg(self.by_end()).arg("-inf");
                pipeline.arg(format!("({}", to_millis(before)));
                let (mut ids,): (Vec<String>,) = self.link.call(&pipeline).await?;
                ids.retain(|id| page.after.as_ref().is_none_or(|after| id > after));
                ids.sort();
                ids.truncate(limit);
                ids
            }
        };
        let mut tokens = readable(&self.name(), self.rows(&ids).await?);
        if let Some(before) = page.ends_before {
            // A token may have been renewed in the meantime.
            tokens.retain(|token| token.expires_at < before);
        }
        let full = ids.len() >= limit;
        let next = ids.last().filter(|_| full).cloned();
        Ok(TokenPage { tokens, next })
    }
}

/// Returns the server's policy if it evicts tokens when its memory is full.
fn evicting_policy(info: &HashMap<String, String>) -> Option<&str> {
    let has_limit = info.get("maxmemory").is_some_and(|limit| limit != "0");
    let policy = info.get("maxmemory_policy").map(String::as_str);
    policy.filter(|policy| has_limit && *policy != "noeviction")
}

/// The expiry, the sites, the sealed token.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// Reads the token in a row; `None` if the row is missing.
fn token(id: &str, row: RedisResult<Fields>) -> Option<Result<SealedToken, BadRow>> {
    let bad = |problem: &str| Some(Err(BadRow::of(id, problem)));
    let (ends, sites, sealed) = match row {
        Ok((None, None, None)) => return None,
        Ok((Some(ends), sites, Some(sealed))) => (ends, sites, sealed),
        Ok(_) => return bad("a part of it is missing"),
        Err(_) => return bad("its key is of another type"),
    };
    let Some(ends) = std::str::from_utf8(&ends)
        .ok()
        .and_then(|text| text.parse().ok())
    else {
        return bad("its expiry is not a number");
    };
    let Ok(sites) = String::from_utf8(sites.unwrap_or_default()) else {
        return bad("its sites are not text");
    };
    Some(Ok(SealedToken {
        installation_id: id.to_owned(),
        expires_at: from_millis(ends),
        cloud_ids: sites
            .split(',')
            .filter(|site| !site.is_empty())
            .map(str::to_owned)
            .collect(),
        sealed,
    }))
}

impl TokenStore for RedisTokens {
    fn name(&self) -> String {
        match self.link.address() {
            Some(address) => format!("Redis on {address}, `{}`", self.prefix),
            None => "Redis".to_owned(),
        }
    }

    fn open(&self) -> StoreFuture<()> {
        Box::pin(self.clone().open_now())
    }

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        checks_of(self.name(), self.clone().check_now())
    }

    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        let this = self.clone();
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            let call = pipeline.cmd("EVAL").arg(SWAP).arg(1);
            call.arg(format!("{}:key-check", this.prefix))
                .arg(new)
                .arg(expected);
            let (now,): (Vec<u8>,) = this.link.call(&pipeline).await?;
            Ok(now)
        })
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
        Box::pin(self.clone().put_all(tokens))
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let row = this.rows(&[id]).await?.pop();
            Ok(row.transpose()?)
        })
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        Box::pin(self.clone().on_site_now(cloud_id.to_owned()))
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        Box::pin(self.clone().list_now(page))
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        let this = self.clone();
        Box::pin(async move {
            let pipeline = |deadline| {
                let mut pipeline = redis::pipe();
                let call = pipeline.cmd("EVAL").arg(PUT);
                this.put_arguments(call, &new, &expected, deadline);
                pipeline
            };
            let (replaced,): (u64,) = this.link.write(pipeline).await?;
            Ok(replaced > 0)
        })
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let pipeline = |deadline: i64| {
                let mut pipeline = redis::pipe();
                pipeline
                    .cmd("EVAL")
                    .arg(REMOVE)
                    .arg(3)
                    .arg(this.token_key(&id))
                    .arg(this.by_id())
                    .arg(this.by_end())
                    .arg(&id)
                    .arg(&expected)
                    .arg(deadline);
                pipeline
            };
            let (removed,): (u64,) = this.link.write(pipeline).await?;
            Ok(removed > 0)
        })
    }

    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        let this = self.clone();
        Box::pin(async move { Ok(this.link.server_time().await?.map(from_millis)) })
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        let this = self.clone();
        Box::pin(async move {
            let pipeline = |deadline: i64| {
                let mut pipeline = redis::pipe();
                let call = pipeline.cmd("EVAL").arg(PURGE).arg(2);
                call.arg(this.by_id())
                    .arg(this.by_end())
                    .arg(to_millis(ended_before))
                    .arg(this.token_prefix())
                    .arg(deadline);
                pipeline
            };
            let (purged,): (u64,) = this.link.write(pipeline).await?;
            Ok(purged)
        })
    }
}
