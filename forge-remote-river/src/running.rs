//! The running jobs of this process, and lost ones, which run only according to the database.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a row may name this process without a run, before it is released: River retries to store results for
/// minutes while the database is away.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// The ids of the jobs that run in this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<HashSet<i64>>>);

/// A job that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    running: &'a Running,
    job: i64,
}

impl Running {
    pub(crate) fn enter(&self, job: i64) -> Run<'_> {
        self.jobs().insert(job);
        Run { running: self, job }
    }

    fn jobs(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.running.jobs().remove(&self.job);
    }
}

/// The rows that name this process without a run: a claim whose response was lost, for example.
#[derive(Debug, Default)]
pub(crate) struct Lost(HashMap<i64, Instant>);

impl Lost {
    /// Returns the jobs that were lost for long enough, of those whose rows name this process now.
    pub(crate) fn among(&mut self, claimed: &[i64], running: &Running, now: Instant) -> Vec<i64> {
        let running = running.jobs();
        let missing = |job: &i64| claimed.contains(job) && !running.contains(job);
        self.0.retain(|job, _| missing(job));
        for job in claimed.iter().filter(|job| missing(job)) {
            self.0.entry(*job).or_insert(now);
        }
        let lost = self
            .0
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= LOST_AFTER);
        lost.map(|(job, _)| *job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_lost_once_its_row_has_named_the_process_for_long_without_a_run() {
        let (mut lost, running) = (Lost::default(), Running::default());
        let _run = running.enter(1);
        let start = Instant::now();
        let mut look = |claimed: &[i64], halves| {
            lost.among(claimed, &running, start + LOST_AFTER / 2 * halves)
        };
        assert!(look(&[1, 2, 3], 0).is_empty());
        // The result of the third was stored, and it has been claimed again.
        assert!(look(&[1, 2], 1).is_empty());
        assert!(look(&[1, 2, 3], 1).is_empty());
        assert_eq!(look(&[1, 2, 3], 2), [2]);
    }
}
