//! A clock that is set by an hour while the app works. libfaketime sets it, for the wall clock alone.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use forge_remote_tests::jws::INSTALLATION_ID;
use forge_remote_tests::stores::server_variable;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{App, Fixture, deliver_at};

const HOUR: i64 = 3600;

/// The clock of a process.
struct StepClock {
    library: String,
    file: PathBuf,
    /// The lead of the clock, in seconds.
    lead: i64,
}

impl StepClock {
    /// Returns a clock with this lead; `None` without the library.
    fn new(fixture: &Fixture, lead: i64) -> Option<Self> {
        Self::of_machine(fixture, "clock", lead)
    }

    fn of_machine(fixture: &Fixture, name: &str, lead: i64) -> Option<Self> {
        let library = server_variable("FORGE_REMOTE_TEST_FAKETIME")?;
        let file = fixture.folder.file(name);
        let mut clock = Self {
            library,
            file,
            lead,
        };
        clock.set(lead);
        Some(clock)
    }

    fn set(&mut self, lead: i64) {
        self.lead = lead;
        // In one step: the process reads it at any moment.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{lead:+}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// Returns Atlassian's time, by which tokens are dated. It is never behind the process's clock: the tokens would
    /// have expired.
    fn atlassians_time(&self) -> SystemTime {
        let lead = u64::try_from(self.lead).unwrap_or_default();
        SystemTime::now() + Duration::from_secs(lead)
    }

    async fn start(&self, fixture: &Fixture) -> App {
        fixture.start_as(self.program()).await
    }

    fn program(&self) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_issue-digest"));
        program
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        program
    }

    /// Delivers events, all at once.
    async fn deliver(&self, app: &App, prefix: &str, count: u32) -> Vec<String> {
        let mut deliveries = JoinSet::new();
        for number in 0..count {
            let id = format!("{prefix}{number}");
            let (time, address) = (self.atlassians_time(), app.address);
            deliveries.spawn(async move {
                let status = deliver_at(time, address, &id, INSTALLATION_ID, 0).await;
                (id, status)
            });
        }
        let mut ids = Vec::new();
        while let Some(delivered) = deliveries.join_next().await {
            let (id, status) = delivered.unwrap();
            assert_eq!(status, Some(202), "{id}");
            ids.push(id);
        }
        ids
    }
}

/// Two events run and others wait, one of them for its retry, when the clock is set. Each is done, and none waits for
/// the hour.
async fn stepped(from: i64, to: i64) {
    let fixture = Fixture::sqlite().await.with_work(300);
    let Some(mut clock) = StepClock::new(&fixture, from) else {
        return;
    };
    let app = clock.start(&fixture).await;
    let failing = clock.deliver(&app, "fail-", 1).await;
    fixture
        .wait_until("it fails", |fixture| {
            fixture.count(&failing[0], "start") > 1
        })
        .await;
    let mut ids = clock.deliver(&app, "before-", 10).await;
    fixture
        .wait_until("they run", |fixture| {
            ids.iter().any(|id| fixture.count(id, "done") > 0)
        })
        .await;
    clock.set(to);
    ids.extend(clock.deliver(&app, "after-", 10).await);
    fixture.wait_until_done(&ids).await;
    // Its attempts are spent; an attempt that the step hits may be repeated.
    fixture
        .wait_until("it is dead", |fixture| {
            fixture.count(&failing[0], "start") >= 4
        })
        .await;
    let runs = fixture.runs();
    let starts = runs
        .iter()
        .filter(|run| run.2 == "start" && run.0 != failing[0]);
    let repeats = starts.count() - ids.len();
    assert!(repeats <= 2, "{repeats} repeats: {runs:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_an_hour_forwards_loses_and_delays_nothing() {
    stepped(0, HOUR).await;
}

#[tokio::test]
async fn a_clock_that_is_set_an_hour_backwards_loses_and_delays_nothing() {
    stepped(0, -HOUR).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_while_nothing_runs_delays_nothing() {
    let fixture = Fixture::sqlite().await.with_work(300);
    let Some(mut clock) = StepClock::new(&fixture, 0) else {
        return;
    };
    let app = clock.start(&fixture).await;
    let ids = clock.deliver(&app, "before-", 10).await;
    app.stop().await;
    assert!(ids.iter().any(|id| fixture.count(id, "done") == 0));
    clock.set(-HOUR);
    let app = clock.start(&fixture).await;
    fixture.wait_until_done(&ids).await;
    app.stop().await;
}

/// Two machines share a PostgreSQL, and the clock of one is 3 seconds ahead, as it may be. Then it is set an hour
/// ahead: the machine accepts, and runs nothing. The other one runs its jobs and its retries, without waiting for an
/// hour.
#[tokio::test]
async fn a_machine_whose_clock_is_an_hour_ahead_delays_nothing_of_another() {
    let Some(fixture) = Fixture::postgres().await else {
        return;
    };
    let fixture = fixture.with_work(300);
    let clocks = ["right", "wrong"].map(|name| StepClock::of_machine(&fixture, name, 0));
    let [Some(right), Some(mut wrong)] = clocks else {
        return;
    };
    wrong.set(3);
    let (other, machine) = (right.start(&fixture).await, wrong.start(&fixture).await);
    let mut ids = right.deliver(&other, "right-", 10).await;
    ids.extend(wrong.deliver(&machine, "ahead-", 10).await);
    fixture.wait_until_done(&ids).await;
    let starts = fixture.runs().iter().filter(|run| run.2 == "start").count();
    assert_eq!(starts, ids.len(), "{:?}", fixture.runs());

    // Both machines run them, and each is to be retried within seconds.
    let failing = wrong.deliver(&machine, "fail-", 8).await;
    let has_failed = |fixture: &Fixture| failing.iter().all(|id| fixture.count(id, "start") > 0);
    fixture.wait_until("they fail", has_failed).await;
    wrong.set(HOUR);
    let ids = wrong.deliver(&machine, "behind-", 10).await;
    fixture.wait_until_done(&ids).await;
    let is_dead = |fixture: &Fixture| failing.iter().all(|id| fixture.count(id, "start") >= 4);
    fixture.wait_until("they are dead", is_dead).await;
    machine.stop().await;
    other.stop().await;
}

/// A machine whose clock is wrong when it starts does not serve, and says why.
#[tokio::test]
async fn a_machine_whose_clock_is_an_hour_off_does_not_start() {
    for lead in [HOUR, -HOUR] {
        let Some(fixture) = Fixture::postgres().await else {
            return;
        };
        let Some(clock) = StepClock::new(&fixture, lead) else {
            return;
        };
        let mut program = clock.program();
        program.env_remove("FORGE_REMOTE_MANIFEST");
        let (status, text) = fixture.run_as(program, &[]).await;
        assert!(
            status != 0 && text.contains("clock and the database's differ by 3600 seconds"),
            "{text}"
        );
    }
}
