//! The interface between the app and job engines.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::counts::JobCounts;
use super::envelope::Envelope;
use super::guarantees::Guarantees;
use super::inspect::JobInspector;
use super::policy::JobPolicy;
use super::report::{EngineError, Report};
use crate::diagnostic::Check;
use crate::fit::{BoxFuture, Clock};

/// A job engine: it stores the calls of durable handlers and jobs, and runs them.
///
/// [`App::jobs`](crate::App::jobs) takes one. The app seals a call into an [`Envelope`], and responds
/// to Forge once [`accept`](Self::accept) has stored it. The engine cannot open envelopes: it passes
/// them to the app's [`JobRunner`], and applies the returned [`Verdict`].
///
/// An engine must not lose an envelope that it accepted. It may run an envelope twice. The engine counts
/// an attempt before it calls the runner, so that a call that ends its process is dead after
/// [`Envelope::max_attempts`]. After a [`Verdict::Later`] the attempt does not count.
pub trait JobEngine: Any + Send + Sync {
    /// Returns the engine's name, for messages.
    fn name(&self) -> String;

    /// Prepares the engine when the app is about to serve: connects, migrates.
    ///
    /// # Errors
    ///
    /// An error aborts the launch.
    fn open(&self) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Stores an envelope. When this returns, the envelope is stored durably.
    ///
    /// # Errors
    ///
    /// After an error the app responds with 503, and Forge retries the call with the same key. The
    /// envelope may have been stored despite an error.
    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>>;

    /// Runs envelopes until `context.stop` completes, and then for at most `context.grace`. Envelopes
    /// that are still running then are released, and the attempt does not count.
    ///
    /// # Errors
    ///
    /// The app logs an error, and calls this again after a pause.
    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>>;

    /// Returns the guarantees that the engine enforces. The launch fails if a handler or
    /// [`App::require_guarantees`](crate::App::require_guarantees) needs one that is missing.
    fn guarantees(&self) -> Guarantees;

    /// Discards the waiting envelopes of an uninstalled installation, and returns their number. Running envelopes are
    /// not affected. The keys of the discarded envelopes are forgotten, because the app may be installed again.
    ///
    /// Each instance of the app calls it once a removal has [settled](crate::Tokens::removal_delay), and again after an
    /// error. Independently, for 28 hours after a removal, the app discards such envelopes when the engine runs them.
    /// With the default implementation, jobs due later still run, so an engine that keeps it must not declare
    /// [`ends_installations`](Guarantees::ends_installations).
    ///
    /// # Errors
    ///
    /// The app logs the error.
    fn end_installation(&self, installation_id: &str) -> BoxFuture<Result<u64, EngineError>> {
        let _ = installation_id;
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Returns the inspector that shows the engine's jobs to operators; `None` if it has none.
    fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
        None
    }

    /// Returns the numbers of the stored jobs, for metrics; `None` if the engine does not count them. With the
    /// feature `metrics` it is called every 15 seconds.
    ///
    /// # Errors
    ///
    /// The app logs the error.
    fn counts(&self) -> BoxFuture<Result<Option<JobCounts>, EngineError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Checks the engine for the command `doctor`: its schema, its settings for durability. It changes nothing: it
    /// creates no file and no table, and works before [`open`](Self::open). `doctor` reads the jobs of an engine
    /// only if none of its checks [failed](crate::diagnostic::CheckState::Failed) or is
    /// [pending](crate::diagnostic::CheckState::Pending), even before `open`.
    ///
    /// The default implementation returns no checks.
    fn checks(&self) -> BoxFuture<Vec<Check>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Returns the number of unfinished and dead envelopes under each key, by [`Envelope::key_id`]: for `doctor`, which
    /// shows the keys that stored jobs need, and fails if unfinished ones need a missing key. Like
    /// [`checks`](Self::checks) it changes nothing, and works before [`open`](Self::open). `None` if the engine does not
    /// know.
    ///
    /// # Errors
    ///
    /// `doctor` reports them.
    fn key_counts(&self) -> BoxFuture<Result<Option<KeyCounts>, EngineError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Returns when the last envelope of each handler was accepted, by the handler's key, as far as the engine
    /// remembers: for `doctor`, which shows the calls of schedules with it. `None` if the engine does not know.
    ///
    /// # Errors
    ///
    /// `doctor` reports them.
    fn last_accepted(&self) -> BoxFuture<Result<Option<LastAccepted>, EngineError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// The number of envelopes under each key, by its id: [`JobEngine::key_counts`].
pub type KeyCounts = BTreeMap<String, KeyCount>;

/// The number of envelopes under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCount {
    /// Waiting and running ones, which run with this key.
    pub unfinished: u64,
    /// Dead ones, which need the key only if they are retried.
    pub dead: u64,
}

/// When the last envelope of each handler was accepted: [`JobEngine::last_accepted`].
pub type LastAccepted = BTreeMap<String, SystemTime>;

/// The result of [`JobEngine::accept`], with the engine's id of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The envelope was stored.
    New(String),
    /// The envelope repeats this stored job, and was ignored.
    Repeated(String),
}

/// The app's interface for [`JobEngine::serve`].
#[non_exhaustive]
pub struct EngineContext {
    /// Runs envelopes.
    pub runner: Arc<dyn JobRunner>,
    /// The app's clock.
    pub clock: Arc<dyn Clock>,
    /// Completes when the app stops.
    pub stop: BoxFuture<()>,
    /// The time that running envelopes have to end after `stop` completes.
    pub grace: Duration,
}

impl EngineContext {
    /// Creates a context.
    pub fn new(
        runner: Arc<dyn JobRunner>,
        clock: Arc<dyn Clock>,
        stop: BoxFuture<()>,
        grace: Duration,
    ) -> Self {
        Self {
            runner,
            clock,
            stop,
            grace,
        }
    }
}

impl fmt::Debug for EngineContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineContext")
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Runs envelopes for an engine: the app.
pub trait JobRunner: Send + Sync + 'static {
    /// Returns the policy of a handler; `None` if this version of the app does not have it. Such an
    /// envelope waits for an instance that does, without an attempt.
    fn policy(&self, handler: &str) -> Option<JobPolicy>;

    /// Returns the longest [`timeout`](JobPolicy::timeout) of the app's handlers. A run that lasts longer
    /// was abandoned.
    fn longest_timeout(&self) -> Duration;

    /// Runs an envelope once, within its policy's timeout. It does not panic. Dropping the future
    /// cancels the handler at an await point.
    fn run(self: Arc<Self>, envelope: Envelope, past: PastAttempts) -> BoxFuture<Verdict>;
}

/// The attempts of an envelope so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PastAttempts {
    /// The number of attempts before this one.
    pub count: u32,
    /// The report of the last one.
    pub last: Option<Report>,
}

impl PastAttempts {
    /// Returns whether the envelope's handler has started before, even in an attempt that was not
    /// counted.
    pub(crate) fn has_started(&self) -> bool {
        let last = self.last.as_ref();
        self.count > 0 || last.is_some_and(|report| report.code.is_of_given_back_run())
    }

    /// Creates the record of attempts.
    pub fn new(count: u32, last: Option<Report>) -> Self {
        Self { count, last }
    }
}

/// The result of a run: what the engine must do with the envelope.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The run succeeded: the job is done.
    Done,
    /// The run failed: the envelope runs again after this pause if it has attempts left; otherwise
    /// it is dead.
    Retry {
        /// The pause.
        after: Duration,
        /// The reason.
        report: Report,
    },
    /// The envelope cannot run now: it runs again after this pause, and the attempt does not count.
    Later {
        /// The pause.
        after: Duration,
        /// The reason.
        report: Report,
        /// Whether other envelopes of the same handler and installation wait for that time too.
        pauses_installation: bool,
    },
    /// The envelope cannot succeed: it is dead. With [`ReportCode::Uninstalled`](super::ReportCode::Uninstalled),
    /// its key is forgotten.
    Dead {
        /// The reason.
        report: Report,
    },
}
