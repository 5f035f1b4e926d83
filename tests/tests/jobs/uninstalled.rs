//! Jobs of installations from which the app is uninstalled.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::jobs::{
    AppJobs, Args, JobEngine as _, JobState, Jobs, MemoryJobs, ReportCode, SendError,
};
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in,
};

use crate::log::Log;

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[job(key = "note")]
async fn note(log: State<Log>, Args(text): Args<String>) -> Result<()> {
    log.write(text);
    Ok(())
}

/// Sends a job that runs in a week.
#[endpoint(key = "send-note", path = "/send-note")]
async fn send_note(jobs: Jobs, call: Invocation) -> Result<StatusCode> {
    let installation = call.installation_id().to_owned();
    jobs.send(note::args(installation)).after(WEEK).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sends a job that runs at once.
#[endpoint(key = "note-now", path = "/note-now")]
async fn note_now(jobs: Jobs, call: Invocation) -> Result<StatusCode> {
    let installation = call.installation_id().to_owned();
    jobs.send(note::args(installation)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Hands its `Jobs` to the test, as to a task that runs on.
#[endpoint(key = "hand-jobs", path = "/hand-jobs")]
async fn hand_jobs(jobs: Jobs, State(place): State<Handed>) -> Result<StatusCode> {
    place.lock().unwrap().jobs = Some(jobs);
    Ok(StatusCode::NO_CONTENT)
}

/// Hands the app's jobs to the test.
async fn hand_app_jobs(jobs: AppJobs, State(place): State<Handed>) -> Result<()> {
    place.lock().unwrap().app_jobs = Some(jobs);
    Ok(())
}

type Handed = Arc<Mutex<HandedOver>>;

#[derive(Default)]
struct HandedOver {
    jobs: Option<Jobs>,
    app_jobs: Option<AppJobs>,
}

/// Fails, and is to run again in three days.
#[job(key = "in-three-days")]
async fn in_three_days(log: State<Log>) -> Result<()> {
    log.write("started");
    log.gate.acquire().await?.forget();
    Err(Error::retry_after(3 * DAY, "not yet"))
}

async fn app(removal_delay: Duration) -> (TokenApp, Log, MemoryJobs) {
    app_with(removal_delay, Log::new(true), Handed::default()).await
}

async fn app_with(
    removal_delay: Duration,
    log: Log,
    handed: Handed,
) -> (TokenApp, Log, MemoryJobs) {
    let jobs = MemoryJobs::new();
    let app = renewing_app()
        .handler(forge_remote::handler!(hand_jobs))
        .handler(forge_remote::handler!(in_three_days))
        .background(hand_app_jobs)
        .state(handed)
        .handler(forge_remote::handler!(note))
        .handler(forge_remote::handler!(send_note))
        .handler(forge_remote::handler!(note_now))
        .state(log.clone())
        .jobs(jobs.clone());
    let tokens = tokens_in(&FlakyStore::default()).removal_delay(removal_delay);
    (TokenApp::at(TestClock::new(), app, tokens).await, log, jobs)
}

async fn send(app: &TokenApp, uuid: &str) {
    send_by(app, "send-note", uuid).await;
}

async fn send_by(app: &TokenApp, key: &str, uuid: &str) {
    let call = app.harness.call(key);
    let response = call.fit(|fit| fit.installation(uuid)).send().await;
    assert_eq!(response.status(), 202, "{response:?}");
}

#[tokio::test]
async fn a_job_for_next_week_ends_when_the_app_is_uninstalled() {
    let (app, log, jobs) = app(2 * MINUTE).await;
    let _running = app.harness.start_background().unwrap();
    for uuid in [ONE, OTHER] {
        app.deliver(uuid, &app.token(3 * HOUR, "")).await;
        send(&app, uuid).await;
    }
    assert_eq!(jobs.unfinished(), 2);

    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(3).await;
    assert!(eventually(|| jobs.unfinished() == 1).await);
    // The record of the removal, without which the app counts as installed, is gone by then.
    app.minutes(3 * 24 * 60).await;
    app.clock.advance(WEEK);
    assert_eq!(log.wait_for(1).await, [ari(OTHER)]);
    assert!(eventually(|| jobs.unfinished() == 0).await);

    // It is installed again.
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    send(&app, ONE).await;
    app.minutes(3 * 24 * 60).await;
    assert_eq!(jobs.unfinished(), 1);
    app.clock.advance(WEEK);
    assert_eq!(log.wait_for(2).await, [ari(OTHER), ari(ONE)]);
}

#[tokio::test]
async fn a_job_waits_until_a_removal_has_settled() {
    let (app, log, jobs) = app(10 * MINUTE).await;
    let _running = app.harness.start_background().unwrap();
    for uuid in [ONE, OTHER] {
        app.deliver(uuid, &app.token(3 * HOUR, "")).await;
        app.tokens.remove(&ari(uuid)).await.unwrap();
        send_by(&app, "note-now", uuid).await;
    }
    app.minutes(5).await;
    assert_eq!((jobs.unfinished(), log.lines().len()), (2, 0));

    // It was removed from one of two products only: Forge calls again.
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    app.minutes(1).await;
    assert_eq!(log.wait_for(1).await, [ari(ONE)]);
    app.minutes(10).await;
    assert!(eventually(|| jobs.unfinished() == 0).await);
    assert_eq!(log.lines().len(), 1);
}

#[tokio::test]
async fn a_task_that_still_works_for_an_uninstalled_installation_sends_no_job() {
    let handed = Handed::default();
    let (app, log, jobs) = app_with(2 * MINUTE, Log::new(true), Arc::clone(&handed)).await;
    let _running = app.harness.start_background().unwrap();
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    let call = app.harness.call("hand-jobs");
    let response = call.fit(|fit| fit.installation(ONE)).send().await;
    assert_eq!(response.status(), 204, "{response:?}");
    let sender = handed.lock().unwrap().jobs.take().unwrap();
    let send = async || sender.send(note::args("late".to_owned())).after(WEEK).await;
    send().await.unwrap();
    app.minutes(2).await;

    app.tokens.remove(&ari(ONE)).await.unwrap();
    // The removal may be revoked: the job waits until it has settled.
    send().await.unwrap();
    app.minutes(3).await;
    assert!(eventually(|| jobs.unfinished() == 0).await);
    let error = send().await.unwrap_err();
    assert!(
        matches!(&error, SendError::Uninstalled { key: "note", installation_id } if *installation_id == ari(ONE)),
        "{error}"
    );
    assert_eq!((jobs.unfinished(), log.lines().len()), (0, 0));

    // It is installed again.
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    send().await.unwrap();
    assert_eq!(jobs.unfinished(), 1);
}

#[tokio::test]
async fn a_task_that_keeps_installations_for_days_sends_no_job_to_a_removed_one() {
    let handed = Handed::default();
    let (app, _log, jobs) = app_with(2 * MINUTE, Log::new(true), Arc::clone(&handed)).await;
    let _running = app.harness.start_background().unwrap();
    let mut installations = Vec::new();
    for uuid in [ONE, OTHER] {
        app.deliver(uuid, &app.token(3 * HOUR, "")).await;
        installations.push(app.tokens.installation(&ari(uuid)).await.unwrap());
    }
    assert!(eventually(|| handed.lock().unwrap().app_jobs.is_some()).await);
    let sender = handed.lock().unwrap().app_jobs.take().unwrap();
    let send = async |number: usize| {
        let note = note::args("late".to_owned());
        sender
            .of(&installations[number])
            .send(note)
            .after(WEEK)
            .await
    };
    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(3).await;
    let error = send(0).await.unwrap_err();
    assert!(matches!(error, SendError::Uninstalled { .. }), "{error}");
    // The record of the removal is gone by then. The other installation gets tokens all the time.
    app.minutes(3 * 24 * 60).await;
    app.deliver(OTHER, &app.token(3 * HOUR, "")).await;
    let error = send(0).await.unwrap_err();
    assert!(
        matches!(&error, SendError::UnknownInstallation { key: "note", installation_id } if *installation_id == ari(ONE)),
        "{error}"
    );
    send(1).await.unwrap();
    assert_eq!(jobs.unfinished(), 1);
}

#[tokio::test]
async fn a_job_that_runs_during_the_removal_is_not_retried_days_later() {
    let (log, handed) = (Log::new(false), Handed::default());
    let (app, log, jobs) = app_with(2 * MINUTE, log, Arc::clone(&handed)).await;
    let _running = app.harness.start_background().unwrap();
    app.deliver(ONE, &app.token(3 * HOUR, "")).await;
    let call = app.harness.call("hand-jobs");
    call.fit(|fit| fit.installation(ONE)).send().await;
    let sender = handed.lock().unwrap().jobs.take().unwrap();
    sender.send(in_three_days::args()).await.unwrap();
    log.wait_for(1).await;
    app.tokens.remove(&ari(ONE)).await.unwrap();
    app.minutes(3).await;
    assert_eq!(jobs.unfinished(), 1);
    log.gate.add_permits(2);
    assert!(eventually(|| jobs.unfinished() == 0).await);
    let dead = jobs.inspector().unwrap();
    let dead = dead.list(vec![JobState::Dead], None, 10).await.unwrap();
    let reasons: Vec<_> = dead
        .iter()
        .map(|job| job.last.as_ref().unwrap().code)
        .collect();
    assert_eq!(reasons, [ReportCode::Uninstalled]);
    app.minutes(3 * 24 * 60).await;
    app.clock.advance(DAY);
    assert_eq!(log.lines().len(), 1);
}
