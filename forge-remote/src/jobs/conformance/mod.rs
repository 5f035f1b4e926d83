//! A suite of requirements for engines: for this project's engines and for an app's own.

mod inspection;
mod installations;
mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, TryStreamExt as _};
use inspection::{retries_early, shows_its_jobs};
use installations::{
    ends_an_installation, forgets_keys_of_the_uninstalled, leaves_room, limits_installations,
    limits_the_retried, pauses_an_installation, pauses_what_waits, shares_fairly,
    shares_what_becomes_due,
};
use stage::{Connect, DAY, LATE, NEW, PLAIN, SOON, Stage, envelope, id_of_new, report};

use super::engine::{Accepted, JobEngine, Verdict};
use super::envelope::Repeats;
use super::guarantees::Guarantees;
use crate::conformance::{Case, ConformanceError, Failure, expect, same};

/// Checks that a [`JobEngine`] meets the trait's requirements.
///
/// `connect` returns another handle to the same jobs, as a second process would have: a new connection to
/// the database, or a clone of an in-memory engine. There must be no jobs at first, and no other user.
/// The first unmet requirement is returned as an error. It takes about a minute, because it waits in
/// real time; [`job_engine_conformance_in_parallel`] takes seconds. Only
/// [declared guarantees](JobEngine::guarantees) are checked, and
/// [transactions](super::Guarantees::joins_transactions) not at all: test these yourself.
///
/// The suite cannot kill its own process: also test your engine in a separate process that you kill
/// repeatedly at random moments.
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
    let engine = opened(&connect).await?;
    let guarantees = engine.guarantees();
    for requirement in REQUIREMENTS {
        if (requirement.is_declared)(guarantees) {
            requirement.check(&engine, &connect).await?;
        }
    }
    Ok(())
}

/// Checks the same requirements as [`job_engine_conformance`], each on a separate engine and up to ten at the same time.
///
/// `create` returns the `connect` of a new engine without jobs at each call: of a new file, schema or database. It is
/// called about twenty times. The error is that of the requirement whose check fails first.
///
/// ```no_run
/// use forge_remote::jobs::{JobEngine, MemoryJobs};
/// use forge_remote::testing::job_engine_conformance_in_parallel;
/// use std::sync::Arc;
///
/// # #[tokio::main]
/// # async fn main() -> forge_remote::Result<()> {
/// job_engine_conformance_in_parallel(async || {
///     let jobs = MemoryJobs::new();
///     move || Arc::new(jobs.clone()) as Arc<dyn JobEngine>
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
pub async fn job_engine_conformance_in_parallel<C>(
    create: impl AsyncFn() -> C,
) -> Result<(), ConformanceError>
where
    C: Fn() -> Arc<dyn JobEngine>,
{
    // From the end, where the slowest are.
    let requirements = REQUIREMENTS.iter().rev().map(Ok);
    stream::iter(requirements)
        .try_for_each_concurrent(AT_ONCE, async |requirement: &Requirement| {
            let connect = create().await;
            let engine = opened(&connect).await?;
            match (requirement.is_declared)(engine.guarantees()) {
                true => requirement.check(&engine, &connect).await,
                false => Ok(()),
            }
        })
        .await
}

/// Returns an engine that is open and has an envelope of an unknown handler, which waits until the last check.
async fn opened(connect: Connect<'_>) -> Result<Arc<dyn JobEngine>, ConformanceError> {
    let engine = connect();
    let opened = engine.open().await;
    opened.map_err(|error| Failure::from(error).of("the engine opens"))?;
    let accepted = accept_unknown(&engine).await;
    accepted.map_err(|failure| failure.of("an envelope of an unknown handler is accepted"))?;
    Ok(engine)
}

/// How many checks run at the same time. With more, the machine would be too busy while all engines open.
const AT_ONCE: usize = 10;

/// The check of a requirement, on an engine that serves nothing yet.
type Check = for<'a> fn(&'a Arc<dyn JobEngine>, Connect<'a>) -> LocalBoxFuture<'a, Case>;

struct Requirement {
    text: &'static str,
    /// Whether the guarantee that it belongs to is declared.
    is_declared: fn(Guarantees) -> bool,
    check: Check,
}

impl Requirement {
    async fn check(
        &self,
        engine: &Arc<dyn JobEngine>,
        connect: Connect<'_>,
    ) -> Result<(), ConformanceError> {
        let checked = (self.check)(engine, connect).await;
        checked.map_err(|failure| failure.of(self.text))
    }
}

macro_rules! requirements {
    ($($case:ident $(if $guarantee:ident)?: $requirement:literal,)*) => {
        &[$(Requirement {
            text: $requirement,
            is_declared: |Guarantees { $($guarantee,)? .. }| true $(&& $guarantee)?,
            check: |engine, connect| Box::pin($case(engine, connect)),
        },)*]
    };
}

const REQUIREMENTS: &[Requirement] = requirements! {
    keeps_every_part: "an envelope runs unchanged",
    recognises_repetitions: "an envelope repeats another by its key, as its `repeats` says",
    accepts_once: "of concurrently accepted envelopes with one key, exactly one is new",
    waits_until_the_time: "an envelope runs soon after its due time, and not before",
    counts_attempts: "each start counts, except after `Later`, and no run follows the last attempt",
    ends_the_dead: "a dead envelope does not run again",
    limits_installations if limits_installations: "`per_installation` is never exceeded, on all connections together",
    pauses_an_installation: "a pause holds for one handler and installation, until its end",
    pauses_what_waits: "a pause also holds for jobs that already wait for a worker",
    shares_fairly if shares_fairly: "a long queue of one installation hardly delays others' jobs",
    leaves_room if shares_fairly: "long jobs of one installation leave workers to others' jobs",
    shares_what_becomes_due if shares_fairly: "jobs of one installation that become due together hardly delay \
                                               others' jobs",
    forgets_keys_of_the_uninstalled if ends_installations: "the key of an envelope that ended because the app was uninstalled is free",
    ends_an_installation if ends_installations: "the waiting envelopes of an uninstalled installation are \
                                                 discarded",
    hands_back_at_a_stop: "a stop waits for the grace period, and then releases the running envelopes without \
                           counting their attempts",
    shows_its_jobs: "the inspector lists jobs, runs a dead one again, and discards one",
    retries_early if retries_early: "an operator's retry starts a waiting job before its time",
    limits_the_retried if limits_installations: "dead jobs that an operator retries keep the limit of their installation, however old",
    counts_its_jobs: "the counts of an engine include waiting and dead jobs",
    keeps_the_unknown: "an envelope of an unknown handler waits, without an attempt",
};

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
    let undelayed = envelope("undelayed", PLAIN, "ari:1");
    let mut due = BTreeMap::from([("delayed", due), ("undelayed", undelayed.accepted_at)]);
    engine.accept(undelayed).await?;
    // A slow engine may start the first one when the other one is due, too.
    while !due.is_empty() {
        let run = stage.next().await?;
        let key = run.envelope.key.as_str();
        let due = due.remove(key);
        let due = due.ok_or_else(|| Failure::Unexpected(format!("`{key}` ran a second time")))?;
        let late = run.at.duration_since(due);
        let problem = format!("`{key}` ran too early: {late:?}");
        let late = late.map_err(|_| Failure::Unexpected(problem))?;
        expect(late < LATE, format!("`{key}` ran {late:?} late"))?;
        run.end(Verdict::Done);
    }
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
        "the attempts of a job whose run was not counted",
    )?;
    run.end(Verdict::Done);
    stage.expect_rest(engine, "rest-8").await?;
    stage.stop().await
}

async fn keeps_the_unknown(engine: &Arc<dyn JobEngine>, connect: Connect<'_>) -> Case {
    // It is due, and this version of the app has no handler for it.
    let mut stage = Stage::start(engine);
    stage.expect_rest(engine, "rest-unknown").await?;
    stage.stop().await?;
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
