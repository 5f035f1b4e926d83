//! The separation of jobs that may have ended their process.

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long a job waits for its turn, before its row is handed back.
pub(crate) const TURN_WAIT: Duration = Duration::from_secs(30);

/// Lets a suspect run alone in its process: a job that ran when a process died. The lock is fair, so that
/// neither suspects nor others starve.
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
    /// Returns the permission, or `None` after [`TURN_WAIT`].
    pub(crate) async fn enter(&self, is_suspect: bool) -> Option<Place<'_>> {
        let enter = async {
            match is_suspect {
                true => Place::Alone(self.0.write().await),
                false => Place::Shared(self.0.read().await),
            }
        };
        tokio::time::timeout(TURN_WAIT, enter).await.ok()
    }
}
