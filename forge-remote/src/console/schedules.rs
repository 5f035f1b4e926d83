//! The schedules that `dev` runs: Forge's intervals, and the clock of the handlers with `cron`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use forge_remote_schema::built_in::CRON_CLOCK;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::app::Service;
use crate::platform::{CallChanges, Change, Origin, PlatformClient};
use crate::registry::Handler;
use crate::schedules::Timetable;

/// The number of coming calls that are shown.
const SHOWN: usize = 5;

/// The schedules by interval, by their handlers' keys. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Schedules(Arc<Mutex<BTreeMap<String, PausableInterval>>>);

/// A schedule by interval.
#[derive(Clone, Copy, Debug)]
struct PausableInterval {
    /// Between two calls here, which may be faster than Forge's.
    every: Duration,
    next: SystemTime,
    is_paused: bool,
}

/// A schedule, as it is shown.
#[derive(Default)]
pub(super) struct Schedule {
    /// The next calls, the soonest first.
    pub(super) next: Vec<NextCall>,
    pub(super) is_paused: bool,
    /// Whether it runs at the clock's first call after its time, because there is no engine.
    pub(super) waits_for_clock: bool,
}

/// A coming call.
pub(super) struct NextCall {
    pub(super) at: SystemTime,
    /// The occurrence in the schedule's time zone: `2026-11-30 02:30`.
    pub(super) local: Option<String>,
}

impl Schedules {
    /// Adds the schedule of each handler with an interval, which is divided by `speed`.
    pub(crate) fn plan(&self, caller: &PlatformClient, speed: u32) {
        for handler in caller.app.registry().handlers() {
            let Some(interval) = handler.registration().kind.interval() else {
                continue;
            };
            let schedule = PausableInterval {
                every: interval / speed.max(1),
                next: SystemTime::now(),
                is_paused: false,
            };
            self.all().insert(handler.key().to_owned(), schedule);
        }
    }

    /// Calls each planned handler now, and then at its interval.
    pub(crate) fn start(&self, caller: &Arc<PlatformClient>) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for handler in caller.app.registry().handlers() {
            let every = self.all().get(handler.key()).map(|schedule| schedule.every);
            if let Some(every) = every {
                running.spawn(self.clone().run(Arc::clone(caller), handler.clone(), every));
            }
        }
        running
    }

    async fn run(self, caller: Arc<PlatformClient>, handler: Handler, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        // Missed ticks are skipped: a slow handler isn't called more often to catch up.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if self.begin_tick(handler.key()) {
                let sample_call = caller.sample_call(&handler, None);
                let changes = CallChanges::default();
                caller
                    .call(&handler, sample_call, &changes, Origin::Schedule)
                    .await;
            }
            caller.journal.announce(Change::Schedules);
        }
    }

    /// Records the time of the next tick, and returns whether this one calls the handler.
    fn begin_tick(&self, key: &str) -> bool {
        let mut all = self.all();
        let Some(schedule) = all.get_mut(key) else {
            return false;
        };
        schedule.next = SystemTime::now() + schedule.every;
        !schedule.is_paused
    }

    /// Returns the schedule of a handler, for the installation that is called.
    pub(super) fn of(&self, key: &str, app: &Service, installation: &str) -> Option<Schedule> {
        if let Some(timetable) = app.cron_schedules().timetable(key) {
            return Some(of_timetable(timetable, app, installation));
        }
        let PausableInterval {
            every,
            next,
            is_paused,
        } = self.all().get(key).copied()?;
        let at = |count| NextCall {
            at: next + every * count,
            local: None,
        };
        Some(Schedule {
            next: (0..).take(SHOWN).map(at).collect(),
            is_paused,
            waits_for_clock: false,
        })
    }

    /// Pauses or resumes a schedule. Returns whether there is one with this key.
    pub(super) fn pause(&self, key: &str, app: &Service, is_paused: bool) -> bool {
        if let Some(timetable) = app.cron_schedules().timetable(key) {
            timetable.set_paused(is_paused);
            return true;
        }
        let mut all = self.all();
        let found = all.get_mut(key);
        found
            .map(|schedule| schedule.is_paused = is_paused)
            .is_some()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, PausableInterval>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_timetable(timetable: &Timetable, app: &Service, installation: &str) -> Schedule {
    let cron = app.cron_schedules();
    // An occurrence with a delay is due later.
    let first = timetable.next_after(cron.now());
    let all = std::iter::successors(first, |last| timetable.next_after(*last));
    let next = all.take(SHOWN).map(|occurrence| NextCall {
        at: timetable.due(occurrence, installation),
        local: Some(timetable.local(occurrence)),
    });
    Schedule {
        next: next.collect(),
        is_paused: timetable.is_paused(),
        waits_for_clock: !cron.has_engine(),
    }
}

/// Returns the handler that Forge calls for all handlers with `cron`.
pub(super) fn clock(app: &Service) -> Option<&Handler> {
    app.registry().find(CRON_CLOCK).next()
}

/// Returns the message about a handler that has no schedule.
pub(super) fn no_schedule(key: &str) -> String {
    format!("`{key}` has no schedule")
}
