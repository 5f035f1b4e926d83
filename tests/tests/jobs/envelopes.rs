//! The stored part of a call, and its acceptance by an app later.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::fit::{BoxFuture, Environment, VerificationPolicy};
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine, JobRunner, PastAttempts,
    ReportCode, Verdict,
};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::stores::KEYS;
use serde_json::{Value, json};
use tokio::sync::watch;

/// An engine that keeps envelopes, and runs none.
#[derive(Clone, Default)]
struct Recorder {
    envelopes: Arc<Mutex<Vec<Envelope>>>,
    runner: Arc<watch::Sender<Option<Arc<dyn JobRunner>>>>,
    is_full: bool,
}

impl JobEngine for Recorder {
    fn name(&self) -> String {
        "a recorder".to_owned()
    }

    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        let accepted = if self.is_full {
            Err(EngineError::new("the disk is full"))
        } else {
            self.envelopes.lock().unwrap().push(envelope);
            Ok(Accepted::New("1".to_owned()))
        };
        Box::pin(std::future::ready(accepted))
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        self.runner.send_replace(Some(context.runner));
        let stop = context.stop;
        Box::pin(async {
            stop.await;
            Ok(())
        })
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new().outlives_process()
    }
}

#[trigger(events = ["avi:jira:created:issue"], auth = system, durable, key = "copy", endpoint = "copy-end")]
async fn copy(_token: SystemToken, Event(event): Event<Value>) -> Result<()> {
    assert_eq!(event["issue"]["id"], 7);
    Ok(())
}

#[trigger(events = ["avi:jira:created:issue"], auth = system, durable, key = "other", endpoint = "other-end")]
async fn other(_token: Option<SystemToken>) {}

fn app(engine: Recorder, keys: &str) -> App {
    App::empty()
        .handler(forge_remote::handler!(copy))
        .handler(forge_remote::handler!(other))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(Tokens::new(MemoryTokens::new()).keys(keys))
        .jobs(engine)
}

/// Delivers an event, and returns the app with the envelope.
async fn stored(engine: &Recorder) -> (Harness, Envelope) {
    let harness = Harness::new(app(engine.clone(), KEYS[0])).unwrap();
    let body = json!({ "eventType": "avi:jira:created:issue", "issue": { "id": 7 } });
    let response = harness.call("copy").json(&body).send().await;
    assert_eq!(response.status(), 202);
    let envelope = engine.envelopes.lock().unwrap().pop().unwrap();
    (harness, envelope)
}

/// Has this app run the envelope.
async fn run(harness: &Harness, engine: &Recorder, envelope: Envelope) -> Verdict {
    let _running = harness.start_background().unwrap();
    let mut runner = engine.runner.subscribe();
    let runner = runner
        .wait_for(Option::is_some)
        .await
        .unwrap()
        .clone()
        .unwrap();
    runner.run(envelope, PastAttempts::default()).await
}

fn code(verdict: &Verdict) -> Option<ReportCode> {
    match verdict {
        Verdict::Dead { report }
        | Verdict::Later { report, .. }
        | Verdict::Retry { report, .. } => Some(report.code),
        _ => None,
    }
}

#[tokio::test]
async fn an_envelope_has_no_token_and_nothing_readable() {
    let engine = Recorder::default();
    let (harness, envelope) = stored(&engine).await;
    let readable = |text: &[u8]| {
        let parts = envelope.sealed.windows(text.len());
        parts.into_iter().any(|part| part == text)
    };
    assert!(!readable(b"avi:jira") && !readable(b"eyJ") && !readable(b"ari:cloud"));
    assert_eq!(envelope.handler, "copy");
    assert_eq!(envelope.max_attempts, 9);
    assert!(!format!("{envelope:?}").contains("ari:"));
    // Its call runs, with the token that was kept when the call arrived.
    assert!(matches!(
        run(&harness, &engine, envelope).await,
        Verdict::Done
    ));
}

#[tokio::test]
async fn a_call_that_is_not_stored_gets_503() {
    let engine = Recorder {
        is_full: true,
        ..Recorder::default()
    };
    let harness = Harness::new(app(engine, KEYS[0])).unwrap();
    let response = harness.call("copy").json(&json!({})).send().await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.json()["error"]["code"], "not_stored");
}

#[tokio::test]
async fn an_envelope_of_another_handler_or_installation_is_dead() {
    let engine = Recorder::default();
    let (harness, envelope) = stored(&engine).await;
    for change in [
        |envelope: &mut Envelope| envelope.handler = "other".to_owned(),
        |envelope: &mut Envelope| envelope.installation_id.push('0'),
        |envelope: &mut Envelope| *envelope.sealed.last_mut().unwrap() ^= 1,
    ] {
        let mut changed = envelope.clone();
        change(&mut changed);
        if changed.installation_id != envelope.installation_id {
            changed.handler = "other".to_owned();
        }
        let verdict = run(&harness, &engine, changed).await;
        assert!(matches!(verdict, Verdict::Dead { .. }), "{verdict:?}");
        assert_eq!(code(&verdict), Some(ReportCode::Damaged));
    }
    let mut unknown = envelope.clone();
    unknown.handler = "renamed".to_owned();
    let verdict = run(&harness, &engine, unknown).await;
    assert!(matches!(verdict, Verdict::Later { .. }), "{verdict:?}");
    assert_eq!(code(&verdict), Some(ReportCode::UnknownHandler));
}

/// The stored claims pass the verifier's checks again.
#[tokio::test]
async fn an_envelope_runs_only_in_an_app_that_accepts_its_call() {
    let engine = Recorder::default();
    let (_, envelope) = stored(&engine).await;
    let run_later = async |change: fn(App) -> App, keys: &str, envelope: Envelope| {
        let engine = Recorder::default();
        let harness = Harness::new(change(app(engine.clone(), keys))).unwrap();
        // The stored token.
        harness.call("other").send().await;
        run(&harness, &engine, envelope).await
    };
    let run_in =
        async |change: fn(App) -> App, keys: &str| run_later(change, keys, envelope.clone()).await;
    assert!(matches!(run_in(|app| app, KEYS[0]).await, Verdict::Done));
    let only_staging = |app: App| {
        app.verification(VerificationPolicy::default().environments([Environment::Staging]))
    };
    let verdict = run_in(only_staging, KEYS[0]).await;
    assert_eq!(code(&verdict), Some(ReportCode::Rejected), "{verdict:?}");
    let other_app =
        |app: App| app.app_id("ari:cloud:ecosystem::app/00000000-0000-4000-a000-000000000001");
    // In a deployment, an instance of another version may have stored it.
    let verdict = run_in(other_app, KEYS[0]).await;
    assert!(matches!(verdict, Verdict::Later { .. }), "{verdict:?}");
    assert_eq!(code(&verdict), Some(ReportCode::Rejected));
    let mut old = envelope.clone();
    old.accepted_at -= Duration::from_secs(15 * 24 * 3600);
    let verdict = run_later(other_app, KEYS[0], old).await;
    assert!(matches!(verdict, Verdict::Dead { .. }), "{verdict:?}");
    assert_eq!(code(&verdict), Some(ReportCode::Rejected));
    // Without its key it waits; with the key behind a new one it runs.
    let verdict = run_in(|app| app, KEYS[1]).await;
    assert!(matches!(verdict, Verdict::Later { .. }), "{verdict:?}");
    assert_eq!(code(&verdict), Some(ReportCode::OtherKey));
    let rotated = format!("{},{}", KEYS[1], KEYS[0]);
    assert!(matches!(run_in(|app| app, &rotated).await, Verdict::Done));
}
