//! Handlers with `cron`: the clock's calls store their occurrences, and each runs at its minute.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::BackgroundTasks;
use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, Attempt, EngineContext, EngineError, Envelope, Guarantees, JobEngine, JobState,
    MemoryJobs, ReportCode,
};
use forge_remote::prelude::*;
use forge_remote::schedules::Occurrence;
use forge_remote::testing::{ApiResponse, Harness, TestClock};
use forge_remote::token::MemoryTokens;
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, published};
use forge_remote_tests::stores::KEYS;
use forge_remote_tests::test_app::TestApp;
use tokio::sync::{Semaphore, watch};

const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The runs: what ran, for which time; and how many more may end.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) lines: Arc<watch::Sender<Vec<String>>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Log {
    pub(crate) fn new(may_end: usize) -> Self {
        Self {
            lines: Arc::new(watch::Sender::new(Vec::new())),
            gate: Arc::new(Semaphore::new(may_end)),
        }
    }

    pub(crate) fn write(&self, handler: &str, occurrence: Occurrence) {
        let line = format!("{handler} {}", text(occurrence.scheduled_for()));
        self.lines.send_modify(|lines| lines.push(line));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    pub(crate) async fn wait_for(&self, count: usize) -> Vec<String> {
        let mut lines = self.lines.subscribe();
        let waiting = lines.wait_for(|lines| lines.len() >= count);
        let waiting = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        let lines =
            waiting.unwrap_or_else(|_| panic!("{count} runs are missing: {:?}", self.lines()));
        lines.unwrap().clone()
    }
}

/// The time of day of a full minute, in UTC.
fn text(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(since % 60, 0, "an occurrence is at a full minute");
    let minutes = since / 60;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

/// Monday, 30 November 2026, at this time in UTC.
pub(crate) fn monday(hour: u64, minute: u64) -> SystemTime {
    let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_996_800);
    midnight + Duration::from_secs(hour * 3600 + minute * 60)
}

/// Sends the report of the night.
#[scheduled_trigger(cron = "30 2 * * 1-5", tz = "Europe/Berlin", auth = system, key = "report")]
async fn report(
    log: State<Log>,
    occurrence: Occurrence,
    token: SystemToken,
    attempt: Attempt,
) -> Result<()> {
    assert!(!token.expose_secret().is_empty() && attempt.number() == 1);
    log.write("report", occurrence);
    Ok(())
}

#[scheduled_trigger(cron = "*/10 * * * *", key = "often")]
pub(crate) async fn often(log: State<Log>, occurrence: Occurrence) -> Result<()> {
    log.write("often", occurrence);
    log.gate.acquire().await?.forget();
    Ok(())
}

#[scheduled_trigger(cron = "*/10 * * * *", overlap = "allow", key = "overlapping")]
pub(crate) async fn overlapping(log: State<Log>, occurrence: Occurrence) -> Result<()> {
    log.write("overlapping", occurrence);
    log.gate.acquire().await?.forget();
    Ok(())
}

#[scheduled_trigger(cron = "0 * * * *", jitter = "30m", key = "spread")]
async fn spread(log: State<Log>, occurrence: Occurrence) {
    log.write("spread", occurrence);
}

#[scheduled_trigger(
    cron = "0 * * * *",
    catch_up = "0s",
    key = "punctual",
    durable(retries = 0)
)]
async fn punctual(log: State<Log>, occurrence: Occurrence) {
    log.write("punctual", occurrence);
}

#[scheduled_trigger(cron = "0 * * * *", catch_up = "0s", key = "limited", auth = system)]
async fn limited(
    log: State<Log>,
    occurrence: Occurrence,
    call: Invocation,
    token: SystemToken,
) -> Result<()> {
    log.write("limited", occurrence);
    call.jira()
        .as_app(&token)
        .get("/rest/api/3/myself")
        .send()
        .await?;
    Ok(())
}

#[scheduled_trigger(cron = "0 * * * *", catch_up = "0s", key = "interrupted")]
async fn interrupted(log: State<Log>, occurrence: Occurrence) -> Result<()> {
    log.write("interrupted", occurrence);
    log.gate.acquire().await?.forget();
    Ok(())
}

/// An engine, as one that outlives the process: its jobs are sealed under the configured key.
pub(crate) struct Lasting(pub(crate) Arc<dyn JobEngine>);

impl JobEngine for Lasting {
    fn name(&self) -> String {
        "lasting".to_owned()
    }

    fn open(&self) -> BoxFuture<Result<(), EngineError>> {
        self.0.open()
    }

    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        self.0.accept(envelope)
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        self.0.serve(context)
    }

    fn guarantees(&self) -> Guarantees {
        self.0.guarantees().outlives_process()
    }
}

pub(crate) fn app(
    handler: forge_remote::registry::Registration,
    log: &Log,
    clock: &TestClock,
) -> App {
    App::empty()
        .handler(handler)
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .state(log.clone())
        .token_store(Tokens::new(MemoryTokens::new()).keys(KEYS[0]))
        .clock(clock.clone())
}

pub(crate) struct Fixture {
    pub(crate) harness: Harness,
    pub(crate) log: Log,
    pub(crate) clock: TestClock,
    pub(crate) jobs: MemoryJobs,
    pub(crate) running: Option<BackgroundTasks>,
}

impl Fixture {
    pub(crate) fn new(
        handler: forge_remote::registry::Registration,
        may_end: usize,
        now: SystemTime,
    ) -> Self {
        let (log, clock, jobs) = (Log::new(may_end), TestClock::new(), MemoryJobs::new());
        clock.set(now);
        let app = app(handler, &log, &clock).jobs(Lasting(Arc::new(jobs.clone())));
        Self::start(Harness::new(app).unwrap(), log, clock, jobs)
    }

    /// The handler [`often`], which has run once.
    pub(crate) async fn with_one_run(now: SystemTime) -> Self {
        let fixture = Self::new(forge_remote::handler!(often), 99, now);
        fixture.tick().await;
        fixture.log.wait_for(1).await;
        fixture
    }

    /// The handler's calls to Atlassian reach simulated APIs.
    pub(crate) async fn with_apis(
        handler: forge_remote::registry::Registration,
        now: SystemTime,
    ) -> Self {
        let (log, clock, jobs) = (Log::new(0), TestClock::new(), MemoryJobs::new());
        clock.set(now);
        let app = app(handler, &log, &clock).jobs(Lasting(Arc::new(jobs.clone())));
        let harness = Harness::with_apis_and_store(app).await.unwrap();
        Self::start(harness, log, clock, jobs)
    }

    pub(crate) fn start(harness: Harness, log: Log, clock: TestClock, jobs: MemoryJobs) -> Self {
        let running = harness.start_background().unwrap();
        Self {
            harness,
            log,
            clock,
            jobs,
            running: Some(running),
        }
    }

    /// The clock's call by Forge.
    pub(crate) async fn tick(&self) {
        let response = self.harness.call("cron-clock").send().await;
        assert_eq!(response.status(), 202, "{response:?}");
    }

    /// Advances the clock to this time, minute by minute, and lets the engine do all that it can do.
    pub(crate) async fn until(&self, time: SystemTime) {
        while let Ok(rest) = time.duration_since(self.clock.now()) {
            settle().await;
            if rest.is_zero() {
                break;
            }
            self.clock.advance(rest.min(MINUTE));
        }
        settle().await;
    }

    /// Waits until a job's last run has ended for this reason.
    pub(crate) async fn until_last_run_is(&self, code: ReportCode) {
        let jobs = self.jobs.inspector().unwrap();
        for _ in 0..2000 {
            let listed = jobs.list(JobState::ALL.to_vec(), None, 10).await.unwrap();
            if listed
                .iter()
                .any(|job| job.last.as_ref().is_some_and(|last| last.code == code))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let listed = jobs.list(JobState::ALL.to_vec(), None, 10).await.unwrap();
        panic!("no job's last run is {code:?}: {listed:?}");
    }

    /// Replaces the app by its next version.
    pub(crate) async fn deploy(&mut self, handler: forge_remote::registry::Registration) {
        if let Some(running) = self.running.take() {
            running.stop(Duration::ZERO).await;
        }
        let app = app(handler, &self.log, &self.clock).jobs(Lasting(Arc::new(self.jobs.clone())));
        self.harness = self.harness.another(app).await.unwrap();
        self.running = Some(self.harness.start_background().unwrap());
    }
}

pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_occurrence_runs_at_its_minute_with_the_kept_token() {
    let fixture = Fixture::new(forge_remote::handler!(report), 9, monday(0, 40));
    fixture.tick().await;
    assert_eq!(fixture.jobs.unfinished(), 1);
    fixture.until(monday(1, 29)).await;
    fixture.clock.advance(Duration::from_secs(59));
    settle().await;
    assert_eq!(fixture.log.lines(), [""; 0]);
    fixture.clock.advance(Duration::from_secs(1));
    // 2:30 in Berlin.
    assert_eq!(fixture.log.wait_for(1).await, ["report 01:30"]);
    fixture.until(monday(1, 40)).await;
    fixture.tick().await;
    fixture.until(monday(5, 0)).await;
    assert_eq!(fixture.log.lines().len(), 1);
    assert_eq!(fixture.jobs.unfinished(), 0);
}

#[tokio::test]
async fn ticks_that_repeat_or_reach_another_instance_store_nothing_twice() {
    // 8:00 was missed; 8:10 to 9:30 come in an hour and a half.
    let fixture = Fixture::with_one_run(monday(8, 5)).await;
    settle().await;
    assert_eq!(fixture.jobs.unfinished(), 9);
    fixture.tick().await;
    let app = app(forge_remote::handler!(often), &fixture.log, &fixture.clock);
    let app = app.jobs(Lasting(Arc::new(fixture.jobs.clone())));
    let other = fixture.harness.another(app).await.unwrap();
    assert_eq!(other.call("cron-clock").send().await.status(), 202);
    settle().await;
    assert_eq!(fixture.jobs.unfinished(), 9);
    assert_eq!(fixture.log.lines(), ["often 08:00"]);
    // An hour of ticks in each instance.
    fixture.until(monday(9, 5)).await;
    fixture.tick().await;
    fixture.until(monday(9, 35)).await;
    let lines = fixture.log.lines();
    let distinct: BTreeSet<&String> = lines.iter().collect();
    assert_eq!((lines.len(), distinct.len()), (10, 10), "{lines:?}");
}

/// Has the local platform run a handler's next occurrence ahead of its time.
async fn fire(harness: &Harness) {
    let call = harness.call("cron-clock");
    let call = call.header("x-forge-remote-fire", "often");
    assert_eq!(call.send().await.status(), 202);
}

#[tokio::test]
async fn a_fired_occurrence_runs_however_late() {
    let fixture = Fixture::new(forge_remote::handler!(often), 0, monday(8, 5));
    fire(&fixture.harness).await;
    fixture.log.wait_for(1).await;
    // It waits for the first one, until the time of the occurrence after it.
    fire(&fixture.harness).await;
    fixture.until(monday(8, 25)).await;
    assert_eq!(fixture.log.lines().len(), 1);
    fixture.log.gate.add_permits(2);
    assert_eq!(fixture.log.wait_for(2).await, ["often 08:10"; 2]);
}

#[tokio::test]
async fn without_an_engine_a_fired_occurrence_does_not_keep_the_scheduled_one_from_running() {
    let (log, clock) = (Log::new(0), TestClock::new());
    clock.set(monday(8, 5));
    let app = app(forge_remote::handler!(often), &log, &clock);
    let harness = Harness::new(app).unwrap();
    let tick = async || assert_eq!(harness.call("cron-clock").send().await.status(), 202);
    tick().await;
    fire(&harness).await;
    log.wait_for(1).await;
    clock.set(monday(8, 15));
    tick().await;
    assert_eq!(log.wait_for(2).await, ["often 08:10"; 2]);
}

#[tokio::test]
async fn an_installation_without_ticks_runs_nothing_more() {
    let fixture = Fixture::new(forge_remote::handler!(often), 99, monday(8, 5));
    fixture.tick().await;
    fixture.until(monday(23, 0)).await;
    let lines = fixture.log.lines();
    assert_eq!(lines.last().unwrap(), "often 09:30");
    // Ticks come again: the last missed occurrence runs once.
    let before = lines.len();
    fixture.tick().await;
    fixture.log.wait_for(before + 1).await;
    settle().await;
    assert_eq!(fixture.log.lines()[before..], ["often 23:00"]);
}

#[tokio::test]
async fn occurrences_that_an_engine_runs_too_late_are_skipped() {
    let mut fixture = Fixture::new(forge_remote::handler!(often), 99, monday(8, 1));
    fixture.running.take().unwrap().stop(Duration::ZERO).await;
    fixture.tick().await;
    // The engine stands still from 8:01 to 8:44.
    fixture.clock.advance(43 * MINUTE);
    fixture.running = Some(fixture.harness.start_background().unwrap());
    fixture.log.wait_for(1).await;
    settle().await;
    assert_eq!(fixture.log.lines(), ["often 08:40"]);
    assert_eq!(fixture.jobs.unfinished(), 5);

    let mut fixture = Fixture::new(forge_remote::handler!(punctual), 99, monday(8, 10));
    fixture.running.take().unwrap().stop(Duration::ZERO).await;
    fixture.tick().await;
    fixture.clock.advance(52 * MINUTE);
    fixture.running = Some(fixture.harness.start_background().unwrap());
    settle().await;
    assert_eq!(fixture.log.lines(), [""; 0]);
    assert_eq!(fixture.jobs.unfinished(), 0);
}

/// Atlassian limits the first run for an hour, so that it resumes when it is late and the next is due.
#[tokio::test]
async fn a_run_that_atlassian_limits_is_finished_however_late() {
    let fixture = Fixture::with_apis(forge_remote::handler!(limited), monday(8, 10)).await;
    let apis = fixture.harness.platform().apis();
    apis.fail_next(1, ApiResponse::status(429).header("retry-after", "3600"));
    fixture.tick().await;
    fixture.until(monday(9, 0)).await;
    assert_eq!(fixture.log.wait_for(1).await, ["limited 09:00"]);
    fixture.until_last_run_is(ReportCode::RateLimited).await;
    fixture.until(monday(9, 59)).await;
    assert_eq!(fixture.log.lines().len(), 1);
    fixture.until(monday(10, 0)).await;
    let lines = fixture.log.wait_for(2).await;
    assert_eq!(lines, ["limited 09:00"; 2]);
}

/// A deployment ends a run. The next version finishes it, although it is late then.
#[tokio::test]
async fn a_run_that_a_deployment_interrupts_is_finished_however_late() {
    let mut fixture = Fixture::new(forge_remote::handler!(interrupted), 0, monday(8, 10));
    fixture.tick().await;
    fixture.until(monday(9, 0)).await;
    assert_eq!(fixture.log.lines(), ["interrupted 09:00"]);
    fixture.until(monday(9, 30)).await;
    fixture.deploy(forge_remote::handler!(interrupted)).await;
    fixture.log.gate.add_permits(1);
    assert_eq!(fixture.log.wait_for(2).await, ["interrupted 09:00"; 2]);
    fixture.until(monday(10, 0)).await;
    assert_eq!(fixture.jobs.unfinished(), 0);
}

#[tokio::test]
async fn an_occurrence_is_skipped_while_the_one_before_runs() {
    let fixture = Fixture::new(forge_remote::handler!(often), 0, monday(8, 9));
    fixture.tick().await;
    // The run of 8:00 lasts until 8:15.
    fixture.until(monday(8, 15)).await;
    assert_eq!(fixture.log.lines(), ["often 08:00"]);
    fixture.log.gate.add_permits(1);
    settle().await;
    assert_eq!(fixture.log.lines(), ["often 08:00"]);
    fixture.log.gate.add_permits(9);
    fixture.until(monday(8, 20)).await;
    assert_eq!(
        fixture.log.wait_for(2).await,
        ["often 08:00", "often 08:20"]
    );

    let fixture = Fixture::new(forge_remote::handler!(overlapping), 0, monday(8, 9));
    fixture.tick().await;
    fixture.until(monday(8, 10)).await;
    let expected = ["overlapping 08:00", "overlapping 08:10"];
    assert_eq!(fixture.log.wait_for(2).await, expected);
}

#[tokio::test]
async fn installations_are_spread_over_the_jitter() {
    let fixture = Fixture::new(forge_remote::handler!(spread), 99, monday(8, 59));
    for number in 0..40 {
        let uuid = format!("00000000-0000-4000-a000-{number:012}");
        let call = fixture.harness.call("cron-clock");
        let response = call.fit(|fit| fit.installation(&uuid)).send().await;
        assert_eq!(response.status(), 202);
    }
    fixture.until(monday(9, 0)).await;
    // The occurrences of 8:00 and later have caught up; few of 9:00 are due.
    let nine = |log: &Log| {
        log.lines()
            .iter()
            .filter(|line| line.ends_with("09:00"))
            .count()
    };
    let early = nine(&fixture.log);
    fixture.until(monday(9, 15)).await;
    let half = nine(&fixture.log);
    fixture.until(monday(9, 30)).await;
    let all = nine(&fixture.log);
    assert!(
        early <= 6 && (8..=32).contains(&half) && all == 40,
        "{early} {half} {all}"
    );
}

#[tokio::test]
async fn a_test_calls_a_handler_directly() {
    let fixture = Fixture::new(forge_remote::handler!(often), 99, monday(8, 7));
    assert_eq!(fixture.harness.call("often").send().await.status(), 202);
    assert_eq!(fixture.log.wait_for(1).await, ["often 08:07"]);
}

#[tokio::test]
async fn stored_jobs_of_a_removed_installation_are_discarded() {
    let (log, clock, jobs) = (Log::new(99), TestClock::new(), MemoryJobs::new());
    clock.set(monday(8, 5));
    let app = app(forge_remote::handler!(often), &log, &clock);
    let app = app
        .jobs(Lasting(Arc::new(jobs.clone())))
        .keep_tokens_fresh();
    let harness = Harness::new(app).unwrap();
    let _running = harness.start_background().unwrap();
    assert_eq!(harness.call("tokens-hourly").send().await.status(), 200);
    assert_eq!(harness.call("cron-clock").send().await.status(), 202);
    assert_eq!(log.wait_for(1).await, ["often 08:00"]);
    clock.advance(3 * MINUTE);
    assert_eq!(harness.call("tokens-goodbye").send().await.status(), 200);
    for _ in 0..100 {
        clock.advance(MINUTE);
        settle().await;
    }
    assert_eq!(jobs.unfinished(), 0);
    assert_eq!(log.lines().len(), 1);
}

/// Only a local platform can call a handler directly.
#[tokio::test]
async fn a_served_app_has_no_route_for_handlers_with_cron() {
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.handler(forge_remote::handler!(often))
            .state(Log::new(0))
    })
    .await;
    let token = Fit::backend(app.now(), "often").token();
    for (path, status) in [
        ("/forge-remote/cron/often", 404),
        ("/often", 404),
        ("/cron-clock", 401),
    ] {
        let call = Call::post(path).bearer(&token);
        assert_eq!(app.send(&call).await.unwrap().status, status, "{path}");
    }
}
