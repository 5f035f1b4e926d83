//! The worker of River's jobs: it passes calls to the app, and applies the verdicts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use forge_remote::jobs::{JobPolicy, JobRunner, PastAttempts, Report, ReportCode, Verdict};
use riverqueue::jiff::Timestamp;
use riverqueue::{Job, WorkCancelled, WorkContext, WorkError, WorkOutcome, Worker, WorkerTimeout};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::admission::{Admission, Applicant, pause_behind};
use crate::gate::{Gate, Pass, Slots};
use crate::lead::MachineClock;
use crate::ledger::{Ledger, Release};
use crate::quarantine::{LONGEST_TURN, alone_for};
use crate::run_times::RunTimes;
use crate::running::Running;
use crate::shares::Candidate;
use crate::store::Store;
use crate::stored_call::{StoredCall, clear_suspicion, ended_processes, read_report, write_report};

/// How long River waits beyond a handler's own time limit.
pub(crate) const TIMEOUT_SLACK: Duration = Duration::from_secs(10);
/// How long a job waits for a version of this crate that knows its verdict.
const UNKNOWN_VERDICT_WAIT: Duration = Duration::from_secs(30);
/// After this time, in milliseconds, the pause of a job is read again: a machine whose clock was wrong may have stored
/// it.
const LONGEST_PAUSE: u64 = 600_000;
/// How long a job waits when the database did not respond to its admission.
const DATABASE_WAIT: Duration = Duration::from_secs(5);

/// A call that is due, and where the decision goes.
pub(crate) struct Application {
    pub(crate) applicant: Applicant,
    pub(crate) decision: oneshot::Sender<Admission>,
}

/// Works River's jobs.
pub(crate) struct Dispatch<S> {
    pub(crate) runner: Arc<dyn JobRunner>,
    pub(crate) ledger: Ledger<S>,
    pub(crate) gate: Gate,
    pub(crate) running: Running,
    pub(crate) machine: MachineClock,
    pub(crate) applications: UnboundedSender<Application>,
    /// Receives the jobs that do not run again.
    pub(crate) finished: UnboundedSender<i64>,
    pub(crate) run_times: RunTimes,
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

impl<S: Store> Dispatch<S> {
    /// Decides whether a job may run, or may wait until it begins; otherwise returns how long it waits.
    async fn admit(
        &self,
        job: &Job<StoredCall>,
        policy: &JobPolicy,
        only_reserves: bool,
    ) -> Result<(), Duration> {
        let limit = policy.per_installation();
        let applicant = Applicant {
            job: job.row.id,
            attempt: i64::from(job.row.attempt),
            handler: job.args.0.handler.clone(),
            installation: job.args.0.installation_id.clone(),
            limit,
            only_reserves,
        };
        let (decision, decided) = oneshot::channel();
        let application = Application {
            applicant,
            decision,
        };
        // Without a decision the engine stops, or the database failed, which is logged.
        let _ = self.applications.send(application);
        match decided.await {
            Ok(Admission::Admitted) => Ok(()),
            Ok(Admission::Full { ahead }) => {
                let run = self.run_times.of(&job.args.0.handler);
                Err(pause_behind(ahead, limit.unwrap_or(1), run, job.row.id))
            }
            Ok(Admission::Paused { wait }) => {
                let wait = u64::try_from(wait).unwrap_or_default();
                let wait = wait.min(LONGEST_PAUSE);
                // Spread over a second, so that the calls do not all return at once.
                let spread = u64::try_from(job.row.id.rem_euclid(10)).unwrap_or_default() * 100;
                Err(Duration::from_millis(wait.saturating_add(spread).max(50)))
            }
            Ok(Admission::Busy) | Err(_) => Err(DATABASE_WAIT),
        }
    }

    fn note_finished(&self, job: &Job<StoredCall>) {
        // Nobody receives it once the engine has ended; the next sweep records the job.
        let _ = self.finished.send(job.row.id);
    }

    /// Returns a job's slot before River releases the job: its run does not count, or does not begin.
    async fn hand_back(&self, job: &Job<StoredCall>) {
        let (id, attempt) = (job.row.id, i64::from(job.row.attempt));
        if let Err(error) = self.ledger.hand_back(id, attempt).await {
            // Its next run then counts as started a moment too early.
            tracing::warn!(%error, "a job that runs again later cannot be noted");
        }
    }

    /// Dates the next run of a job by the database's clock, if this machine's was set: River would date it by that one.
    async fn date_next_run(&self, job: &Job<StoredCall>, ended: &Result<WorkOutcome, Failed>) {
        if self.machine.is_right() {
            return;
        }
        let attempt = i64::from(job.row.attempt);
        let (spent, wait) = match ended {
            Ok(WorkOutcome::Snooze(wait)) => (attempt - 1, *wait),
            Err(Failed::Run { after, .. }) if job.row.attempt < job.row.max_attempts => {
                (attempt, *after)
            }
            Err(Failed::Cancelled(_)) => (attempt - 1, Duration::ZERO),
            // It does not run again.
            Ok(_) | Err(Failed::Run { .. }) => return,
        };
        let release = Release {
            attempt,
            spent,
            wait,
        };
        if let Err(error) = self.ledger.release(job.row.id, release).await {
            tracing::warn!(%error, "a job may run at a wrong time: this machine's clock was set");
        }
    }

    /// Returns the outcome of a job whose handler this version of the app lacks: it waits for a while, or is dead.
    fn without_handler(&self, context: &WorkContext, job: &Job<StoredCall>) -> WorkOutcome {
        let report = Report::new(ReportCode::UnknownHandler, Vec::new());
        let last = read_report(&job.row.metadata);
        let envelope = &job.args.0;
        let pause = envelope.pause_without_handler(SystemTime::now(), last.as_ref());
        let Some(pause) = pause else {
            self.end_dead(context, job, &report);
            return WorkOutcome::Discard;
        };
        write_report(context, &report.after(last.as_ref()));
        WorkOutcome::Snooze(pause)
    }

    fn end_dead(&self, context: &WorkContext, job: &Job<StoredCall>, report: &Report) {
        write_report(context, report);
        let attempts = u32::try_from(job.row.attempt).unwrap_or(1);
        let envelope = &job.args.0;
        envelope.log_dead(&job.row.id.to_string(), attempts, report);
        self.note_finished(job);
    }
}

/// The slots of a job's installation.
struct SlotsOf<'a, S> {
    dispatch: &'a Dispatch<S>,
    job: &'a Job<StoredCall>,
    policy: &'a JobPolicy,
}

impl<S: Store> Slots for SlotsOf<'_, S> {
    async fn reserve(&self) -> Result<(), Duration> {
        self.dispatch.admit(self.job, self.policy, true).await
    }

    async fn begin(&self) -> Result<(), Duration> {
        self.dispatch.admit(self.job, self.policy, false).await
    }

    async fn hand_back(&self) {
        self.dispatch.hand_back(self.job).await;
    }
}

impl<S: Store> Worker<StoredCall> for Dispatch<S> {
    type Error = Failed;

    fn timeout(&self, job: &Job<StoredCall>) -> WorkerTimeout {
        let policy = self.runner.policy(&job.args.0.handler);
        let timeout = policy.map_or(TIMEOUT_SLACK, |policy| policy.timeout() + TIMEOUT_SLACK);
        WorkerTimeout::After(timeout + LONGEST_TURN)
    }

    fn next_retry(
        &self,
        job: &Job<StoredCall>,
        error: &WorkError,
        _: Timestamp,
    ) -> Option<Duration> {
        if let Some(Failed::Run { after, .. }) = error.downcast_ref::<Failed>() {
            return Some(*after);
        }
        // River itself ended the run, or an earlier process did.
        let policy = self.runner.policy(&job.args.0.handler)?;
        let attempt = u32::try_from(job.row.attempt).unwrap_or(1);
        Some(policy.pause_after(attempt, &job.args.0.key))
    }

    async fn work(
        &self,
        context: WorkContext,
        job: Job<StoredCall>,
    ) -> Result<WorkOutcome, Failed> {
        let ended = self.attempt(&context, &job).await;
        self.date_next_run(&job, &ended).await;
        ended
    }
}

impl<S: Store> Dispatch<S> {
    /// Runs an attempt of a job, once it has its turn and is admitted.
    async fn attempt(
        &self,
        context: &WorkContext,
        job: &Job<StoredCall>,
    ) -> Result<WorkOutcome, Failed> {
        let Some(policy) = self.runner.policy(&job.args.0.handler) else {
            return Ok(self.without_handler(context, job));
        };
        let _running = self.running.enter(job.row.id);
        let cancellation = context.cancellation_token();
        let ended_processes = ended_processes(&job.row.metadata);
        let candidate = Candidate {
            job: job.row.id,
            installation: &job.args.0.installation_id,
            handler: &job.args.0.handler,
            is_limited: policy.per_installation().is_some(),
            is_suspect: ended_processes > 0,
            run: self.run_times.of(&job.args.0.handler),
        };
        let slots = SlotsOf {
            dispatch: self,
            job,
            policy: &policy,
        };
        let Pass { mut permit, share } = tokio::select! {
            pass = self.gate.enter(candidate, &slots) => match pass {
                Ok(pass) => pass,
                Err(wait) => return Ok(WorkOutcome::Snooze(wait)),
            },
            () = cancellation.cancelled() => {
                // It may have been admitted at the last moment.
                self.hand_back(job).await;
                return Err(Failed::Cancelled(WorkCancelled));
            }
        };
        let attempt = u32::try_from(job.row.attempt).unwrap_or(1);
        let past = PastAttempts::new(attempt.saturating_sub(1), read_report(&job.row.metadata));
        let started = Instant::now();
        let run = Arc::clone(&self.runner).run(job.args.0.clone(), past);
        let turn = alone_for(ended_processes, policy.timeout());
        let verdict = tokio::select! {
            verdict = run => verdict,
            () = cancellation.cancelled() => {
                write_report(context, &Report::new(ReportCode::Interrupted, Vec::new()));
                self.hand_back(job).await;
                return Err(Failed::Cancelled(WorkCancelled));
            }
            never = permit.share_after(turn) => match never {},
        };
        // A job that waits for a token or for Atlassian has not done its work.
        if !matches!(verdict, Verdict::Later { .. }) {
            let now = Instant::now();
            let took = now.saturating_duration_since(started);
            self.run_times.note(&job.args.0.handler, took);
            share.note(took, now);
        }
        self.carry_out(context, job, verdict).await
    }

    /// Carries out the verdict on a run, and returns its outcome.
    async fn carry_out(
        &self,
        context: &WorkContext,
        job: &Job<StoredCall>,
        verdict: Verdict,
    ) -> Result<WorkOutcome, Failed> {
        match verdict {
            Verdict::Done => {
                self.note_finished(job);
                Ok(WorkOutcome::Complete)
            }
            Verdict::Later {
                after,
                report,
                pauses_installation,
            } => {
                write_report(context, &report);
                if pauses_installation {
                    // The handler has run, and the process has survived it.
                    clear_suspicion(context, &job.row.metadata);
                    let (handler, installation) =
                        (&job.args.0.handler, &job.args.0.installation_id);
                    if let Err(error) = self.ledger.pause(handler, installation, after).await {
                        tracing::warn!(%error, "the pause of an installation cannot be stored");
                    }
                }
                self.hand_back(job).await;
                Ok(WorkOutcome::Snooze(after))
            }
            Verdict::Retry { after, report } => {
                // The process has survived it.
                clear_suspicion(context, &job.row.metadata);
                match job.row.attempt >= job.row.max_attempts {
                    true => self.end_dead(context, job, &report),
                    false => write_report(context, &report),
                }
                let code = report.code;
                Err(Failed::Run { code, after })
            }
            Verdict::Dead { report } => {
                if report.code == ReportCode::Uninstalled
                    && let Err(error) = self.ledger.release_key(job.row.id).await
                {
                    tracing::warn!(%error, "the key of a job cannot be released");
                }
                self.end_dead(context, job, &report);
                Ok(WorkOutcome::Discard)
            }
            // A later forge-remote may have more verdicts: the job waits for a version of this crate that knows them.
            _ => Ok(WorkOutcome::Snooze(UNKNOWN_VERDICT_WAIT)),
        }
    }
}
