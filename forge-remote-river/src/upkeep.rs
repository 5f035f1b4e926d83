//! What an engine does beside running jobs: it admits them, notes how they ended, and takes over those of
//! processes that died.

use std::time::{Duration, SystemTime};

use forge_remote::jobs::{EngineError, Report, ReportCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::dispatch::{Application, Ended};
use crate::ledger::{Abandoned, Ledger, Reclaimed, Store};
use crate::stored_call::{StoredCall, to_millis};

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long ended runs are collected before they are noted together.
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);
/// The most applications that are decided in one transaction.
const MAX_APPLICATIONS: usize = 100;
/// How often a process shows that it lives, and when its jobs count as abandoned otherwise.
const BEAT_INTERVAL: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);

/// Notes how runs ended, shows that this process lives, and tidies up.
pub(crate) async fn upkeep<S: Store>(
    ledger: &Ledger<S>,
    process: &str,
    remember: Duration,
    ending: &mut UnboundedReceiver<Ended>,
) -> std::convert::Infallible {
    let (mut next_beat, mut next_sweep) = (Instant::now(), Instant::now());
    // After an outage of the database, every process seems silent until it has shown that it lives.
    let mut reachable_since = Instant::now();
    loop {
        if next_beat.elapsed() > Duration::ZERO {
            if next_beat.elapsed() > BEAT_INTERVAL {
                reachable_since = Instant::now();
            }
            next_beat = Instant::now() + BEAT_INTERVAL;
            let tended = async {
                ledger.beat(process).await?;
                if reachable_since.elapsed() > 2 * BEAT_INTERVAL {
                    log_reclaimed(&ledger.reclaim(Abandoned::Silent(SILENCE)).await?);
                }
                Ok::<(), EngineError>(())
            };
            if let Err(error) = tended.await {
                reachable_since = Instant::now();
                tracing::warn!(error = %chain(&error), "the database of the jobs does not respond");
            }
        }
        if next_sweep.elapsed() > Duration::ZERO {
            next_sweep = Instant::now() + SWEEP_INTERVAL;
            let now = to_millis(SystemTime::now());
            let remember = i64::try_from(remember.as_millis());
            let forget_before = now.saturating_sub(remember.unwrap_or(i64::MAX));
            if let Err(error) = ledger.sweep(now, forget_before).await {
                tracing::warn!(error = %chain(&error), "finished jobs can't be tidied up yet");
            }
        }
        tokio::time::sleep(SETTLE_INTERVAL).await;
        settle(ledger, ending).await;
    }
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
        match ledger
            .admit(&applicants, to_millis(SystemTime::now()))
            .await
        {
            Ok(admissions) => {
                for (decision, admission) in decisions.into_iter().zip(admissions) {
                    // A call that is cancelled meanwhile does not wait for it.
                    let _ = decision.send(admission);
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), jobs = applicants.len(), "jobs wait: the database does not respond");
            }
        }
    }
}

/// Notes how runs ended. If the database fails, the next sweep notes what finished.
pub(crate) async fn settle<S: Store>(ledger: &Ledger<S>, ending: &mut UnboundedReceiver<Ended>) {
    let (mut finished, mut handed_back) = (Vec::new(), Vec::new());
    while let Ok(ended) = ending.try_recv() {
        match ended {
            Ended::Finished(job) => finished.push(job),
            Ended::HandedBack(job) => handed_back.push(job),
        }
    }
    if finished.is_empty() && handed_back.is_empty() {
        return;
    }
    if let Err(error) = ledger.settle(&finished, &handed_back).await {
        tracing::debug!(error = %chain(&error), "ended jobs can't be noted yet");
    }
}

/// Logs the jobs of ended processes, and each dead one alone.
pub(crate) fn log_reclaimed(reclaimed: &[Reclaimed]) {
    for job in reclaimed.iter().filter(|job| job.is_dead) {
        if let Ok(call) = serde_json::from_str::<StoredCall>(&job.arguments) {
            let report = Report::new(ReportCode::Interrupted, Vec::new());
            let attempts = u32::try_from(job.attempt).unwrap_or_default();
            call.envelope()
                .log_dead(&job.job.to_string(), attempts, &report);
        }
    }
    if !reclaimed.is_empty() {
        tracing::warn!(
            jobs = reclaimed.len(),
            "an ended process left jobs: they run again, and the ones that had started run alone"
        );
    }
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
