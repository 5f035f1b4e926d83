//! Atlassian limits the calls of an installation.

use std::time::Duration;

use forge_remote::BackgroundTasks;
use forge_remote::jobs::MemoryJobs;
use forge_remote::prelude::*;
use forge_remote::testing::{ApiResponse, Harness, TestClock};
use forge_remote::token::MemoryTokens;

use crate::log::Log;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[trigger(events = ["avi:jira:created:issue"], auth = system, durable(retries = 1), key = "calls")]
async fn calls(log: State<Log>, call: Invocation, token: SystemToken) -> Result<()> {
    log.write("calls");
    let jira = call.jira().as_app(&token);
    jira.get("/rest/api/3/myself").send().await?;
    Ok(())
}

#[trigger(events = ["avi:jira:updated:issue"], auth = system, key = "renews")]
async fn renews(_token: SystemToken) {}

struct Fixture {
    harness: Harness,
    log: Log,
    clock: TestClock,
    jobs: MemoryJobs,
    _running: BackgroundTasks,
}

impl Fixture {
    /// Returns an app whose first call to Atlassian gets 429 with this `Retry-After`, in seconds.
    async fn limited(retry_after: &'static str) -> Self {
        let (log, clock, jobs) = (Log::new(true), TestClock::new(), MemoryJobs::new());
        let app = App::empty()
            .handler(forge_remote::handler!(calls))
            .handler(forge_remote::handler!(renews))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .state(log.clone())
            .token_store(MemoryTokens::new())
            .clock(clock.clone())
            .jobs(jobs.clone());
        let harness = Harness::with_apis_and_store(app).await.unwrap();
        let limited = ApiResponse::status(429).header("retry-after", retry_after);
        harness.platform().apis().fail_next(1, limited);
        let running = harness.start_background().unwrap();
        assert_eq!(harness.call("calls").send().await.status(), 202);
        log.wait_for(1).await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        Self {
            harness,
            log,
            clock,
            jobs,
            _running: running,
        }
    }

    /// Advances the clock minute by minute, and has Forge deliver a newer token each time.
    async fn advance(&self, time: Duration) {
        for _ in 0..time.as_secs() / 60 {
            self.clock.advance(MINUTE);
            assert_eq!(self.harness.call("renews").send().await.status(), 200);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn a_job_waits_for_as_many_hours_as_atlassian_says() {
    let fixture = Fixture::limited("21600").await;
    fixture.advance(6 * HOUR - MINUTE).await;
    assert_eq!(fixture.log.lines().len(), 1);
    fixture.advance(MINUTE).await;
    assert_eq!(fixture.log.wait_for(2).await.len(), 2);
    fixture.advance(MINUTE).await;
    assert_eq!(fixture.jobs.unfinished(), 0);
}

#[tokio::test]
async fn a_job_waits_for_a_day_at_most() {
    let fixture = Fixture::limited("864000").await;
    fixture.advance(24 * HOUR - MINUTE).await;
    assert_eq!(fixture.log.lines().len(), 1);
    fixture.advance(MINUTE).await;
    assert_eq!(fixture.log.wait_for(2).await.len(), 2);
}
