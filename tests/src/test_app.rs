//! An app under test, served on loopback with its key-set server, a clock that only advances on
//! demand, and a trap server at the attacker's address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::handlers::Seen;
use crate::http::{Call, Connection, HttpResponse, exchange, send};
use crate::jwks_server::{JwksResponse, JwksServer};
use crate::jws::{APP_ID, FIRST_KID, Fit, SECOND_KID, published};
use crate::layered_app::LayeredApp;

/// Time limit for a condition to become true.
pub const SOON: Duration = Duration::from_secs(5);
/// Time limit for a rejection; a slower one would be a denial of service.
const PROMPT: Duration = Duration::from_secs(2);

/// The app and the servers and recorders around it.
#[derive(Debug)]
pub struct TestApp {
    /// The address the app listens on.
    pub address: SocketAddr,
    /// The app's key-set server.
    pub source: JwksServer,
    /// The attacker's server, to which nobody may connect.
    pub trap: JwksServer,
    /// The app's clock.
    pub clock: TestClock,
    /// The calls that handlers saw.
    pub seen: Seen,
    /// The same routes in a plain axum app behind `FitLayer`, with [`with_layer`](Self::with_layer):
    /// `accepts` and `rejects` send each call there too, and expect the same outcome.
    pub layered: Option<LayeredApp>,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl TestApp {
    /// Starts the default app with the published keys.
    pub async fn start() -> Self {
        Self::with_keys(published()).await
    }

    /// Starts the default app with the published keys, and the same routes behind `FitLayer`.
    pub async fn with_layer() -> Self {
        let mut app = Self::start().await;
        app.layered = Some(LayeredApp::start(published(), app.clock.clone()).await);
        app
    }

    /// Starts the default app with these keys.
    pub async fn with_keys(keys: Value) -> Self {
        Self::with(JwksResponse::Keys(keys), |app| app).await
    }

    /// Starts the default app with changes, and a key-set server that responds this way.
    pub async fn with(response: JwksResponse, change: impl FnOnce(App) -> App) -> Self {
        Self::on(JwksServer::start(response).await, change).await
    }

    /// Starts the default app with changes and this key-set server.
    pub async fn on(source: JwksServer, change: impl FnOnce(App) -> App) -> Self {
        let clock = TestClock::new();
        let seen = Seen::default();
        let app = change(default_app(&source, &seen).clock(clock.clone()));
        Self::serve(source, clock, seen, app).await
    }

    fn serve(
        source: JwksServer,
        clock: TestClock,
        seen: Seen,
        app: App,
    ) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let trap = JwksServer::start(JwksResponse::Keys(attackers_keys())).await;
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
                layered: None,
                stop: Some(stop),
            }
        })
    }

    /// Returns the app's current time.
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Returns valid claims for `/tick`, unsigned.
    pub fn fit(&self) -> Fit {
        Fit::backend(self.now(), "tick")
    }

    /// Returns valid claims for `/ui`, unsigned.
    pub fn page(&self) -> Fit {
        Fit::page(self.now())
    }

    /// Returns a call of `/tick` with this token.
    pub fn tick(&self, token: &str) -> Call {
        Call::post("/tick").bearer(token)
    }

    /// Sends a call and returns its response.
    pub async fn send(&self, call: &Call) -> Result<HttpResponse, String> {
        send(self.address, call)
            .await
            .map_err(|error| format!("no response: {error}"))
    }

    /// Returns the status of a call of `/tick` with this token.
    pub async fn status(&self, token: &str) -> u16 {
        match self.send(&self.tick(token)).await {
            Ok(response) => response.status,
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a connection.
    pub async fn open(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// Checks that the call's response is 200 and that the handler saw these claims.
    pub async fn accepts(&self, call: &Call, fit: &Fit) -> Result<(), String> {
        let before = self.seen.count();
        let response = self.send(call).await?;
        if response.status != 200 {
            return Err(format!(
                "{} instead of 200: {}",
                response.status,
                response.excerpt()
            ));
        }
        if self.seen.count() != before + 1 {
            return Err(format!(
                "the handler ran {} times",
                self.seen.count() - before
            ));
        }
        self.saw(&self.seen.last().unwrap_or_default(), fit)?;
        let Some(layered) = &self.layered else {
            return Ok(());
        };
        let response = send(layered.address, call).await;
        let response =
            response.map_err(|error| format!("no response behind the layer: {error}"))?;
        if response.status != 200 {
            let status = response.status;
            return Err(format!("{status} instead of 200 behind the layer"));
        }
        self.saw(&layered.seen.last().unwrap_or_default(), fit)
            .map_err(|error| format!("behind the layer: {error}"))
    }

    /// Checks that the claims a handler saw are these.
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

    /// Checks that `/tick` rejects the FIT with 401, without side effects. For a FIT that names
    /// an unpublished key, 503 is accepted: the app need not fetch keys for each token.
    pub async fn rejects(&self, token: &str) -> Result<(), String> {
        let statuses: &[u16] = if names_unpublished_key(token) {
            &[401, 503]
        } else {
            &[401]
        };
        self.rejects_bytes(&self.tick(token).bytes(), statuses)
            .await
    }

    /// Checks that the response to these bytes has one of these statuses, without side effects: no
    /// handler runs, the reason is not disclosed, no attacker's URL is fetched, other calls work.
    pub async fn rejects_bytes(&self, bytes: &[u8], statuses: &[u16]) -> Result<(), String> {
        let before = self.seen.count();
        is_rejected(self.address, bytes, statuses).await?;
        if let Some(layered) = &self.layered {
            let before = layered.seen.count();
            is_rejected(layered.address, bytes, statuses)
                .await
                .map_err(|error| format!("behind the layer: {error}"))?;
            if layered.seen.count() != before {
                return Err("the handler ran behind the layer".into());
            }
        }
        self.unharmed(before).await
    }

    /// Checks that the token is accepted or rejected promptly, and that other calls are served.
    pub async fn harmless(&self, token: &str) -> Result<(), String> {
        is_prompt(async || {
            let response = self.send(&self.tick(token)).await?;
            if [200, 401].contains(&response.status) {
                Ok(())
            } else {
                Err(format!("{}: {}", response.status, response.excerpt()))
            }
        })
        .await?;
        self.unharmed(self.seen.count()).await
    }

    /// Checks that no handler ran since there were `before` calls, that nothing connected to the
    /// trap, and that a valid call is served.
    pub async fn unharmed(&self, before: usize) -> Result<(), String> {
        if self.seen.count() != before {
            return Err("the handler ran".into());
        }
        if self.trap.connections() != 0 {
            return Err("the attacker's URL was fetched".into());
        }
        let fit = self.fit();
        self.accepts(&self.tick(&fit.token()), &fit)
            .await
            .map_err(|error| format!("a valid call afterwards: {error}"))
    }

    /// Returns whether the status of a call with this token becomes this one, within [`SOON`].
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

    /// Repeats a valid call until its response has this status.
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

    /// Waits until the key-set server has received this many requests.
    pub async fn until_requests(&self, count: usize) -> Result<(), String> {
        if eventually(|| self.source.requests() >= count).await {
            Ok(())
        } else {
            Err(format!(
                "the source received {} requests instead of {count}",
                self.source.requests()
            ))
        }
    }
}

/// Checks that the response to these bytes is prompt, has one of these statuses, and that a 401
/// discloses no reason.
async fn is_rejected(address: SocketAddr, bytes: &[u8], statuses: &[u16]) -> Result<(), String> {
    is_prompt(async || is_rejected_at_all(address, bytes, statuses).await).await
}

/// Checks that a call takes less than [`PROMPT`]. A busy machine can delay one of thousands, so a late one is repeated.
async fn is_prompt(call: impl AsyncFn() -> Result<(), String>) -> Result<(), String> {
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        let started = Instant::now();
        call().await?;
        took = started.elapsed();
        if took <= PROMPT {
            return Ok(());
        }
    }
    Err(format!("took {took:?}"))
}

async fn is_rejected_at_all(
    address: SocketAddr,
    bytes: &[u8],
    statuses: &[u16],
) -> Result<(), String> {
    let response = exchange(address, bytes)
        .await
        .map_err(|error| format!("no response: {error}"))?;
    let Some(response) = response else {
        return Err("closed without a response".into());
    };
    if !statuses.contains(&response.status) {
        return Err(format!(
            "{} instead of {statuses:?}: {}",
            response.status,
            response.excerpt()
        ));
    }
    if response.status == 401 {
        is_silent(&response)?;
        if response.json()["error"]["code"] == "missing_token" && has_token(bytes) {
            return Err("a token was sent, and is reported as missing".into());
        }
    }
    Ok(())
}

/// Returns whether the head of a request has an `Authorization` header.
fn has_token(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request).to_ascii_lowercase();
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    head.contains("\r\nauthorization:")
}

/// Waits until a condition is true; returns false when it stays false for [`SOON`].
pub async fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > SOON {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Returns whether a token's header names a key that is not one of [`published`].
fn names_unpublished_key(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
    let header: Option<Value> = serde_json::from_slice(&header.unwrap_or_default()).ok();
    let kid = header.as_ref().and_then(|header| header["kid"].as_str());
    kid.is_some_and(|kid| ![FIRST_KID, SECOND_KID].contains(&kid))
}

/// Returns the default app, on the system clock.
pub fn default_app(source: &JwksServer, seen: &Seen) -> App {
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

/// Checks that the response to a missing or an invalid FIT discloses nothing but its rejection.
pub fn is_silent(response: &HttpResponse) -> Result<(), String> {
    if response.header("www-authenticate") != Some("Bearer") {
        return Err(format!(
            "WWW-Authenticate is {:?}",
            response.header("www-authenticate")
        ));
    }
    if response.header("content-type") != Some("application/json") {
        return Err(format!(
            "Content-Type is {:?}",
            response.header("content-type")
        ));
    }
    let invalid = json!({"error": {
        "code": "invalid_token",
        "message": "the Forge Invocation Token is not valid"
    }});
    let missing = json!({"error": {
        "code": "missing_token",
        "message": "the request has no `Authorization` header"
    }});
    if [invalid, missing].contains(&response.json()) {
        Ok(())
    } else {
        Err(format!("the body discloses: {}", response.excerpt()))
    }
}

fn brief(text: Option<String>) -> String {
    text.unwrap_or_else(|| "nothing".into())
        .chars()
        .take(80)
        .collect()
}

/// Returns the values that a handler reads from these claims.
pub fn expected(fit: &Fit) -> Value {
    let claim = |pointer: &str| fit.claims.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "handler": null,
        "appId": claim("/app/id"),
        "installationId": claim("/app/installationId"),
        "principal": claim("/principal"),
        "moduleKey": claim("/app/module/key"),
        "moduleType": claim("/app/module/type"),
        "environmentId": claim("/app/environment/id"),
        "environmentType": claim("/app/environment/type"),
        "apiBaseUrl": claim("/app/apiBaseUrl"),
        "context": claim("/context"),
        "jti": claim("/jti"),
        "traceId": "a523b7549f0b88c9",
    })
}

/// Returns the attacker's key set: the key of `rsa::stranger` under several ids.
fn attackers_keys() -> Value {
    use crate::jws::{FIRST_KID, SECOND_KID, key_set};
    let key = crate::rsa::stranger();
    key_set(&[key.jwk(FIRST_KID), key.jwk(SECOND_KID), key.jwk("stranger")])
}
