//! Without a server (`Service::router`), requests fetch and refresh keys, even from a custom source.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::fit::{
    AppId, EndpointTarget, FetchError, Jwks, JwksDocument, JwksPolicy, KeyRing, KeySource,
    TokenRejection, VerificationPolicy, Verifier, VerifyError,
};
use forge_remote::http::{HeaderMap, HeaderValue};
use forge_remote::testing::TestClock;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{APP_ID, FIRST_KID, Fit, SECOND_KID, key_set, published};
use forge_remote_tests::rsa::{first, second, stranger};
use forge_remote_tests::test_app::{TestApp, eventually};
use serde_json::Value;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

/// A source in memory.
#[derive(Clone)]
struct InProcess {
    /// The document; `None` fails.
    document: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicUsize>,
    /// How long a fetch takes.
    takes: Duration,
}

impl InProcess {
    fn new(document: Value) -> Self {
        Self {
            document: Arc::new(Mutex::new(Some(document))),
            fetches: Arc::default(),
            takes: Duration::ZERO,
        }
    }

    /// The source, with fetches that take this long.
    fn slowed(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    fn set(&self, document: Option<Value>) {
        *self.document.lock().unwrap() = document;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

type Fetching = Pin<Box<dyn Future<Output = Result<JwksDocument, FetchError>> + Send>>;

impl KeySource for InProcess {
    fn fetch(&self) -> Fetching {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let document = self.document.lock().unwrap().clone();
        let takes = self.takes;
        Box::pin(async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            let document = document.ok_or_else(|| FetchError::new("down"))?;
            Ok(JwksDocument {
                document: document.to_string().into(),
                max_age: None,
            })
        })
    }

    fn name(&self) -> &str {
        "in process"
    }
}

/// A verifier whose keys only its own calls refresh.
struct Bench {
    source: InProcess,
    clock: TestClock,
    verifier: Verifier,
}

impl Bench {
    fn new() -> Self {
        Self::with(InProcess::new(published()), JwksPolicy::default())
    }

    fn with(source: InProcess, policy: JwksPolicy) -> Self {
        let clock = TestClock::new();
        let shared: Arc<TestClock> = Arc::new(clock.clone());
        let keys = Jwks::new(source.clone(), policy, shared.clone());
        let id: AppId = APP_ID.parse().unwrap();
        let verifier = Verifier::new(
            id,
            KeyRing::new(keys),
            VerificationPolicy::default(),
            shared,
        );
        Self {
            source,
            clock,
            verifier,
        }
    }

    fn fit(&self) -> Fit {
        Fit::backend(self.clock.now(), "tick")
    }

    async fn verify(&self, token: &str) -> Result<(), VerifyError> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.insert("authorization", value);
        let caller = forge_remote::fit::AllowedCaller::Platform;
        let mut target = EndpointTarget::new("tick", "scheduledTrigger", caller);
        target.module = Some("tick-trigger".into());
        self.verifier.verify(&headers, &target).await.map(drop)
    }
}

/// Concurrent first calls with an instant source cause one fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_first_calls_cause_one_fetch() {
    let token = Fit::backend(SystemTime::now(), "tick").token();
    let mut rounds_with_more = 0;
    for _ in 0..200 {
        let bench = Arc::new(Bench::new());
        let mut calls = JoinSet::new();
        for _ in 0..8 {
            let (bench, token) = (Arc::clone(&bench), token.clone());
            calls.spawn(async move { bench.verify(&token).await });
        }
        for outcome in calls.join_all().await {
            outcome.expect("a valid token");
        }
        if bench.source.fetches() > 1 {
            rounds_with_more += 1;
        }
    }
    assert_eq!(
        rounds_with_more, 0,
        "rounds of 200 with more than one fetch"
    );
}

/// The same for a key that was not yet published.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_calls_with_an_unknown_key_cause_one_fetch() {
    for _ in 0..100 {
        let bench = Arc::new(Bench::new());
        bench.verify(&bench.fit().token()).await.unwrap();
        let token = bench.fit().head("kid", "nobody's").sign(stranger());
        let mut calls = JoinSet::new();
        for _ in 0..8 {
            let (bench, token) = (Arc::clone(&bench), token.clone());
            calls.spawn(async move { bench.verify(&token).await });
        }
        for outcome in calls.join_all().await {
            assert_eq!(
                outcome,
                Err(VerifyError::Rejected(TokenRejection::UnknownKey))
            );
        }
        assert_eq!(bench.source.fetches(), 2);
    }
}

/// Without a background task, requests refresh the keys, even after a failed refresh.
#[tokio::test]
async fn a_failed_refresh_is_retried() {
    let bench = Bench::new();
    bench.verify(&bench.fit().token()).await.unwrap();
    assert_eq!(bench.source.fetches(), 1);

    // The refresh is due, and fails.
    bench.source.set(None);
    bench.clock.advance(HOUR.mul_f64(0.81));
    bench.verify(&bench.fit().token()).await.unwrap();
    assert!(eventually(|| bench.source.fetches() == 2).await);
    tokio::time::sleep(Duration::from_millis(50)).await;

    // The source has recovered and has withdrawn the first key.
    bench.source.set(Some(key_set(&[second().jwk(SECOND_KID)])));
    for _ in 0..10 {
        bench.clock.advance(Duration::from_secs(300));
        let _ = bench.verify(&bench.fit().token()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let outcome = bench.verify(&bench.fit().token()).await;
    assert_eq!(
        outcome,
        Err(VerifyError::Rejected(TokenRejection::UnknownKey)),
        "a key withdrawn 50 minutes ago, with a working source; {} fetches",
        bench.source.fetches()
    );
}

/// Calls refresh the keys once, ahead of expiry.
#[tokio::test]
async fn calls_refresh_the_keys() {
    let bench = Bench::new();
    for round in 1..5 {
        bench.verify(&bench.fit().token()).await.unwrap();
        assert!(eventually(|| bench.source.fetches() == round).await);
        for _ in 0..10 {
            bench.verify(&bench.fit().token()).await.unwrap();
        }
        assert_eq!(bench.source.fetches(), round);
        bench.clock.advance(HOUR.mul_f64(0.81));
    }
}

/// A fetch may take as long as configured; callers wait for a shorter time.
#[tokio::test(start_paused = true)]
async fn a_slow_source_has_the_configured_time() {
    for (limit, is_enough) in [(None, false), (Some(15), true), (Some(9), false)] {
        let source = InProcess::new(published()).slowed(Duration::from_secs(10));
        let policy = match limit {
            Some(seconds) => JwksPolicy::default().fetch_timeout(Duration::from_secs(seconds)),
            None => JwksPolicy::default(),
        };
        let bench = Bench::with(source, policy);
        let token = bench.fit().token();
        let started = tokio::time::Instant::now();
        let first = bench.verify(&token).await;
        assert!(matches!(first, Err(VerifyError::KeysUnavailable(_))));
        assert!(started.elapsed() < Duration::from_secs(5));
        tokio::time::sleep_until(started + Duration::from_secs(11)).await;
        let is_valid = bench.verify(&token).await.is_ok();
        assert_eq!(is_valid, is_enough, "{limit:?}");
    }
}

/// A source that panics counts as down: no busy loop, no hang, no accepted call.
#[tokio::test]
async fn a_source_that_panics_counts_as_down() {
    #[derive(Clone, Default)]
    struct Panicking(Arc<AtomicUsize>);
    impl KeySource for Panicking {
        fn fetch(&self) -> Fetching {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { panic!("a bug in a source (part of the test)") })
        }
        fn name(&self) -> &str {
            "panicking"
        }
    }
    let source = Panicking::default();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.key_source(source.clone())
    })
    .await;
    assert_eq!(app.status(&app.fit().token()).await, 503);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(app.status(&app.fit().token()).await, 503);
    assert_eq!(app.seen.count(), 0);
    assert_eq!(
        app.source.requests(),
        0,
        "the URL isn't used together with a source"
    );
    let fetches = source.0.load(Ordering::SeqCst);
    assert!(fetches <= 5, "{fetches} fetches in 200 ms");
}

/// The same rules apply to the document of a custom source.
#[tokio::test]
async fn a_custom_source_follows_the_same_rules() {
    let source = InProcess::new(published());
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.key_source(source.clone())
    })
    .await;
    let fit = app.fit();
    app.accepts(&app.tick(&fit.token()), &fit).await.unwrap();
    app.rejects(&app.fit().sign(stranger())).await.unwrap();
    source.set(Some(key_set(&[stranger().exponent_one().jwk(FIRST_KID)])));
    app.clock.advance(HOUR);
    assert!(eventually(|| source.fetches() == 2).await);
    let fit = app.fit();
    app.accepts(&app.tick(&fit.token()), &fit)
        .await
        .expect("an unusable set replaces nothing");
}

/// Several apps share one key set: a rotation is fetched once, and another app's token never causes a
/// fetch.
#[tokio::test]
async fn one_key_set_serves_every_app() {
    const SECOND_APP: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000002";
    let source = InProcess::new(key_set(&[first().jwk(FIRST_KID)]));
    let clock = TestClock::new();
    let shared: Arc<TestClock> = Arc::new(clock.clone());
    let keys = Jwks::new(source.clone(), JwksPolicy::default(), shared.clone());
    let ids = [APP_ID, SECOND_APP].map(|id| id.parse::<AppId>().unwrap());
    let policy = VerificationPolicy::default();
    let verifier = Verifier::for_apps(ids, KeyRing::new(keys), policy, shared);
    let fit = |app: &str| {
        let fit = Fit::backend(clock.now(), "tick");
        fit.claim("/aud", app).claim("/app/id", app)
    };
    let verify = async |token: String| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.insert("authorization", value);
        let caller = forge_remote::fit::AllowedCaller::Platform;
        let target = EndpointTarget::new("tick", "scheduledTrigger", caller);
        let claims = verifier.verify(&headers, &target).await;
        claims.map(|claims| claims.app_id().to_owned())
    };
    for app in [APP_ID, SECOND_APP, APP_ID] {
        assert_eq!(verify(fit(app).token()).await.as_deref(), Ok(app));
    }
    assert_eq!(source.fetches(), 1);

    // Atlassian rotates its keys: the first token of either app with the new one fetches them.
    source.set(Some(published()));
    clock.advance(Duration::from_secs(600));
    for app in [SECOND_APP, APP_ID] {
        let token = fit(app).head("kid", SECOND_KID).sign(second());
        assert_eq!(verify(token).await.as_deref(), Ok(app));
    }
    assert_eq!(source.fetches(), 2);
    let stranger = fit("ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000003");
    let rejected = verify(stranger.token()).await;
    assert_eq!(rejected, Err(TokenRejection::WrongAudience.into()));
    assert_eq!(source.fetches(), 2);
}
