//! A suite of requirements for engines: for this project's engines and for an app's own.

mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stage::{LIMIT, LIMITED, NEW, PLAIN, Run, Stage, envelope, report};

use super::engine::{Accepted, JobEngine, Repeats, Verdict};
use super::inspect::{JobInspector, JobState};
use crate::conformance::{Case, ConformanceError, Failure, expect, same};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SOON: Duration = Duration::from_millis(100);
/// The longest delay of a job that is due, with an idle engine.
const LATE: Duration = Duration::from_secs(10);

/// Checks that a [`JobEngine`] meets the trait's requirements.
///
/// `connect` returns an engine on the same jobs, as another process has: an engine in a database
/// connects again, one in memory is cloned. The jobs must be empty at first, and used by this test only.
/// The first unmet requirement is returned as an error. It takes a minute or two, because an engine's
/// waiting is real.
///
/// What happens when a process is killed can't be checked within one: start your app as a process, and
/// kill it at any moment, over and over.
///
/// ```no_run
/// use forge_remote::jobs::MemoryJobs;
/// use forge_remote::testing::job_engine_conformance;
/// use std::sync::Arc;
///
/// # #[tokio::main]
/// # async fn main() -> forge_remote::Result<()> {
/// let jobs = MemoryJobs::new();
/// job_engine_conformance(|| Arc::new(jobs.clone())).await?;
/// # Ok(())
/// # }
/// ```
pub async fn job_engine_conformance(
    connect: impl Fn() -> Arc<dyn JobEngine>,
) -> Result<(), ConformanceError> {
    let engine = connect();
    let failed = |requirement| move |failure: Failure| failure.of(requirement);
    engine
        .open()
        .await
        .map_err(|error| failed("the engine opens")(error.into()))?;
    // It waits until the end: an engine may look for its handler now and then only.
    accept_unknown(&engine)
        .await
        .map_err(failed("an envelope of an unknown handler is accepted"))?;
    macro_rules! check {
        ($($case:ident: $requirement:literal,)*) => {$(
            $case(&engine, &connect).await.map_err(failed($requirement))?;
        )*};
    }
    check! {
        keeps_every_part: "an envelope is run as it was accepted",
        recognises_repetitions: "an envelope repeats another by its key, as its `repeats` says",
        accepts_once: "of envelopes that are accepted at once with one key, one is new",
        waits_until_the_time: "an envelope does not run before its time, and soon after it",
        counts_attempts: "each start counts, `Later` gives the attempt back, and the last attempt is the last",
        ends_the_dead: "a dead envelope does not run again",
        limits_installations: "`per_installation` is never exceeded, on all connections together",
        pauses_an_installation: "a pause is of one handler and installation, until its end",
        hands_back_at_a_stop: "a stop waits for its grace, and hands back the rest without their attempts",
        shows_its_jobs: "the inspector lists jobs, runs a dead one again, and discards one",
        limits_the_retried: "dead jobs that an operator retries keep the limit of their installation, however old",
        counts_its_jobs: "an engine that counts its jobs counts the waiting and the dead ones",
        keeps_the_unknown: "an envelope of an unknown handler waits, without an attempt",
    }
    Ok(())
}

type Connect<'a> = &'a dyn Fn() -> Arc<dyn JobEngine>;

fn id_of_new(accepted: Accepted) -> Result<String, Failure> {
    match accepted {
        Accepted::New(id) => Ok(id),
        Accepted::Repeated(_) => Err(Failure::Unexpected(
            "a new envelope counts as a repetition".to_owned(),
        )),
    }
}

async fn accept_unknown(engine: &Arc<dyn JobEngine>) -> Case {
    let mut unknown = envelope("unknown", NEW, "ari:unknown");
    unknown.max_attempts = 1;
    engine.accept(unknown).await?;
    Ok(())
}

async fn keeps_every_part(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    let mut sent = envelope("Key_-9", PLAIN, "ari:cloud:ecosystem::installation/é");
    sent.max_attempts = 7;
    sent.sealed = (0..=255).collect();
    sent.not_before = Some(sent.accepted_at);
    id_of_new(engine.accept(sent.clone()).await?)?;
    let mut stage = Stage::start(engine);
    let run = stage.next().await?;
    same(run.past.count, 0, "the attempts before the first")?;
    expect(run.past.last.is_none(), "the first run has a report")?;
    let mut found = run.envelope.clone();
    // An engine needs it before it stores the envelope only.
    found.repeats = sent.repeats;
    same(
        found == sent,
        true,
        "the envelope that runs is the one that was accepted",
    )?;
    run.end(Verdict::Done);
    stage.expect_rest(engine, "rest-1").await?;
    stage.stop().await
}

async fn recognises_repetitions(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let accept = async |key: &str, age: Duration, repeats: Repeats, delay: Duration| {
        let mut envelope = envelope(key, PLAIN, "ari:1");
        envelope.not_before = Some(envelope.accepted_at + delay);
        envelope.accepted_at -= age;
        envelope.repeats = repeats;
        Ok::<Accepted, Failure>(connect().accept(envelope).await?)
    };
    let retry = Repeats::Within(DAY);
    let unique = Repeats::UnfinishedOrWithin(Duration::from_secs(3600));
    // One that waits: accepted long ago, and due tomorrow.
    let first = id_of_new(accept("waits", 20 * DAY, Repeats::Never, DAY).await?)?;
    let repeated = Accepted::Repeated(first);
    let again = accept("waits", Duration::ZERO, unique, DAY).await?;
    same(&again, &repeated, "a unique one, while the first waits")?;
    id_of_new(accept("waits", Duration::ZERO, retry, DAY).await?)?;
    // One that was accepted a moment ago.
    let first = id_of_new(accept("recent", Duration::ZERO, retry, DAY).await?)?;
    let repeated = Accepted::Repeated(first);
    let again = accept("recent", Duration::ZERO, retry, DAY).await?;
    same(&again, &repeated, "a retry of a recent one")?;
    id_of_new(accept("recent", Duration::ZERO, Repeats::Never, DAY).await?)?;
    id_of_new(accept("another", Duration::ZERO, retry, DAY).await?)?;
    // One that is done.
    let first = id_of_new(accept("done", 7 * DAY / 24, Repeats::Never, Duration::ZERO).await?)?;
    let mut stage = Stage::start(engine);
    stage.next_of("done").await?.end(Verdict::Done);
    stage.expect_rest(engine, "rest-2").await?;
    let again = accept("done", Duration::ZERO, retry, DAY).await?;
    same(
        &again,
        &Accepted::Repeated(first),
        "a retry of one that is done",
    )?;
    id_of_new(accept("done", Duration::ZERO, unique, DAY).await?)?;
    // One that is dead.
    let first = id_of_new(accept("dead", Duration::ZERO, Repeats::Never, Duration::ZERO).await?)?;
    let dead = Verdict::Dead {
        report: report("dead"),
    };
    stage.next_of("dead").await?.end(dead);
    stage.expect_rest(engine, "rest-3").await?;
    let again = accept("dead", Duration::ZERO, unique, DAY).await?;
    same(
        &again,
        &Accepted::Repeated(first),
        "a unique one after a dead one",
    )?;
    stage.stop().await
}

async fn counts_its_jobs(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    let Some(before) = engine.counts().await? else {
        return Ok(());
    };
    let counts = async || Ok::<_, Failure>(engine.counts().await?.unwrap_or_default());
    let mut oldest = envelope("oldest", PLAIN, "ari:1");
    let due = SystemTime::UNIX_EPOCH + 10_000 * DAY;
    oldest.not_before = Some(due);
    engine.accept(oldest).await?;
    let found = counts().await?;
    same(found.pending, before.pending + 1, "the pending jobs")?;
    same(
        found.oldest_due,
        Some(due),
        "the earliest time of a waiting job",
    )?;
    let mut stage = Stage::start(engine);
    let dead = Verdict::Dead {
        report: report("dead"),
    };
    stage.next_of("oldest").await?.end(dead);
    stage.expect_rest(engine, "rest-counted").await?;
    stage.stop().await?;
    let found = counts().await?;
    same(found.pending, before.pending, "the pending jobs afterwards")?;
    same(found.dead, before.dead + 1, "the dead jobs")
}

async fn accepts_once(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let accepting = (0..8).map(|_| {
        let mut envelope = envelope("at-once", PLAIN, "ari:1");
        envelope.repeats = Repeats::UnfinishedOrWithin(DAY);
        tokio::spawn(connect().accept(envelope))
    });
    let accepting: Vec<_> = accepting.collect();
    let mut new = 0;
    for accepted in accepting {
        new += u32::from(matches!(accepted.await??, Accepted::New(_)));
    }
    same(new, 1, "the number of new envelopes")?;
    let mut stage = Stage::start(engine);
    stage.next_of("at-once").await?.end(Verdict::Done);
    stage.expect_rest(engine, "rest-4").await?;
    stage.stop().await
}

async fn waits_until_the_time(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    let mut stage = Stage::start(engine);
    let mut delayed = envelope("delayed", PLAIN, "ari:1");
    let due = delayed.accepted_at + Duration::from_secs(2);
    delayed.not_before = Some(due);
    engine.accept(delayed).await?;
    engine.accept(envelope("undelayed", PLAIN, "ari:1")).await?;
    stage.next_of("undelayed").await?.end(Verdict::Done);
    let run = stage.next_of("delayed").await?;
    let late = run.at.duration_since(due);
    let problem = || format!("it ran too early: {:?}", run.at.duration_since(due));
    expect(late.is_ok(), problem())?;
    let late = late.unwrap_or_default();
    expect(late < LATE, format!("it ran {late:?} late"))?;
    run.end(Verdict::Done);
    stage.stop().await
}

async fn counts_attempts(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    let mut stage = Stage::start(engine);
    let mut fails = envelope("fails", PLAIN, "ari:1");
    fails.max_attempts = 3;
    engine.accept(fails).await?;
    let retry = |text| Verdict::Retry {
        after: SOON,
        report: report(text),
    };
    let later = Verdict::Later {
        after: SOON,
        report: report("later"),
        pauses_installation: false,
    };
    let expected = [
        (0, None, retry("one")),
        (1, Some("one"), later),
        (1, Some("later"), retry("two")),
        (2, Some("two"), retry("three")),
    ];
    for (count, last, verdict) in expected {
        let run = stage.next_of("fails").await?;
        same(run.past.count, count, "the attempts before")?;
        same(run.past.last.clone(), last.map(report), "the last report")?;
        run.end(verdict);
    }
    stage.expect_rest(engine, "rest-5").await?;
    stage.stop().await
}

async fn ends_the_dead(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
    let mut stage = Stage::start(engine);
    let mut dead = envelope("dies", PLAIN, "ari:1");
    dead.max_attempts = 3;
    engine.accept(dead).await?;
    let verdict = Verdict::Dead {
        report: report("dead"),
    };
    stage.next_of("dies").await?.end(verdict);
    stage.expect_rest(engine, "rest-6").await?;
    stage.stop().await
}

async fn limits_installations(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    if !engine.guarantees().limits_installations {
        return Ok(());
    }
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

async fn pauses_an_installation(engine: &Arc<dyn JobEngine>, _: Connect<'_>) -> Case {
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

async fn hands_back_at_a_stop(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let mut stage = Stage::start_with(engine, Duration::from_secs(2), false);
    for key in ["endless", "ends-in-time"] {
        let mut envelope = envelope(key, PLAIN, "ari:1");
        // The second attempt would be its last.
        envelope.max_attempts = 1;
        engine.accept(envelope).await?;
    }
    let (one, other) = (stage.next().await?, stage.next().await?);
    let (endless, ends) = match one.envelope.key.as_str() {
        "endless" => (one, other),
        _ => (other, one),
    };
    let stopping = SystemTime::now();
    let stopped = tokio::spawn(stage.stop());
    // Within the grace.
    tokio::time::sleep(SOON).await;
    ends.end(Verdict::Done);
    stopped.await??;
    let took = stopping.elapsed().unwrap_or_default();
    expect(
        took < LATE,
        format!("it stopped after {took:?}, with a grace of 2 s"),
    )?;
    drop(endless);
    // Another process continues.
    let mut stage = Stage::start(&connect());
    let run = stage.next_of("endless").await?;
    same(
        run.past.count,
        0,
        "the attempts of a job that was handed back",
    )?;
    run.end(Verdict::Done);
    stage.expect_rest(engine, "rest-8").await?;
    stage.stop().await
}

async fn shows_its_jobs(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
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
        "a dead job can't run again",
    )?;
    let run = stage.next_of("once").await?;
    run.end(retry());
    until_state(&*inspector, &id, JobState::Dead).await?;
    expect(
        inspector.discard(id.clone()).await?,
        "a dead job can't be discarded",
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
        "a waiting job can't be discarded",
    )?;
    let shown = inspector.find(id).await?.map(|job| job.state);
    expect(
        shown != Some(JobState::Waiting),
        "a discarded job still waits",
    )?;
    stage.expect_rest(engine, "rest-9").await?;
    stage.stop().await
}

async fn limits_the_retried(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    let inspector = connect().inspector();
    let Some(inspector) = inspector.filter(|_| engine.guarantees().limits_installations) else {
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
            "an old dead job can't run again",
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

async fn until_state(inspector: &dyn JobInspector, id: &str, state: JobState) -> Case {
    let mut found = None;
    for _ in 0..600 {
        found = inspector.find(id.to_owned()).await?.map(|job| job.state);
        if found == Some(state) {
            return Ok(());
        }
        tokio::time::sleep(SOON).await;
    }
    same(found, Some(state), "the state of a job")
}

async fn keeps_the_unknown(_: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    // A newer version of the app.
    let mut stage = Stage::start_with(&connect(), Duration::from_secs(5), true);
    let run = stage.next_of("unknown").await?;
    same(
        run.past.count,
        0,
        "the attempts of an envelope that waited for its handler",
    )?;
    run.end(Verdict::Done);
    stage.stop().await
}
