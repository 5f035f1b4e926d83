//! The guarantees of an engine's inspector.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::stage::{Connect, DAY, PLAIN, SOON, Stage, envelope, id_of_new, report, until_state};
use crate::conformance::{Case, expect, same};
use crate::jobs::engine::{JobEngine, Verdict};
use crate::jobs::inspect::JobState;

pub(super) async fn shows_its_jobs(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let Some(inspector) = connect().inspector() else {
        return Ok(());
    };
    let mut stage = Stage::start(engine);
    let mut once = envelope("once", PLAIN, "ari:inspected");
    once.max_attempts = 1;
    let id = id_of_new(engine.accept(once).await?)?;
    let retry = || Verdict::Retry {
        after: SOON,
        report: report("broken"),
    };
    stage.next_of("once").await?.end(retry());
    until_state(&*inspector, &id, JobState::Dead).await?;
    let dead = inspector
        .list(vec![JobState::Dead], Some(PLAIN.to_owned()), 100)
        .await?;
    let found = dead.iter().find(|job| job.id == id);
    let Some(found) = found else {
        return expect(false, "a dead job is not listed");
    };
    same(
        found.installation_id.as_str(),
        "ari:inspected",
        "the installation",
    )?;
    same(found.attempts, 1, "the attempts")?;
    same(found.last.clone(), Some(report("broken")), "the report")?;
    expect(
        inspector.retry(id.clone()).await?,
        "a dead job cannot run again",
    )?;
    let run = stage.next_of("once").await?;
    run.end(retry());
    until_state(&*inspector, &id, JobState::Dead).await?;
    expect(
        inspector.discard(id.clone()).await?,
        "a dead job cannot be discarded",
    )?;
    expect(
        inspector.find(id.clone()).await?.is_none(),
        "a dead job stays after it was discarded",
    )?;
    expect(!inspector.retry(id).await?, "a deleted job runs again")?;
    expect(
        !inspector.retry("no id".to_owned()).await?,
        "a job that never was runs again",
    )?;
    // One that waits.
    let mut waits = envelope("discarded", PLAIN, "ari:inspected");
    waits.not_before = Some(SystemTime::now() + Duration::from_secs(1));
    let id = id_of_new(engine.accept(waits).await?)?;
    let shown = inspector.find(id.clone()).await?;
    same(
        shown.map(|job| job.state),
        Some(JobState::Waiting),
        "the state of a delayed job",
    )?;
    expect(
        inspector.discard(id.clone()).await?,
        "a waiting job cannot be discarded",
    )?;
    let shown = inspector.find(id).await?.map(|job| job.state);
    expect(
        shown != Some(JobState::Waiting),
        "a discarded job still waits",
    )?;
    stage.expect_rest(engine, "rest-9").await?;
    stage.stop().await
}

pub(super) async fn retries_early(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let Some(inspector) = connect().inspector() else {
        return expect(false, "an engine without an inspector retries nothing");
    };
    let mut stage = Stage::start(engine);
    let mut early = envelope("early", PLAIN, "ari:inspected");
    early.not_before = Some(early.accepted_at + DAY);
    let id = id_of_new(engine.accept(early).await?)?;
    stage.expect_rest(engine, "rest-early").await?;
    expect(inspector.retry(id).await?, "a waiting job cannot run now")?;
    stage.next_of("early").await?.end(Verdict::Done);
    stage.stop().await
}
