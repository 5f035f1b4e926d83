//! Killed and stopped processes lose no event.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Fixture, deliver, installation};

/// Kills the process at random moments while events arrive and run. Every accepted event is done.
async fn killed_at_any_moment(fixture: Fixture, rounds: u32) {
    let mut accepted = Vec::new();
    for round in 0..rounds {
        let app = fixture.start().await;
        let mut random = [0_u8; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let life = Duration::from_millis(20 + u64::from(u16::from_le_bytes(random)) % 250);
        let address = app.address;
        let deliveries = (0..4).map(|lane| {
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                // An installation for each: what a killed process ran counts for its limit until it is handed back.
                let installation = installation(round * 4 + lane);
                for number in 0.. {
                    let id = format!("{round}-{lane}-{number}");
                    match deliver(address, &id, &installation, 0).await {
                        Some(202) => accepted.push(id),
                        Some(status) => assert_eq!(status, 503),
                        None => break,
                    }
                    if number > 8 {
                        break;
                    }
                }
                accepted
            })
        });
        let deliveries: Vec<_> = deliveries.collect();
        tokio::time::sleep(life).await;
        app.kill().await;
        for lane in deliveries {
            accepted.extend(lane.await.unwrap());
        }
    }
    assert!(
        // A slow machine accepts less before each kill.
        accepted.len() >= rounds as usize / 4,
        "{} accepted",
        accepted.len()
    );
    let app = fixture.start().await;
    fixture.wait_until_done(&accepted).await;
    app.stop().await;
    let runs = fixture.runs();
    let starts = runs.iter().filter(|run| run.2 == "start");
    let distinct: BTreeSet<&String> = starts.clone().map(|run| &run.0).collect();
    let repeats = starts.count() - distinct.len();
    eprintln!("{} accepted, {repeats} runs repeated", accepted.len());
    // Each kill hit at most the eight runs of its four installations.
    assert!(
        repeats <= 8 * rounds as usize,
        "{repeats} repeats, {rounds} kills"
    );
}

fn kill_rounds() -> u32 {
    let rounds = std::env::var("FORGE_REMOTE_KILL_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

#[tokio::test]
async fn nothing_accepted_is_lost_on_sqlite() {
    killed_at_any_moment(Fixture::sqlite().await.with_work(20), kill_rounds()).await;
}

/// The last killed process's jobs run again when it has been silent for 30 seconds.
#[tokio::test]
async fn nothing_accepted_is_lost_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        killed_at_any_moment(fixture.with_work(20), kill_rounds()).await;
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
            assert_eq!(app.deliver(&id).await, Some(202));
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
