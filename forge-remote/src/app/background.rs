//! Background tasks: work that runs concurrently with requests.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::client::AtlassianClient;
use crate::error::Result;
use crate::extract::{AppState, State};
use crate::fit::Clock;
use crate::jobs::AppJobs;
use crate::registry::{BoxFuture, Requirement};
use crate::token::Tokens;
use crate::work::{BlocksThread, LAST_DROPS, panic_text};

/// The longest pause before a failed task is restarted.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(60);

/// A function for [`App::background`](crate::App::background): an async function with up to six arguments, each
/// of them a [`State<T>`](crate::State), [`Tokens`](crate::Tokens),
/// [`AtlassianClient`](crate::client::AtlassianClient), [`AppJobs`](crate::jobs::AppJobs) or [`Shutdown`]. It
/// returns a [`Result<()>`](crate::Result).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a background task",
    note = "a background task is an async function that returns `forge_remote::Result<()>`; its arguments can be \
            `State<T>`, `Tokens`, `AtlassianClient`, `AppJobs` and `Shutdown`"
)]
pub trait Background<Arguments>: Send + Sync + 'static {
    #[doc(hidden)]
    fn needs(&self) -> Vec<Requirement>;
    /// Returns whether the task takes [`Shutdown`] and so ends when the app stops.
    #[doc(hidden)]
    fn takes_shutdown(&self) -> bool;
    /// Returns `None` if an argument is missing, which launch checks.
    #[doc(hidden)]
    fn start(&self, context: &TaskContext) -> Option<BoxFuture<Result<()>>>;
}

/// The values that background tasks can take.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct TaskContext {
    state: AppState,
    shutdown: Shutdown,
}

/// An argument type of a background task.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a background task cannot take `{Self}`",
    note = "it can take `State<T>`, `Tokens`, `AtlassianClient`, `AppJobs` and `Shutdown`, because it has no request to extract from"
)]
pub trait FromApp: Sized {
    const IS_SHUTDOWN: bool = false;
    fn need() -> Option<Requirement>;
    fn from_app(context: &TaskContext) -> Option<Self>;
}

/// A shutdown signal for a [`background`](crate::App::background) task.
///
/// Once the app starts to stop, the task has [`App::shutdown_grace`](crate::App::shutdown_grace) to
/// end, as requests do. A task that doesn't take the signal is cancelled at an await point.
///
/// ```
/// use std::time::Duration;
/// use forge_remote::prelude::*;
/// use forge_remote::Shutdown;
///
/// async fn sync(shutdown: Shutdown) -> Result<()> {
///     while !shutdown.is_requested() {
///         // A round of work, which is not cancelled halfway.
///         tokio::select! {
///             () = shutdown.requested() => {}
///             () = tokio::time::sleep(Duration::from_secs(600)) => {}
///         }
///     }
///     Ok(())
/// }
///
/// let app = App::new().background(sync);
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct Shutdown(CancellationToken);

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shutdown({})", self.is_requested())
    }
}

impl Shutdown {
    fn new() -> Self {
        Self(CancellationToken::new())
    }

    /// Completes when the app starts to stop.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Returns whether the app is stopping.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    fn request(&self) {
        self.0.cancel();
    }
}

impl FromApp for Shutdown {
    const IS_SHUTDOWN: bool = true;

    fn need() -> Option<Requirement> {
        None
    }

    fn from_app(context: &TaskContext) -> Option<Self> {
        Some(context.shutdown.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> FromApp for State<T> {
    fn need() -> Option<Requirement> {
        Some(Requirement::State {
            id: std::any::TypeId::of::<T>,
            name: std::any::type_name::<T>,
        })
    }

    fn from_app(context: &TaskContext) -> Option<Self> {
        context.state.get().map(Self)
    }
}

impl FromApp for Tokens {
    fn need() -> Option<Requirement> {
        Some(Requirement::Tokens)
    }

    fn from_app(context: &TaskContext) -> Option<Self> {
        context.state.get()
    }
}

impl FromApp for AppJobs {
    fn need() -> Option<Requirement> {
        Some(Requirement::Jobs)
    }

    fn from_app(context: &TaskContext) -> Option<Self> {
        context.state.get()
    }
}

impl FromApp for AtlassianClient {
    fn need() -> Option<Requirement> {
        None
    }

    fn from_app(context: &TaskContext) -> Option<Self> {
        context.state.get()
    }
}

macro_rules! background {
    ($($argument:ident)*) => {
        impl<F, Fut, $($argument: FromApp),*> Background<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<()>> + Send + 'static,
        {
            fn needs(&self) -> Vec<Requirement> {
                let needs: Vec<Option<Requirement>> = vec![$($argument::need()),*];
                needs.into_iter().flatten().collect()
            }

            fn takes_shutdown(&self) -> bool {
                false $(|| $argument::IS_SHUTDOWN)*
            }

            #[allow(unused_variables, reason = "a task without arguments does not use the context")]
            fn start(&self, context: &TaskContext) -> Option<BoxFuture<Result<()>>> {
                Some(Box::pin(self($($argument::from_app(context)?),*)))
            }
        }
    };
}

background!();
background!(A);
background!(A B);
background!(A B C);
background!(A B C D);
background!(A B C D E);
background!(A B C D E G);

type Start = dyn Fn(&TaskContext) -> Option<BoxFuture<Result<()>>> + Send + Sync;

/// A background task that was added to an app.
#[derive(Clone)]
pub(crate) struct Task {
    pub(super) place: &'static Location<'static>,
    pub(super) needs: Vec<Requirement>,
    takes_shutdown: bool,
    start: Arc<Start>,
}

impl Task {
    pub(super) fn new<A>(place: &'static Location<'static>, task: impl Background<A>) -> Self {
        Self {
            place,
            needs: task.needs(),
            takes_shutdown: task.takes_shutdown(),
            start: Arc::new(move |context: &TaskContext| task.start(context)),
        }
    }

    /// Creates a task of the app itself, which takes the shutdown signal.
    pub(super) fn of_app(
        place: &'static Location<'static>,
        start: impl Fn(Shutdown) -> BoxFuture<Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place,
            needs: Vec::new(),
            takes_shutdown: true,
            start: Arc::new(move |context: &TaskContext| Some(start(context.shutdown.clone()))),
        }
    }

    /// Creates a task of the app itself that runs until it is cancelled.
    pub(super) fn endless(
        place: &'static Location<'static>,
        start: impl Fn() -> BoxFuture<Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place,
            needs: Vec::new(),
            takes_shutdown: false,
            start: Arc::new(move |_: &TaskContext| Some(start())),
        }
    }

    /// Runs the task to completion, and restarts it after a failure with growing pauses until the
    /// app stops.
    async fn run(self, context: TaskContext, clock: Arc<dyn Clock>) {
        let mut wait = Duration::from_secs(1);
        loop {
            let began = clock.elapsed();
            // A function may panic before it returns its future.
            let running = async {
                match (self.start)(&context) {
                    Some(running) => running.await,
                    None => Err("an argument of the task is missing".into()),
                }
            };
            // Shared state may be left half changed by a panic, as it may be for handlers.
            let error = match AssertUnwindSafe(running).catch_unwind().await {
                Ok(Ok(())) => {
                    tracing::info!("a background task has finished");
                    return;
                }
                Ok(Err(error)) => format!("{error:?}"),
                Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
            };
            if context.shutdown.is_requested() {
                tracing::error!(error, "a background task failed during shutdown");
                return;
            }
            if clock.elapsed().saturating_sub(began) > MAX_RESTART_DELAY {
                wait = Duration::from_secs(1);
            }
            let seconds = wait.as_secs();
            tracing::error!(
                error,
                "a background task failed and restarts in {seconds} s"
            );
            tokio::select! {
                () = clock.sleep(wait) => {}
                () = context.shutdown.requested() => return,
            }
            wait = (wait * 2).min(MAX_RESTART_DELAY);
        }
    }
}

/// An app's background tasks and the values they take.
pub(super) struct Tasks {
    tasks: Vec<Task>,
    /// The task that records metrics, which requests do not need.
    sampling: Option<Task>,
    state: AppState,
    clock: Arc<dyn Clock>,
    are_running: Arc<AtomicBool>,
}

/// The reason why background tasks don't start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackgroundError {
    /// The tasks are already running: another server or clone of the service started them.
    #[error(
        "the app's background tasks are already running, started by `Service::serve` or by an \
         earlier `start_background`: start them only once, or drop the earlier handle first"
    )]
    AlreadyRunning,
    /// The function was called outside of a Tokio runtime.
    #[error("background tasks need a Tokio runtime: call `start_background` from async code")]
    NoRuntime,
}

impl Tasks {
    pub(super) fn new(tasks: Vec<Task>, state: AppState, clock: Arc<dyn Clock>) -> Self {
        Self {
            tasks,
            sampling: None,
            state,
            clock,
            are_running: Arc::default(),
        }
    }

    /// Adds the task that records metrics.
    pub(super) fn sampled_by(mut self, sampling: Option<Task>) -> Self {
        self.sampling = sampling;
        self
    }

    /// Returns the number of tasks that nobody started, without the one that records metrics.
    pub(super) fn not_running(&self) -> usize {
        match self.are_running.load(Ordering::SeqCst) {
            true => 0,
            false => self.tasks.len(),
        }
    }

    pub(super) fn start(&self) -> Result<BackgroundTasks, BackgroundError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BackgroundError::NoRuntime);
        }
        if self.are_running.swap(true, Ordering::SeqCst) {
            return Err(BackgroundError::AlreadyRunning);
        }
        let mut running = BackgroundTasks {
            ending: JoinSet::new(),
            others: JoinSet::new(),
            shutdown: Shutdown::new(),
            _running: Running(Arc::clone(&self.are_running)),
        };
        for task in self.tasks.iter().chain(&self.sampling).cloned() {
            let context = TaskContext {
                state: self.state.clone(),
                shutdown: running.shutdown.clone(),
            };
            let set = if task.takes_shutdown {
                &mut running.ending
            } else {
                &mut running.others
            };
            let span = tracing::info_span!("background", task = %task.place);
            set.spawn(task.run(context, Arc::clone(&self.clock)).instrument(span));
        }
        Ok(running)
    }
}

/// A handle to an app's running background tasks, from
/// [`Service::start_background`](crate::Service::start_background).
///
/// Dropping it cancels the tasks at their next await point; [`stop`](Self::stop) shuts them down
/// gracefully.
#[must_use = "the tasks end when it is dropped"]
pub struct BackgroundTasks {
    /// The tasks that take [`Shutdown`].
    ending: JoinSet<()>,
    others: JoinSet<()>,
    shutdown: Shutdown,
    _running: Running,
}

impl fmt::Debug for BackgroundTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "BackgroundTasks({})",
            self.ending.len() + self.others.len()
        )
    }
}

/// A guard: the tasks may be started again once it is dropped.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl BackgroundTasks {
    /// Completes [`Shutdown::requested`].
    pub(super) fn request_stop(&self) {
        self.shutdown.request();
    }

    /// Notifies the tasks that take [`Shutdown`], waits up to `grace` for them to end, and cancels the
    /// rest. No task is running when this returns, except one that blocks its thread.
    pub async fn stop(self, grace: Duration) {
        // `end` logs the error.
        let _ = self.end(grace).await;
    }

    /// Stops the tasks as [`stop`](Self::stop) does, and returns an error if one blocks its thread.
    pub(super) async fn end(mut self, grace: Duration) -> Result<(), BlocksThread> {
        self.request_stop();
        let ended = async { while self.ending.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            let tasks = self.ending.len();
            tracing::warn!(
                tasks,
                "background tasks did not end in time and are cancelled"
            );
        }
        let dropped = async {
            self.ending.shutdown().await;
            self.others.shutdown().await;
        };
        let dropped = tokio::time::timeout(LAST_DROPS, dropped).await;
        if dropped.is_err() {
            tracing::error!("a background task cannot be cancelled: it blocks its thread");
        }
        dropped.map_err(|_| BlocksThread)
    }
}
