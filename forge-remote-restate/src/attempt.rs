//! One attempt of a job.
//!
//! Restate runs a function again from its beginning after a failure, and returns the stored results of the
//! steps that ended. So the order of the steps here and in `objects.rs` is a stored format: jobs that wait were
//! begun by earlier versions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{Envelope, ReportCode, Verdict};
use restate_sdk::context::RunClosure;
use restate_sdk::prelude::*;
use restate_sdk::serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::serving::{Serving, WorkerPermit, alone_for};
use crate::stored_call::{StoredAttempts, StoredReport, millis, to_millis};

/// How long a job waits for a version of this crate that knows its verdict, or for one of the app that has the
/// policy of its retries.
const UNKNOWN_WAIT: Duration = Duration::from_secs(30);

/// After this time, in milliseconds, the pause of a job is read again: a machine whose clock was wrong may have stored
/// it.
const LONGEST_PAUSE: u64 = 600_000;
/// The number of processes in which an attempt may end together with others, without a complete run in between, until
/// the job is taken for the cause: its uncounted attempts are then counted.
const MAX_GIVEN_BACK: u32 = 3;

/// A step that an invocation does once: Restate stores the result.
pub(crate) struct Step<T>(BoxFuture<HandlerResult<T>>);

impl<T> Step<T> {
    pub(crate) fn new(step: impl Future<Output = HandlerResult<T>> + Send + 'static) -> Self {
        Self(Box::pin(step))
    }
}

impl<T: Serialize + Deserialize + 'static> RunClosure for Step<T> {
    type Output = T;
    type Fut = BoxFuture<HandlerResult<T>>;

    fn run(self) -> Self::Fut {
        self.0
    }
}

/// The beginning of an attempt. It is stored before the attempt runs, so that it counts if its process dies.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum Start {
    /// This process has the attempt.
    Begun {
        process: String,
        /// Until when nothing else runs at the same time, in milliseconds since 1970 by this machine's clock; 0 if
        /// other jobs do.
        #[serde(default)]
        alone_until: u64,
    },
    /// The outcome of an app that lacks the handler.
    Without(AttemptOutcome),
}

/// The end of an attempt. Times are in milliseconds.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum AttemptOutcome {
    Done,
    Retry {
        wait: u64,
        report: StoredReport,
    },
    Later {
        wait: u64,
        report: StoredReport,
        /// The end of the handler's pause for the installation.
        paused_until: Option<u64>,
    },
    Dead {
        report: StoredReport,
        counts: bool,
    },
    /// The process of the attempt ended, or its connection broke.
    Interrupted {
        wait: u64,
        /// Another job may have ended it: the job gets another attempt.
        is_given_back: bool,
    },
    /// The installation is paused; the attempt did not begin.
    Paused {
        wait: u64,
    },
    /// The process stopped; the attempt does not count.
    HandedBack,
}

impl AttemptOutcome {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done => Self::Done,
            Verdict::Retry { after, report } => Self::Retry {
                wait: millis(after),
                report: (&report).into(),
            },
            Verdict::Later {
                after,
                report,
                pauses_installation,
            } => {
                let until = to_millis(SystemTime::now() + after) + 1;
                Self::Later {
                    wait: millis(after),
                    report: (&report).into(),
                    paused_until: pauses_installation.then_some(until),
                }
            }
            Verdict::Dead { report } => Self::Dead {
                report: (&report).into(),
                counts: true,
            },
            // A later forge-remote may have more verdicts.
            _ => Self::Paused {
                wait: millis(UNKNOWN_WAIT),
            },
        }
    }

    /// Returns whether the attempt was completed, so that its process has survived it. This includes an attempt that
    /// Atlassian limited, but not one that did not begin or was interrupted.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Done
            | Self::Retry { .. }
            | Self::Later {
                paused_until: Some(_),
                ..
            }
            | Self::Dead { counts: true, .. } => true,
            Self::Later {
                paused_until: None, ..
            }
            | Self::Interrupted { .. }
            | Self::Paused { .. }
            | Self::HandedBack
            | Self::Dead { counts: false, .. } => false,
        }
    }

    /// Returns whether the handler pauses for the installation.
    fn pauses(&self) -> bool {
        matches!(
            self,
            Self::Later {
                paused_until: Some(_),
                ..
            }
        )
    }

    /// Returns the outcome of a job whose handler this version of the app lacks.
    pub(crate) fn without_handler(call: &Envelope) -> Self {
        let report = StoredReport::bare(ReportCode::UnknownHandler);
        match call.pause_without_handler(SystemTime::now(), None) {
            Some(pause) => Self::Later {
                wait: millis(pause),
                report,
                paused_until: None,
            },
            None => Self::Dead {
                report,
                counts: false,
            },
        }
    }
}

/// One attempt: two steps of an invocation.
pub(crate) struct Attempt {
    serving: Arc<Serving>,
    id: String,
    /// Distinguishes the attempts of an invocation.
    step: u32,
    call: Envelope,
    attempts: StoredAttempts,
    /// The permit, from the first step to the second, and until the requested pause is stored.
    permit: Arc<Mutex<Option<WorkerPermit>>>,
    _unfinished: TaskTrackerToken,
}

impl Attempt {
    pub(crate) fn new(
        serving: &Arc<Serving>,
        id: &str,
        step: u32,
        call: &Envelope,
        attempts: &StoredAttempts,
    ) -> Self {
        Self {
            _unfinished: serving.attempts.token(),
            serving: Arc::clone(serving),
            id: id.to_owned(),
            step,
            call: call.clone(),
            attempts: attempts.clone(),
            permit: Arc::default(),
        }
    }

    /// Returns the step that begins the attempt, with its permit.
    pub(crate) fn begin(&self) -> Step<Json<Start>> {
        let (serving, call) = (Arc::clone(&self.serving), self.call.clone());
        let (held, ended) = (Arc::clone(&self.permit), self.attempts.ended_processes);
        Step::new(async move {
            let Some(policy) = serving.runner.policy(&call.handler) else {
                return Ok(Json(Start::Without(AttemptOutcome::without_handler(&call))));
            };
            let alone_for = (ended > 0).then(|| alone_for(ended, policy.timeout()));
            let permit = serving.permit(alone_for).await?;
            let alone_until = permit.alone_until().map_or(0, |until| {
                let left = until.saturating_duration_since(Instant::now());
                to_millis(SystemTime::now() + left)
            });
            *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
            let process = serving.process.clone();
            Ok(Json(Start::Begun {
                process,
                alone_until,
            }))
        })
    }

    /// Returns the step that runs the handler, unless the installation is paused until this time; the outcome if the
    /// attempt does not begin. The pause is read once the attempt has its permit, for which it may wait for long.
    pub(crate) fn run(
        &self,
        start: Json<Start>,
        paused_until: u64,
    ) -> Result<Step<Json<AttemptOutcome>>, AttemptOutcome> {
        let (process, alone_until) = match start.into_inner() {
            Start::Begun {
                process,
                alone_until,
            } => (process, alone_until),
            Start::Without(outcome) => return Err(outcome),
        };
        let given_back = self.attempts.given_back;
        let (serving, call, past) = (
            Arc::clone(&self.serving),
            self.call.clone(),
            self.attempts.past(),
        );
        let (id, step) = (self.id.clone(), self.step);
        let held = Arc::clone(&self.permit);
        Ok(Step::new(async move {
            let hold = || held.lock().unwrap_or_else(PoisonError::into_inner);
            let is_here = process == serving.process;
            let begun = is_here.then(|| serving.begin(&id, step)).flatten();
            let Some(begun) = begun else {
                serving.forget(&id, step);
                // The installation may be paused, too; the next attempt looks.
                let policy = serving.runner.policy(&call.handler);
                let wait = policy.map(|policy| policy.pause_after(past.count + 1, &call.key));
                // Restate notices the end of a process at once if another one serves, or the next one does.
                let was_alone = to_millis(SystemTime::now()) < alone_until;
                let is_given_back = !was_alone && given_back < MAX_GIVEN_BACK;
                return Ok(Json(AttemptOutcome::Interrupted {
                    wait: millis(wait.unwrap_or(UNKNOWN_WAIT)),
                    is_given_back,
                }));
            };
            let Some(mut permit) = hold().take() else {
                // The connection broke after the first step, perhaps long ago: the pause is read again.
                begun.end();
                return Ok(Json(AttemptOutcome::Paused { wait: 0 }));
            };
            let now = to_millis(SystemTime::now());
            if paused_until > now {
                begun.end();
                let wait = (paused_until - now).min(LONGEST_PAUSE);
                return Ok(Json(AttemptOutcome::Paused { wait }));
            }
            let run = Arc::clone(&serving.runner).run(call, past);
            let outcome = tokio::select! {
                verdict = run => AttemptOutcome::of(verdict),
                () = serving.over.cancelled() => AttemptOutcome::HandedBack,
                never = permit.share_after_turn() => match never {},
            };
            begun.end();
            if outcome.pauses() {
                // A job that waits for the permit would begin before the pause is stored.
                *hold() = Some(permit);
            }
            Ok(Json(outcome))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_attempt_that_ended_clears_the_suspicion() {
        let report = || StoredReport::bare(ReportCode::Failed);
        let later = |paused_until| AttemptOutcome::Later {
            wait: 1,
            report: report(),
            paused_until,
        };
        let dead = |counts| AttemptOutcome::Dead {
            report: report(),
            counts,
        };
        let unclear = [
            AttemptOutcome::Interrupted {
                wait: 1,
                is_given_back: true,
            },
            AttemptOutcome::Paused { wait: 1 },
            AttemptOutcome::HandedBack,
            later(None),
            dead(false),
        ];
        for outcome in unclear {
            assert!(!outcome.is_complete(), "{outcome:?}");
        }
        let retry = AttemptOutcome::Retry {
            wait: 1,
            report: report(),
        };
        for outcome in [AttemptOutcome::Done, retry, later(Some(1)), dead(true)] {
            assert!(outcome.is_complete(), "{outcome:?}");
        }
    }
}
