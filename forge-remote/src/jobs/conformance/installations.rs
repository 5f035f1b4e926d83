//! The guarantees of an engine to installations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::stage::{
    Connect, DAY, LATE, LIMIT, LIMITED, PLAIN, Run, SOON, Stage, envelope, id_of_new, report,
    until_state,
};
use crate::conformance::{Case, Failure, expect, same};
use crate::jobs::engine::{Accepted, JobEngine, Verdict};
use crate::jobs::envelope::Repeats;
use crate::jobs::inspect::JobState;
use crate::jobs::report::{Report, ReportCode};

/// The number of jobs of an installation with a long queue.
const QUEUE: usize = 200;
/// The number of jobs of an installation that become due together. More would take longer to accept.
const DUE_TOGETHER: usize = 120;
/// How long before their due time jobs are accepted, so that an engine can decide about their order.
const NOTICE: Duration = Duration::from_millis(4500);

pub(super) async fn limits_installations(
    engine: &Arc<dyn JobEngine>,
    connect: Connect<'_>,
) -> Case {
    let mut stages = [Stage::start(engine), Stage::start(&connect())];
    for installation in ["ari:a", "ari:b"] {
        for number in 0..6 {
            let key = format!("limited-{number}-{}", &installation[4..]);
            engine.accept(envelope(&key, LIMITED, installation)).await?;
        }
    }
    let mut running: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    let mut ended = 0;
    while ended < 12 {
        let [one, other] = &mut stages;
        // Everything that may start does so before one ends.
        let started = tokio::select! {
            run = one.next_within(Duration::from_millis(700)) => run,
            run = other.next_within(Duration::from_millis(700)) => run,
        };
        if let Some(run) = started {
            let installation = run.envelope.installation_id.clone();
            let runs = running.entry(installation).or_default();
            runs.push(run);
            let count = runs.len();
            expect(
                count <= LIMIT as usize,
                format!("{count} jobs of one installation run at once, and {LIMIT} may"),
            )?;
            continue;
        }
        for runs in running.values_mut() {
            if let Some(run) = runs.pop() {
                run.end(Verdict::Done);
                ended += 1;
            }
        }
    }
    let [one, other] = stages;
    one.stop().await?;
    other.stop().await
}

pub(super) async fn pauses_an_installation(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    let mut stage = Stage::start(engine);
    engine
        .accept(envelope("limited-by-them", PLAIN, "ari:slow"))
        .await?;
    let pause = Duration::from_secs(4);
    let until = SystemTime::now() + pause;
    let run = stage.next_of("limited-by-them").await?;
    run.end(Verdict::Later {
        after: pause,
        report: report("429"),
        pauses_installation: true,
    });
    // The engine has the verdict once another job ran.
    stage.expect_rest(engine, "rest-7").await?;
    let sent = SystemTime::now();
    engine.accept(envelope("same", PLAIN, "ari:slow")).await?;
    engine
        .accept(envelope("other-handler", LIMITED, "ari:slow"))
        .await?;
    engine
        .accept(envelope("other-installation", PLAIN, "ari:fast"))
        .await?;
    for _ in 0..4 {
        let run = stage.next().await?;
        let key = run.envelope.key.clone();
        if ["same", "limited-by-them"].contains(&key.as_str()) {
            expect(
                run.at >= until,
                format!("`{key}` ran before the pause ended"),
            )?;
        } else {
            let late = run.at.duration_since(sent).unwrap_or_default();
            let problem = format!("`{key}`, which is not paused, ran {late:?} late");
            expect(late < LATE, problem)?;
        }
        run.end(Verdict::Done);
    }
    stage.stop().await
}

pub(super) async fn pauses_what_waits(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    const JOBS: usize = 60;
    for number in 0..JOBS {
        let key = format!("crowded-{number}");
        engine.accept(envelope(&key, PLAIN, "ari:crowd")).await?;
    }
    let mut stage = Stage::start(engine);
    let limited = stage.next().await?;
    let mut running = Vec::new();
    while let Some(run) = stage.next_within(Duration::from_millis(1500)).await {
        running.push(run);
    }
    let pause = Duration::from_secs(3);
    let until = SystemTime::now() + pause;
    limited.end(Verdict::Later {
        after: pause,
        report: report("429"),
        pauses_installation: true,
    });
    // The engine stores the pause before another job gets the place.
    let mut early = Vec::new();
    if let Some(run) = stage.next_within(Duration::from_secs(1)).await {
        early.push(run.envelope.key.clone());
        running.push(run);
    }
    let started = 1 + running.len();
    for run in running {
        run.end(Verdict::Done);
    }
    // The limited one runs again.
    for _ in started..=JOBS {
        let run = stage.next().await?;
        if run.at < until {
            early.push(run.envelope.key.clone());
        }
        run.end(Verdict::Done);
    }
    expect(
        early.is_empty(),
        format!(
            "jobs that waited when their installation was paused started before the pause ended: {early:?}"
        ),
    )?;
    stage.stop().await
}

pub(super) async fn shares_fairly(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    for number in 0..QUEUE {
        let key = format!("queued-{number}");
        engine.accept(envelope(&key, PLAIN, "ari:long")).await?;
    }
    engine.accept(envelope("short", PLAIN, "ari:short")).await?;
    let mut stage = Stage::start(engine);
    let (mut before, mut has_started) = (0, false);
    for _ in 0..=QUEUE {
        let run = stage.next().await?;
        has_started |= run.envelope.key == "short";
        before += usize::from(!has_started);
        run.end(Verdict::Done);
    }
    expect(
        before <= QUEUE / 2,
        format!("a job started after {before} of {QUEUE} jobs of another installation"),
    )?;
    stage.stop().await
}

pub(super) async fn leaves_room(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    const JOBS: usize = 40;
    for number in 0..JOBS {
        let key = format!("endless-{number}");
        engine.accept(envelope(&key, PLAIN, "ari:many")).await?;
    }
    let mut stage = Stage::start(engine);
    // All that may run at once do, and none ends.
    let mut running = vec![stage.next().await?];
    while let Some(run) = stage.next_within(Duration::from_secs(3)).await {
        running.push(run);
    }
    let sent = SystemTime::now();
    engine.accept(envelope("between", PLAIN, "ari:few")).await?;
    let between = stage.next_within(2 * LATE).await;
    let between = between.ok_or_else(|| {
        Failure::Unexpected(format!(
            "a job waits while {} jobs of another installation run",
            running.len()
        ))
    })?;
    let key = between.envelope.key.as_str();
    same(key, "between", "the job that started")?;
    let late = between.at.duration_since(sent).unwrap_or_default();
    expect(late < LATE, format!("it ran {late:?} late"))?;
    between.end(Verdict::Done);
    let started = running.len();
    for run in running {
        run.end(Verdict::Done);
    }
    for _ in started..JOBS {
        stage.next().await?.end(Verdict::Done);
    }
    stage.stop().await
}

pub(super) async fn shares_what_becomes_due(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    const MEASURED: usize = 10;
    let mut stage = Stage::start(engine);
    let begun = Instant::now();
    for number in 0..MEASURED {
        let key = format!("measured-{number}");
        delayed(engine, &key, "ari:long", SystemTime::now() + DAY).await?;
    }
    let accepting = begun
        .elapsed()
        .mul_f64(DUE_TOGETHER as f64 / MEASURED as f64);
    // The first ones may be slow.
    let mut accepting = (2 * accepting).clamp(SOON, Duration::from_millis(2500));
    for round in 0..4 {
        let begun = Instant::now();
        let due = SystemTime::now() + accepting + NOTICE;
        accept_due_together(engine, round, due).await?;
        let was_in_time = SystemTime::now() + NOTICE <= due;
        // Otherwise the engine or the machine is slower: these jobs prove nothing.
        accepting = begun.elapsed() * 3 / 2;
        let before = count_before_short(&mut stage).await?;
        if was_in_time {
            let problem = format!(
                "a job that became due started after {before} of {DUE_TOGETHER} jobs of another installation"
            );
            expect(before <= DUE_TOGETHER / 2, problem)?;
            return stage.stop().await;
        }
    }
    let problem =
        format!("it accepts {DUE_TOGETHER} jobs at an irregular speed, too slowly for this check");
    expect(false, problem)
}

/// Accepts jobs of two installations: [`DUE_TOGETHER`] of one, and one of the other, which is due last.
async fn accept_due_together(engine: &Arc<dyn JobEngine>, round: u32, due: SystemTime) -> Case {
    let after = |millis: usize| due + Duration::from_millis(millis as u64);
    // When one is accepted, all that are due before it are still to come.
    for number in 0..DUE_TOGETHER {
        let key = format!("delayed-{round}-{number}");
        delayed(engine, &key, "ari:long", after(DUE_TOGETHER - number)).await?;
    }
    let key = format!("short-{round}");
    delayed(engine, &key, "ari:short", after(DUE_TOGETHER)).await
}

async fn delayed(
    engine: &Arc<dyn JobEngine>,
    key: &str,
    installation: &str,
    due: SystemTime,
) -> Case {
    let mut delayed = envelope(key, PLAIN, installation);
    delayed.not_before = Some(due);
    id_of_new(engine.accept(delayed).await?).map(drop)
}

/// Runs the jobs that become due together, and returns how many started before that of the installation with only one.
async fn count_before_short(stage: &mut Stage) -> Result<usize, Failure> {
    // All that may run at once do.
    let mut running = vec![stage.next().await?];
    while let Some(run) = stage.next_within(Duration::from_secs(1)).await {
        running.push(run);
    }
    let (mut before, mut has_started) = (0, false);
    for _ in 0..=DUE_TOGETHER {
        let run = match running.pop() {
            Some(run) => run,
            None => stage.next().await?,
        };
        has_started |= run.envelope.installation_id == "ari:short";
        before += usize::from(!has_started);
        run.end(Verdict::Done);
    }
    Ok(before)
}

pub(super) async fn forgets_keys_of_the_uninstalled(
    engine: &Arc<dyn JobEngine>,
    _: Connect<'_>,
) -> Case {
    let unique = |key: &str, delay: Duration| {
        let mut unique = envelope(key, PLAIN, "ari:back");
        unique.repeats = Repeats::UnfinishedOrWithin(DAY);
        unique.not_before = Some(unique.accepted_at + delay);
        engine.accept(unique)
    };
    let first = id_of_new(unique("waited", 7 * DAY).await?)?;
    let again = unique("waited", 7 * DAY).await?;
    same(
        again,
        Accepted::Repeated(first),
        "a unique one, while the first waits",
    )?;
    engine.end_installation("ari:back").await?;
    id_of_new(unique("waited", 7 * DAY).await?)?;
    // One that the app ends when it runs.
    let mut stage = Stage::start(engine);
    id_of_new(unique("ran", Duration::ZERO).await?)?;
    let report = Report::new(ReportCode::Uninstalled, Vec::new());
    stage.next_of("ran").await?.end(Verdict::Dead { report });
    stage.expect_rest(engine, "rest-back").await?;
    id_of_new(unique("ran", Duration::ZERO).await?)?;
    stage.next_of("ran").await?.end(Verdict::Done);
    engine.end_installation("ari:back").await?;
    stage.stop().await
}

pub(super) async fn ends_an_installation(
    engine: &Arc<dyn JobEngine>,
    connect: Connect<'_>,
) -> Case {
    let mut stage = Stage::start(engine);
    let mut fails = envelope("fails-here", PLAIN, "ari:gone");
    fails.max_attempts = 3;
    engine.accept(fails).await?;
    stage.next_of("fails-here").await?.end(Verdict::Retry {
        after: DAY,
        report: report("broken"),
    });
    stage.expect_rest(engine, "rest-failed").await?;
    let delayed = |key: &str, installation: &str| {
        let mut delayed = envelope(key, PLAIN, installation);
        delayed.not_before = Some(delayed.accepted_at + 7 * DAY);
        engine.accept(delayed)
    };
    let gone = id_of_new(delayed("in-a-week", "ari:gone").await?)?;
    let stays = id_of_new(delayed("elsewhere", "ari:go").await?)?;
    engine.accept(envelope("runs", PLAIN, "ari:gone")).await?;
    let runs = stage.next_of("runs").await?;
    let ended = connect().end_installation("ari:gone").await?;
    same(ended, 2, "the number of envelopes that ended")?;
    let ended = connect().end_installation("ari:gone").await?;
    same(ended, 0, "the number of envelopes that ended again")?;
    runs.end(Verdict::Done);
    if let Some(inspector) = connect().inspector() {
        let state = async |id| Ok::<_, Failure>(inspector.find(id).await?.map(|job| job.state));
        let waits = Some(JobState::Waiting);
        expect(state(gone).await? != waits, "an ended envelope still waits")?;
        same(
            state(stays).await?,
            waits,
            "the state of another installation's envelope",
        )?;
    }
    // The app is installed again.
    engine.accept(envelope("again", PLAIN, "ari:gone")).await?;
    stage.next_of("again").await?.end(Verdict::Done);
    stage.expect_rest(engine, "rest-gone").await?;
    stage.stop().await
}

pub(super) async fn limits_the_retried(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let Some(inspector) = connect().inspector() else {
        return Ok(());
    };
    let mut stage = Stage::start(engine);
    let mut ids = Vec::new();
    for number in 0..=LIMIT {
        let mut old = envelope(&format!("old-{number}"), LIMITED, "ari:old");
        old.accepted_at -= 3 * DAY;
        old.max_attempts = 1;
        ids.push(id_of_new(engine.accept(old).await?)?);
    }
    for _ in &ids {
        let report = report("broken");
        stage.next().await?.end(Verdict::Dead { report });
    }
    for id in &ids {
        until_state(&*inspector, id, JobState::Dead).await?;
    }
    stage.stop().await?;
    // An engine deletes at its start what it does not need any more.
    let mut stage = Stage::start(engine);
    stage.expect_rest(engine, "rest-old").await?;
    for id in ids {
        expect(
            inspector.retry(id).await?,
            "an old dead job cannot run again",
        )?;
    }
    let (mut running, mut ended) = (Vec::new(), 0);
    while ended <= LIMIT {
        // Everything that may start does so before one ends.
        match stage.next_within(Duration::from_secs(1)).await {
            Some(run) => running.push(run),
            None if running.is_empty() => running.push(stage.next().await?),
            None => {
                running.remove(0).end(Verdict::Done);
                ended += 1;
            }
        }
        expect(
            running.len() <= LIMIT as usize,
            "more retried jobs of an installation run at once than may",
        )?;
    }
    stage.expect_rest(engine, "rest-retried").await?;
    stage.stop().await
}
