//! Killed and stopped processes lose no event.

use std::collections::BTreeSet;
use std::time::Duration;

use forge_remote_tests::job_tables::{BegunAttempt, JobTables};

use super::at_once::futures;
use super::{Fixture, deliver, installation};

/// Kills a process at random moments while events arrive and run. Every accepted event is done, and only events that
/// were running at a kill run twice.
///
/// An SQLite file's next process releases the killed one's jobs. In PostgreSQL another process lives at the same time,
/// which does so after 30 seconds, and is killed at the end as well.
async fn killed_at_any_moment(fixture: Fixture, rounds: u32) {
    let survivor = match &fixture.postgres {
        Some(_) => Some(fixture.start().await),
        None => None,
    };
    let tables = fixture.job_tables();
    let names: BTreeSet<String> = match &survivor {
        Some(_) => first_process(&tables).await,
        None => BTreeSet::new(),
    };
    let mut accepted = Vec::new();
    // The attempts whose process was killed before their end was stored.
    let mut interrupted = BTreeSet::new();
    for round in 0..rounds {
        let app = fixture.start().await;
        let address = app.address;
        let deliveries = (0..4).map(|lane| {
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                // An installation for each: the jobs of a killed process count for its limit until they are
                // released.
                let installation = installation(round * 4 + lane);
                for number in 0..10 {
                    let id = format!("{round}-{lane}-{number}");
                    match deliver(address, &id, &installation, 0).await {
                        Some(202) => accepted.push(id),
                        Some(status) => assert_eq!(status, 503),
                        None => break,
                    }
                }
                accepted
            })
        });
        let deliveries: Vec<_> = deliveries.collect();
        if round % 2 == 0 {
            // A run has begun, and others are about to.
            let begins =
                async { while new_attempts(&tables, &names, &interrupted).await.is_empty() {} };
            let _ = tokio::time::timeout(Duration::from_secs(10), begins).await;
            tokio::time::sleep(random_below(fixture.work)).await;
        } else {
            let moment = random_below(Duration::from_millis(250));
            tokio::time::sleep(Duration::from_millis(20) + moment).await;
        }
        app.kill().await;
        for lane in deliveries {
            accepted.extend(lane.await.unwrap());
        }
        interrupted.extend(new_attempts(&tables, &names, &interrupted).await);
    }
    assert!(
        // A slow machine accepts less before each kill.
        accepted.len() >= rounds as usize / 4,
        "{} accepted",
        accepted.len()
    );
    if let Some(survivor) = survivor {
        survivor.kill().await;
        interrupted.extend(tables.begun().await);
    }
    let app = fixture.start().await;
    fixture.wait_until_done(&accepted).await;
    app.stop().await;
    let runs = fixture.runs();
    let starts = runs.iter().filter(|run| run.2 == "start");
    let distinct: BTreeSet<&String> = starts.clone().map(|run| &run.0).collect();
    let repeats = starts.count() - distinct.len();
    let interrupted = interrupted.len();
    eprintln!(
        "{rounds} kills, {} accepted, {interrupted} runs interrupted, {repeats} repeated",
        accepted.len()
    );
    // Otherwise the kills have hit nothing that runs.
    assert!(
        interrupted >= rounds as usize / 4,
        "{interrupted} interrupted"
    );
    assert!(
        repeats <= interrupted,
        "{repeats} repeats, {interrupted} interrupted"
    );
}

/// Returns the attempts that have begun since the last kill, in processes other than these.
async fn new_attempts(
    tables: &JobTables,
    others: &BTreeSet<String>,
    interrupted: &BTreeSet<BegunAttempt>,
) -> Vec<BegunAttempt> {
    let begun = tables.begun().await.into_iter();
    let is_new = |one: &BegunAttempt| !others.contains(&one.process) && !interrupted.contains(one);
    begun.filter(is_new).collect()
}

fn random_below(most: Duration) -> Duration {
    let mut random = [0_u8; 2];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    most.mul_f64(f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX))
}

/// Returns the name of the only process that runs jobs, once it does.
async fn first_process(tables: &JobTables) -> BTreeSet<String> {
    loop {
        let heartbeats = tables.heartbeats().await;
        if !heartbeats.is_empty() {
            return heartbeats.into_keys().collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kill_rounds() -> u32 {
    let rounds = std::env::var("FORGE_REMOTE_KILL_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

#[tokio::test]
async fn nothing_accepted_is_lost_on_sqlite() {
    // Several files at the same time.
    const FILES: u32 = 2;
    let killed = std::iter::repeat_with(async || {
        let fixture = Fixture::sqlite().await.with_work(40);
        killed_at_any_moment(fixture, kill_rounds() / FILES).await;
    });
    futures(killed.take(FILES as usize).collect()).await;
}

#[tokio::test]
async fn nothing_accepted_is_lost_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        killed_at_any_moment(fixture.with_work(40), kill_rounds()).await;
    }
}

#[tokio::test]
async fn a_stop_spends_no_attempt_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        stopped_and_started(fixture.with_work(30)).await;
    }
}

#[tokio::test]
async fn a_stop_spends_no_attempt_on_sqlite() {
    stopped_and_started(Fixture::sqlite().await.with_work(30)).await;
}

/// Stops the process while events run: each is done, at its first attempt.
async fn stopped_and_started(fixture: Fixture) {
    let mut ids = Vec::new();
    for round in 0..5 {
        let app = fixture.start().await;
        for number in 0..10 {
            let id = format!("{round}-{number}");
            // Half of them are of one installation, and wait for its limit.
            let installation = installation(if number < 5 { 0 } else { number });
            let status = deliver(app.address, &id, &installation, 0).await;
            assert_eq!(status, Some(202));
            ids.push(id);
        }
        app.stop().await;
    }
    let app = fixture.start().await;
    fixture.wait_until_done(&ids).await;
    app.stop().await;
    let attempts = fixture.runs().iter().map(|run| run.1).max();
    assert_eq!(attempts, Some(1), "{:?}", fixture.runs());
}
