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
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::serving::{Place, Serving};
use crate::stored_call::{StoredAttempts, StoredReport, millis, to_millis};

/// How long a job waits for a version of this crate that knows its verdict, or for one of the app that has the
/// policy of its retries.
const UNKNOWN_WAIT: Duration = Duration::from_secs(30);

/// After this time, in milliseconds, a paused job looks whether the pause still holds: a machine whose clock was wrong may
/// have stored it.
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
        /// Nothing else runs at the same time.
        is_alone: bool,
    },
    /// The outcome of an app that lacks the handler.
    Without(Outcome),
}

/// The end of an attempt. Times are in milliseconds.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum Outcome {
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

impl Outcome {
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
            // A later version of the seam may have more verdicts.
            _ => Self::Paused {
                wait: millis(UNKNOWN_WAIT),
            },
        }
    }

    /// Returns whether the job may have ended its process, by this outcome and by what was known before. A completed
    /// attempt clears it, even one that Atlassian limited; one that did not begin or was interrupted does not.
    pub(crate) fn is_suspect(&self, before: bool) -> bool {
        match self {
            Self::Interrupted { .. } => true,
            Self::Done
            | Self::Retry { .. }
            | Self::Later {
                paused_until: Some(_),
                ..
            }
            | Self::Dead { counts: true, .. } => false,
            Self::Later {
                paused_until: None, ..
            }
            | Self::Paused { .. }
            | Self::HandedBack
            | Self::Dead { counts: false, .. } => before,
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
    /// Tells the attempts of an invocation apart.
    step: u32,
    call: Envelope,
    attempts: StoredAttempts,
    /// The permit, from the first step to the second, and until the requested pause is stored.
    place: Arc<Mutex<Option<Place>>>,
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
            place: Arc::default(),
        }
    }

    /// Returns the step that begins the attempt, in its place.
    pub(crate) fn begin(&self) -> Step<Json<Start>> {
        let (serving, call) = (Arc::clone(&self.serving), self.call.clone());
        let (held, is_suspect) = (Arc::clone(&self.place), self.attempts.is_suspect);
        Step::new(async move {
            if serving.runner.policy(&call.handler).is_none() {
                return Ok(Json(Start::Without(Outcome::without_handler(&call))));
            }
            let place = serving.place(is_suspect).await?;
            let is_alone = place.is_alone;
            *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
            let process = serving.process.clone();
            Ok(Json(Start::Begun { process, is_alone }))
        })
    }

    /// Returns the step that runs the handler, unless the installation is paused until this time; the outcome if the attempt
    /// does not begin. The pause is read once the attempt has its place, for which it may wait for long.
    pub(crate) fn run(
        &self,
        start: Json<Start>,
        paused_until: u64,
    ) -> Result<Step<Json<Outcome>>, Outcome> {
        let (process, is_alone) = match start.into_inner() {
            Start::Begun { process, is_alone } => (process, is_alone),
            Start::Without(outcome) => return Err(outcome),
        };
        let given_back = self.attempts.given_back;
        let is_given_back = !is_alone && given_back < MAX_GIVEN_BACK;
        let (serving, call, past) = (
            Arc::clone(&self.serving),
            self.call.clone(),
            self.attempts.past(),
        );
        let (id, step) = (self.id.clone(), self.step);
        let held = Arc::clone(&self.place);
        Ok(Step::new(async move {
            let hold = || held.lock().unwrap_or_else(PoisonError::into_inner);
            if process != serving.process || !serving.begin(&id, step) {
                serving.forget(&id, step);
                // The installation may be paused, too; the next attempt looks.
                let policy = serving.runner.policy(&call.handler);
                let wait = policy.map(|policy| policy.backoff_of(past.count + 1, &call.key));
                return Ok(Json(Outcome::Interrupted {
                    wait: millis(wait.unwrap_or(UNKNOWN_WAIT)),
                    is_given_back,
                }));
            }
            let Some(place) = hold().take() else {
                // The connection broke after the first step, perhaps long ago: the pause is read again.
                serving.forget(&id, step);
                return Ok(Json(Outcome::Paused { wait: 0 }));
            };
            let now = to_millis(SystemTime::now());
            if paused_until > now {
                serving.forget(&id, step);
                let wait = (paused_until - now).min(LONGEST_PAUSE);
                return Ok(Json(Outcome::Paused { wait }));
            }
            let run = Arc::clone(&serving.runner).run(call, past);
            let outcome = tokio::select! {
                verdict = run => Outcome::of(verdict),
                () = serving.over.cancelled() => Outcome::HandedBack,
            };
            serving.forget(&id, step);
            if outcome.pauses() {
                // A job that waits for the permit would begin before the pause is stored.
                *hold() = Some(place);
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
        let interrupted = Outcome::Interrupted {
            wait: 1,
            is_given_back: true,
        };
        assert!(interrupted.is_suspect(false));
        let unclear = [
            Outcome::Paused { wait: 1 },
            Outcome::HandedBack,
            Outcome::Later {
                wait: 1,
                report: report(),
                paused_until: None,
            },
            Outcome::Dead {
                report: report(),
                counts: false,
            },
        ];
        for outcome in unclear {
            assert!(outcome.is_suspect(true), "{outcome:?}");
            assert!(!outcome.is_suspect(false), "{outcome:?}");
        }
        let retry = Outcome::Retry {
            wait: 1,
            report: report(),
        };
        let limited = Outcome::Later {
            wait: 1,
            report: report(),
            paused_until: Some(1),
        };
        for outcome in [Outcome::Done, retry, limited] {
            assert!(!outcome.is_suspect(true), "{outcome:?}");
        }
    }
}
