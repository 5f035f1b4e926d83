//! Tokens in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, Pipeline, Script};
use tokio::sync::OnceCell;

use super::store::{
    Listed, Page, SealedToken, StoreError, Stored, TokenStore, from_millis, to_millis,
};

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(3);
/// An ended token stays this long, as in the other stores.
const KEPT_AFTER_END_MILLIS: i64 = 24 * 3600 * 1000;

/// Compares and writes in one step: Redis runs one script at a time.
///
/// Keys: the token's, the index by id, the index by end, the token's sites.
const PUT: &str = "
    local kept = redis.call('HGET', KEYS[1], 'expires_at')
    if kept and tonumber(kept) > tonumber(ARGV[2]) then return 0 end
    redis.call('HSET', KEYS[1], 'expires_at', ARGV[2], 'sites', ARGV[3], 'sealed', ARGV[4])
    redis.call('PEXPIREAT', KEYS[1], ARGV[5])
    redis.call('ZADD', KEYS[2], 0, ARGV[1])
    redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
    for at = 4, #KEYS do
        redis.call('SADD', KEYS[at], ARGV[1])
        redis.call('PEXPIREAT', KEYS[at], ARGV[5], 'NX')
        redis.call('PEXPIREAT', KEYS[at], ARGV[5], 'GT')
    end
    return 1
";

/// Takes what has ended out of the indexes, and the tokens with it. A token that was renewed
/// meanwhile has another place in the index by end.
///
/// Keys: the index by id, the index by end. The tokens' keys share their slot.
const PURGE: &str = "
    local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1])
    for _, id in ipairs(ended) do
        redis.call('DEL', ARGV[2] .. id)
        redis.call('ZREM', KEYS[1], id)
        redis.call('ZREM', KEYS[2], id)
    end
    return #ended
";

/// Keeps tokens in Redis (7 or newer) or Valkey, for apps of several
/// instances (feature `redis`).
///
/// Each ends with its expiry by itself. The server must not evict keys (`maxmemory-policy
/// noeviction` or a `volatile-` one with room to spare). One that forgets at a restart gets its
/// tokens again from the instances that have them in memory; those that nobody has come with
/// Forge's next hourly calls. Redis Cluster isn't supported.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::RedisTokens;
///
/// let app = App::new().tokens(RedisTokens::at("rediss://:secret@cache.example.com"));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct RedisTokens {
    client: Result<Client, Arc<str>>,
    prefix: Arc<str>,
    connection: Arc<OnceCell<ConnectionManager>>,
}

impl fmt::Debug for RedisTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisTokens").field(&self.name()).finish()
    }
}

impl RedisTokens {
    /// A store in the server with this URL: `redis://:password@host:6379/0`, `rediss://…` for TLS.
    /// Nothing is connected yet; each instance then uses one connection.
    pub fn at(url: impl AsRef<str>) -> Self {
        // The error can hold a part of the URL, and with it the password.
        let client = url
            .as_ref()
            .into_connection_info()
            .and_then(Client::open)
            .map_err(|_| Arc::from("its URL can't be read: expected redis://:password@host:6379"));
        Self {
            client,
            prefix: Arc::from("forge-remote"),
            connection: Arc::default(),
        }
    }

    /// What the keys begin with: `forge-remote` unless told otherwise. One for each app on a
    /// shared server.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = Arc::from(prefix);
        self
    }

    /// The one connection, which comes back by itself after a failure.
    async fn connection(&self) -> Result<ConnectionManager, StoreError> {
        let client = match &self.client {
            Ok(client) => client.clone(),
            Err(problem) => return Err(StoreError::new(&**problem).of_setup()),
        };
        let connection = self.connection.get_or_try_init(|| async {
            // Without one, and with two in the graph, building a TLS connection would panic.
            // Already set is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let config = ConnectionManagerConfig::new()
                // The keeper tries again, with pauses of its own.
                .set_number_of_retries(1)
                .set_max_delay(Duration::from_millis(100))
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(ANSWER));
            ConnectionManager::new_with_config(client, config).await
        });
        connection.await.cloned().map_err(failed)
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

    async fn put_all(self, tokens: Vec<SealedToken>) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let script = Script::new(PUT);
        let mut pipeline = Pipeline::with_capacity(tokens.len() + 1);
        // Known to the server from here on, in the same round trip.
        pipeline.cmd("SCRIPT").arg("LOAD").arg(PUT).ignore();
        for token in &tokens {
            let ends = to_millis(token.expires_at);
            let call = pipeline.cmd("EVALSHA").arg(script.get_hash());
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
                .ignore();
        }
        pipeline.exec_async(&mut connection).await.map_err(failed)
    }

    /// The tokens with these ids, those that are still there.
    async fn read(
        &self,
        connection: &mut ConnectionManager,
        ids: &[String],
    ) -> Result<Vec<SealedToken>, StoreError> {
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
        type Fields = (Option<i64>, Option<String>, Option<Vec<u8>>);
        let rows: Vec<Fields> = pipeline.query_async(connection).await.map_err(failed)?;
        let tokens = ids.iter().zip(rows).filter_map(|(id, fields)| {
            let (Some(ends), sites, Some(sealed)) = fields else {
                return None;
            };
            Some(SealedToken {
                installation_id: id.clone(),
                expires_at: from_millis(ends),
                cloud_ids: sites
                    .iter()
                    .flat_map(|sites| sites.split(','))
                    .filter(|site| !site.is_empty())
                    .map(str::to_owned)
                    .collect(),
                sealed,
            })
        });
        Ok(tokens.collect())
    }

    async fn on_site_now(self, cloud_id: String) -> Result<Vec<SealedToken>, StoreError> {
        let mut connection = self.connection().await?;
        let mut ids: Vec<String> = redis::cmd("SMEMBERS")
            .arg(self.site_key(&cloud_id))
            .query_async(&mut connection)
            .await
            .map_err(failed)?;
        ids.sort();
        let mut tokens = self.read(&mut connection, &ids).await?;
        // The set may still name one that has moved on.
        tokens.retain(|token| token.cloud_ids.contains(&cloud_id));
        Ok(tokens)
    }

    async fn list_now(self, page: Page) -> Result<Listed, StoreError> {
        let mut connection = self.connection().await?;
        let start = match &page.after {
            Some(after) => format!("({after}"),
            None => "-".to_owned(),
        };
        let ids: Vec<String> = redis::cmd("ZRANGEBYLEX")
            .arg(self.by_id())
            .arg(start)
            .arg("+")
            .arg("LIMIT")
            .arg(0)
            .arg(page.limit)
            .query_async(&mut connection)
            .await
            .map_err(failed)?;
        let mut tokens = self.read(&mut connection, &ids).await?;
        if let Some(before) = page.ends_before {
            tokens.retain(|token| token.expires_at < before);
        }
        let full = ids.len() >= page.limit as usize;
        let next = ids.last().filter(|_| full).cloned();
        Ok(Listed { tokens, next })
    }
}

/// Redis's own errors can quote what was sent; only their kind is told.
fn failed(error: redis::RedisError) -> StoreError {
    let detail = error.detail().unwrap_or_default();
    // What the server says (`NOAUTH …`, `OOM …`) names no value; what the client says may.
    if let Some(code) = error.code() {
        let refused = StoreError::new(format!("Redis refused: {} {detail}", error.category()));
        match code {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => refused.of_setup(),
            _ => refused,
        }
    } else if error.kind() == redis::ErrorKind::AuthenticationFailed {
        StoreError::new(format!("Redis failed: {}", error.category())).of_setup()
    } else {
        StoreError::new(format!("Redis failed: {}", error.category()))
    }
}

impl TokenStore for RedisTokens {
    fn name(&self) -> String {
        let Ok(client) = &self.client else {
            return "Redis".to_owned();
        };
        let address = match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => "a socket".to_owned(),
        };
        format!("Redis on {address}, `{}`", self.prefix)
    }

    fn open(&self) -> Stored<()> {
        let this = self.clone();
        Box::pin(async move {
            let mut connection = this.connection().await?;
            let ping = redis::cmd("PING");
            ping.exec_async(&mut connection).await.map_err(failed)
        })
    }

    fn put(&self, tokens: Vec<SealedToken>) -> Stored<()> {
        Box::pin(self.clone().put_all(tokens))
    }

    fn get(&self, installation_id: &str) -> Stored<Option<SealedToken>> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let mut connection = this.connection().await?;
            Ok(this.read(&mut connection, &[id]).await?.pop())
        })
    }

    fn on_site(&self, cloud_id: &str) -> Stored<Vec<SealedToken>> {
        Box::pin(self.clone().on_site_now(cloud_id.to_owned()))
    }

    fn list(&self, page: Page) -> Stored<Listed> {
        Box::pin(self.clone().list_now(page))
    }

    fn remove(&self, installation_id: &str) -> Stored<()> {
        let (this, id) = (self.clone(), installation_id.to_owned());
        Box::pin(async move {
            let mut connection = this.connection().await?;
            // The sets of sites end by themselves.
            redis::pipe()
                .atomic()
                .cmd("DEL")
                .arg(this.token_key(&id))
                .cmd("ZREM")
                .arg(this.by_id())
                .arg(&id)
                .cmd("ZREM")
                .arg(this.by_end())
                .arg(&id)
                .exec_async(&mut connection)
                .await
                .map_err(failed)
        })
    }

    fn purge(&self, ended_before: SystemTime) -> Stored<u64> {
        let this = self.clone();
        Box::pin(async move {
            let mut connection = this.connection().await?;
            Script::new(PURGE)
                .key(this.by_id())
                .key(this.by_end())
                .arg(to_millis(ended_before))
                .arg(this.token_prefix())
                .invoke_async(&mut connection)
                .await
                .map_err(failed)
        })
    }
}
