//! Jobs of installations from which the app is uninstalled.

use std::time::Duration;

use forge_remote::jobs::{Args, Jobs, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::testing::TestClock;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in,
};

use crate::log::Log;

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

async fn app(removal_delay: Duration) -> (TokenApp, Log, MemoryJobs) {
    let (log, jobs) = (Log::new(true), MemoryJobs::new());
    let app = renewing_app()
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
