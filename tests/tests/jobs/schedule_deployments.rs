//! Deployments that change or rename a handler with `cron`.

use forge_remote::prelude::*;
use forge_remote::schedules::Occurrence;

use crate::schedules::{Fixture, Log, monday};

/// The handler `often` in another version of the app.
#[scheduled_trigger(cron = "*/15 * * * *", key = "often")]
async fn often_changed(log: State<Log>, occurrence: Occurrence) {
    log.write("changed", occurrence);
}

/// The handler `often` in another version of the app, without a cron expression.
#[scheduled_trigger(interval = "hour", durable, key = "often")]
async fn often_hourly() {}

/// The handler `often` in another version of the app, with another name.
#[scheduled_trigger(cron = "*/10 * * * *", key = "renamed", also_key = "often")]
async fn often_renamed(log: State<Log>, occurrence: Occurrence) {
    log.write("renamed", occurrence);
}

#[tokio::test]
async fn occurrences_of_a_former_expression_are_skipped() {
    let mut fixture = Fixture::with_one_run(monday(8, 31)).await;
    fixture.deploy(forge_remote::handler!(often_changed)).await;
    fixture.until(monday(9, 31)).await;
    // 8:30 has run; 9:00 and 9:30 are occurrences of both.
    assert_eq!(
        fixture.log.lines(),
        ["often 08:30", "changed 09:00", "changed 09:30"]
    );
    fixture.tick().await;
    fixture.until(monday(9, 45)).await;
    assert_eq!(fixture.log.lines().last().unwrap(), "changed 09:45");
    assert_eq!(fixture.log.lines().len(), 4);
}

/// In a rolling deployment, an instance of the version that stored it runs it.
#[tokio::test]
async fn an_occurrence_waits_for_the_version_that_has_its_expression() {
    let mut fixture = Fixture::with_one_run(monday(8, 31)).await;
    fixture.deploy(forge_remote::handler!(often_hourly)).await;
    fixture.until(monday(8, 45)).await;
    fixture
        .deploy(forge_remote::handler!(crate::schedules::often))
        .await;
    fixture.until(monday(8, 49)).await;
    assert_eq!(fixture.log.lines(), ["often 08:30", "often 08:40"]);
    fixture.deploy(forge_remote::handler!(often_hourly)).await;
    // None is waited for longer than occurrences are caught up by default.
    fixture.until(monday(11, 30)).await;
    assert_eq!(fixture.jobs.unfinished(), 0);
    assert_eq!(fixture.log.lines().len(), 2);
}

#[tokio::test]
async fn a_renamed_handler_runs_stored_calls_and_nothing_twice() {
    let mut fixture = Fixture::with_one_run(monday(8, 31)).await;
    fixture.deploy(forge_remote::handler!(often_renamed)).await;
    fixture.tick().await;
    fixture.until(monday(9, 0)).await;
    let expected = [
        "often 08:30",
        "renamed 08:40",
        "renamed 08:50",
        "renamed 09:00",
    ];
    assert_eq!(fixture.log.lines(), expected);
}
