//! The way of a claimed job to its run: its permission, its place and its slot, and their order.

use std::time::{Duration, Instant};

use crate::quarantine::{Quarantine, WorkerPermit};
use crate::shares::{self, Candidate, Shares};

/// How long a job that had no turn waits until the next try.
const TURN_RETRY: Duration = Duration::from_secs(1);

/// Where a job applies to run: its installation may be paused, or at its limit of running jobs.
pub(crate) trait Slots: Sync {
    /// Takes a slot for a job that waits until it may begin; otherwise returns how long it waits.
    fn reserve(&self) -> impl Future<Output = Result<(), Duration>> + Send;

    /// Takes a slot, and records that the run begins; otherwise returns how long the job waits.
    fn begin(&self) -> impl Future<Output = Result<(), Duration>> + Send;

    /// Returns the slot.
    fn hand_back(&self) -> impl Future<Output = ()> + Send;
}

/// The permissions and places of a process.
#[derive(Debug)]
pub(crate) struct Gate {
    quarantine: Quarantine,
    shares: Shares,
}

/// A job's permission to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) permit: WorkerPermit<'a>,
    pub(crate) share: shares::Run<'a>,
}

impl Gate {
    pub(crate) fn new(shares: Shares) -> Self {
        Self {
            quarantine: Quarantine::default(),
            shares,
        }
    }

    /// Returns the permission to run; otherwise, how long the job waits.
    ///
    /// A suspect has its place and its slot before it waits for an empty process: others would take them meanwhile. The
    /// slot is reserved until the run begins, because a process that ends before that costs the job no attempt.
    pub(crate) async fn enter<'a>(
        &'a self,
        candidate: Candidate<'a>,
        slots: &impl Slots,
    ) -> Result<Pass<'a>, Duration> {
        if !candidate.is_suspect {
            let permit = self.quarantine.enter().await.ok_or(TURN_RETRY)?;
            let share = self.shares.enter(candidate, now())?;
            slots.begin().await?;
            return Ok(Pass { permit, share });
        }
        let turn = self.quarantine.turn().await.ok_or(TURN_RETRY)?;
        let share = self.shares.enter(candidate, now())?;
        slots.reserve().await?;
        let begun = match self.quarantine.enter_in(turn).await {
            // Its installation may have been paused meanwhile.
            Some(permit) => slots.begin().await.map(|()| permit),
            None => Err(TURN_RETRY),
        };
        match begun {
            Ok(permit) => Ok(Pass { permit, share }),
            Err(wait) => {
                slots.hand_back().await;
                Err(wait)
            }
        }
    }
}

/// Returns the time by the runtime's clock, which tests stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PLACES: usize = 8;
    /// The places that one installation takes.
    const MOST: usize = 6;
    const LONG: Duration = Duration::from_secs(600);

    fn candidate(job: i64, is_suspect: bool) -> Candidate<'static> {
        Candidate {
            job,
            installation: "busy",
            handler: "index",
            is_limited: false,
            is_suspect,
            run: LONG,
        }
    }

    /// The slots of an installation.
    struct Limit {
        free: AtomicUsize,
    }

    impl Limit {
        fn new(free: usize) -> Self {
            Self {
                free: AtomicUsize::new(free),
            }
        }

        fn take(&self) -> Result<(), Duration> {
            let taken = self
                .free
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                    free.checked_sub(1)
                });
            taken.map(drop).map_err(|_| LONG)
        }
    }

    /// A job that applies for one of the slots.
    struct Applicant<'a> {
        limit: &'a Limit,
        has_slot: AtomicUsize,
    }

    impl<'a> Applicant<'a> {
        fn new(limit: &'a Limit) -> Self {
            let has_slot = AtomicUsize::new(0);
            Self { limit, has_slot }
        }
    }

    impl Slots for Applicant<'_> {
        async fn reserve(&self) -> Result<(), Duration> {
            self.limit.take()?;
            self.has_slot.store(1, Ordering::Relaxed);
            Ok(())
        }

        async fn begin(&self) -> Result<(), Duration> {
            match self.has_slot.swap(0, Ordering::Relaxed) {
                0 => self.limit.take(),
                _ => Ok(()),
            }
        }

        async fn hand_back(&self) {
            let slots = self.has_slot.swap(0, Ordering::Relaxed);
            self.limit.free.fetch_add(slots, Ordering::Relaxed);
        }
    }

    async fn enter<'a>(gate: &'a Gate, candidate: Candidate<'a>) -> Result<Pass<'a>, Duration> {
        let limit = Limit::new(PLACES);
        gate.enter(candidate, &Applicant::new(&limit)).await
    }

    async fn fill(gate: &Gate) -> Vec<Pass<'_>> {
        let mut running = Vec::new();
        for job in 0..MOST {
            let job = i64::try_from(job).unwrap();
            running.push(enter(gate, candidate(job, false)).await.unwrap());
        }
        running
    }

    /// The other jobs of its installation apply again and again, and take each place as soon as it is free.
    #[tokio::test(start_paused = true)]
    async fn a_suspect_among_jobs_that_take_every_place_at_once_runs() {
        let gate = Gate::new(Shares::new(PLACES));
        let mut running = fill(&gate).await;
        let began = now();
        let mut suspect = Box::pin(async {
            loop {
                match enter(&gate, candidate(100, true)).await {
                    Ok(pass) => return pass,
                    Err(wait) => tokio::time::sleep(wait).await,
                }
            }
        });
        let mut passed = None;
        for job in 200..260 {
            // One ends each second.
            let second = tokio::time::timeout(Duration::from_secs(1), &mut suspect).await;
            if let Ok(pass) = second {
                passed = Some(pass);
                break;
            }
            running.remove(0);
            if let Ok(pass) = enter(&gate, candidate(job, false)).await {
                running.push(pass);
            }
        }
        assert!(passed.is_some(), "the suspect does not run");
        let waited = now() - began;
        assert!(waited <= Duration::from_secs(35), "{waited:?}");
        assert_eq!(running.len() + 1, MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_without_a_place_holds_up_no_other_suspect() {
        let gate = Gate::new(Shares::new(PLACES));
        let _running = fill(&gate).await;
        let began = now();
        assert!(enter(&gate, candidate(100, true)).await.is_err());
        assert!(now() - began < Duration::from_secs(1));
        let other = Candidate {
            installation: "other",
            ..candidate(101, true)
        };
        assert!(enter(&gate, other).await.is_ok());
        let waited = now() - began;
        assert!(waited <= Duration::from_secs(31), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_that_waits_for_an_empty_process_keeps_its_slot() {
        let gate = Gate::new(Shares::new(PLACES));
        let limit = Limit::new(2);
        let limited = |job, is_suspect| Candidate {
            is_limited: true,
            ..candidate(job, is_suspect)
        };
        let running = Applicant::new(&limit);
        let running = gate.enter(limited(1, false), &running).await.unwrap();
        let applicant = Applicant::new(&limit);
        let mut suspect = Box::pin(gate.enter(limited(2, true), &applicant));
        let second = tokio::time::timeout(Duration::from_secs(1), &mut suspect).await;
        assert!(second.is_err(), "it is not alone");
        let younger = gate.enter(limited(3, false), &Applicant::new(&limit)).await;
        assert!(younger.is_err(), "it has the suspect's slot");
        drop(running);
        assert!(suspect.await.is_ok());
    }

    /// Nothing is reserved for a suspect whose installation is at its limit.
    #[tokio::test(start_paused = true)]
    async fn a_suspect_without_a_slot_does_not_wait_for_an_empty_process() {
        let gate = Gate::new(Shares::new(PLACES));
        let _running = enter(&gate, candidate(1, false)).await.unwrap();
        let (began, limit) = (now(), Limit::new(0));
        let applicant = Applicant::new(&limit);
        let suspect = gate.enter(candidate(2, true), &applicant);
        assert!(suspect.await.is_err());
        assert_eq!(now(), began);
    }
}
