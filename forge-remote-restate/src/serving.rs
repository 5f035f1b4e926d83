//! The shared state of a process that runs jobs: the app's runner, the workers, the shutdown.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forge_remote::jobs::JobRunner;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an attempt waits for a permit, and a suspect for an empty process before. Restate then starts the invocation again:
/// with [`SUSPECT_WAIT`], the waits are shorter than the minute without a message after which Restate half closes a stream,
/// on which no attempt may begin.
const PLACE_WAIT: Duration = Duration::from_secs(20);

/// How long a suspect waits until no other suspect runs alone.
const SUSPECT_WAIT: Duration = Duration::from_secs(10);

/// How long a suspect runs alone for the first time.
const ALONE_FOR: Duration = Duration::from_secs(20);

/// How long an attempt is remembered whose connection broke while it ran. Restate starts the invocation again soon after,
/// perhaps in another process.
const BROKEN_FOR: Duration = Duration::from_secs(3600);

/// How long a job is alone in a process with one worker: longer than it may run.
const ALWAYS: Duration = Duration::from_secs(24 * 3600);

/// Returns how long a suspect runs alone, by the number of processes that ended while it ran. It holds up other jobs
/// for that time, which is short for a job that was interrupted by chance. The time grows with each further end, so that
/// a job that crashes its process late soon crashes it alone.
pub(crate) fn alone_for(ended_processes: u32, timeout: Duration) -> Duration {
    let growth = 4_u32.saturating_pow(ended_processes.saturating_sub(1));
    ALONE_FOR.saturating_mul(growth).min(timeout)
}

/// The permission to run a job, until it is dropped.
#[derive(Debug)]
pub(crate) struct WorkerPermit {
    /// All of them for a suspect that runs alone.
    permits: Option<OwnedSemaphorePermit>,
    /// A suspect's, and how long it lasts from the beginning of the run.
    turn: Option<(OwnedSemaphorePermit, Duration)>,
    freed: Arc<Notify>,
    /// Until when nothing else runs in the process.
    alone_until: Option<Instant>,
}

impl WorkerPermit {
    pub(crate) fn alone_until(&self) -> Option<Instant> {
        self.alone_until
    }

    /// Ends a suspect's turn after its time from now, whether it is alone or not. Never completes.
    pub(crate) async fn share_after_turn(&mut self) -> Infallible {
        if let Some((_, time)) = &self.turn {
            sleep(*time).await;
            self.share();
        }
        std::future::pending().await
    }

    /// Lets others run at the same time, including the next suspect.
    fn share(&mut self) {
        self.turn = None;
        self.alone_until = None;
        if let Some(permits) = &mut self.permits {
            drop(permits.split(permits.num_permits().saturating_sub(1)));
        }
    }
}

impl Drop for WorkerPermit {
    fn drop(&mut self) {
        self.permits = None;
        self.turn = None;
        self.freed.notify_waiters();
    }
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
    permits: Arc<Semaphore>,
    freed: Arc<Notify>,
    workers: u32,
    /// The turn of a job that may have ended a process: two of them do not run at the same time before the first has run
    /// for its time.
    suspects: Arc<Semaphore>,
    /// The attempts that began in this process; for a broken one, when its connection broke.
    begun: Mutex<HashMap<(String, u32), Option<Instant>>>,
}

/// An attempt that runs in this process. Dropped before its end, it is remembered as broken.
pub(crate) struct Begun {
    serving: Arc<Serving>,
    id: String,
    step: u32,
}

impl Begun {
    pub(crate) fn end(self) {
        self.serving.forget(&self.id, self.step);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let key = (std::mem::take(&mut self.id), self.step);
        // It is forgotten if it has ended, or if the invocation was started again meanwhile.
        if let Some(broken) = self.serving.begun().get_mut(&key) {
            *broken = Some(Instant::now());
        }
    }
}

/// Why an invocation does not continue in this process. Restate starts it again.
#[derive(Debug)]
pub(crate) enum Rejected {
    NotServing,
    Stopping,
    Busy,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotServing => "the app does not run jobs yet",
            Self::Stopping => "the app stops",
            Self::Busy => "the app runs as many jobs as it may",
        })
    }
}

impl std::error::Error for Rejected {}

impl Serving {
    pub(crate) fn new(runner: Arc<dyn JobRunner>, process: String, workers: u32) -> Self {
        Self {
            runner,
            process,
            stopping: CancellationToken::new(),
            over: CancellationToken::new(),
            attempts: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(workers as usize)),
            freed: Arc::default(),
            workers,
            suspects: Arc::new(Semaphore::new(1)),
            begun: Mutex::default(),
        }
    }

    pub(crate) fn check_running(&self) -> Result<(), Rejected> {
        match self.stopping.is_cancelled() {
            true => Err(Rejected::Stopping),
            false => Ok(()),
        }
    }

    /// Waits for a permit. A suspect, which may have ended a process, takes all of them for this time if it can, so that it
    /// takes no others with it.
    pub(crate) async fn permit(
        &self,
        alone_for: Option<Duration>,
    ) -> Result<WorkerPermit, Rejected> {
        self.check_running()?;
        tokio::select! {
            permit = self.wait_for_permit(alone_for, PLACE_WAIT) => permit,
            () = self.stopping.cancelled() => Err(Rejected::Stopping),
        }
    }

    async fn wait_for_permit(
        &self,
        alone_for: Option<Duration>,
        place_wait: Duration,
    ) -> Result<WorkerPermit, Rejected> {
        let mut turn = None;
        if let Some(time) = alone_for {
            let waiting = Arc::clone(&self.suspects).acquire_owned();
            let waited = timeout(SUSPECT_WAIT, waiting).await;
            let suspect = waited.ok().and_then(Result::ok).ok_or(Rejected::Busy)?;
            // Where long jobs overlap, the process is never empty: the suspect then runs together with them.
            let all = timeout(place_wait, self.all_places()).await;
            turn = Some((suspect, time));
            if let Ok(permits) = all {
                return Ok(self.new_place(permits, turn, Some(time)));
            }
        }
        let waiting = Arc::clone(&self.permits).acquire_owned();
        let waited = timeout(place_wait, waiting).await;
        let permits = waited.ok().and_then(Result::ok).ok_or(Rejected::Busy)?;
        Ok(self.new_place(permits, turn, None))
    }

    /// Waits until nothing runs, outside of the semaphore's queue, without delaying jobs that become ready in the
    /// meantime.
    async fn all_places(&self) -> OwnedSemaphorePermit {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let all = Arc::clone(&self.permits).try_acquire_many_owned(self.workers);
            if let Ok(permits) = all {
                return permits;
            }
            freed.await;
        }
    }

    fn new_place(
        &self,
        permits: OwnedSemaphorePermit,
        turn: Option<(OwnedSemaphorePermit, Duration)>,
        alone_for: Option<Duration>,
    ) -> WorkerPermit {
        let alone_for = match self.workers {
            1 => Some(ALWAYS),
            _ => alone_for,
        };
        WorkerPermit {
            permits: Some(permits),
            turn,
            freed: Arc::clone(&self.freed),
            alone_until: alone_for.map(|time| Instant::now() + time),
        }
    }

    /// Records that an attempt begins; `None` if it began before: its connection broke, and the
    /// attempt with it.
    pub(crate) fn begin(self: &Arc<Self>, id: &str, step: u32) -> Option<Begun> {
        let mut begun = self.begun();
        begun.retain(|_, broken| broken.is_none_or(|at| at.elapsed() < BROKEN_FOR));
        let before = begun.insert((id.to_owned(), step), None);
        before.is_none().then(|| Begun {
            serving: Arc::clone(self),
            id: id.to_owned(),
            step,
        })
    }

    pub(crate) fn forget(&self, id: &str, step: u32) {
        self.begun().remove(&(id.to_owned(), step));
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<(String, u32), Option<Instant>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use forge_remote::fit::BoxFuture;
    use forge_remote::jobs::{Envelope, JobPolicy, PastAttempts, Verdict};

    use super::*;

    /// Runs nothing: these tests take permits themselves.
    struct Nothing;

    impl JobRunner for Nothing {
        fn policy(&self, _: &str) -> Option<JobPolicy> {
            None
        }

        fn longest_timeout(&self) -> Duration {
            Duration::ZERO
        }

        fn run(self: Arc<Self>, _: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
            Box::pin(std::future::pending())
        }
    }

    const ALONE: Option<Duration> = Some(Duration::from_secs(20));
    const WORKERS: u32 = 4;

    fn run(test: impl AsyncFnOnce(Serving)) {
        run_with(WORKERS, test);
    }

    fn run_with(workers: u32, test: impl AsyncFnOnce(Serving)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let serving = Serving::new(Arc::new(Nothing), "process".to_owned(), workers);
        runtime.unwrap().block_on(test(serving));
    }

    /// Returns a permit, if there is one at once.
    async fn now(serving: &Serving, alone_for: Option<Duration>) -> Option<WorkerPermit> {
        let permit = timeout(Duration::ZERO, serving.permit(alone_for)).await;
        permit.ok().and_then(Result::ok)
    }

    #[test]
    fn a_suspect_waits_for_an_empty_process_and_holds_up_nobody() {
        run(async |serving| {
            let running = now(&serving, None).await.unwrap();
            let mut suspect = std::pin::pin!(serving.permit(ALONE));
            let pending = timeout(Duration::ZERO, &mut suspect).await;
            assert!(pending.is_err());
            let another = now(&serving, None).await.expect("the suspect holds it up");
            drop((running, another));
            assert!(suspect.await.unwrap().alone_until().is_some());
        });
    }

    #[test]
    fn a_suspect_runs_alone_until_it_shares() {
        run(async |serving| {
            let mut suspect = now(&serving, ALONE).await.unwrap();
            assert!(now(&serving, None).await.is_none());
            assert!(now(&serving, ALONE).await.is_none());
            suspect.share();
            assert!(suspect.alone_until().is_none());
            let mut others = Vec::new();
            for _ in 1..WORKERS {
                others.push(now(&serving, None).await.unwrap());
            }
            assert!(now(&serving, None).await.is_none());
            drop((suspect, others));
            assert!(now(&serving, ALONE).await.unwrap().alone_until().is_some());
        });
    }

    #[test]
    fn a_suspect_runs_together_with_long_jobs_and_ends_its_turn_after_its_time() {
        run(async |serving| {
            let _running = now(&serving, None).await.unwrap();
            let suspect = serving.wait_for_permit(Some(Duration::ZERO), Duration::ZERO);
            let mut suspect = suspect.await.unwrap();
            assert!(suspect.alone_until().is_none());
            let next = serving.wait_for_permit(ALONE, Duration::ZERO);
            tokio::select! {
                never = suspect.share_after_turn() => match never {},
                next = next => assert!(next.is_ok()),
            }
        });
    }

    /// It has waited for an empty process and then for a permit, which takes longer than its turn.
    #[tokio::test(start_paused = true)]
    async fn a_suspects_turn_begins_with_its_run() {
        let serving = Serving::new(Arc::new(Nothing), "process".to_owned(), WORKERS);
        let mut running = Vec::new();
        for _ in 0..WORKERS {
            running.push(now(&serving, None).await.unwrap());
        }
        let mut suspect = std::pin::pin!(serving.permit(ALONE));
        let almost = 2 * PLACE_WAIT - Duration::from_secs(1);
        assert!(timeout(almost, &mut suspect).await.is_err());
        running.truncate(1);
        let mut suspect = suspect.await.unwrap();
        tokio::select! {
            never = suspect.share_after_turn() => match never {},
            next = serving.permit(ALONE) => assert!(next.is_err(), "two suspects run"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_attempt_is_remembered_for_a_while() {
        let serving = Serving::new(Arc::new(Nothing), "process".to_owned(), WORKERS);
        let serving = Arc::new(serving);
        let attempts = || serving.begun().len();
        serving.begin("ends", 0).unwrap().end();
        assert_eq!(attempts(), 0);
        drop(serving.begin("breaks", 0).unwrap());
        let _runs = serving.begin("runs", 0).unwrap();
        tokio::time::advance(BROKEN_FOR / 2).await;
        assert!(serving.begin("breaks", 0).is_none());
        serving.forget("breaks", 0);
        drop(serving.begin("breaks", 0).unwrap());
        tokio::time::advance(BROKEN_FOR).await;
        serving.begin("ends", 1).unwrap().end();
        assert_eq!(attempts(), 1, "the broken one is kept");
    }

    #[test]
    fn with_one_worker_every_job_is_always_alone() {
        run_with(1, async |serving| {
            for alone_for in [None, ALONE] {
                let permit = now(&serving, alone_for).await.unwrap();
                let until = permit.alone_until().unwrap();
                assert!(until > Instant::now() + ALWAYS / 2, "{alone_for:?}");
            }
        });
    }

    #[test]
    fn a_suspect_runs_alone_for_longer_after_each_end() {
        const MINUTE: Duration = Duration::from_secs(60);
        let times = [1, 2, 3, 4, u32::MAX].map(|ended| alone_for(ended, 10 * MINUTE));
        let expected = [20, 80, 320, 600, 600].map(Duration::from_secs);
        assert_eq!(times, expected);
    }
}
