//! Occurrences with every engine, with one that is full, and without one.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine};
use forge_remote::prelude::*;
use forge_remote::schedules::Occurrence;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::MemoryTokens;
use forge_remote_tests::engines::{memory, postgres, restate, sqlite};
use forge_remote_tests::stores::KEYS;

use crate::schedules::{HOUR, Lasting, Log, app, monday, settle};

struct Full;

impl JobEngine for Full {
    fn name(&self) -> String {
        "full".to_owned()
    }

    fn accept(&self, _: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        Box::pin(std::future::ready(Err(EngineError::new(
            "the disk is full",
        ))))
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(async {
            context.stop.await;
            Ok(())
        })
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
    }
}

#[tokio::test]
async fn a_tick_that_is_not_stored_is_retried_by_forge() {
    let (log, clock) = (Log::new(9), TestClock::new());
    clock.set(monday(8, 5));
    let app = app(
        forge_remote::handler!(crate::schedules::overlapping),
        &log,
        &clock,
    )
    .jobs(Full);
    let harness = Harness::new(app).unwrap();
    let response = harness.call("cron-clock").send().await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn without_an_engine_due_occurrences_run_after_a_tick() {
    let (log, clock) = (Log::new(99), TestClock::new());
    clock.set(monday(8, 5));
    #[scheduled_trigger(cron = "*/10 * * * *", auth = system, key = "simple")]
    async fn simple(log: State<Log>, occurrence: Occurrence, token: SystemToken) -> Result<()> {
        assert!(!token.expose_secret().is_empty());
        log.write("simple", occurrence);
        Ok(())
    }
    let harness = Harness::new(app(forge_remote::handler!(simple), &log, &clock)).unwrap();
    let tick = async || {
        assert_eq!(harness.call("cron-clock").send().await.status(), 202);
        settle().await;
    };
    // The first tick after a start only begins to count.
    tick().await;
    assert_eq!(log.lines(), [""; 0]);
    clock.advance(HOUR);
    tick().await;
    // Once for all that were due, and not again by a repetition.
    assert_eq!(log.wait_for(1).await, ["simple 09:00"]);
    tick().await;
    clock.advance(HOUR);
    tick().await;
    assert_eq!(log.wait_for(2).await, ["simple 09:00", "simple 10:00"]);
}

/// In real time: the last occurrence of the past hour runs at once, and the coming ones wait.
#[tokio::test]
async fn every_engine_stores_an_occurrence_once_and_runs_it() {
    #[scheduled_trigger(cron = "*/10 * * * *", overlap = "allow", key = "frequent")]
    async fn frequent(log: State<Log>, occurrence: Occurrence) {
        log.write("frequent", occurrence);
    }
    let servers = postgres().await.into_iter().chain(restate().await);
    let engines = [memory(), sqlite()].into_iter().chain(servers);
    for engine in engines {
        let log = Log::new(0);
        let app = || {
            App::empty()
                .handler(forge_remote::handler!(frequent))
                .remote(Remote::new("backend").base_url("https://backend.example.com"))
                .state(log.clone())
                .token_store(Tokens::new(MemoryTokens::new()).keys(KEYS[0]))
                .jobs(Lasting(engine.connect()))
        };
        let connected = app().connect().await.unwrap();
        let harness = Harness::new(connected).unwrap();
        let _running = harness.start_background().unwrap();
        let minute = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
                / 60
        };
        let started = minute();
        for _ in 0..2 {
            assert_eq!(
                harness.call("cron-clock").send().await.status(),
                202,
                "{engine:?}"
            );
        }
        let mut lines = log.lines.subscribe();
        let first = lines.wait_for(|lines| !lines.is_empty());
        tokio::time::timeout(Duration::from_secs(30), first)
            .await
            .expect("no run")
            .unwrap();
        assert_eq!(
            harness.call("cron-clock").send().await.status(),
            202,
            "{engine:?}"
        );
        settle().await;
        // The test may last over a full minute.
        let runs = log.lines();
        let distinct: BTreeSet<&String> = runs.iter().collect();
        assert_eq!(distinct.len(), runs.len(), "{engine:?}: {runs:?}");
        assert!(
            runs.len() as u64 <= 1 + minute() - started,
            "{engine:?}: {runs:?}"
        );
    }
}
