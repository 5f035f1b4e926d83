//! The separation of jobs that may have ended their process.

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long a job waits for its turn, before its row is handed back.
pub(crate) const TURN_WAIT: Duration = Duration::from_secs(30);
/// How long a suspect runs alone. One that has run for longer does not hold up the others; if it ends the process after
/// all, they lose another attempt.
pub(crate) const ALONE_FOR: Duration = Duration::from_secs(20);

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

impl Place<'_> {
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::Alone(_))
    }

    /// Lets others run beside it.
    pub(crate) fn share(self) -> Self {
        match self {
            Self::Alone(guard) => Self::Shared(guard.downgrade()),
            shared => shared,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a place, if there is one at once.
    async fn now(quarantine: &Quarantine, is_suspect: bool) -> Option<Place<'_>> {
        let place = tokio::time::timeout(Duration::ZERO, quarantine.enter(is_suspect));
        place.await.ok().flatten()
    }

    #[test]
    fn a_suspect_runs_alone_until_it_shares() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(async {
            let quarantine = Quarantine::default();
            let suspect = now(&quarantine, true).await.unwrap();
            assert!(suspect.is_alone());
            assert!(now(&quarantine, false).await.is_none());
            let suspect = suspect.share();
            assert!(!suspect.is_alone());
            assert!(now(&quarantine, false).await.is_some());
            assert!(now(&quarantine, true).await.is_none());
        });
    }
}
