//! Calls in flight are bounded, overdue handlers get 503, and failures of spawned work are logged.

use std::sync::Arc;
use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::served_app::ServedApp;
use forge_remote_tests::test_app::SOON;
use tokio::sync::Semaphore;

/// A gate for handlers: they take a permit of the first semaphore to end and then add one to the
/// second.
#[derive(Clone)]
struct Gate(Arc<Semaphore>, Arc<Semaphore>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)))
    }

    async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
        self.1.add_permits(1);
    }

    async fn passed(&self) {
        let passed = tokio::time::timeout(SOON, self.1.acquire()).await;
        passed.expect("the handler does not end").unwrap().forget();
    }
}

#[scheduled_trigger(interval = "hour")]
async fn held(State(gate): State<Gate>) {
    gate.pass().await;
}

#[scheduled_trigger(interval = "hour")]
async fn panics_late(State(gate): State<Gate>) {
    gate.pass().await;
    panic!("on purpose");
}

#[scheduled_trigger(interval = "hour")]
async fn spawns(call: Invocation, State(gate): State<Gate>) {
    call.spawn(async move {
        gate.pass().await;
        Ok(())
    });
}

#[scheduled_trigger(interval = "hour")]
async fn spawns_failures(call: Invocation, State(gate): State<Gate>) {
    let other = gate.clone();
    call.spawn(async move {
        gate.pass().await;
        Err("the index is locked".into())
    });
    call.spawn(async move {
        other.pass().await;
        panic!("on purpose");
    });
}

/// A handler whose body is read before it runs.
#[trigger(events = ["avi:jira:created:issue"])]
async fn repeated(retry: RetryContext, body: String) {
    let _ = (retry, body);
}

fn harness(change: impl FnOnce(App) -> App) -> (Harness, Gate) {
    let gate = Gate::new();
    let app = App::empty()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .handler(handler!(held))
        .handler(handler!(panics_late))
        .handler(handler!(spawns))
        .handler(handler!(spawns_failures))
        .state(gate.clone());
    (Harness::new(change(app)).unwrap(), gate)
}

async fn logs(logged: &LogCapture, text: &str) {
    let logs = async {
        while !logged.has(text) {
            tokio::task::yield_now().await;
        }
    };
    let logs = tokio::time::timeout(SOON, logs).await;
    assert!(logs.is_ok(), "`{text}` is not logged: {}", logged.take());
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let (harness, gate) = harness(|app| app.max_in_flight(2));
    let calls = [(); 2].map(|()| tokio::spawn(harness.call("held").send()));
    // The third call is accepted only if the others are not.
    let rejected = async {
        loop {
            let call = harness.call("held").send();
            if let Ok(response) = tokio::time::timeout(Duration::from_millis(20), call).await {
                break response;
            }
        }
    };
    let rejected = tokio::time::timeout(SOON, rejected).await;
    let rejected = rejected.expect("no call is rejected");
    assert_eq!(rejected.status(), 503);
    assert_eq!(rejected.headers()["retry-after"], "5");
    assert_eq!(rejected.json()["error"]["code"], "overloaded");
    gate.0.add_permits(10);
    for call in calls {
        let _ = call.await;
    }
    gate.passed().await;
    gate.passed().await;
    let after = async {
        while harness.call("held").send().await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, after).await.unwrap();
}

#[tokio::test]
async fn an_overdue_handler_completes_and_its_caller_gets_503() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let (harness, gate) = harness(|app| app.response_timeout(Duration::from_millis(50)));
    let response = tokio::time::timeout(SOON, harness.call("held").send()).await;
    let response = response.expect("it has no deadline");
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(response.json()["error"]["code"], "overdue");
    let text = logged.take();
    assert!(text.contains("`Invocation::spawn`"), "{text}");
    gate.0.add_permits(1);
    gate.passed().await;
}

/// A handler that continues without its caller counts as a call in flight until it ends.
#[tokio::test]
async fn a_handler_without_its_caller_counts() {
    let limits = |app: App| {
        let app = app.max_in_flight(1);
        app.response_timeout(Duration::from_millis(50))
    };
    let (harness, gate) = harness(limits);
    let code = async || {
        let response = harness.call("held").send().await;
        (response.status() == 503).then(|| response.json()["error"]["code"].clone())
    };
    assert_eq!(code().await.unwrap(), "overdue");
    assert_eq!(code().await.unwrap(), "overloaded");
    gate.0.add_permits(2);
    gate.passed().await;
    let served = async { while code().await.is_some() {} };
    let served = tokio::time::timeout(SOON, served).await;
    assert!(served.is_ok(), "its place is not free again");
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_as_long_as_forge() {
    let (harness, _) = harness(|app| app);
    let started = tokio::time::Instant::now();
    assert_eq!(harness.call("held").send().await.status(), 503);
    let took = started.elapsed();
    assert!((5..6).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_panic_after_the_response_is_logged() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let (harness, gate) = harness(|app| app.response_timeout(Duration::from_millis(50)));
    assert_eq!(
        harness.call("panics-late-trigger").send().await.status(),
        503
    );
    gate.0.add_permits(1);
    logs(&logged, "panicked after its caller left").await;
}

#[tokio::test]
async fn failures_of_spawned_work_are_logged() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let (harness, gate) = harness(|app| app);
    assert_eq!(
        harness
            .call("spawns-failures-trigger")
            .send()
            .await
            .status(),
        200
    );
    gate.0.add_permits(2);
    logs(&logged, "the index is locked").await;
    logs(&logged, "the work that a handler spawned panicked").await;
    // The span names the call.
    let log = logged.take();
    for text in ["the index is locked", "panicked"] {
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        let span = "in invocation handler=spawns-failures-trigger ";
        assert!(line.contains(span) && line.contains("trace_id="), "{log}");
    }
}

#[tokio::test]
async fn the_shutdown_of_another_server_waits_for_spawned_work() {
    let (harness, gate) = harness(|app| app);
    assert_eq!(harness.call("spawns").send().await.status(), 200);
    let app = harness.app().clone();
    let finishing = tokio::spawn(async move { app.shutdown().await });
    tokio::task::yield_now().await;
    assert!(!finishing.is_finished());
    gate.0.add_permits(1);
    gate.passed().await;
    tokio::time::timeout(SOON, finishing)
        .await
        .unwrap()
        .unwrap();
}

/// A caller that has sent half a body counts as a call in flight, even if the body is read ahead.
#[tokio::test]
async fn half_a_body_is_a_call_in_flight() {
    let app = App::empty().handler(handler!(repeated)).max_in_flight(1);
    let served = ServedApp::start(app).await;
    let call = served.call("repeated").await;
    let (half, rest) = call.split_at(call.len() - 2);
    let mut slow = served.open().await;
    assert!(slow.send(half).await);
    let mut status = 0;
    let started = std::time::Instant::now();
    while status != 503 && started.elapsed() < SOON {
        let mut other = served.begin("repeated").await;
        status = other.response().await.unwrap().unwrap().status;
    }
    assert_eq!(status, 503);
    assert!(slow.send(rest).await);
    assert_eq!(slow.response().await.unwrap().unwrap().status, 200);
}
