//! An app under test: served on loopback, with its key-set server, a clock that stands still, and
//! a trap at the attacker's address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::handlers::Seen;
use crate::http::{Call, Connection, Reply, exchange, send};
use crate::jws::{APP_ID, FIRST_KID, Fit, SECOND_KID, published};
use crate::source::{Answer, KeySource};

/// How long a condition may take to come true.
pub const SOON: Duration = Duration::from_secs(5);
/// No refusal takes longer, or it is an attack by itself.
const PROMPT: Duration = Duration::from_secs(2);

/// The app and its witnesses.
#[derive(Debug)]
pub struct Rig {
    /// Where the app listens.
    pub address: SocketAddr,
    /// The app's key-set server.
    pub source: KeySource,
    /// A server of the attacker's: nobody may ever connect.
    pub trap: KeySource,
    /// The app's clock.
    pub clock: TestClock,
    /// What handlers saw.
    pub seen: Seen,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Rig {
    /// The usual app with the usual keys.
    pub async fn start() -> Self {
        Self::with_keys(published()).await
    }

    /// The usual app with these keys.
    pub async fn with_keys(keys: Value) -> Self {
        Self::with(Answer::Keys(keys), |app| app).await
    }

    /// The usual app, changed, with a source that answers so.
    pub async fn with(answer: Answer, change: impl FnOnce(App) -> App) -> Self {
        Self::on(KeySource::start(answer).await, change).await
    }

    /// The usual app, changed, with this source.
    pub async fn on(source: KeySource, change: impl FnOnce(App) -> App) -> Self {
        let trap = KeySource::start(Answer::Keys(attackers_keys())).await;
        let clock = TestClock::new();
        let seen = Seen::default();
        let app = change(usual(&source, &seen).clock(clock.clone()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let built = app.build().unwrap();
        tokio::spawn(built.serve(listener, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            source,
            trap,
            clock,
            seen,
            stop: Some(stop),
        }
    }

    /// The app's time.
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// A good token for `/tick`, unsigned.
    pub fn fit(&self) -> Fit {
        Fit::backend(self.now(), "tick")
    }

    /// A good token for `/ui`, unsigned.
    pub fn page(&self) -> Fit {
        Fit::page(self.now())
    }

    /// A call of `/tick` with this token.
    pub fn tick(&self, token: &str) -> Call {
        Call::post("/tick").bearer(token)
    }

    /// Sends a call.
    pub async fn send(&self, call: &Call) -> Result<Reply, String> {
        send(self.address, call)
            .await
            .map_err(|error| format!("no answer: {error}"))
    }

    /// The status of a call of `/tick` with this token.
    pub async fn status(&self, token: &str) -> u16 {
        match self.send(&self.tick(token)).await {
            Ok(reply) => reply.status,
            Err(error) => panic!("{error}"),
        }
    }

    /// A connection.
    pub async fn open(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// The call must be answered 200, and the handler must have seen these claims.
    pub async fn let_in(&self, call: &Call, fit: &Fit) -> Result<(), String> {
        let before = self.seen.count();
        let reply = self.send(call).await?;
        if reply.status != 200 {
            return Err(format!(
                "{} instead of 200: {}",
                reply.status,
                reply.excerpt()
            ));
        }
        if self.seen.count() != before + 1 {
            return Err(format!(
                "the handler ran {} times",
                self.seen.count() - before
            ));
        }
        self.saw(&self.seen.last().unwrap_or_default(), fit)
    }

    /// What a handler saw must be these claims.
    pub fn saw(&self, seen: &Value, fit: &Fit) -> Result<(), String> {
        let mut seen = seen.clone();
        let mut expected = expected(fit);
        expected["handler"] = seen["handler"].take();
        seen["handler"] = expected["handler"].clone();
        for extra in ["systemToken", "userToken"] {
            seen.as_object_mut().map(|seen| seen.remove(extra));
        }
        let differing: Vec<String> = expected
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, value)| seen.get(*name) != Some(*value))
            .map(|(name, value)| {
                let seen = seen.get(name).map(Value::to_string);
                format!(
                    "{name} {} instead of {}",
                    brief(seen),
                    brief(Some(value.to_string()))
                )
            })
            .collect();
        if differing.is_empty() {
            Ok(())
        } else {
            Err(format!("the handler saw {}", differing.join(", ")))
        }
    }

    /// The token must be refused with 401 at `/tick`, and nothing else may come of it. Where it names
    /// a key that is not published, 503 will do: the key may not be looked for with each token.
    pub async fn refused(&self, token: &str) -> Result<(), String> {
        let statuses: &[u16] = if names_unpublished_key(token) {
            &[401, 503]
        } else {
            &[401]
        };
        self.refused_call(&self.tick(token).bytes(), statuses).await
    }

    /// These bytes must be answered with one of these statuses, and nothing else may come of it:
    /// no handler, no word about why, no fetch of what the attacker names, no harm to others.
    pub async fn refused_call(&self, bytes: &[u8], statuses: &[u16]) -> Result<(), String> {
        let (before, started) = (self.seen.count(), Instant::now());
        let reply = exchange(self.address, bytes)
            .await
            .map_err(|error| format!("no answer: {error}"))?;
        let took = started.elapsed();
        let Some(reply) = reply else {
            return Err("closed without an answer".into());
        };
        if !statuses.contains(&reply.status) {
            return Err(format!(
                "{} instead of {statuses:?}: {}",
                reply.status,
                reply.excerpt()
            ));
        }
        if took > PROMPT {
            return Err(format!("took {took:?}"));
        }
        if reply.status == 401 {
            is_silent(&reply)?;
        }
        self.unharmed(before).await
    }

    /// The token may be refused or taken, but promptly, and others are still served.
    pub async fn harmless(&self, token: &str) -> Result<(), String> {
        let started = Instant::now();
        let reply = self.send(&self.tick(token)).await?;
        if started.elapsed() > PROMPT {
            return Err(format!("took {:?}", started.elapsed()));
        }
        if ![200, 401].contains(&reply.status) {
            return Err(format!("{}: {}", reply.status, reply.excerpt()));
        }
        self.unharmed(self.seen.count()).await
    }

    /// No handler ran since there were `before` calls, nobody went into the trap, and a good call
    /// is still served.
    pub async fn unharmed(&self, before: usize) -> Result<(), String> {
        if self.seen.count() != before {
            return Err("the handler ran".into());
        }
        if self.trap.connections() != 0 {
            return Err("the attacker's URL was fetched".into());
        }
        let fit = self.fit();
        self.let_in(&self.tick(&fit.token()), &fit)
            .await
            .map_err(|error| format!("a good call afterwards: {error}"))
    }

    /// Whether a call with this token comes to have this status.
    pub async fn status_becomes(&self, token: &str, status: u16) -> bool {
        let started = Instant::now();
        while self.status(token).await != status {
            if started.elapsed() > SOON {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Asks until the answer to a good call has this status.
    pub async fn until_status(&self, status: u16) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let last = self.status(&self.fit().token()).await;
            if last == status {
                return Ok(());
            }
            if started.elapsed() > SOON {
                return Err(format!("still {last} instead of {status} after {SOON:?}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the source has been asked this often.
    pub async fn until_requests(&self, count: usize) -> Result<(), String> {
        if until(|| self.source.requests() >= count).await {
            Ok(())
        } else {
            Err(format!(
                "the source was asked {} times instead of {count}",
                self.source.requests()
            ))
        }
    }
}

/// Waits until something is true; false when it doesn't become so.
pub async fn until(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > SOON {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Whether a token's header names a key, and not one of [`published`].
fn names_unpublished_key(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
    let header: Option<Value> = serde_json::from_slice(&header.unwrap_or_default()).ok();
    let kid = header.as_ref().and_then(|header| header["kid"].as_str());
    kid.is_some_and(|kid| ![FIRST_KID, SECOND_KID].contains(&kid))
}

/// The app without a clock of its own.
pub fn usual(source: &KeySource, seen: &Seen) -> App {
    App::empty()
        .handler(forge_remote::handler!(crate::handlers::tick))
        .handler(forge_remote::handler!(crate::handlers::ui))
        .handler(forge_remote::handler!(crate::handlers::echo))
        .handler(forge_remote::handler!(crate::handlers::any))
        .app_id(APP_ID)
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .state(seen.clone())
        .jwks_url(source.url())
}

/// The answer to a bad token says that it is bad and nothing more.
pub fn is_silent(reply: &Reply) -> Result<(), String> {
    if reply.header("www-authenticate") != Some("Bearer") {
        return Err(format!(
            "WWW-Authenticate is {:?}",
            reply.header("www-authenticate")
        ));
    }
    if reply.header("content-type") != Some("application/json") {
        return Err(format!(
            "Content-Type is {:?}",
            reply.header("content-type")
        ));
    }
    let expected = json!({"error": {
        "code": "invalid_token",
        "message": "the Forge Invocation Token is missing or not valid"
    }});
    if reply.json() == expected {
        Ok(())
    } else {
        Err(format!("the body tells: {}", reply.excerpt()))
    }
}

fn brief(text: Option<String>) -> String {
    text.unwrap_or_else(|| "nothing".into())
        .chars()
        .take(80)
        .collect()
}

/// What a handler sees of these claims.
pub fn expected(fit: &Fit) -> Value {
    let claim = |pointer: &str| fit.claims.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "handler": null,
        "appId": claim("/app/id"),
        "installationId": claim("/app/installationId"),
        "principal": claim("/principal"),
        "moduleKey": claim("/app/module/key"),
        "moduleType": claim("/app/module/type"),
        "environmentType": claim("/app/environment/type"),
        "apiBaseUrl": claim("/app/apiBaseUrl"),
        "context": claim("/context"),
        "jti": claim("/jti"),
        "traceId": "a523b7549f0b88c9",
    })
}

/// What the attacker serves: the key of `rsa::stranger` under every id he likes.
fn attackers_keys() -> Value {
    use crate::jws::{FIRST_KID, SECOND_KID, key_set};
    let key = crate::rsa::stranger();
    key_set(&[key.jwk(FIRST_KID), key.jwk(SECOND_KID), key.jwk("stranger")])
}
