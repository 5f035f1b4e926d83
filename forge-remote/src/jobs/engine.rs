//! The seam between durable handlers and the engine that stores and runs their calls.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::counts::JobCounts;
use super::inspect::JobInspector;
use super::policy::JobPolicy;
use super::report::{EngineError, Report, ReportCode};
use crate::fit::{BoxFuture, Clock};

/// An engine: it stores the calls of durable handlers and runs them.
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
    /// They end the launch.
    fn open(&self) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Stores an envelope. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// The response is then 503, and Forge retries the call. An error may hide that the envelope was
    /// stored: the retry has the same key.
    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>>;

    /// Runs envelopes until `context.stop` completes, and then for at most `context.grace`. Envelopes
    /// that are still running then are released, and the attempt does not count.
    ///
    /// # Errors
    ///
    /// They are logged, and the app calls this again after a pause.
    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>>;

    /// Returns the guarantees that the engine enforces. The launch fails if a handler needs others.
    fn guarantees(&self) -> Guarantees;

    /// Returns the inspector that shows the engine's jobs to operators; `None` if it has none.
    fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
        None
    }

    /// Returns the numbers of the stored jobs, for metrics; `None` if the engine does not count them. With the
    /// feature `metrics` it is called every 15 seconds.
    ///
    /// # Errors
    ///
    /// They are logged.
    fn counts(&self) -> BoxFuture<Result<Option<JobCounts>, EngineError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// A sealed call of a durable handler, and what an engine needs to know about it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// Equal for a delivery and its retries: letters, digits, `-` and `_`.
    pub key: String,
    /// Which earlier envelopes with the same key make this one a repetition.
    pub repeats: Repeats,
    /// The handler's key.
    pub handler: String,
    /// The installation's ARI.
    pub installation_id: String,
    /// When the call arrived.
    pub accepted_at: SystemTime,
    /// The earliest time at which it runs, accurate to a second or better; `None` to run it immediately.
    pub not_before: Option<SystemTime>,
    /// The number of attempts after which it is dead.
    pub max_attempts: u32,
    /// The encrypted call.
    pub sealed: Vec<u8>,
}

impl Envelope {
    /// Creates an envelope of this handler and installation, with one attempt and a key that no retry
    /// has. The other fields are set afterwards.
    pub fn new(
        key: impl Into<String>,
        handler: impl Into<String>,
        installation_id: impl Into<String>,
        sealed: Vec<u8>,
    ) -> Self {
        Self {
            key: key.into(),
            repeats: Repeats::Never,
            handler: handler.into(),
            installation_id: installation_id.into(),
            accepted_at: SystemTime::UNIX_EPOCH,
            not_before: None,
            max_attempts: 1,
            sealed,
        }
    }
}

/// Which stored envelopes with the same key make an [`Envelope`] a repetition. The engine ignores a
/// repetition, and returns [`Accepted::Repeated`].
///
/// An engine that [outlives the process](Guarantees::outlives_process) forgets no key of an envelope that
/// waits or runs, and none that was accepted within [`LONGEST_WINDOW`](Self::LONGEST_WINDOW), whether its job
/// is done, dead or discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeats {
    /// No stored envelope: this one is always new. For a delivery without Forge's retry context.
    Never,
    /// An envelope that was accepted within this time before this one. For a retry by Forge.
    Within(Duration),
    /// An envelope that still waits or runs, however old, or one that was accepted within this time. For
    /// work that is not a call of Forge and must be stored only once.
    UnfinishedOrWithin(Duration),
}

impl Repeats {
    /// The longest window that the app gives an envelope: 26 hours.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(26 * 3600);

    /// Returns the time within which an equal key is a repetition, and whether a waiting or running
    /// envelope makes it one at any age; `None` for [`Never`](Self::Never).
    pub fn window(self) -> Option<(Duration, bool)> {
        match self {
            Self::Never => None,
            Self::Within(window) => Some((window, false)),
            Self::UnfinishedOrWithin(window) => Some((window, true)),
        }
    }
}

impl Envelope {
    /// Returns how long an envelope waits for an instance of the app that has its handler, after a run with
    /// this report: the longer, the older it is. `None` if it has waited before and is a week old, or if it is
    /// two weeks old: it is dead then, so that the work of a handler that was removed ends.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use forge_remote::jobs::{Envelope, Report, ReportCode};
    ///
    /// let mut envelope = Envelope::new("key", "report", "ari:1", vec![]);
    /// envelope.accepted_at = SystemTime::UNIX_EPOCH;
    /// let last = Report::new(ReportCode::UnknownHandler, vec![]);
    /// let pause = |seconds| {
    ///     let now = envelope.accepted_at + Duration::from_secs(seconds);
    ///     envelope.pause_without_handler(now, Some(&last))
    /// };
    /// assert_eq!(pause(1), Some(Duration::from_secs(5)));
    /// assert_eq!(pause(3600), Some(Duration::from_secs(450)));
    /// assert_eq!(pause(8 * 24 * 3600), None);
    /// ```
    pub fn pause_without_handler(
        &self,
        now: SystemTime,
        last: Option<&Report>,
    ) -> Option<Duration> {
        const SHORTEST: Duration = Duration::from_secs(5);
        const LONGEST: Duration = Duration::from_secs(3600);
        const END: Duration = Duration::from_secs(7 * 24 * 3600);
        let due = self.not_before.unwrap_or(self.accepted_at);
        let age = now.duration_since(due).unwrap_or_default();
        let has_waited = last.is_some_and(|last| {
            matches!(last.code, ReportCode::UnknownHandler | ReportCode::OtherKey)
        });
        let is_over = age >= END && has_waited || age >= 2 * END;
        (!is_over).then(|| (age / 8).clamp(SHORTEST, LONGEST))
    }

    /// Logs that this envelope's job is dead.
    pub fn log_dead(&self, id: &str, attempts: u32, report: &Report) {
        tracing::error!(
            job = id,
            handler = self.handler,
            installation = self.installation_id,
            attempts,
            reason = report.code.as_str(),
            "a job is dead: it does not run again"
        );
    }
}

/// Writes the handler and the key: the rest is of a customer.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("handler", &self.handler)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The result of [`JobEngine::accept`], with the engine's id of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    New(String),
    /// It repeats this job, which is stored already, and is ignored.
    Repeated(String),
}

/// What [`JobEngine::serve`] needs from the app.
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

/// What an engine enforces.
///
/// ```
/// use std::time::Duration;
/// use forge_remote::jobs::Guarantees;
///
/// let guarantees = Guarantees::new().outlives_process().limits_installations();
/// assert!(!guarantees.spans_machines);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// Accepted envelopes survive the process. They are then sealed under `FORGE_REMOTE_TOKEN_KEY`.
    pub outlives_process: bool,
    /// `per_installation` is enforced.
    pub limits_installations: bool,
    /// Several machines share the work, and every guarantee holds across them.
    pub spans_machines: bool,
}

impl Guarantees {
    /// Creates the guarantees of an engine that enforces none of these.
    pub const fn new() -> Self {
        Self {
            outlives_process: false,
            limits_installations: false,
            spans_machines: false,
        }
    }

    /// Accepted envelopes survive the process.
    #[must_use]
    pub const fn outlives_process(mut self) -> Self {
        self.outlives_process = true;
        self
    }

    /// `per_installation` is enforced.
    #[must_use]
    pub const fn limits_installations(mut self) -> Self {
        self.limits_installations = true;
        self
    }

    /// Several machines share the work.
    #[must_use]
    pub const fn spans_machines(mut self) -> Self {
        self.spans_machines = true;
        self
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
    /// Returns whether the envelope's handler has started before, also in an attempt that was given back.
    pub(crate) fn has_started(&self) -> bool {
        let last = self.last.as_ref();
        self.count > 0 || last.is_some_and(|report| report.code.is_of_given_back_run())
    }

    /// Creates the record of attempts.
    pub fn new(count: u32, last: Option<Report>) -> Self {
        Self { count, last }
    }
}

/// What an engine does with an envelope that the runner has run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done.
    Done,
    /// It failed: it runs again after this time, if it has attempts left; otherwise it is dead.
    Retry {
        /// The pause.
        after: Duration,
        /// The reason.
        report: Report,
    },
    /// It cannot run now: it runs again after this time, and the attempt is given back.
    Later {
        /// The pause.
        after: Duration,
        /// The reason.
        report: Report,
        /// Whether other envelopes of the same handler and installation wait for that time too.
        pauses_installation: bool,
    },
    /// It cannot succeed: it is dead.
    Dead {
        /// The reason.
        report: Report,
    },
}
