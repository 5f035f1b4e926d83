//! Problems that keep an app with durable handlers from starting.

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, Attempt, EngineContext, EngineError, Envelope, Guarantees, JobEngine, MemoryJobs,
};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;

struct Simple(Guarantees);

impl JobEngine for Simple {
    fn name(&self) -> String {
        "simple".to_owned()
    }

    fn accept(&self, _: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        Box::pin(std::future::ready(Err(EngineError::new("not used"))))
    }

    fn serve(&self, _: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(std::future::pending())
    }

    fn guarantees(&self) -> Guarantees {
        self.0
    }
}

#[trigger(events = ["avi:jira:created:issue"], durable(per_installation = 3), key = "one", endpoint = "one-end")]
async fn one() {}

#[trigger(events = ["avi:jira:created:issue"], auth = system, durable, key = "two", endpoint = "two-end")]
async fn two(_token: Option<SystemToken>) {}

#[trigger(events = ["avi:jira:created:issue"], key = "three", endpoint = "three-end")]
async fn three(_attempt: Attempt) {}

#[trigger(events = ["avi:jira:created:issue"], durable, key = "four", endpoint = "shared")]
#[scheduled_trigger(
    interval = "hour",
    durable(retries = 1),
    key = "four-hourly",
    endpoint = "shared"
)]
async fn four() {}

fn app() -> App {
    App::empty().remote(Remote::new("backend").base_url("https://backend.example.com"))
}

#[track_caller]
fn problem(app: App) -> String {
    format!("{:?}", Harness::new(app).unwrap_err())
}

#[test]
fn a_durable_handler_needs_an_engine() {
    let report = problem(app().handler(forge_remote::handler!(one)));
    assert!(
        report.contains("no-jobs") && report.contains("`one`"),
        "{report}"
    );
    assert!(report.contains("launch.rs:"), "{report}");
    let with = app()
        .handler(forge_remote::handler!(one))
        .jobs(MemoryJobs::new());
    assert!(Harness::new(with).is_ok());
}

#[test]
fn an_option_that_the_engine_does_not_enforce_ends_the_launch() {
    let simple = Simple(Guarantees::new());
    let report = problem(app().handler(forge_remote::handler!(one)).jobs(simple));
    assert!(
        report.contains("unenforced-limit") && report.contains("simple"),
        "{report}"
    );
}

#[test]
fn a_durable_handler_takes_its_token_from_a_store() {
    let report = problem(
        app()
            .handler(forge_remote::handler!(two))
            .jobs(MemoryJobs::new()),
    );
    assert!(
        report.contains("no-tokens") && report.contains("`two`"),
        "{report}"
    );
}

#[test]
fn an_attempt_is_of_a_durable_handler() {
    let report = problem(app().handler(forge_remote::handler!(three)));
    assert!(
        report.contains("not-durable") && report.contains("`three`"),
        "{report}"
    );
}

#[test]
fn an_engine_that_outlives_the_process_needs_a_key() {
    let simple = Simple(Guarantees::new().outlives_process().limits_installations());
    let report = problem(app().handler(forge_remote::handler!(one)).jobs(simple));
    assert!(
        report.contains("no-job-key") && report.contains("launch.rs:"),
        "{report}"
    );
    // The app has no token store.
    assert!(
        report.contains("stored calls are encrypted") && report.contains("kept in simple"),
        "{report}"
    );
    assert!(!report.contains("okens"), "{report}");
}

#[test]
fn attributes_of_one_endpoint_have_the_same_durable() {
    let with = app()
        .handler(forge_remote::handler!(four))
        .jobs(MemoryJobs::new());
    let report = problem(with);
    assert!(
        report.contains("divided-durable") && report.contains("`shared`"),
        "{report}"
    );
}
