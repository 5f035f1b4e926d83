//! Stored jobs, for operators: listed, run again, discarded.

use std::time::SystemTime;

use super::report::{EngineError, Report};
use crate::fit::BoxFuture;
#[cfg(feature = "cli")]
use crate::token::{JobSeal, SealedCall};

/// Shows an engine's jobs to operators. The command `jobs` uses it.
pub trait JobInspector: Send + Sync + 'static {
    /// Returns the newest jobs that are in one of these states, at most `limit`; of one handler, if it is
    /// given.
    fn list(
        &self,
        states: Vec<JobState>,
        handler: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<JobRecord>, EngineError>>;

    /// Returns the job with this id.
    fn find(&self, id: String) -> BoxFuture<Result<Option<JobRecord>, EngineError>>;

    /// Runs a dead or waiting job now, with one more attempt if all are spent. Returns whether there is such
    /// a job.
    fn retry(&self, id: String) -> BoxFuture<Result<bool, EngineError>>;

    /// Ends a job: it does not run again, and a dead one is deleted. Returns whether there is such a job.
    fn discard(&self, id: String) -> BoxFuture<Result<bool, EngineError>>;
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// The job waits for its due time, a worker, a token or a retry.
    Waiting,
    /// The job is running.
    Running,
    /// The job succeeded.
    Done,
    /// The last attempt failed, or the job cannot succeed.
    Dead,
    /// An operator discarded it, or it waited when the app was uninstalled.
    Discarded,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Discarded,
    ];

    /// Returns the state as text.
    ///
    /// ```
    /// use forge_remote::jobs::JobState;
    ///
    /// assert_eq!(JobState::Dead.as_str(), "dead");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

/// A stored job, without its contents.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobRecord {
    /// The engine's id.
    pub id: String,
    /// The state.
    pub state: JobState,
    /// The handler's key.
    pub handler: String,
    /// The installation's ARI.
    pub installation_id: String,
    /// The attempts so far.
    pub attempts: u32,
    /// The number of attempts after which it is dead.
    pub max_attempts: u32,
    /// When the call arrived.
    pub accepted_at: SystemTime,
    /// When a waiting job runs next.
    pub due: Option<SystemTime>,
    /// The report of the last unsuccessful run.
    pub last: Option<Report>,
    /// The id of the key that its contents need ([`Envelope::key_id`](super::Envelope::key_id)), if the engine knows it.
    pub key_id: Option<String>,
}

impl JobRecord {
    /// Returns the error of the last run that was not done, if this seal opens it.
    #[cfg(feature = "cli")]
    pub(crate) fn last_error(&self, seal: Option<&JobSeal>) -> Option<String> {
        let report = self
            .last
            .as_ref()
            .filter(|report| !report.sealed.is_empty())?;
        let call = SealedCall {
            handler: &self.handler,
            installation_id: &self.installation_id,
        };
        let text = seal.and_then(|seal| seal.open_report(call, &report.sealed));
        Some(
            text.unwrap_or_else(|| {
                "(sealed under a key that FORGE_REMOTE_TOKEN_KEY lacks)".to_owned()
            }),
        )
    }

    /// Creates the record of a waiting job without an attempt; the other fields are set afterwards.
    pub fn new(
        id: impl Into<String>,
        handler: impl Into<String>,
        installation_id: impl Into<String>,
        accepted_at: SystemTime,
    ) -> Self {
        Self {
            id: id.into(),
            state: JobState::Waiting,
            handler: handler.into(),
            installation_id: installation_id.into(),
            attempts: 0,
            max_attempts: 1,
            accepted_at,
            due: None,
            last: None,
            key_id: None,
        }
    }
}
