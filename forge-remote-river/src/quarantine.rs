//! The separation of jobs that may have ended their process.

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long a suspect waits for the jobs that run. No other job starts meanwhile.
pub(crate) const SUSPECT_WAIT: Duration = Duration::from_secs(30);

/// Lets a suspect run alone in its process: a job that was running when a process died. Other jobs never
/// wait for it, because a job that waits here has spent an attempt if the process dies again.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(RwLock<()>);

/// A job's permission to run.
#[derive(Debug)]
#[allow(dead_code, reason = "held until the job ends")]
pub(crate) enum Place<'a> {
    Shared(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Quarantine {
    /// Returns the permission, or `None` if the job has to be tried later.
    pub(crate) async fn enter(&self, is_suspect: bool) -> Option<Place<'_>> {
        if !is_suspect {
            return self.0.try_read().ok().map(Place::Shared);
        }
        let alone = tokio::time::timeout(SUSPECT_WAIT, self.0.write()).await;
        alone.ok().map(Place::Alone)
    }
}
