//! The shared state of a process that runs jobs: the app's runner, the workers, the shutdown.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forge_remote::jobs::JobRunner;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an attempt waits for a place. Restate then starts the invocation again: it must not begin an
/// attempt on a stream that Restate has half closed, which it does after a minute without a message.
const PLACE_WAIT: Duration = Duration::from_secs(20);

/// How long a suspect waits until no other suspect runs, before it waits for its place.
const SUSPECT_WAIT: Duration = Duration::from_secs(10);

/// The permission to run a job, until it is dropped.
pub(crate) struct Place {
    _places: OwnedSemaphorePermit,
    /// A suspect's.
    _turn: Option<OwnedSemaphorePermit>,
    /// Whether nothing else runs in the process.
    pub(crate) is_alone: bool,
}

/// One call of `JobEngine::serve`.
pub(crate) struct Serving {
    pub(crate) runner: Arc<dyn JobRunner>,
    /// A random name of this process.
    pub(crate) process: String,
    /// The app stops: no attempt begins.
    pub(crate) stopping: CancellationToken,
    /// The grace period is over: running attempts are interrupted and not counted.
    pub(crate) over: CancellationToken,
    /// The attempts whose outcome Restate has not stored.
    pub(crate) attempts: TaskTracker,
    places: Arc<Semaphore>,
    workers: u32,
    /// The turn of a job that may have ended a process: two of them never run at the same time.
    suspects: Arc<Semaphore>,
    /// The attempts that began in this process and whose end Restate may not have.
    begun: Mutex<HashSet<(String, u32)>>,
}

/// Why an invocation does not continue in this process. Restate starts it again.
#[derive(Debug)]
pub(crate) enum Refused {
    NotServing,
    Stopping,
    Busy,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotServing => "the app does not run jobs yet",
            Self::Stopping => "the app stops",
            Self::Busy => "the app runs as many jobs as it may",
        })
    }
}

impl std::error::Error for Refused {}

impl Serving {
    pub(crate) fn new(runner: Arc<dyn JobRunner>, process: String, workers: u32) -> Self {
        Self {
            runner,
            process,
            stopping: CancellationToken::new(),
            over: CancellationToken::new(),
            attempts: TaskTracker::new(),
            places: Arc::new(Semaphore::new(workers as usize)),
            workers,
            suspects: Arc::new(Semaphore::new(1)),
            begun: Mutex::default(),
        }
    }

    pub(crate) fn check_running(&self) -> Result<(), Refused> {
        match self.stopping.is_cancelled() {
            true => Err(Refused::Stopping),
            false => Ok(()),
        }
    }

    /// Waits for a place. A suspect, which may have ended a process, takes all of them if it can, so that it takes no others
    /// with it.
    pub(crate) async fn place(&self, is_suspect: bool) -> Result<Place, Refused> {
        self.check_running()?;
        tokio::select! {
            place = self.wait_for_place(is_suspect) => place,
            () = self.stopping.cancelled() => Err(Refused::Stopping),
        }
    }

    async fn wait_for_place(&self, is_suspect: bool) -> Result<Place, Refused> {
        let mut turn = None;
        if is_suspect {
            let waiting = Arc::clone(&self.suspects).acquire_owned();
            let waited = tokio::time::timeout(SUSPECT_WAIT, waiting).await;
            turn = Some(waited.ok().and_then(Result::ok).ok_or(Refused::Busy)?);
        }
        let count = if is_suspect { self.workers } else { 1 };
        let waiting = Arc::clone(&self.places).acquire_many_owned(count);
        let waited = tokio::time::timeout(PLACE_WAIT, waiting).await;
        let (places, is_alone) = match waited {
            Ok(Ok(places)) => (places, is_suspect || self.workers == 1),
            // Where long jobs overlap, the process is never empty.
            _ => {
                let place = Arc::clone(&self.places).try_acquire_owned();
                (place.map_err(|_| Refused::Busy)?, false)
            }
        };
        Ok(Place {
            _places: places,
            _turn: turn,
            is_alone,
        })
    }

    /// Records that an attempt begins; `false` if it began before: its connection broke, and the
    /// attempt with it.
    pub(crate) fn begin(&self, id: &str, step: u32) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert((id.to_owned(), step))
    }

    pub(crate) fn forget(&self, id: &str, step: u32) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.remove(&(id.to_owned(), step));
    }
}
