//! Redis connections that die in every way, and what a server refuses: with stand-ins and a server of
//! the test's own.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use forge_remote::token::{RedisTokens, TokenStore as _, Tokens};
use forge_remote_tests::logged::Logged;
use forge_remote_tests::rig::until;
use forge_remote_tests::servers::{OwnServer, tell_redis};
use forge_remote_tests::stores::{KEYS, in_seconds, installation, redis_url, sealed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[tokio::test]
async fn what_a_redis_refuses_is_told_with_what_to_do() {
    let Some(server) = OwnServer::redis(&[]).await else {
        return;
    };
    let url = server.redis_url();
    let set = |name, value| tell_redis(&url, &["CONFIG", "SET", name, value]);
    let logged = Logged::default();
    let _listening = logged.listen();
    let store = RedisTokens::new(&url);
    store.open().await.unwrap();
    assert!(!logged.has("evict"));
    // What was tried at launch leaves nothing behind.
    assert!(tell_redis(&url, &["KEYS", "*"]).starts_with("*0\r\n"));
    set("maxmemory-policy", "volatile-lru");
    set("maxmemory", "100mb");
    store.open().await.unwrap();
    assert!(logged.has("evict") && logged.has("volatile-lru"));

    let refused = async |parts: &[&str]| {
        let put = store.put(vec![sealed(1, in_seconds(100))]).await;
        // At launch as well.
        for error in [put.unwrap_err(), store.open().await.unwrap_err()] {
            let error = error.to_string();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        }
    };
    set("maxmemory-policy", "noeviction");
    set("maxmemory", "1");
    refused(&["OOM", "has reached its `maxmemory`"]).await;
    set("maxmemory", "0");
    tell_redis(&url, &["REPLICAOF", "127.0.0.1", "1"]);
    refused(&["READONLY", "lead to the primary"]).await;
    tell_redis(&url, &["REPLICAOF", "NO", "ONE"]);
    tell_redis(&url, &["ACL", "SETUSER", "default", "-script"]);
    refused(&["NOPERM", "'script", "ACL SETUSER"]).await;
    tell_redis(&url, &["ACL", "SETUSER", "default", "+@all"]);
    store.put(vec![sealed(1, in_seconds(100))]).await.unwrap();

    // Exactly what the advice grants.
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
    tell_redis(&url, &[&user[..], &rights[..]].concat());
    let store = RedisTokens::new(url.replacen("//", "//app:secret@", 1));
    Tokens::new(store).keys(KEYS[0]).open().await.unwrap();
    let store = RedisTokens::new(url.replacen("//", "//app:hunter2@", 1));
    let error = store.open().await.unwrap_err().to_string();
    assert!(
        error.contains("user and password") && !error.contains("hunter2"),
        "{error}"
    );
}

/// What a stand-in for Redis does with a command.
enum Reply {
    Say(&'static str),
    /// Nothing, as one whose machine is gone.
    Swallow,
    HangUp,
}

/// A stand-in for Redis; the number of a connection and a command's name decide.
struct Pretended {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Pretended {
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
                Reply::Say(answer) => stream.write_all(answer.as_bytes()).await.ok()?,
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

/// The name of the first command and its length, when it is there as a whole.
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
async fn a_redis_connection_that_is_dead_without_a_sign_is_made_anew() {
    let server = Pretended::start(|number, name| match name {
        "HMGET" if number == 0 => Reply::Swallow,
        "HMGET" => Reply::Say(NO_TOKEN),
        _ => Reply::Say("+OK\r\n"),
    })
    .await;
    let store = RedisTokens::new(&server.url);
    // Sooner than a reader's 3 seconds: who leaves before sees no failure.
    let reading = tokio::time::timeout(Duration::from_millis(2900), store.get("x"));
    let error = reading.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("did not respond"), "{error}");
    assert!(store.get("x").await.unwrap().is_none());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_redis_connection_to_what_is_a_replica_now_is_made_anew() {
    let server = Pretended::start(|number, name| match name {
        "EVALSHA" if number == 0 => Reply::Say("-READONLY You can't write against it.\r\n"),
        "EVALSHA" => Reply::Say(":1\r\n"),
        "HMGET" if number == 1 => Reply::Say("-LOADING Redis is loading\r\n"),
        "HMGET" => Reply::Say(NO_TOKEN),
        _ => Reply::Say("+OK\r\n"),
    })
    .await;
    let store = RedisTokens::new(&server.url);
    let token = || vec![sealed(1, in_seconds(100))];
    let error = store.put(token()).await.unwrap_err().to_string();
    assert!(error.contains("READONLY"), "{error}");
    store.put(token()).await.unwrap();
    assert_eq!(server.connections(), 2);
    // A part of an answer is a failure too, not a row that can't be read.
    let error = store.get("x").await.unwrap_err().to_string();
    assert!(error.contains("LOADING"), "{error}");
    assert!(store.get("x").await.unwrap().is_none());
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_redis_connection_that_was_closed_is_made_anew_within_the_call() {
    let closed = Arc::new(AtomicBool::new(false));
    let is_closed = Arc::clone(&closed);
    let server = Pretended::start(move |number, name| match name {
        "HMGET" if number == 0 && is_closed.load(Ordering::SeqCst) => Reply::HangUp,
        "HMGET" if number == 2 => Reply::HangUp,
        "HMGET" => Reply::Say(NO_TOKEN),
        _ => Reply::Say("+OK\r\n"),
    })
    .await;
    let store = RedisTokens::new(&server.url);
    store.get("x").await.unwrap();
    closed.store(true, Ordering::SeqCst);
    store.get("x").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_redis_that_is_too_old_ends_the_launch() {
    let server = Pretended::start(|_, name| match name {
        "INFO" => Reply::Say("$21\r\nredis_version:6.2.14\n\r\n"),
        _ => Reply::Say("+OK\r\n"),
    })
    .await;
    let error = RedisTokens::new(&server.url).open().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("Redis 6.2.14") && text.contains("7 or newer"),
        "{text}"
    );
    // One that doesn't tell: its scripts do.
    let server = Pretended::start(|_, name| match name {
        "INFO" => Reply::Say("-NOPERM this user has no permissions\r\n"),
        "EVALSHA" => Reply::Say("-ERR wrong number of args for 'pexpireat' command\r\n"),
        _ => Reply::Say("+OK\r\n"),
    })
    .await;
    let error = RedisTokens::new(&server.url).open().await.unwrap_err();
    assert!(error.to_string().contains("'pexpireat'"), "{error}");
}

/// A network that holds back what is sent to a server, and delivers it even when the sender has
/// left.
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
                    // The server must not see that the sender has left.
                    std::future::pending::<()>().await;
                });
                tokio::spawn(async move {
                    let mut bytes = [0; 65536];
                    while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
                        // A sender that has left reads nothing.
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

/// What the caller believes to have failed must not be done after all: a later removal stands.
#[tokio::test]
async fn a_redis_write_that_arrives_after_its_caller_gave_up_changes_nothing() {
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
    assert!(until(|| network.delivered.load(Ordering::SeqCst) > 0).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let kept = quick.get(&installation(1)).await.unwrap();
    assert!(kept == Some(removal));
    // The same command in time.
    slow.put(vec![token.clone()]).await.unwrap();
    assert!(quick.get(&installation(1)).await.unwrap() == Some(token));
}
