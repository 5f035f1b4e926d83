//! Redis connections recover after every kind of failure, and a server's errors name the fix.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use forge_remote::token::{RedisTokens, TokenStore as _, Tokens};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::store_servers::{StoreServer, redis_command};
use forge_remote_tests::stores::{KEYS, in_seconds, installation, redis_url, sealed};
use forge_remote_tests::test_app::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[tokio::test]
async fn an_error_of_redis_names_the_fix() {
    let Some(server) = StoreServer::redis(&[]).await else {
        return;
    };
    let url = server.redis_url();
    let set = |name, value| redis_command(&url, &["CONFIG", "SET", name, value]);
    let logged = LogCapture::default();
    let _listening = logged.start();
    let store = RedisTokens::new(&url);
    store.open().await.unwrap();
    assert!(!logged.has("evict"));
    // The checks at launch leave nothing behind.
    assert!(redis_command(&url, &["KEYS", "*"]).starts_with("*0\r\n"));
    set("maxmemory-policy", "volatile-lru");
    set("maxmemory", "100mb");
    store.open().await.unwrap();
    assert!(logged.has("evict") && logged.has("volatile-lru"));

    let expect_error = async |parts: &[&str]| {
        let put = store.put(vec![sealed(1, in_seconds(100))]).await;
        // The same at launch.
        for error in [put.unwrap_err(), store.open().await.unwrap_err()] {
            let error = error.to_string();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        }
    };
    set("maxmemory-policy", "noeviction");
    set("maxmemory", "1");
    expect_error(&["OOM", "has reached its `maxmemory`"]).await;
    set("maxmemory", "0");
    redis_command(&url, &["REPLICAOF", "127.0.0.1", "1"]);
    expect_error(&["READONLY", "lead to the primary"]).await;
    redis_command(&url, &["REPLICAOF", "NO", "ONE"]);
    redis_command(&url, &["ACL", "SETUSER", "default", "-script"]);
    expect_error(&["NOPERM", "'script", "ACL SETUSER"]).await;
    redis_command(&url, &["ACL", "SETUSER", "default", "+@all"]);
    store.put(vec![sealed(1, in_seconds(100))]).await.unwrap();

    // Exactly the permissions that the message names.
    let rights = [
        "~forge-remote:*",
        "+@read",
        "+@write",
        "+@scripting",
        "+@transaction",
        "+info",
        "+time",
    ];
    let user = ["ACL", "SETUSER", "app", "on", ">secret"];
    redis_command(&url, &[&user[..], &rights[..]].concat());
    let store = RedisTokens::new(url.replacen("//", "//app:secret@", 1));
    Tokens::new(store).keys(KEYS[0]).open().await.unwrap();
    let store = RedisTokens::new(url.replacen("//", "//app:hunter2@", 1));
    let error = store.open().await.unwrap_err().to_string();
    assert!(
        error.contains("user and password") && !error.contains("hunter2"),
        "{error}"
    );
}

/// The reaction of a fake Redis to a command.
enum Reply {
    Send(&'static str),
    /// Sends nothing, as if the machine were gone.
    Swallow,
    HangUp,
}

/// A fake Redis that reacts by the number of the connection and the command's name.
struct FakeRedis {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl FakeRedis {
    async fn start(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, reply) = (Arc::clone(&connections), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let reply = Arc::clone(&reply);
                tokio::spawn(async move { serve(stream, |name| reply(number, name)).await });
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, reply: impl Fn(&str) -> Reply) -> Option<()> {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        while let Some((name, length)) = command(&text) {
            text.drain(..length);
            match reply(&name) {
                Reply::Send(response) => stream.write_all(response.as_bytes()).await.ok()?,
                Reply::Swallow => {}
                Reply::HangUp => return None,
            }
        }
        let read = stream
            .read(&mut bytes)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

/// Returns the name and length of the first command, if it is complete.
fn command(text: &str) -> Option<(String, usize)> {
    let line = |at: usize| {
        let length = text[at..].find("\r\n")?;
        let number = text[at + 1..at + length].parse::<usize>().ok()?;
        Some((number, at + length + 2))
    };
    let (words, mut at) = line(0)?;
    let mut name = None;
    for _ in 0..words {
        let (length, start) = line(at)?;
        at = start + length + 2;
        let word = text.get(start..at)?;
        name.get_or_insert_with(|| word.trim_end().to_owned());
    }
    Some((name?, at))
}

const NO_TOKEN: &str = "*3\r\n$-1\r\n$-1\r\n$-1\r\n";

#[tokio::test]
async fn a_silently_dead_redis_connection_is_replaced() {
    let server = FakeRedis::start(|number, name| match name {
        "HMGET" if number == 0 => Reply::Swallow,
        "HMGET" => Reply::Send(NO_TOKEN),
        _ => Reply::Send("+OK\r\n"),
    })
    .await;
    let store = RedisTokens::new(&server.url);
    // Sooner than a reader's 3 seconds, so that the reader sees the failure.
    let reading = tokio::time::timeout(Duration::from_millis(2900), store.get("x"));
    let error = reading.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("did not respond"), "{error}");
    assert!(store.get("x").await.unwrap().is_none());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_redis_connection_to_a_new_replica_is_replaced() {
    let server = FakeRedis::start(|number, name| match name {
        "EVALSHA" if number == 0 => Reply::Send("-READONLY You cannot write against it.\r\n"),
        "EVALSHA" => Reply::Send(":1\r\n"),
        "HMGET" if number == 1 => Reply::Send("-LOADING Redis is loading\r\n"),
        "HMGET" => Reply::Send(NO_TOKEN),
        _ => Reply::Send("+OK\r\n"),
    })
    .await;
    let store = RedisTokens::new(&server.url);
    let token = || vec![sealed(1, in_seconds(100))];
    let error = store.put(token()).await.unwrap_err().to_string();
    assert!(error.contains("READONLY"), "{error}");
    store.put(token()).await.unwrap();
    assert_eq!(server.connections(), 2);
    // An incomplete reply is a failure too, and not an unreadable row.
    let error = store.get("x").await.unwrap_err().to_string();
    assert!(error.contains("LOADING"), "{error}");
    assert!(store.get("x").await.unwrap().is_none());
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_closed_redis_connection_is_replaced_within_the_call() {
    let closed = Arc::new(AtomicBool::new(false));
    let is_closed = Arc::clone(&closed);
    let server = FakeRedis::start(move |number, name| match name {
        "HMGET" if number == 0 && is_closed.load(Ordering::SeqCst) => Reply::HangUp,
        "HMGET" if number == 2 => Reply::HangUp,
        "HMGET" => Reply::Send(NO_TOKEN),
        _ => Reply::Send("+OK\r\n"),
    })
    .await;
    let store = RedisTokens::new(&server.url);
    store.get("x").await.unwrap();
    closed.store(true, Ordering::SeqCst);
    store.get("x").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_too_old_redis_aborts_the_launch() {
    let server = FakeRedis::start(|_, name| match name {
        "INFO" => Reply::Send("$21\r\nredis_version:6.2.14\n\r\n"),
        _ => Reply::Send("+OK\r\n"),
    })
    .await;
    let error = RedisTokens::new(&server.url).open().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("Redis 6.2.14") && text.contains("7 or newer"),
        "{text}"
    );
    // If `INFO` is forbidden, its scripts reveal the version.
    let server = FakeRedis::start(|_, name| match name {
        "INFO" => Reply::Send("-NOPERM this user has no permissions\r\n"),
        "EVALSHA" => Reply::Send("-ERR wrong number of args for 'pexpireat' command\r\n"),
        _ => Reply::Send("+OK\r\n"),
    })
    .await;
    let error = RedisTokens::new(&server.url).open().await.unwrap_err();
    assert!(error.to_string().contains("'pexpireat'"), "{error}");
}

/// A network that delays data to a server and delivers it even after the sender has disconnected.
struct SlowNetwork {
    url: String,
    holds: watch::Sender<bool>,
    delivered: Arc<AtomicUsize>,
}

impl SlowNetwork {
    async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("redis://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let holds = watch::Sender::new(false);
        let delivered = Arc::new(AtomicUsize::new(0));
        let (held, count) = (holds.clone(), Arc::clone(&delivered));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = upstream.into_split();
                let mut held = held.subscribe();
                let there = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut bytes = [0; 65536];
                    while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
                        let was_held = *held.borrow();
                        held.wait_for(|held| !held).await.unwrap();
                        to_server.write_all(&bytes[..length]).await.unwrap();
                        there.fetch_add(usize::from(was_held), Ordering::SeqCst);
                    }
                    // The server must not see that the sender has disconnected.
                    std::future::pending::<()>().await;
                });
                tokio::spawn(async move {
                    let mut bytes = [0; 65536];
                    while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
                        // A disconnected sender reads nothing.
                        let _ = to_client.write_all(&bytes[..length]).await;
                    }
                });
            }
        });
        Self {
            url,
            holds,
            delivered,
        }
    }
}

/// A write that its caller believes failed must not take effect later: a later removal wins.
#[tokio::test]
async fn a_redis_write_that_arrives_too_late_changes_nothing() {
    let Some((url, prefix)) = redis_url() else {
        return;
    };
    let network = SlowNetwork::to(&url).await;
    let slow = RedisTokens::new(&network.url).prefix(&prefix);
    let quick = RedisTokens::new(&url).prefix(&prefix);
    slow.open().await.unwrap();
    let (old, removal) = (sealed(1, in_seconds(100)), sealed(1, in_seconds(150)));
    let token = sealed(1, in_seconds(200));
    quick.put(vec![old.clone()]).await.unwrap();

    network.holds.send_replace(true);
    let put = slow.put(vec![token.clone()]).await.unwrap_err().to_string();
    assert!(put.contains("did not respond within 2 seconds"), "{put}");
    quick.put(vec![removal.clone()]).await.unwrap();
    network.holds.send_replace(false);
    assert!(eventually(|| network.delivered.load(Ordering::SeqCst) > 0).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stored = quick.get(&installation(1)).await.unwrap();
    assert!(stored == Some(removal));
    // The same command in time.
    slow.put(vec![token.clone()]).await.unwrap();
    assert!(quick.get(&installation(1)).await.unwrap() == Some(token));
}
