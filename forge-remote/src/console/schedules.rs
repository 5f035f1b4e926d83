//! The schedules that `dev` runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::platform::{CallChanges, Change, Origin, PlatformClient};
use crate::registry::Handler;

/// The schedules by their handlers' keys. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Schedules(Arc<Mutex<BTreeMap<String, Schedule>>>);

/// A schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Between two calls here, which may be faster than Forge's.
    every: Duration,
    pub(super) next: SystemTime,
    pub(super) is_paused: bool,
}

impl Schedules {
    /// Calls each scheduled handler immediately and then at its interval, divided by `speed`.
    pub(crate) fn start(&self, caller: &Arc<PlatformClient>, speed: u32) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for handler in caller.app.registry().handlers() {
            let Some(interval) = handler.registration().kind.interval() else {
                continue;
            };
            let every = interval / speed.max(1);
            let schedule = Schedule {
                every,
                next: SystemTime::now(),
                is_paused: false,
            };
            self.all().insert(handler.key().to_owned(), schedule);
            running.spawn(self.clone().run(Arc::clone(caller), handler.clone(), every));
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
                let simulation = caller.simulation(&handler, None);
                let changes = CallChanges::default();
                caller
                    .call(&handler, simulation, &changes, Origin::Schedule)
                    .await;
            }
            caller.journal.announce(Change::Schedules);
        }
    }

    /// Notes the time of the next tick, and returns whether this one calls the handler.
    fn begin_tick(&self, key: &str) -> bool {
        let mut all = self.all();
        let Some(schedule) = all.get_mut(key) else {
            return false;
        };
        schedule.next = SystemTime::now() + schedule.every;
        !schedule.is_paused
    }

    /// Returns the schedule of a handler.
    pub(super) fn of(&self, key: &str) -> Option<Schedule> {
        self.all().get(key).copied()
    }

    /// Pauses or resumes a schedule. Returns whether there is one with this key.
    pub(super) fn pause(&self, key: &str, is_paused: bool) -> bool {
        let mut all = self.all();
        let found = all.get_mut(key);
        found
            .map(|schedule| schedule.is_paused = is_paused)
            .is_some()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Schedule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
