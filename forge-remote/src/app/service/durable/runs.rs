//! The running `cron` handlers of this process, to prevent overlaps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::fit::Clock;

/// How many ended runs are remembered at least, and how long.
const KEPT: usize = 10_000;
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The last runs of each handler and installation.
pub(in crate::app::service) struct Runs {
    clock: Arc<dyn Clock>,
    last: Mutex<HashMap<Group, LastRun>>,
}

/// A handler's key and an installation.
type Group = (String, String);

struct LastRun {
    running: u32,
    occurrence: SystemTime,
    started: SystemTime,
    ended: SystemTime,
}

impl Runs {
    pub(in crate::app::service) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Mutex::default(),
        }
    }

    /// Records that a run of an occurrence starts, until the returned guard is dropped. Returns `None`
    /// if another occurrence's was running at `due`, or is running.
    pub(in crate::app::service) fn start(
        self: &Arc<Self>,
        handler: &str,
        installation_id: &str,
        occurrence: SystemTime,
        due: Option<SystemTime>,
    ) -> Option<RunGuard> {
        let now = self.clock.now();
        let group = (handler.to_owned(), installation_id.to_owned());
        let mut last = self.last();
        if last.len() >= KEPT {
            let is_recent = |run: &LastRun| {
                let age = now.duration_since(run.ended).unwrap_or_default();
                run.running > 0 || age < REMEMBERED
            };
            last.retain(|_, run| is_recent(run));
        }
        let run = last.entry(group.clone()).or_insert(LastRun {
            running: 0,
            occurrence,
            started: now,
            ended: SystemTime::UNIX_EPOCH,
        });
        let was_running = |due| run.started <= due && due < run.ended;
        let overlaps = |due| run.running > 0 || run.occurrence != occurrence && was_running(due);
        if due.is_some_and(overlaps) {
            return None;
        }
        run.running += 1;
        run.occurrence = occurrence;
        run.started = now;
        Some(RunGuard {
            runs: Arc::clone(self),
            group,
        })
    }

    fn last(&self) -> MutexGuard<'_, HashMap<Group, LastRun>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that has started. Dropping it records its end.
pub(in crate::app::service) struct RunGuard {
    runs: Arc<Runs>,
    group: Group,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let now = self.runs.clock.now();
        if let Some(run) = self.runs.last().get_mut(&self.group) {
            run.running = run.running.saturating_sub(1);
            run.ended = now;
        }
    }
}
