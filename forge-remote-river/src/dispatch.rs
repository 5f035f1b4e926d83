//! The worker of River's jobs: it hands calls to the app, and does what the verdicts say.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use forge_remote::jobs::{JobPolicy, JobRunner, PastAttempts, Report, ReportCode, Verdict};
use riverqueue::jiff::Timestamp;
use riverqueue::{Job, WorkCancelled, WorkContext, WorkError, WorkOutcome, Worker, WorkerTimeout};
use tokio::sync::mpsc::UnboundedSender;

use crate::engine::TIMEOUT_SLACK;
use crate::ledger::{Admission, Applicant, Ledger, pause_behind};
use crate::quarantine::{Quarantine, SUSPECT_WAIT};
use crate::stored_call::{StoredCall, read_report, to_millis, write_report};

/// How long a call waits for an instance of the app that has its handler.
const UNKNOWN_HANDLER_WAIT: Duration = Duration::from_secs(30);
/// How long a job waits while another one runs alone, or until it is tried alone again.
const QUARANTINE_WAIT: Duration = Duration::from_millis(200);
const SUSPECT_RETRY: Duration = Duration::from_secs(5);
/// How long a job waits when the database did not respond to its admission.
const DATABASE_WAIT: Duration = Duration::from_secs(5);
/// The time of a run, before one was measured.
const FIRST_GUESS: Duration = Duration::from_millis(200);

/// Works River's jobs.
pub(crate) struct Dispatch<L> {
    runner: Arc<dyn JobRunner>,
    ledger: L,
    quarantine: Quarantine,
    /// Takes the ids of jobs that do not run again.
    finished: UnboundedSender<i64>,
    /// How long a run takes, averaged over the last ones.
    run_time: Mutex<Duration>,
}

/// Why a job is retried.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The handler failed. River stores the text, so it has the code only.
    Run { code: ReportCode, after: Duration },
    /// The process stops, or an operator cancelled the job.
    Cancelled(WorkCancelled),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { code, .. } => f.write_str(code.as_str()),
            Self::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Run { .. } => None,
            Self::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

impl<L: Ledger> Dispatch<L> {
    pub(crate) fn new(
        runner: Arc<dyn JobRunner>,
        ledger: L,
        finished: UnboundedSender<i64>,
    ) -> Self {
        Self {
            runner,
            ledger,
            quarantine: Quarantine::default(),
            finished,
            run_time: Mutex::new(FIRST_GUESS),
        }
    }

    /// Decides whether a job may run; otherwise returns how long it waits.
    async fn admit(&self, job: &Job<StoredCall>, policy: &JobPolicy) -> Result<(), Duration> {
        let limit = policy.per_installation();
        let applicant = Applicant {
            job: job.row.id,
            attempt: i64::from(job.row.attempt),
            handler: &job.args.handler,
            installation: &job.args.installation,
            limit,
        };
        let now = to_millis(SystemTime::now());
        match self.ledger.admit(&applicant, now).await {
            Ok(Admission::Admitted) => Ok(()),
            Ok(Admission::Full { ahead }) => {
                let run = *self.run_time.lock().unwrap_or_else(PoisonError::into_inner);
                Err(pause_behind(ahead, limit.unwrap_or(1), run, job.row.id))
            }
            Ok(Admission::Paused { until }) => {
                let wait = u64::try_from(until.saturating_sub(now)).unwrap_or_default();
                // Spread over a second, so that the calls do not all return at once.
                let spread = u64::try_from(job.row.id.rem_euclid(10)).unwrap_or_default() * 100;
                Err(Duration::from_millis(wait.saturating_add(spread).max(50)))
            }
            Err(error) => {
                tracing::warn!(%error, "a stored call waits: the database does not respond");
                Err(DATABASE_WAIT)
            }
        }
    }

    fn note_run_time(&self, took: Duration) {
        let mut average = self.run_time.lock().unwrap_or_else(PoisonError::into_inner);
        *average = *average * 7 / 8 + took / 8;
    }

    fn finish(&self, job: &Job<StoredCall>) {
        // Nobody receives it once the engine has ended; the next sweep notes the job.
        let _ = self.finished.send(job.row.id);
    }
}

fn is_suspect(job: &Job<StoredCall>) -> bool {
    let rescues = job.row.metadata.get::<i64>(riverqueue::METADATA_KEY_RESCUE_COUNT);
    rescues.ok().flatten().is_some_and(|rescues| rescues > 0)
}

impl<L: Ledger> Worker<StoredCall> for Dispatch<L> {
    type Error = Failed;

    fn timeout(&self, job: &Job<StoredCall>) -> WorkerTimeout {
        let policy = self.runner.policy(&job.args.handler);
        let timeout = policy.map_or(TIMEOUT_SLACK, |policy| policy.timeout() + TIMEOUT_SLACK);
        let wait = if is_suspect(job) { SUSPECT_WAIT } else { Duration::ZERO };
        WorkerTimeout::After(timeout + wait)
    }

    fn next_retry(&self, job: &Job<StoredCall>, error: &WorkError, _: Timestamp) -> Option<Duration> {
        if let Some(Failed::Run { after, .. }) = error.downcast_ref::<Failed>() {
            return Some(*after);
        }
        // River itself ended the run, or an earlier process did.
        let policy = self.runner.policy(&job.args.handler)?;
        let attempt = u32::try_from(job.row.attempt).unwrap_or(1);
        Some(policy.backoff_of(attempt, &job.args.key))
    }

    async fn work(
        &self,
        context: WorkContext,
        job: Job<StoredCall>,
    ) -> Result<WorkOutcome, Failed> {
        let Some(policy) = self.runner.policy(&job.args.handler) else {
            write_report(&context, &Report::new(ReportCode::UnknownHandler, Vec::new()));
            return Ok(WorkOutcome::Snooze(UNKNOWN_HANDLER_WAIT));
        };
        let is_suspect = is_suspect(&job);
        let Some(_place) = self.quarantine.enter(is_suspect).await else {
            return Ok(WorkOutcome::Snooze(if is_suspect { SUSPECT_RETRY } else { QUARANTINE_WAIT }));
        };
        if let Err(wait) = self.admit(&job, &policy).await {
            return Ok(WorkOutcome::Snooze(wait));
        }
        let attempt = u32::try_from(job.row.attempt).unwrap_or(1);
        let past = PastAttempts::new(attempt.saturating_sub(1), read_report(&job.row.metadata));
        let started = Instant::now();
        let run = Arc::clone(&self.runner).run(job.args.envelope(), past);
        let verdict = tokio::select! {
            verdict = run => verdict,
            () = context.cancellation_token().cancelled() => {
                return Err(Failed::Cancelled(WorkCancelled));
            }
        };
        self.note_run_time(started.elapsed());
        let dead = |report: &Report| {
            let id = job.row.id.to_string();
            job.args.envelope().log_dead(&id, attempt, report);
            self.finish(&job);
        };
        match verdict {
            Verdict::Done => {
                self.finish(&job);
                Ok(WorkOutcome::Complete)
            }
            Verdict::Later {
                after,
                report,
                pauses_installation,
            } => {
                write_report(&context, &report);
                if pauses_installation {
                    let until = to_millis(SystemTime::now() + after);
                    let (handler, installation) = (&job.args.handler, &job.args.installation);
                    if let Err(error) = self.ledger.pause(handler, installation, until).await {
                        tracing::warn!(%error, "the pause of an installation can't be stored");
                    }
                }
                Ok(WorkOutcome::Snooze(after))
            }
            Verdict::Retry { after, report } => {
                write_report(&context, &report);
                if job.row.attempt >= job.row.max_attempts {
                    dead(&report);
                }
                let code = report.code;
                Err(Failed::Run { code, after })
            }
            Verdict::Dead { report } => {
                write_report(&context, &report);
                dead(&report);
                Ok(WorkOutcome::Discard)
            }
            // A later version of the seam may have more verdicts: this one waits for it.
            _ => Ok(WorkOutcome::Snooze(UNKNOWN_HANDLER_WAIT)),
        }
    }
}
