//! The attacks of `forge-remote-attacks`, against the app under test and against the verifier alone.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use forge_remote_attacks::{Case, Keys, Request, Scene, Verdict, class};
use forge_remote_fit::{
    AllowedCaller, BoxFuture, Clock, EndpointTarget, FetchError, Jwks, JwksDocument, JwksPolicy,
    KeyRing, KeySource, VerificationPolicy, Verifier,
};
use serde_json::{Value, json};

use crate::http::Call;
use crate::jws::{APP_ID, Fit};
use crate::report::Report;
use crate::test_app::TestApp;

/// Sends every request of a class to the default app, and to the same routes behind `FitLayer`.
pub async fn attack(id: &str) {
    let class = class(id).unwrap();
    let app = TestApp::with_layer().await;
    let scene = Scene::new(Keys::generated(), app.now());
    let scene = scene.with_urls(&app.trap.url(), &app.source.url());
    let mut report = Report::new(class.about);
    for case in class.cases(&scene) {
        report.case(&case.name, meets(&app, &case).await);
    }
    report.finish();
    let request = app.source.last_request();
    assert!(
        request.starts_with("GET /.well-known/jwks.json HTTP/1.1\r\n"),
        "no claim chooses the key set: {request}"
    );
}

/// Checks that a request becomes what its case expects.
async fn meets(app: &TestApp, case: &Case) -> Result<(), String> {
    match (&case.verdict, &case.token) {
        (Verdict::Accepted(claims), _) => {
            let fit = Fit::new(json!({}), claims.clone());
            app.accepts(&call(&case.request), &fit).await
        }
        (Verdict::Rejected(_), Some(token)) => app.rejects(token).await,
        (Verdict::Rejected(statuses), None) => {
            app.rejects_bytes(&call(&case.request).bytes(), statuses)
                .await
        }
        (Verdict::Prompt, token) => app.harmless(token.as_deref().unwrap_or_default()).await,
    }
}

fn call(request: &Request) -> Call {
    let call = Call::post(&request.target).body(&request.body);
    let headers = request.headers.iter();
    let call = headers.fold(call, |call, (name, value)| call.header(name, value));
    match request.is_framed {
        true => call,
        false => call.unframed(),
    }
}

/// The verifier of a scene, with the targets of its three handlers.
#[derive(Debug)]
pub struct Judge {
    keys: Value,
    now: SystemTime,
}

impl Judge {
    /// Returns a verifier with every default, as of the scene's time.
    pub fn new(scene: &Scene) -> Self {
        Self::of(scene.key_set(), scene.now())
    }

    /// Returns a verifier with these keys, as of this time.
    pub fn of(keys: Value, now: SystemTime) -> Self {
        Self { keys, now }
    }

    /// Returns a verifier that has seen no other token.
    fn verifier(&self) -> Verifier {
        let clock: Arc<dyn Clock> = Arc::new(StoppedClock(self.now));
        let source = FixedKeys(self.keys.clone());
        let keys = Jwks::new(source, JwksPolicy::default(), Arc::clone(&clock));
        let policy = VerificationPolicy::default();
        Verifier::new(APP_ID.parse().unwrap(), KeyRing::new(keys), policy, clock)
    }

    /// Verifies a request, and returns the code of its rejection. `None` if HTTP forbids the request.
    pub async fn judge(&self, request: &Request) -> Option<Result<(), &'static str>> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            // As a server receives it: blanks around a value are not part of it.
            let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
            headers.append(name, value);
        }
        let target = match request.target.split(['?', '#', ';', '/']).nth(1) {
            Some("tick") => {
                let mut tick =
                    EndpointTarget::new("tick", "scheduledTrigger", AllowedCaller::Platform);
                tick.module = Some("tick-trigger".to_owned());
                tick
            }
            Some(page @ ("ui" | "echo")) => EndpointTarget::page(page),
            _ => return None,
        };
        let verified = self.verifier().verify(&headers, &target).await;
        Some(verified.map(drop).map_err(|error| error.code()))
    }
}

struct FixedKeys(Value);

impl KeySource for FixedKeys {
    fn fetch(&self) -> BoxFuture<Result<JwksDocument, FetchError>> {
        let document = self.0.to_string().into();
        Box::pin(std::future::ready(Ok(JwksDocument {
            document,
            max_age: None,
        })))
    }

    fn name(&self) -> &str {
        "the scene"
    }
}

/// A clock that stands still.
#[derive(Debug)]
struct StoppedClock(SystemTime);

impl Clock for StoppedClock {
    fn now(&self) -> SystemTime {
        self.0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}
