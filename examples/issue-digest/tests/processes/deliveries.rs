//! Deliveries, their retries, and calls of the clock.

use std::time::SystemTime;

use forge_remote_tests::http::{Call, send};
use forge_remote_tests::jws::{Fit, INSTALLATION_ID};
use serde_json::json;

use super::{Fixture, deliver};

/// Forge calls the clock of the cron schedules, and each call stores the occurrences until the next one.
#[tokio::test]
async fn the_clock_of_the_schedules_is_served() {
    let fixture = Fixture::sqlite().await;
    let app = fixture.start().await;
    for _ in 0..3 {
        let fit = Fit::backend(SystemTime::now(), "cron-clock").token();
        let call = Call::post("/cron-clock").bearer(&fit).json(&json!({}));
        let response = send(app.address, &call).await.unwrap();
        assert!((200..300).contains(&response.status), "{response:?}");
    }
    assert_eq!(fixture.runs(), []);
    app.stop().await;
}

/// Forge repeats a delivery that it takes for failed; equal first deliveries are two events.
async fn deliveries(fixture: Fixture) {
    let app = fixture.start().await;
    for retries in 0..5 {
        let status = deliver(app.address, "repeated", INSTALLATION_ID, retries).await;
        assert_eq!(status, Some(202));
    }
    for _ in 0..2 {
        assert_eq!(app.deliver("equal").await, Some(202));
    }
    assert_eq!(app.deliver("last").await, Some(202));
    fixture
        .wait_until_done(&["repeated", "equal", "last"].map(str::to_owned))
        .await;
    fixture
        .wait_until("both", |fixture| fixture.count("equal", "done") == 2)
        .await;
    app.stop().await;
    // A retry of a finished one, after a restart.
    let app = fixture.start().await;
    assert_eq!(
        deliver(app.address, "repeated", INSTALLATION_ID, 4).await,
        Some(202)
    );
    assert_eq!(app.deliver("after").await, Some(202));
    fixture.wait_until_done(&["after".to_owned()]).await;
    app.stop().await;
    assert_eq!(fixture.count("repeated", "start"), 1);
    assert_eq!(fixture.count("equal", "start"), 2);
}

#[tokio::test]
async fn deliveries_of_one_event_run_once_on_sqlite() {
    deliveries(Fixture::sqlite().await).await;
}

#[tokio::test]
async fn deliveries_of_one_event_run_once_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        deliveries(fixture).await;
    }
}

#[tokio::test]
async fn a_failed_event_is_retried_until_it_is_dead() {
    let fixture = Fixture::sqlite().await;
    let app = fixture.start().await;
    assert_eq!(app.deliver("fail-1").await, Some(202));
    fixture.until_attempts("fail-1", 4).await;
    // A fifth attempt would wait for its pause only after the result of the fourth is stored, and then begin before this
    // event's.
    fixture.until_no_attempt_runs().await;
    fixture.job_tables().end_pauses().await;
    assert_eq!(app.deliver("after").await, Some(202));
    fixture.wait_until_done(&["after".to_owned()]).await;
    app.stop().await;
    let attempts: Vec<u32> = fixture
        .runs()
        .iter()
        .filter(|run| run.0 == "fail-1" && run.2 == "start")
        .map(|run| run.1)
        .collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
}
