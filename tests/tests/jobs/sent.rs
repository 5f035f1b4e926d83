//! Jobs that the app sends itself: from a call, from a job, from a background task.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::BackgroundTasks;
use forge_remote::client::AtlassianClient;
use forge_remote::jobs::{
    Accepted, AppJobs, Args, Attempt, JobCall, Jobs, MemoryJobs, NewJob, SendError,
};
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::MemoryTokens;
use serde::{Deserialize, Serialize};

use crate::log::Log;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Reindex {
    project: String,
    #[serde(default)]
    fails: bool,
}

/// Copies a project to the search index.
#[job(retries = 1, backoff = "10s..10s")]
async fn reindex(
    log: State<Log>,
    call: JobCall,
    attempt: Attempt,
    Args(work): Args<Reindex>,
) -> Result<()> {
    let sender = call.invocation();
    log.write(format!(
        "{} attempt {} for {}, sent by {} of {}",
        work.project,
        attempt.number(),
        call.installation_id()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .len(),
        sender.map_or("no call", |sender| sender.endpoint()),
        sender
            .and_then(|sender| sender.principal())
            .unwrap_or("nobody"),
    ));
    match work.fails {
        true => Err("the index is down".into()),
        false => Ok(()),
    }
}

/// Sends another job.
#[job(key = "first-step")]
async fn chain(jobs: Jobs, log: State<Log>) -> Result<()> {
    log.write("chain");
    jobs.send(reindex::args(project("CHAINED"))).await?;
    Ok(())
}

/// Needs the stored token and the clients.
#[job]
async fn with_token(
    token: SystemToken,
    tokens: Tokens,
    atlassian: AtlassianClient,
    log: State<Log>,
    Args(words): Args<Vec<String>>,
) -> Result<()> {
    let _ = (tokens, atlassian);
    log.write(format!(
        "{words:?}, token of {}",
        token.expose_secret().len() > 10
    ));
    Ok(())
}

mod elsewhere {
    use super::*;

    /// Not in the app.
    #[job]
    pub(super) async fn unknown() {}
}

fn project(name: &str) -> Reindex {
    Reindex {
        project: name.to_owned(),
        fails: false,
    }
}

/// The job that a call sends, and the result of sending it.
type Plan = Arc<Mutex<Option<Box<dyn FnOnce(&Jobs) -> forge_remote::jobs::SendJob + Send>>>>;
type Outcome = Arc<Mutex<Option<Result<Accepted, SendError>>>>;

#[derive(Clone, Default)]
struct Sending {
    plan: Plan,
    outcome: Outcome,
}

#[endpoint(auth = system, key = "page", path = "/page")]
async fn page(jobs: Jobs, State(sending): State<Sending>) -> Result<StatusCode> {
    let plan = sending.plan.lock().unwrap().take().unwrap();
    let outcome = plan(&jobs).await;
    *sending.outcome.lock().unwrap() = Some(outcome);
    Ok(StatusCode::ACCEPTED)
}

struct Fixture {
    harness: Harness,
    log: Log,
    clock: TestClock,
    jobs: MemoryJobs,
    sending: Sending,
    _running: BackgroundTasks,
}

fn app(log: &Log) -> App {
    App::empty()
        .handler(forge_remote::handler!(page))
        .handler(forge_remote::handler!(reindex))
        .handler(forge_remote::handler!(chain))
        .handler(forge_remote::handler!(with_token))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .state(log.clone())
        .token_store(MemoryTokens::new())
}

fn fixture() -> Fixture {
    let (log, clock, jobs) = (Log::new(true), TestClock::new(), MemoryJobs::new());
    let sending = Sending::default();
    let app = app(&log)
        .state(sending.clone())
        .clock(clock.clone())
        .jobs(jobs.clone());
    let harness = Harness::new(app).unwrap();
    let running = harness.start_background().unwrap();
    Fixture {
        harness,
        log,
        clock,
        jobs,
        sending,
        _running: running,
    }
}

impl Fixture {
    /// Makes a page's call send a job, and returns the result of sending it.
    async fn send(
        &self,
        plan: impl FnOnce(&Jobs) -> forge_remote::jobs::SendJob + Send + 'static,
    ) -> Result<Accepted, SendError> {
        *self.sending.plan.lock().unwrap() = Some(Box::new(plan));
        let response = self.harness.call("page").send().await;
        assert_eq!(response.status(), 202, "{}", response.text());
        self.sending.outcome.lock().unwrap().take().unwrap()
    }

    async fn send_plainly(&self, job: NewJob) -> Result<Accepted, SendError> {
        self.send(move |jobs| jobs.send(job)).await
    }

    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_job_runs_with_its_arguments_and_the_call_that_sent_it() {
    let fixture = fixture();
    let accepted = fixture.send_plainly(reindex::args(project("ONE"))).await;
    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
    let lines = fixture.log.wait_for(1).await;
    assert!(
        lines[0].starts_with("ONE attempt 1 for 36, sent by page of "),
        "{lines:?}"
    );
    assert!(!lines[0].ends_with("nobody"), "{lines:?}");
}

#[tokio::test]
async fn a_failed_job_is_retried_as_its_attribute_says() {
    let fixture = fixture();
    let fails = Reindex {
        fails: true,
        ..project("ONE")
    };
    fixture.send_plainly(reindex::args(fails)).await.unwrap();
    fixture.log.wait_for(1).await;
    fixture.settle().await;
    fixture.clock.advance(Duration::from_secs(10));
    let lines = fixture.log.wait_for(2).await;
    assert!(lines[1].starts_with("ONE attempt 2"), "{lines:?}");
    fixture.settle().await;
    // Two attempts, and it is dead.
    assert_eq!(fixture.jobs.unfinished(), 0);
}

#[tokio::test]
async fn a_delayed_job_waits_and_a_unique_one_is_sent_once() {
    let fixture = fixture();
    let later = |jobs: &Jobs| {
        let job = jobs.send(reindex::args(project("LATER")));
        job.after(Duration::from_secs(3600)).unique("the key")
    };
    let first = fixture.send(later).await.unwrap();
    let Accepted::New(id) = first else {
        panic!("{first:?}");
    };
    let repeated = Accepted::Repeated(id);
    assert_eq!(fixture.send(later).await.unwrap(), repeated);
    fixture.clock.advance(Duration::from_secs(3599));
    fixture.settle().await;
    assert_eq!(fixture.log.lines(), [""; 0]);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.log.wait_for(1).await;
    fixture.settle().await;
    // It is done, and known for a day.
    assert_eq!(fixture.send(later).await.unwrap(), repeated);
    let other = fixture
        .send(|jobs| jobs.send(reindex::args(project("LATER"))).unique("another"))
        .await;
    assert!(matches!(other, Ok(Accepted::New(_))), "{other:?}");
    let of_other_job = fixture
        .send(|jobs| jobs.send(chain::args()).unique("the key"))
        .await;
    assert!(
        matches!(of_other_job, Ok(Accepted::New(_))),
        "{of_other_job:?}"
    );
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    assert!(matches!(fixture.send(later).await, Ok(Accepted::New(_))));
}

#[tokio::test]
async fn a_job_can_be_unique_only_while_it_is_unfinished() {
    let fixture = fixture();
    let now = |jobs: &Jobs| {
        jobs.send(reindex::args(project("NOW")))
            .unique_within("now", Duration::ZERO)
    };
    for runs in 1..=2 {
        let sent = fixture.send(now).await;
        assert!(matches!(sent, Ok(Accepted::New(_))), "{sent:?}");
        fixture.log.wait_for(runs).await;
        fixture.settle().await;
    }
    let later = move |jobs: &Jobs| now(jobs).after(Duration::from_secs(60));
    fixture.send(later).await.unwrap();
    let again = fixture.send(now).await;
    assert!(matches!(again, Ok(Accepted::Repeated(_))), "{again:?}");
}

#[tokio::test]
async fn a_job_sends_another_for_the_same_call() {
    let fixture = fixture();
    fixture.send_plainly(chain::args()).await.unwrap();
    let lines = fixture.log.wait_for(2).await;
    assert_eq!(lines[0], "chain");
    assert!(
        lines[1].starts_with("CHAINED attempt 1 for 36, sent by page of "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_job_takes_the_kept_token_when_it_runs() {
    let fixture = fixture();
    let job = with_token::args(vec!["a".to_owned()]);
    // The page's call brings no token that is kept.
    fixture.send_plainly(job).await.unwrap();
    fixture.settle().await;
    assert_eq!(fixture.log.lines(), [""; 0]);
    assert_eq!(fixture.jobs.unfinished(), 1);
}

/// The handler keeps the installation's token, as the platform's calls do.
#[scheduled_trigger(interval = "hour", auth = system, key = "tick", endpoint = "tick-end")]
async fn tick(_token: SystemToken) {}

async fn everywhere(jobs: AppJobs, tokens: Tokens, log: State<Log>) -> Result<()> {
    for installation in tokens.installations().await? {
        let jobs = jobs.of(&installation);
        let words = vec!["background".to_owned()];
        jobs.send(with_token::args(words)).unique("once").await?;
        jobs.send(reindex::args(project("BACKGROUND")))
            .unique("once")
            .await?;
        jobs.send(chain::args()).unique("once").await?;
    }
    log.write("sent");
    Ok(())
}

#[tokio::test]
async fn a_background_task_sends_jobs_for_an_installation() {
    let (log, jobs) = (Log::new(true), MemoryJobs::new());
    let app = app(&log)
        .handler(forge_remote::handler!(tick))
        .state(Sending::default())
        .background(everywhere)
        .jobs(jobs.clone());
    let harness = Harness::new(app).unwrap();
    assert_eq!(harness.call("tick").send().await.status(), 200);
    let _running = harness.start_background().unwrap();
    let mut lines = log.wait_for(5).await;
    lines.sort();
    assert_eq!(
        lines,
        [
            "BACKGROUND attempt 1 for 36, sent by no call of nobody",
            "CHAINED attempt 1 for 36, sent by no call of nobody",
            "[\"background\"], token of true",
            "chain",
            "sent",
        ]
    );
}

#[tokio::test]
async fn a_job_that_the_app_lacks_is_not_sent() {
    let fixture = fixture();
    let sent = fixture.send_plainly(elsewhere::unknown::args()).await;
    let error = sent.unwrap_err();
    assert!(matches!(error, SendError::UnknownJob { key: "unknown" }));
    assert!(error.to_string().contains("App::handler"), "{error}");
}

#[test]
fn arguments_are_not_written_in_debug_output() {
    let text = format!("{:?}", reindex::args(project("SECRET")));
    assert!(
        !text.contains("SECRET") && text.contains("reindex"),
        "{text}"
    );
}

/// The same function as an earlier version of the app had it.
mod before {
    use super::*;

    #[job(key = "reindex", retries = 1)]
    pub(super) async fn reindex(Args(project): Args<String>) {
        let _ = project;
    }
}

#[tokio::test]
async fn arguments_of_another_version_fail_with_the_reason() {
    let fixture = fixture();
    let job = before::reindex::args("ONE".to_owned());
    fixture.send_plainly(job).await.unwrap();
    fixture.settle().await;
    // It failed, and waits for its second attempt, by which the version may be back.
    assert_eq!(fixture.log.lines(), [""; 0]);
    assert_eq!(fixture.jobs.unfinished(), 1);
    fixture.clock.advance(Duration::from_secs(10));
    fixture.settle().await;
    assert_eq!(fixture.jobs.unfinished(), 0);
}

mod launch {
    use super::*;

    #[job(key = "limited", per_installation = 2)]
    async fn limited(_token: SystemToken) {}

    #[job(key = "limited")]
    async fn same_key() {}

    #[trigger(events = ["avi:jira:created:issue"], key = "sends", endpoint = "sends-end")]
    async fn sends(_jobs: Jobs) {}

    async fn sends_too(_: AppJobs) -> Result<()> {
        Ok(())
    }

    #[track_caller]
    fn problem(app: App) -> String {
        let app = app.remote(Remote::new("backend").base_url("https://backend.example.com"));
        format!("{:?}", Harness::new(app).unwrap_err())
    }

    #[test]
    fn a_job_needs_an_engine_and_a_store() {
        let report = problem(App::empty().handler(forge_remote::handler!(limited)));
        assert!(
            report.contains("no-jobs") && report.contains("sent.rs:"),
            "{report}"
        );
        assert!(
            report.contains("no-tokens") && report.contains("`limited`"),
            "{report}"
        );
    }

    #[test]
    fn who_sends_jobs_needs_an_engine() {
        let report = problem(App::empty().handler(forge_remote::handler!(sends)));
        assert!(
            report.contains("no-jobs") && report.contains("`sends`"),
            "{report}"
        );
        let report = problem(
            App::empty()
                .handler(forge_remote::handler!(page))
                .state(Sending::default())
                .background(sends_too),
        );
        assert!(report.contains("background task"), "{report}");
    }

    #[test]
    fn a_key_is_of_one_job() {
        let app = App::empty()
            .handler(forge_remote::handler!(page))
            .handler(forge_remote::handler!(limited))
            .handler(forge_remote::handler!(same_key));
        let report = problem(app);
        assert!(
            report.contains("duplicate-job") && report.contains("`limited`"),
            "{report}"
        );
    }
}

#[test]
fn auth_is_of_calls_only() {
    // A job requests no token from Forge: it adds nothing to the manifest.
    let log = Log::new(true);
    let harness =
        Harness::new(app(&log).state(Sending::default()).jobs(MemoryJobs::new())).unwrap();
    let keys: Vec<_> = harness
        .app()
        .registry()
        .jobs()
        .iter()
        .map(|job| job.key)
        .collect();
    assert_eq!(keys, ["first-step", "reindex", "with-token"]);
    assert_eq!(harness.app().registry().handlers().len(), 1);
    let auth = harness.app().registry().handlers()[0].registration().auth;
    assert_eq!(auth, Auth::SYSTEM);
}
