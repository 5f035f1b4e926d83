//! The separation of jobs that may have ended their process.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{Notify, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit};

/// How long a suspect waits in its worker until no other suspect runs.
const SUSPECT_WAIT: Duration = Duration::from_millis(500);
/// How long it then waits for an empty process, and others for the end of a suspect's time alone.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// The longest time that a job waits for its turn and its permission.
pub(crate) const LONGEST_TURN: Duration = Duration::from_secs(61);
/// How long a suspect runs alone for the first time.
const ALONE_FOR: Duration = Duration::from_secs(20);
/// The number of processes in which a job may end together with others, without a complete run in between, until it is
/// taken for the cause: its uncounted attempts are then counted.
pub(crate) const MAX_GIVEN_BACK: i64 = 3;

/// Returns how long a suspect runs alone, by the number of processes that ended while it ran. It holds up other jobs
/// for that time, which is short for a job that was interrupted by chance. The time grows with each further end, so that
/// a job that crashes its process late soon crashes it alone.
pub(crate) fn alone_for(ended_processes: u32, timeout: Duration) -> Duration {
    let growth = 4_u32.saturating_pow(ended_processes.saturating_sub(1));
    ALONE_FOR.saturating_mul(growth).min(timeout)
}

/// Lets a suspect run alone in its process: a job that ran when a process died. Two suspects do not run at the same time
/// before the first has run for its time.
#[derive(Debug)]
pub(crate) struct Quarantine {
    permits: RwLock<()>,
    freed: Notify,
    suspects: Semaphore,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            permits: RwLock::default(),
            freed: Notify::default(),
            suspects: Semaphore::new(1),
        }
    }
}

/// A job's permission to run.
#[derive(Debug)]
pub(crate) struct WorkerPermit<'a> {
    guard: Option<Guard<'a>>,
    freed: &'a Notify,
    /// A suspect's, until it shares the process.
    turn: Option<SemaphorePermit<'a>>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "held until the job ends")]
enum Guard<'a> {
    Shared(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Drop for WorkerPermit<'_> {
    fn drop(&mut self) {
        self.guard = None;
        self.freed.notify_waiters();
    }
}

impl WorkerPermit<'_> {
    #[cfg(test)]
    fn is_alone(&self) -> bool {
        matches!(self.guard, Some(Guard::Alone(_)))
    }

    /// Ends a suspect's turn after this time, whether it is alone or not. Never completes.
    pub(crate) async fn share_after(&mut self, time: Duration) -> Infallible {
        if self.turn.is_some() {
            tokio::time::sleep(time).await;
            self.share();
        }
        std::future::pending().await
    }

    /// Lets others run at the same time, including the next suspect.
    fn share(&mut self) {
        self.turn = None;
        if let Some(Guard::Alone(guard)) = self.guard.take() {
            self.guard = Some(Guard::Shared(guard.downgrade()));
        }
    }
}

impl Quarantine {
    /// Returns the permission of a job that is not a suspect; `None` if a suspect still runs alone after 30 seconds.
    pub(crate) async fn enter(&self) -> Option<WorkerPermit<'_>> {
        self.share_within(TURN_WAIT, None).await
    }

    /// Returns a suspect's turn; `None` if another suspect has it. The suspect then waits outside of its worker, which
    /// others need.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let waited = tokio::time::timeout(SUSPECT_WAIT, self.suspects.acquire()).await;
        waited.ok()?.ok()
    }

    /// Returns the permission of a suspect in its turn: alone, or after 30 seconds with others.
    pub(crate) async fn enter_in<'a>(
        &'a self,
        turn: SemaphorePermit<'a>,
    ) -> Option<WorkerPermit<'a>> {
        self.enter_within(turn, TURN_WAIT).await
    }

    async fn enter_within<'a>(
        &'a self,
        turn: SemaphorePermit<'a>,
        wait: Duration,
    ) -> Option<WorkerPermit<'a>> {
        match tokio::time::timeout(wait, self.alone()).await {
            Ok(guard) => Some(self.permit(guard, Some(turn))),
            // Where long jobs overlap, the process is never empty: the suspect then runs together with them.
            Err(_) => self.share_within(wait, Some(turn)).await,
        }
    }

    async fn share_within<'a>(
        &'a self,
        wait: Duration,
        turn: Option<SemaphorePermit<'a>>,
    ) -> Option<WorkerPermit<'a>> {
        let shared = tokio::time::timeout(wait, self.permits.read()).await;
        shared
            .ok()
            .map(|guard| self.permit(Guard::Shared(guard), turn))
    }

    /// Waits until nothing runs, without delaying jobs that become ready in the meantime.
    async fn alone(&self) -> Guard<'_> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Ok(guard) = self.permits.try_write() {
                return Guard::Alone(guard);
            }
            freed.await;
        }
    }

    fn permit<'a>(
        &'a self,
        guard: Guard<'a>,
        turn: Option<SemaphorePermit<'a>>,
    ) -> WorkerPermit<'a> {
        WorkerPermit {
            guard: Some(guard),
            freed: &self.freed,
            turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a permit, if there is one at once.
    async fn now(quarantine: &Quarantine, is_suspect: bool) -> Option<WorkerPermit<'_>> {
        let permit = async {
            match is_suspect {
                true => quarantine.enter_in(quarantine.turn().await?).await,
                false => quarantine.enter().await,
            }
        };
        tokio::time::timeout(Duration::ZERO, permit).await.ok()?
    }

    /// Returns a suspect's permit, in an empty process or not.
    async fn without_wait(quarantine: &Quarantine) -> Option<WorkerPermit<'_>> {
        let turn = quarantine.suspects.try_acquire().ok()?;
        quarantine.enter_within(turn, Duration::ZERO).await
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn a_suspect_runs_alone_until_it_shares() {
        run(async {
            let quarantine = Quarantine::default();
            let mut suspect = now(&quarantine, true).await.unwrap();
            assert!(suspect.is_alone());
            assert!(now(&quarantine, false).await.is_none());
            suspect.share();
            assert!(!suspect.is_alone());
            assert!(now(&quarantine, false).await.is_some());
        });
    }

    #[test]
    fn a_suspect_runs_alone_for_longer_after_each_end() {
        const MINUTE: Duration = Duration::from_secs(60);
        let times = [1, 2, 3, 4, u32::MAX].map(|ended| alone_for(ended, 10 * MINUTE));
        let expected = [20, 80, 320, 600, 600].map(Duration::from_secs);
        assert_eq!(times, expected);
        assert_eq!(alone_for(1, MINUTE / 60), MINUTE / 60);
    }

    #[test]
    fn two_suspects_do_not_run_together_before_one_shares() {
        run(async {
            let quarantine = Quarantine::default();
            let mut suspect = now(&quarantine, true).await.unwrap();
            // The second waits outside.
            assert!(now(&quarantine, true).await.is_none());
            suspect.share();
            let second = without_wait(&quarantine).await.unwrap();
            assert!(!second.is_alone());
            drop((suspect, second));
            assert!(now(&quarantine, true).await.unwrap().is_alone());
            let _running = now(&quarantine, false).await.unwrap();
            let second = without_wait(&quarantine).await.unwrap();
            assert!(!second.is_alone());
            assert!(now(&quarantine, true).await.is_none());
        });
    }

    #[test]
    fn a_suspect_waits_for_an_empty_process_and_holds_up_nobody() {
        run(async {
            let quarantine = Quarantine::default();
            let running = now(&quarantine, false).await.unwrap();
            let turn = quarantine.turn().await.unwrap();
            let suspect = quarantine.enter_in(turn);
            let mut suspect = std::pin::pin!(suspect);
            let pending = tokio::time::timeout(Duration::ZERO, &mut suspect).await;
            assert!(pending.is_err());
            let another = now(&quarantine, false).await.unwrap();
            drop((running, another));
            assert!(suspect.await.unwrap().is_alone());
        });
    }

    #[test]
    fn a_suspect_runs_together_with_long_jobs() {
        run(async {
            let quarantine = Quarantine::default();
            let _running = now(&quarantine, false).await.unwrap();
            let mut suspect = without_wait(&quarantine).await.unwrap();
            assert!(!suspect.is_alone());
            assert!(now(&quarantine, false).await.is_some());
            // The next one begins after its time, not after its run.
            let next = quarantine.turn();
            tokio::select! {
                never = suspect.share_after(Duration::ZERO) => match never {},
                next = next => assert!(next.is_some()),
            }
        });
    }
}
