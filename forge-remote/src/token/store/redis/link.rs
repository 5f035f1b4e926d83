//! The one connection to Redis, made anew after whatever went wrong on it.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, Pipeline, RedisError, ServerError, Value,
};
use tokio::sync::Mutex;

use super::super::StoreError;

const CONNECT: Duration = Duration::from_secs(2);
/// Shorter than the time that callers give: or they would leave before the connection is found
/// to be dead, and the next one would wait on it as well.
const ANSWER: Duration = Duration::from_secs(2);
/// An idle connection is tried after this: firewalls forget those that are quiet.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What was sent and isn't acknowledged within this time ends the connection.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// A server, and the connection to it once there is one.
pub(super) struct Link {
    client: Result<Client, &'static str>,
    connected: Mutex<Connected>,
}

#[derive(Default)]
struct Connected {
    connection: Option<MultiplexedConnection>,
    /// Goes up with each connection, to tell a new one from the one that failed.
    number: u64,
    clock: Option<ServerClock>,
}

/// The server's clock, as it was read when the connection was made.
#[derive(Clone, Copy)]
struct ServerClock {
    /// Milliseconds since 1970.
    millis: i64,
    /// After the response: so the server's clock is never estimated to be later than it is.
    read_at: Instant,
}

impl ServerClock {
    /// When a command that is sent now must have been executed: before its caller gives up.
    fn deadline(self) -> i64 {
        let since = self.read_at.elapsed() + ANSWER;
        let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.millis.saturating_add(since)
    }
}

impl Link {
    pub(super) fn to(url: &str) -> Self {
        // The error can hold a part of the URL, and with it the password.
        let client = url
            .into_connection_info()
            .map(|info| info.set_tcp_settings(tcp_settings()))
            .and_then(Client::open)
            .map_err(|_| "its URL can't be read: expected redis://:password@host:6379");
        Self {
            client,
            connected: Mutex::default(),
        }
    }

    /// Where the server is, without its password.
    pub(super) fn address(&self) -> Option<String> {
        let address = match self.client.as_ref().ok()?.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => "a socket".to_owned(),
        };
        Some(address)
    }

    /// Sends commands, and reads what they are answered with.
    ///
    /// After a failure, of whatever kind, the next call makes a connection of its own: this one may
    /// be dead without a sign (no answer in time), or lead to a server that has become a replica.
    /// All commands of this store can be sent twice, so those on a connection that was closed
    /// while nobody looked are.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        self.send(|_| std::borrow::Cow::Borrowed(commands)).await
    }

    /// Sends commands that write. They are built for a deadline by the server's clock, after which
    /// the server must not execute them; 0 where the server does not allow `TIME`.
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
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.leave(number).await;
            if is_new || !may_retry || !error.is_connection_dropped() {
                return Err(failed(&error));
            }
            may_retry = false;
        }
    }

    /// The server's clock, in milliseconds since 1970; `None` where its user may not read it.
    pub(super) async fn server_time(&self) -> Result<Option<i64>, StoreError> {
        let (mut connection, number, ..) = self.connection().await?;
        match server_time(&mut connection).await {
            Ok(time) => Ok(time),
            Err(error) => {
                self.leave(number).await;
                Err(failed(&error))
            }
        }
    }

    /// The same for an error that came as a part of an answer.
    pub(super) async fn failed(&self, error: &RedisError) -> StoreError {
        self.connected.lock().await.connection = None;
        failed(error)
    }

    /// The connection, its number, its server's clock, and whether it was made just now. Whoever comes meanwhile waits
    /// for the same one.
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
        // Without one, and with two in the graph, building a TLS connection would panic.
        // Already set is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let made = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = made.await.map_err(|error| failed(&error))?;
        let time = server_time(&mut connection).await;
        let time = time.map_err(|error| failed(&error))?;
        if time.is_none() {
            tracing::warn!(
                "Redis does not return its time, so a delayed write can't be recognised: allow its user \
                 TIME with `ACL SETUSER <user> +time`"
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

    /// Nobody uses the connection with this number any more.
    async fn leave(&self, number: u64) {
        let mut connected = self.connected.lock().await;
        if connected.number == number {
            connected.connection = None;
        }
    }
}

/// Milliseconds since 1970; `None` where the user may not ask.
async fn server_time(connection: &mut MultiplexedConnection) -> Result<Option<i64>, RedisError> {
    match redis::cmd("TIME").query_async::<Value>(connection).await {
        Ok(time) => {
            // A proxy may answer with something else.
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
    let settings = settings.set_user_timeout(UNACKNOWLEDGED);
    settings
}

/// In words, and what to do. What the client says of a value it can't read may quote the value;
/// the server's words and the system's don't.
fn failed(error: &RedisError) -> StoreError {
    if let Some(errors) = error.clone().into_server_errors()
        && let Some((_, first)) = errors.first()
    {
        let refused = StoreError::new(refused(first));
        return match first.code() {
            "NOAUTH" | "WRONGPASS" | "NOPERM" | "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
                refused.permanent()
            }
            _ => refused,
        };
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            StoreError::new("Redis refused the user and password of its URL").permanent()
        }
        ErrorKind::Io if error.is_timeout() => StoreError::new(format!(
            "Redis did not answer within {} seconds",
            ANSWER.as_secs()
        )),
        ErrorKind::Io => StoreError::new(format!("Redis can't be reached: {error}")),
        _ => StoreError::new(format!("Redis failed: {}", error.category())),
    }
}

fn refused(error: &ServerError) -> String {
    let code = error.code();
    let details = error.details().unwrap_or_default();
    // Of a command it doesn't know, a server repeats the arguments: of AUTH, the password.
    let details = details.split(", with args").next().unwrap_or_default();
    let refused = format!("Redis refused: {code} {details}");
    let refused = refused.trim_end();
    match what_to_do(code) {
        Some(advice) => format!("{refused}; {advice}"),
        None => refused.to_owned(),
    }
}

/// Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>, and the
/// errors in Redis' `src/server.c` (`createSharedObjects`).
fn what_to_do(code: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => "it has reached its `maxmemory`: give it more (a token takes about 3 KB)",
        "MISCONF" => "it can't save to its disk and takes no writes until it can: see its log",
        "NOAUTH" => "its URL needs a password: redis://:password@host:6379",
        "WRONGPASS" => "the user and password of its URL are not right",
        "NOPERM" => {
            "allow its user what the store needs: `ACL SETUSER <user> ~<prefix>:* +@read +@write \
             +@scripting +@transaction +info +time`"
        }
        "READONLY" => "this is a replica: its URL must lead to the primary",
        "MASTERDOWN" => "this is a replica that has lost its primary",
        "NOREPLICAS" => "it has too few replicas to take writes (`min-replicas-to-write`)",
        "LOADING" => "it reads its data from its disk and is there soon",
        "BUSY" => "another client's script runs on it for too long",
        "NOSCRIPT" => {
            "the script was loaded just before: a proxy seems to spread commands over several \
             servers, and the store needs one"
        }
        "LATE" => "the network or the server held the command back; nothing was written",
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
            "Redis Cluster is not supported: give the store a server of its own"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_to_do_and_no_argument() {
        let refused = |code: &str, detail: &str| {
            failed(&redis::make_extension_error(
                code.to_owned(),
                Some(detail.to_owned()),
            ))
            .to_string()
        };
        let text = refused("OOM", "command not allowed when used memory > 'maxmemory'.");
        assert!(
            text.starts_with("Redis refused: OOM command not allowed")
                && text.contains("give it more"),
            "{text}"
        );
        let text = refused(
            "ERR",
            "unknown command 'AUTH', with args beginning with: 'hunter2'",
        );
        assert_eq!(text, "Redis refused: ERR unknown command 'AUTH'");
    }
}
