//! The maintenance of an engine: it admits jobs, records their results, and reclaims the jobs of ended
//! processes.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use forge_remote::__engines::with_causes;
use forge_remote::jobs::{EngineError, Report, ReportCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::dispatch::Application;
use crate::lead::MachineClock;
use crate::ledger::Ledger;
use crate::reclaim::Abandoned;
use crate::running::{Lost, Running};
use crate::store::{Reclaimed, Store};
use crate::stored_call::{StoredCall, to_millis};

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long finished jobs are collected before they are recorded together.
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);
/// The most applications that are decided in one transaction.
const MAX_APPLICATIONS: usize = 100;
/// How often a process records its heartbeat, and when its jobs count as abandoned otherwise.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);
/// The largest drift of the database's clock between two heartbeats, in milliseconds.
const MAX_DRIFT: i64 = 10_000;

/// Records this process's heartbeat, and takes over the jobs of processes without one. Ends with an error if this
/// machine's clock differs from the database's.
pub(crate) async fn show_life<S: Store>(
    ledger: &Ledger<S>,
    process: &str,
    machine: &MachineClock,
) -> EngineError {
    // After an outage of the database, or when its clock was set, every process seems silent until its next heartbeat.
    let mut reachable_since = Instant::now();
    let mut clock: Option<ClockReading> = None;
    let mut due = Instant::now();
    loop {
        if due.elapsed() > HEARTBEAT_INTERVAL {
            reachable_since = Instant::now();
        }
        due = Instant::now() + HEARTBEAT_INTERVAL;
        let tended = async {
            let read = ClockReading {
                time: ledger.heartbeat(process).await?,
                at: Instant::now(),
            };
            let step = clock.map_or(0, |earlier| read.step_since(earlier));
            if step.abs() > MAX_DRIFT {
                reachable_since = Instant::now();
            }
            clock = Some(read);
            if reachable_since.elapsed() > 2 * HEARTBEAT_INTERVAL {
                log_reclaimed(&ledger.reclaim(Abandoned::Silent(SILENCE)).await?);
            }
            ledger.store.lead().await
        };
        match tended.await {
            Ok(lead) => {
                machine.note(lead);
                if let Err(error) = lead.check() {
                    return error;
                }
            }
            Err(error) => {
                reachable_since = Instant::now();
                tracing::warn!(error = %with_causes(&error), "the database of the jobs does not respond");
            }
        }
        tokio::time::sleep_until(due).await;
    }
}

/// Records this process's heartbeat until its runs have ended, and does nothing else.
pub(crate) async fn only_heartbeat<S: Store>(ledger: &Ledger<S>, process: &str) -> Infallible {
    loop {
        if let Err(error) = ledger.heartbeat(process).await {
            tracing::debug!(error = %with_causes(&error), "the database of the jobs does not respond");
        }
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
    }
}

/// The database's time, in milliseconds since 1970, and when it was read.
#[derive(Clone, Copy)]
struct ClockReading {
    time: i64,
    at: Instant,
}

impl ClockReading {
    /// Returns by how many milliseconds the database's clock was set since an earlier reading.
    fn step_since(self, earlier: Self) -> i64 {
        let passed = self.at.duration_since(earlier.at).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        self.time
            .saturating_sub(earlier.time)
            .saturating_sub(passed)
    }
}

/// Records the jobs that have finished, and deletes rows that are no longer needed.
pub(crate) async fn tidy<S: Store>(
    ledger: &Ledger<S>,
    remember: Duration,
    process: &str,
    running: &Running,
    finished: &mut UnboundedReceiver<i64>,
) -> Infallible {
    let mut lost = Lost::default();
    let mut next_sweep = Instant::now();
    let mut next_deletion = Instant::now();
    loop {
        tokio::select! {
            Some(first) = finished.recv() => {
                tokio::time::sleep(SETTLE_INTERVAL).await;
                note_finished(ledger, Some(first), finished).await;
            }
            () = tokio::time::sleep_until(next_sweep) => {
                next_sweep = Instant::now() + SWEEP_INTERVAL;
                if let Err(error) = ledger.sweep().await {
                    tracing::warn!(error = %with_causes(&error), "finished jobs cannot be cleaned up yet");
                }
                if let Err(error) = find_lost(ledger, process, running, &mut lost).await {
                    tracing::warn!(error = %with_causes(&error), "the running jobs cannot be compared yet");
                }
            }
            () = tokio::time::sleep_until(next_deletion) => {
                let now = to_millis(SystemTime::now());
                let remember = i64::try_from(remember.as_millis()).unwrap_or(i64::MAX);
                let deleted = ledger.forget(now.saturating_sub(remember)).await;
                next_deletion = Instant::now() + match deleted {
                    // The rest follows soon; other writers have their turns in between.
                    Ok(true) => SETTLE_INTERVAL,
                    Ok(false) => SWEEP_INTERVAL,
                    Err(error) => {
                        tracing::warn!(error = %with_causes(&error), "the keys of old jobs cannot be deleted yet");
                        SWEEP_INTERVAL
                    }
                };
            }
        }
    }
}

/// Releases the jobs that run in this process only according to the database.
async fn find_lost<S: Store>(
    ledger: &Ledger<S>,
    process: &str,
    running: &Running,
    lost: &mut Lost,
) -> Result<(), EngineError> {
    let claimed = ledger.claimed_by(process).await?;
    let lost = lost.among(&claimed, running, Instant::now());
    if !lost.is_empty() {
        log_reclaimed(&ledger.reclaim(Abandoned::Lost(&lost)).await?);
    }
    Ok(())
}

/// Decides applications; all that wait are decided in one transaction.
pub(crate) async fn decide<S: Store>(
    ledger: Ledger<S>,
    mut applying: UnboundedReceiver<Application>,
) {
    let mut applications = Vec::new();
    while applying
        .recv_many(&mut applications, MAX_APPLICATIONS)
        .await
        > 0
    {
        let (applicants, decisions): (Vec<_>, Vec<_>) = applications
            .drain(..)
            .map(|application| (application.applicant, application.decision))
            .unzip();
        match ledger.admit(&applicants).await {
            Ok(admissions) => {
                for (decision, admission) in decisions.into_iter().zip(admissions) {
                    // A call that is cancelled meanwhile does not wait for it.
                    let _ = decision.send(admission);
                }
            }
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), jobs = applicants.len(), "jobs wait: the database does not respond");
            }
        }
    }
}

/// Records the jobs that have finished. If the database fails, the next sweep records them.
pub(crate) async fn note_finished<S: Store>(
    ledger: &Ledger<S>,
    first: Option<i64>,
    finished: &mut UnboundedReceiver<i64>,
) {
    let mut jobs: Vec<i64> = first.into_iter().collect();
    while let Ok(job) = finished.try_recv() {
        jobs.push(job);
    }
    if jobs.is_empty() {
        return;
    }
    if let Err(error) = ledger.finish(&jobs).await {
        tracing::debug!(error = %with_causes(&error), "ended jobs cannot be recorded yet");
    }
}

/// Logs the jobs of ended processes, and each dead one alone.
pub(crate) fn log_reclaimed(reclaimed: &[Reclaimed]) {
    for job in reclaimed.iter().filter(|job| job.is_dead) {
        if let Ok(call) = serde_json::from_str::<StoredCall>(&job.arguments) {
            let report = Report::new(ReportCode::Interrupted, Vec::new());
            let attempts = u32::try_from(job.attempt).unwrap_or_default();
            call.0.log_dead(&job.job.to_string(), attempts, &report);
        }
    }
    if !reclaimed.is_empty() {
        tracing::warn!(
            jobs = reclaimed.len(),
            "jobs of an ended process, or with a lost claim, are retried; each job that had started runs alone"
        );
    }
}
