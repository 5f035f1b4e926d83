//! The connection to Redis, which is replaced after every failure.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, Pipeline, RedisError, ServerError, Value,
};
use tokio::sync::Mutex;

use super::super::interface::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit of a response. It is shorter than the callers' limit: otherwise they would stop waiting
/// before a dead connection is detected, and the next caller would use it as well.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The idle time after which a connection is probed: firewalls drop idle connections.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Time limit of TCP's acknowledgement, after which the connection is closed.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A server and the connection to it, if there is one.
pub(super) struct Link {
    client: Result<Client, &'static str>,
    connected: Mutex<Connected>,
}

#[derive(Default)]
struct Connected {
    connection: Option<MultiplexedConnection>,
    /// The number of the connection, to distinguish a new one from a failed one.
    number: u64,
    clock: Option<ServerClock>,
}

/// The server's clock, read when the connection was opened.
#[derive(Clone, Copy)]
struct ServerClock {
    /// Milliseconds since 1970.
    millis: i64,
    /// Taken after the response, so that the server's clock is never estimated to be later than it is.
    read_at: Instant,
}

impl ServerClock {
    /// Returns the deadline for executing a command that is sent now: before its caller stops waiting.
    fn deadline(self) -> i64 {
        let since = self.read_at.elapsed() + RESPONSE_TIMEOUT;
        let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.millis.saturating_add(since)
    }
}

impl Link {
    pub(super) fn to(url: &str) -> Self {
        // The parser's error may contain a part of the URL, and with it the password.
        let client = url
            .into_connection_info()
            .map(|info| info.set_tcp_settings(tcp_settings()))
            .and_then(Client::open)
            .map_err(|_| "its URL is not valid: expected redis://:password@host:6379");
        Self {
            client,
            connected: Mutex::default(),
        }
    }

    /// Returns the server's address, without its password.
    pub(super) fn address(&self) -> Option<String> {
        let address = match self.client.as_ref().ok()?.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => "a socket".to_owned(),
        };
        Some(address)
    }

    /// Sends commands and returns their responses.
    ///
    /// After any failure, the next call opens a new connection: this one may be dead (no response in
    /// time), or lead to a server that has become a replica. All commands of this store are idempotent,
    /// so those on a connection that was closed while idle are retried.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        self.send(|_| std::borrow::Cow::Borrowed(commands)).await
    }

    /// Sends commands that write. They are built for a deadline by the server's clock, after which
    /// the server must not execute them; 0 if the server does not allow `TIME`.
    pub(super) async fn write<T: FromRedisValue>(
        &self,
        commands: impl Fn(i64) -> Pipeline,
    ) -> Result<T, StoreError> {
        self.send(|deadline| std::borrow::Cow::Owned(commands(deadline)))
            .await
    }

    async fn send<'a, T: FromRedisValue>(
        &self,
        commands: impl Fn(i64) -> std::borrow::Cow<'a, Pipeline>,
    ) -> Result<T, StoreError> {
        let mut may_retry = true;
        loop {
            let (mut connection, number, clock, is_new) = self.connection().await?;
            let commands = commands(clock.map_or(0, ServerClock::deadline));
            let error = match commands.query_async(&mut connection).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            self.drop_connection(number).await;
            if is_new || !may_retry || !error.is_connection_dropped() {
                return Err(failed(&error));
            }
            may_retry = false;
        }
    }

    /// Returns the server's clock, in milliseconds since 1970; `None` if the user may not read it.
    pub(super) async fn server_time(&self) -> Result<Option<i64>, StoreError> {
        let (mut connection, number, ..) = self.connection().await?;
        match server_time(&mut connection).await {
            Ok(time) => Ok(time),
            Err(error) => {
                self.drop_connection(number).await;
                Err(failed(&error))
            }
        }
    }

    /// Drops the connection after an error in a part of a response, and converts the error.
    pub(super) async fn failed(&self, error: &RedisError) -> StoreError {
        self.connected.lock().await.connection = None;
        failed(error)
    }

    /// Returns the connection, its number, its server's clock, and whether it is new. Concurrent callers
    /// wait for the same one.
    async fn connection(
        &self,
    ) -> Result<(MultiplexedConnection, u64, Option<ServerClock>, bool), StoreError> {
        let client = match &self.client {
            Ok(client) => client,
            Err(problem) => return Err(StoreError::new(*problem).permanent()),
        };
        let mut connected = self.connected.lock().await;
        if let Some(connection) = &connected.connection {
            return Ok((connection.clone(), connected.number, connected.clock, false));
        }
        // Without a default provider, and with two in the graph, a TLS connection would panic. An error
        // means that one is set already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = opening.await.map_err(|error| failed(&error))?;
        let time = server_time(&mut connection).await;
        let time = time.map_err(|error| failed(&error))?;
        if time.is_none() {
            tracing::warn!(
                "Redis does not return its time, so delayed writes cannot be detected: allow TIME for \
                 its user with `ACL SETUSER <user> +time`"
            );
        }
        connected.clock = time.map(|millis| ServerClock {
            millis,
            read_at: Instant::now(),
        });
        connected.connection = Some(connection.clone());
        connected.number += 1;
        Ok((connection, connected.number, connected.clock, true))
    }

    /// Drops the connection with this number, so that the next call opens a new one.
    async fn drop_connection(&self, number: u64) {
        let mut connected = self.connected.lock().await;
        if connected.number == number {
            connected.connection = None;
        }
    }
}

/// Returns the server's time in milliseconds since 1970; `None` if the user may not read it.
async fn server_time(connection: &mut MultiplexedConnection) -> Result<Option<i64>, RedisError> {
    match redis::cmd("TIME").query_async::<Value>(connection).await {
        Ok(time) => {
            // A proxy may return another type.
            let time = redis::from_redis_value::<(i64, i64)>(time).ok();
            Ok(time.map(|(seconds, micros)| {
                seconds.saturating_mul(1000).saturating_add(micros / 1000)
            }))
        }
        Err(error) if error.code() == Some("NOPERM") => Ok(None),
        Err(error) => Err(error),
    }
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(ACKNOWLEDGE_TIMEOUT);
    settings
}

/// Converts an error, with advice. The client's message about an unreadable value may quote the value,
/// so it is omitted; the server's and the system's messages don't.
fn failed(error: &RedisError) -> StoreError {
    if let Some(errors) = error.clone().into_server_errors()
        && let Some((_, first)) = errors.first()
    {
        let rejected = StoreError::new(rejected(first));
        return match first.code() {
            "NOAUTH" | "WRONGPASS" | "NOPERM" | "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
                rejected.permanent()
            }
            _ => rejected,
        };
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            StoreError::new("Redis rejected the user and password of its URL").permanent()
        }
        ErrorKind::Io if error.is_timeout() => StoreError::new(format!(
            "Redis did not respond within {} seconds",
            RESPONSE_TIMEOUT.as_secs()
        )),
        ErrorKind::Io => StoreError::new(format!("Redis cannot be reached: {error}")),
        _ => StoreError::new(format!("Redis failed: {}", error.category())),
    }
}

fn rejected(error: &ServerError) -> String {
    let code = error.code();
    let details = error.details().unwrap_or_default();
    // A server repeats the arguments of an unknown command: for AUTH, the password.
    let details = details.split(", with args").next().unwrap_or_default();
    let rejected = format!("Redis rejected the command: {code} {details}");
    let rejected = rejected.trim_end();
    match advice(code) {
        Some(advice) => format!("{rejected}; {advice}"),
        None => rejected.to_owned(),
    }
}

/// Returns the advice about an error of Redis, by its code.
/// Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>, and the errors in Redis'
/// `src/server.c` (`createSharedObjects`).
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => "it has reached its `maxmemory`: increase it (a token needs about 3 KB)",
        "MISCONF" => "it cannot save to its disk and rejects writes until it can: see its log",
        "NOAUTH" => "its URL needs a password: redis://:password@host:6379",
        "WRONGPASS" => "the user or password of its URL is wrong",
        "NOPERM" => {
            "grant its user the store's permissions: `ACL SETUSER <user> ~<prefix>:* +@read +@write \
             +@scripting +@transaction +info +time`"
        }
        "READONLY" => "this is a replica: its URL must lead to the primary",
        "MASTERDOWN" => "this is a replica that has lost its primary",
        "NOREPLICAS" => "it has too few replicas to accept writes (`min-replicas-to-write`)",
        "LOADING" => "it is loading its data from its disk: wait until it is done",
        "BUSY" => "another client's script runs on it for too long",
        "NOSCRIPT" => {
            "the script was loaded just before: a proxy seems to spread commands over several \
             servers, but the store needs a single one"
        }
        "LATE" => "the network or the server delayed the command; nothing was written",
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
            "Redis Cluster is not supported: use a single server"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_has_advice_and_no_argument() {
        let rejected = |code: &str, detail: &str| {
            failed(&redis::make_extension_error(
                code.to_owned(),
                Some(detail.to_owned()),
            ))
            .to_string()
        };
        let text = rejected("OOM", "command not allowed when used memory > 'maxmemory'.");
        assert!(
            text.starts_with("Redis rejected the command: OOM command not allowed")
                && text.contains("increase it"),
            "{text}"
        );
        let text = rejected(
            "ERR",
            "unknown command 'AUTH', with args beginning with: 'hunter2'",
        );
        assert_eq!(
            text,
            "Redis rejected the command: ERR unknown command 'AUTH'"
        );
    }
}
