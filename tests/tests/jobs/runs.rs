//! Stored calls run, again after a failure, and once for all deliveries of an event.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use forge_remote::jobs::{Attempt, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::MemoryTokens;
use forge_remote::{BackgroundTasks, rejection::OauthTokenRejection};
use serde_json::{Value, json};

use crate::log::Log;

#[trigger(events = ["avi:jira:created:issue"], durable, key = "plain", endpoint = "plain-end")]
async fn plain(log: State<Log>, call: Invocation, Event(event): Event<Value>) -> Result<()> {
    log.gate.acquire().await?.forget();
    log.write(format!(
        "{} of {} traced {}",
        event["issue"]["id"],
        call.installation_id()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .len(),
        call.trace_id().is_some()
    ));
    Ok(())
}

#[trigger(
    events = ["avi:jira:updated:issue"],
    durable(retries = 2, backoff = "10s..15s"),
    key = "fails", endpoint = "fails-end",
)]
async fn fails(log: State<Log>, attempt: Attempt, Event(event): Event<Value>) -> Result<()> {
    let last = attempt.last_error().unwrap_or("none").to_owned();
    log.write(format!("{} after {last}", attempt.number()));
    match event["how"].as_str() {
        Some("panic") => panic!("in the handler"),
        Some("dated") => {
            let seen = attempt.first_seen().duration_since(UNIX_EPOCH)?;
            log.write(format!("seen at {}", seen.as_secs()));
            Err("broken".into())
        }
        Some("permanent") => Err(Error::permanent("gone")),
        Some("later") => Err(Error::retry_after(Duration::from_secs(500), "closed")),
        Some("hangs") => std::future::pending().await,
        _ => Err("broken".into()),
    }
}

#[trigger(
    events = ["avi:jira:deleted:issue"],
    durable(per_installation = 2),
    key = "limited", endpoint = "limited-end",
)]
async fn limited(log: State<Log>) -> Result<()> {
    let running = log.running.fetch_add(1, Ordering::SeqCst) + 1;
    log.most.fetch_max(running, Ordering::SeqCst);
    log.write("started");
    log.gate.acquire().await?.forget();
    log.running.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[scheduled_trigger(interval = "hour", auth = system, durable, key = "with-token", endpoint = "with-token-end")]
async fn with_token(log: State<Log>, token: SystemToken) -> Result<()> {
    log.write(format!("token of {} bytes", token.expose_secret().len()));
    Ok(())
}

#[scheduled_trigger(interval = "day", auth = system, durable, key = "optional", endpoint = "optional-end")]
async fn optional(log: State<Log>, token: Result<SystemToken, OauthTokenRejection>) -> Result<()> {
    log.write(format!("token: {}", token.is_ok()));
    Ok(())
}

struct Fixture {
    harness: Harness,
    log: Log,
    clock: TestClock,
    jobs: MemoryJobs,
    running: Option<BackgroundTasks>,
}

fn fixture(open: bool) -> Fixture {
    let (log, clock, jobs) = (Log::new(open), TestClock::new(), MemoryJobs::new());
    let app = App::empty()
        .handler(forge_remote::handler!(plain))
        .handler(forge_remote::handler!(fails))
        .handler(forge_remote::handler!(limited))
        .handler(forge_remote::handler!(with_token))
        .handler(forge_remote::handler!(optional))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .state(log.clone())
        .token_store(MemoryTokens::new())
        .clock(clock.clone())
        .jobs(jobs.clone());
    let harness = Harness::new(app).unwrap();
    let running = harness.start_background().unwrap();
    Fixture {
        harness,
        log,
        clock,
        jobs,
        running: Some(running),
    }
}

fn issue(id: u32) -> Value {
    json!({ "eventType": "avi:jira:created:issue", "issue": { "id": id } })
}

impl Fixture {
    /// Lets the engine do all that it can do now.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn finished(&self) {
        for _ in 0..10_000 {
            if self.jobs.unfinished() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} jobs are not finished", self.jobs.unfinished());
    }
}

#[tokio::test]
async fn a_call_is_acknowledged_before_it_runs() {
    let fixture = fixture(false);
    let call = fixture
        .harness
        .call("plain")
        .json(&issue(7))
        .header("x-b3-traceid", "a523b7549f0b88c9");
    let response = call.send().await;
    assert_eq!(response.status(), 202);
    fixture.settle().await;
    assert_eq!(fixture.log.lines(), [""; 0]);
    assert_eq!(fixture.jobs.unfinished(), 1);
    fixture.log.gate.add_permits(1);
    assert_eq!(fixture.log.wait_for(1).await, ["7 of 36 traced true"]);
    fixture.finished().await;
}

#[tokio::test]
async fn deliveries_of_one_event_run_once_and_equal_events_each() {
    let fixture = fixture(true);
    let deliver = async |id: u32, retry: u32| {
        let call = fixture.harness.call("plain").json(&issue(id));
        let call = match retry {
            0 => call,
            retry => call.as_retry(retry, "TIMEOUT_ERROR"),
        };
        assert_eq!(call.send().await.status(), 202);
    };
    // The first delivery and its four retries, some of them after the run.
    deliver(1, 0).await;
    deliver(1, 1).await;
    fixture.log.wait_for(1).await;
    for retry in 2..=4 {
        fixture.clock.advance(Duration::from_secs(60));
        deliver(1, retry).await;
    }
    fixture.finished().await;
    assert_eq!(fixture.log.lines().len(), 1);
    // Two events that happen to be equal.
    deliver(2, 0).await;
    deliver(2, 0).await;
    fixture.finished().await;
    assert_eq!(fixture.log.lines().len(), 3);
    // The first delivery of this one was not stored.
    deliver(3, 1).await;
    fixture.finished().await;
    assert_eq!(fixture.log.lines().len(), 4);
    // Another event with the body of an old one, of which only the retry arrives.
    fixture.clock.advance(Duration::from_secs(3600));
    deliver(1, 1).await;
    fixture.finished().await;
    assert_eq!(fixture.log.lines().len(), 5);
}

#[tokio::test]
async fn a_failure_is_retried_after_the_backoff_until_the_attempts_are_spent() {
    for how in ["error", "panic"] {
        let fixture = fixture(true);
        let body = json!({ "eventType": "avi:jira:updated:issue", "how": how });
        let response = fixture.harness.call("fails").json(&body).send().await;
        assert_eq!(response.status(), 202);
        assert_eq!(fixture.log.wait_for(1).await, ["1 after none"]);
        fixture.settle().await;
        fixture.clock.advance(Duration::from_millis(8900));
        fixture.settle().await;
        assert_eq!(fixture.log.lines().len(), 1);
        fixture.clock.advance(Duration::from_millis(1100));
        let lines = fixture.log.wait_for(2).await;
        let reason = if how == "panic" {
            "in the handler"
        } else {
            "broken"
        };
        assert_eq!(lines[1], format!("2 after {reason}"));
        fixture.settle().await;
        fixture.clock.advance(Duration::from_secs(15));
        fixture.log.wait_for(3).await;
        fixture.finished().await;
        fixture.clock.advance(Duration::from_secs(3600));
        fixture.settle().await;
        assert_eq!(fixture.log.lines().len(), 3);
    }
}

/// The first line of each attempt is its number.
#[tokio::test]
async fn every_attempt_has_the_time_of_the_call() {
    let fixture = fixture(true);
    let called = fixture.clock.now().duration_since(UNIX_EPOCH).unwrap();
    let body = json!({ "eventType": "avi:jira:updated:issue", "how": "dated" });
    fixture.harness.call("fails").json(&body).send().await;
    fixture.log.wait_for(2).await;
    fixture.settle().await;
    fixture.clock.advance(Duration::from_secs(15));
    let lines = fixture.log.wait_for(4).await;
    let seen = format!("seen at {}", called.as_secs());
    assert_eq!((&lines[1], &lines[3]), (&seen, &seen));
}

#[tokio::test]
async fn a_permanent_error_is_not_retried() {
    let fixture = fixture(true);
    let body = json!({ "eventType": "avi:jira:updated:issue", "how": "permanent" });
    fixture.harness.call("fails").json(&body).send().await;
    fixture.log.wait_for(1).await;
    fixture.finished().await;
}

#[tokio::test]
async fn an_error_can_choose_the_time_of_the_retry() {
    let fixture = fixture(true);
    let body = json!({ "eventType": "avi:jira:updated:issue", "how": "later" });
    fixture.harness.call("fails").json(&body).send().await;
    fixture.log.wait_for(1).await;
    fixture.settle().await;
    fixture.clock.advance(Duration::from_secs(499));
    fixture.settle().await;
    assert_eq!(fixture.log.lines().len(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.log.wait_for(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_exceeds_its_timeout_is_cancelled_and_retried() {
    let fixture = fixture(true);
    let body = json!({ "eventType": "avi:jira:updated:issue", "how": "hangs" });
    fixture.harness.call("fails").json(&body).send().await;
    fixture.log.wait_for(1).await;
    // While everything waits, Tokio advances its paused time.
    tokio::time::sleep(Duration::from_secs(121)).await;
    fixture.clock.advance(Duration::from_secs(10));
    let lines = fixture.log.wait_for(2).await;
    assert_eq!(lines[1], "2 after it did not end within 120s");
}

#[tokio::test]
async fn at_most_so_many_of_an_installation_run_at_once() {
    let fixture = fixture(false);
    for id in 0..6 {
        let body = json!({ "eventType": "avi:jira:deleted:issue", "issue": { "id": id } });
        fixture.harness.call("limited").json(&body).send().await;
    }
    fixture.log.wait_for(2).await;
    fixture.settle().await;
    assert_eq!(fixture.log.lines().len(), 2);
    fixture.log.gate.add_permits(6);
    fixture.log.wait_for(6).await;
    fixture.finished().await;
    assert_eq!(fixture.log.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_waits_for_the_token_of_its_installation() {
    let fixture = fixture(true);
    let call = |key| fixture.harness.call(key);
    assert_eq!(
        call("with-token").tokens(Auth::NONE).send().await.status(),
        202
    );
    assert_eq!(
        call("optional").tokens(Auth::NONE).send().await.status(),
        202
    );
    assert_eq!(fixture.log.wait_for(1).await, ["token: false"]);
    fixture.settle().await;
    fixture.clock.advance(Duration::from_secs(60));
    fixture.settle().await;
    assert_eq!(fixture.log.lines().len(), 1);
    // The next call brings the token.
    assert_eq!(call("optional").send().await.status(), 202);
    assert_eq!(fixture.log.wait_for(2).await[1], "token: true");
    fixture.settle().await;
    fixture.clock.advance(Duration::from_secs(30));
    let lines = fixture.log.wait_for(3).await;
    assert!(lines[2].starts_with("token of "), "{lines:?}");
}

#[tokio::test]
async fn a_call_that_is_older_than_a_day_still_waits_for_a_token_after_an_outage() {
    let mut fixture = fixture(true);
    let call = |harness: &Harness| harness.call("with-token").tokens(Auth::NONE);
    assert_eq!(call(&fixture.harness).send().await.status(), 202);
    fixture.settle().await;
    fixture.running.take().unwrap().stop(Duration::ZERO).await;
    fixture.clock.advance(Duration::from_secs(30 * 3600));
    fixture.running = Some(fixture.harness.start_background().unwrap());
    fixture.settle().await;
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.settle().await;
    assert_eq!(fixture.jobs.unfinished(), 1);
    // Without a token for two hours more, it is dead.
    fixture.clock.advance(Duration::from_secs(2 * 3600));
    fixture.finished().await;
    assert_eq!(fixture.log.lines(), [""; 0]);
}

#[tokio::test]
async fn jobs_that_are_cut_off_run_again_without_a_spent_attempt() {
    let log = Log::new(true);
    let (clock, jobs) = (TestClock::new(), MemoryJobs::new());
    let app = App::empty()
        .handler(forge_remote::handler!(fails))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .state(log.clone())
        .clock(clock.clone())
        .jobs(jobs.clone());
    let harness = Harness::new(app).unwrap();
    let running = harness.start_background().unwrap();
    let body = json!({ "eventType": "avi:jira:updated:issue", "how": "hangs" });
    harness.call("fails").json(&body).send().await;
    log.wait_for(1).await;
    running.stop(Duration::ZERO).await;
    let _running = harness.start_background().unwrap();
    assert_eq!(log.wait_for(2).await[1], "1 after none");
}
