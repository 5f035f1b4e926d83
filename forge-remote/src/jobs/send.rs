//! The sending of jobs: from a call, or from the app for an installation.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::attempt::RunningAttempt;
use super::delivery::KeyHash;
use super::engine::{Accepted, JobEngine};
use super::envelope::{Envelope, Repeats};
use super::job_contents::{JobContents, JobSender, SendingCall};
use super::policy::JobPolicy;
use super::report::EngineError;
use super::sender::{NotStored, Parcel, Sender};
use crate::extract::rejection::StateRejection;
use crate::extract::{AppState, JobCall, JobInstallation, Verified};
use crate::fit::BoxFuture;
use crate::token::{InstallState, Installation, Tokens};

/// How long a key of [`SendJob::unique`] counts, even when its job is done.
const UNIQUE_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a call of Forge shows that the app is installed. A handler may hand its `Jobs` to work that lasts longer.
const CALL_SHOWS: Duration = Duration::from_secs(60);
/// How long an installation that was read from the token store counts without being there: less than the record of a removal
/// lasts, and than a token is kept after its end.
const READ_SHOWS: Duration = Duration::from_secs(20 * 3600);

/// Sends jobs for the installation of the call, as an argument of any handler or
/// [`job`](macro@crate::job).
///
/// ```
/// use std::time::Duration;
/// use forge_remote::jobs::{Args, Jobs};
/// use forge_remote::prelude::*;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Reindex { project: String }
///
/// /// Copies a project to the search index.
/// #[job(retries = 3, timeout = "10m", per_installation = 1)]
/// async fn reindex(Args(work): Args<Reindex>) -> Result<()> {
///     println!("{}", work.project);
///     Ok(())
/// }
///
/// #[endpoint]
/// async fn import(jobs: Jobs, Json(project): Json<String>) -> Result<StatusCode> {
///     let key = format!("reindex {project}");
///     jobs.send(reindex::args(Reindex { project }))
///         .after(Duration::from_secs(60))
///         .unique_within(key, Duration::ZERO)
///         .await?;
///     Ok(StatusCode::ACCEPTED)
/// }
/// ```
#[derive(Clone)]
pub struct Jobs {
    app: AppJobs,
    installation_id: Arc<str>,
    sender: Arc<JobSender>,
    /// When the call of Forge that sends arrived, by the clock's `elapsed`; `None` if another sends.
    called_at: Option<Duration>,
    /// When the token store had the installation; `None` without an [`Installation`].
    read_at: Option<SystemTime>,
}

/// Sends jobs for any installation, as an argument of a [background task](crate::App::background).
///
/// ```
/// use forge_remote::jobs::{AppJobs, Args};
/// use forge_remote::prelude::*;
///
/// #[job]
/// async fn clean_up(token: SystemToken) -> Result<()> {
///     # let _ = token;
///     Ok(())
/// }
///
/// async fn clean_up_everywhere(jobs: AppJobs, tokens: Tokens) -> Result<()> {
///     for installation in tokens.installations().await? {
///         jobs.of(&installation).send(clean_up::args()).unique("at launch").await?;
///     }
///     Ok(())
/// }
///
/// let app = App::new().background(clean_up_everywhere);
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct AppJobs {
    sender: Sender,
    /// The keys of the app's jobs.
    keys: Arc<BTreeSet<&'static str>>,
    /// The app's token store, which has the removals of installations.
    tokens: Option<Tokens>,
}

/// A job with its arguments, to be sent: `reindex::args(…)` of a `#[job]` function `reindex`.
#[must_use = "it is sent by `Jobs::send`"]
pub struct NewJob {
    key: &'static str,
    policy: JobPolicy,
    /// The arguments, in JSON.
    args: Result<String, serde_json::Error>,
}

/// Why a job is not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The arguments cannot be written as JSON, for example because a map has keys that are not
    /// strings.
    #[error("the arguments of the job `{key}` cannot be written as JSON")]
    Arguments {
        /// The job's key.
        key: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// The app that sends it does not have the job.
    #[error(
        "this app has no job `{key}`: add it with `App::handler(forge_remote::handler!(…))`, or name its crate with \
         `forge_remote::link!`"
    )]
    UnknownJob {
        /// The job's key.
        key: &'static str,
    },
    /// The app was uninstalled. Only running jobs and background tasks get this error, because Forge does not call
    /// handlers of an uninstalled app.
    #[error(
        "the job `{key}` is not sent: the app was uninstalled (installation `{installation_id}`): stop its work"
    )]
    Uninstalled {
        /// The job's key.
        key: &'static str,
        /// The installation's ARI.
        installation_id: String,
    },
    /// The token store no longer has the installation, which was read from it long ago: the app was uninstalled, or
    /// the installation got no token for a day. A task that works for days and keeps its [`Installation`]s gets this
    /// error: read them again.
    #[error(
        "the job `{key}` is not sent: the token store no longer has the installation `{installation_id}`, so the app \
         was uninstalled or got no token for a day; read the installations again before each round of work"
    )]
    UnknownInstallation {
        /// The job's key.
        key: &'static str,
        /// The installation's ARI.
        installation_id: String,
    },
    /// The engine returned an error; the job may have been stored nevertheless. If you send it again
    /// with the same [`unique`](SendJob::unique) key, it runs once.
    #[error(
        "the engine did not confirm that it has stored the job `{key}`: send it again; a `unique` key prevents a \
         second run"
    )]
    NotStored {
        /// The job's key.
        key: &'static str,
        /// The cause.
        source: EngineError,
    },
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl fmt::Debug for AppJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppJobs")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Writes the key only: the arguments may be user data.
impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl NewJob {
    pub(crate) fn new(key: &'static str, policy: JobPolicy, args: &impl Serialize) -> Self {
        Self {
            key,
            policy,
            args: serde_json::to_string(args),
        }
    }
}

impl AppJobs {
    pub(crate) fn new(
        sender: Sender,
        keys: BTreeSet<&'static str>,
        tokens: Option<Tokens>,
    ) -> Self {
        Self {
            sender,
            keys: Arc::new(keys),
            tokens,
        }
    }

    /// Returns the jobs of one installation.
    pub fn of(&self, installation: &Installation) -> Jobs {
        let sender = JobSender::App(JobInstallation::from(installation));
        Jobs {
            read_at: Some(installation.read_at()),
            ..self.sent_by(installation.installation_id(), sender)
        }
    }

    fn sent_by(&self, installation_id: &str, sender: JobSender) -> Jobs {
        Jobs {
            app: self.clone(),
            installation_id: installation_id.into(),
            sender: Arc::new(sender),
            called_at: None,
            read_at: None,
        }
    }
}

impl Jobs {
    /// Returns a future that sends a job. Await it to store the job, which then runs even if the caller
    /// fails later.
    pub fn send(&self, job: NewJob) -> SendJob {
        SendJob {
            jobs: self.clone(),
            job,
            not_before: None,
            unique: None,
        }
    }

    /// Returns an error if the app was uninstalled: the engine has ended the installation's jobs by now, and would keep a
    /// later one for longer than the record of the removal lasts.
    async fn check_installed(&self, key: &'static str) -> Result<(), SendError> {
        let sender = &self.app.sender;
        let is_fresh = |at: Duration| sender.elapsed().saturating_sub(at) < CALL_SHOWS;
        let Some(tokens) = &self.app.tokens else {
            return Ok(());
        };
        if self.called_at.is_some_and(is_fresh) {
            return Ok(());
        }
        let installation_id = || self.installation_id.to_string();
        if tokens.presence(&self.installation_id).await == InstallState::Removed {
            return Err(SendError::Uninstalled {
                key,
                installation_id: installation_id(),
            });
        }
        let is_old = |at: SystemTime| sender.after(Duration::ZERO) > at + READ_SHOWS;
        if self.read_at.is_some_and(is_old) && tokens.has_nothing_of(&self.installation_id).await {
            return Err(SendError::UnknownInstallation {
                key,
                installation_id: installation_id(),
            });
        }
        Ok(())
    }
}

impl FromRequestParts<AppState> for Jobs {
    type Rejection = StateRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, StateRejection> {
        // Only inside another extractor: launch checks the rest.
        let fix = "give the app an engine with `App::jobs`";
        let app: AppJobs = state.get().ok_or(StateRejection::new("Jobs", fix))?;
        if let Some(call) = parts.extensions.get::<Verified>() {
            let sender = JobSender::Call(SendingCall::from(call));
            let is_stored = parts.extensions.get::<RunningAttempt>().is_some();
            return Ok(Self {
                called_at: (!is_stored).then(|| app.sender.elapsed()),
                ..app.sent_by(call.claims().installation_id(), sender)
            });
        }
        let fix = "take it as an argument of a handler of calls by Forge, or of a `#[job]`";
        let job = parts.extensions.get::<JobCall>();
        let job = job.ok_or(StateRejection::new("Jobs", fix))?;
        let sender = JobSender::App(job.installation().clone());
        Ok(app.sent_by(job.installation_id(), sender))
    }
}

/// A job that is sent when this is awaited.
#[must_use = "a job is sent when this is awaited"]
pub struct SendJob {
    jobs: Jobs,
    job: NewJob,
    not_before: Option<SystemTime>,
    /// A key, and how long it counts.
    unique: Option<(String, Duration)>,
}

/// Writes the key of the job only: the rest may be user data.
impl fmt::Debug for SendJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendJob")
            .field("key", &self.job.key)
            .finish_non_exhaustive()
    }
}

impl SendJob {
    /// Delays the job by this time, at most a hundred years.
    pub fn after(self, pause: Duration) -> Self {
        let time = self.jobs.app.sender.after(pause);
        self.at(time)
    }

    /// Delays the job until this time.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Sends the job at most once: it is ignored if a job with the same function, installation and key is
    /// waiting or running, or was sent within the last 24 hours.
    ///
    /// Use this in handlers that may run twice. The key may be any text; the engine stores its
    /// hash.
    pub fn unique(self, key: impl Into<String>) -> Self {
        self.unique_within(key, UNIQUE_FOR)
    }

    /// Like [`unique`](Self::unique), with a time of at most 24 hours. With [`Duration::ZERO`], the
    /// job is ignored only while an equal one waits or runs. A running one may have read the state
    /// before your latest change.
    pub fn unique_within(mut self, key: impl Into<String>, time: Duration) -> Self {
        self.unique = Some((key.into(), time.min(UNIQUE_FOR)));
        self
    }

    /// Returns the engine that will store the job.
    pub fn engine(&self) -> &dyn JobEngine {
        self.jobs.app.sender.engine()
    }

    /// Returns the sealed job without storing it. For engines that can store a job in the app's
    /// transaction.
    ///
    /// # Errors
    ///
    /// The app does not have the job, its arguments cannot be written, the app was uninstalled, or the installation is not known
    /// any more.
    pub async fn into_envelope(self) -> Result<Envelope, SendError> {
        let Self {
            jobs,
            job,
            not_before,
            unique,
        } = self;
        let key = job.key;
        if !jobs.app.keys.contains(key) {
            return Err(SendError::UnknownJob { key });
        }
        jobs.check_installed(key).await?;
        let args = job
            .args
            .map_err(|source| SendError::Arguments { key, source })?;
        let contents = JobContents::new(args, (*jobs.sender).clone()).write();
        let (envelope_key, repeats) = match unique {
            Some((text, time)) => {
                let mut hash = KeyHash::new(key, &jobs.installation_id);
                hash.add(text.as_bytes());
                (hash.finish(), Repeats::UnfinishedOrWithin(time))
            }
            None => {
                let random = random_key();
                let random = random.ok_or_else(|| NotStored::NotSealed.of(key))?;
                (random, Repeats::Never)
            }
        };
        let parcel = Parcel {
            handler: key,
            installation_id: &jobs.installation_id,
            contents,
            max_attempts: job.policy.max_attempts(),
            key: &envelope_key,
            repeats,
            not_before,
        };
        let sealed = jobs.app.sender.seal(parcel);
        sealed.map_err(|error| error.of(key))
    }
}

impl IntoFuture for SendJob {
    type Output = Result<Accepted, SendError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let key = self.job.key;
        let sender = self.jobs.app.sender.clone();
        Box::pin(async move {
            let accepted = sender.accept(self.into_envelope().await?).await;
            accepted.map_err(|error| error.of(key))
        })
    }
}

impl NotStored {
    fn of(self, key: &'static str) -> SendError {
        let source = match self {
            Self::Engine(error) => error,
            other => EngineError::new(other.to_string()),
        };
        SendError::NotStored { key, source }
    }
}

/// Returns a key that nothing repeats.
pub(crate) fn random_key() -> Option<String> {
    let mut bytes = [0; 18];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}
