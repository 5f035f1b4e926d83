//! Work that goes on beside requests.

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
use crate::registry::{BoxFuture, Requirement};
use crate::token::Tokens;
use crate::work::{BlocksThread, LAST_DROPS, panic_text};

/// A failing task waits this long at most before it begins anew.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A function for [`App::background`](crate::App::background): async, with up to six arguments, each
/// a [`State<T>`](crate::State), [`Tokens`](crate::Tokens), [`AtlassianClient`](crate::client::AtlassianClient)
/// or [`Shutdown`], and a [`Result<()>`](crate::Result).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a background task",
    note = "an async function of `State<T>`, `Tokens`, `AtlassianClient` and `Shutdown` that returns `forge_remote::Result<()>` can"
)]
pub trait Background<Arguments>: Send + Sync + 'static {
    #[doc(hidden)]
    fn needs(&self) -> Vec<Requirement>;
    /// Whether it wants to be told when the app stops, and ends then by itself.
    #[doc(hidden)]
    fn ends_itself(&self) -> bool;
    /// `None` when an argument isn't there, which launch checks.
    #[doc(hidden)]
    fn start(&self, given: &Given) -> Option<BoxFuture<Result<()>>>;
}

/// What there is to give.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Given {
    state: AppState,
    shutdown: Shutdown,
}

/// What a background task can be given.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a background task can't take `{Self}`",
    note = "it can take `State<T>`, `Tokens`, `AtlassianClient` and `Shutdown`: there is no request to take anything from"
)]
pub trait FromApp: Sized {
    const IS_SHUTDOWN: bool = false;
    fn need() -> Option<Requirement>;
    fn from_app(given: &Given) -> Option<Self>;
}

/// The app's end, as an argument of a [`background`](crate::App::background) task: it is told when
/// the app is told to stop, and has [`App::shutdown_grace`](crate::App::shutdown_grace) to come to
/// an end, while requests do. A task that doesn't take it is dropped where it waits.
///
/// ```
/// use std::time::Duration;
/// use forge_remote::prelude::*;
/// use forge_remote::Shutdown;
///
/// async fn sync(shutdown: Shutdown) -> Result<()> {
///     while !shutdown.is_requested() {
///         // A round of work, which is never cut off.
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

    /// Completes when the app is told to stop.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether the app has been told to stop.
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

    fn from_app(given: &Given) -> Option<Self> {
        Some(given.shutdown.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> FromApp for State<T> {
    fn need() -> Option<Requirement> {
        Some(Requirement::State {
            id: std::any::TypeId::of::<T>,
            name: std::any::type_name::<T>,
        })
    }

    fn from_app(given: &Given) -> Option<Self> {
        given.state.get().map(Self)
    }
}

impl FromApp for Tokens {
    fn need() -> Option<Requirement> {
        Some(Requirement::Tokens)
    }

    fn from_app(given: &Given) -> Option<Self> {
        given.state.get()
    }
}

impl FromApp for AtlassianClient {
    fn need() -> Option<Requirement> {
        None
    }

    fn from_app(given: &Given) -> Option<Self> {
        given.state.get()
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

            fn ends_itself(&self) -> bool {
                false $(|| $argument::IS_SHUTDOWN)*
            }

            #[allow(unused_variables, reason = "without arguments there is nothing to take")]
            fn start(&self, given: &Given) -> Option<BoxFuture<Result<()>>> {
                Some(Box::pin(self($($argument::from_app(given)?),*)))
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

type Start = dyn Fn(&Given) -> Option<BoxFuture<Result<()>>> + Send + Sync;

/// A task as the app has it.
#[derive(Clone)]
pub(crate) struct Task {
    pub(super) place: &'static Location<'static>,
    pub(super) needs: Vec<Requirement>,
    ends_itself: bool,
    start: Arc<Start>,
}

impl Task {
    pub(super) fn new<A>(place: &'static Location<'static>, task: impl Background<A>) -> Self {
        Self {
            place,
            needs: task.needs(),
            ends_itself: task.ends_itself(),
            start: Arc::new(move |given: &Given| task.start(given)),
        }
    }

    /// Runs it to its end; after a failure it begins anew, later and later, until the app stops.
    async fn run(self, given: Given, clock: Arc<dyn Clock>) {
        let mut wait = Duration::from_secs(1);
        loop {
            let began = clock.elapsed();
            // A function may panic before it gives its future.
            let running = async {
                match (self.start)(&given) {
                    Some(running) => running.await,
                    None => Err("an argument isn't there".into()),
                }
            };
            // What it was given is shared and may be half changed; so it is for handlers.
            let error = match AssertUnwindSafe(running).catch_unwind().await {
                Ok(Ok(())) => {
                    tracing::info!("a background task has finished");
                    return;
                }
                Ok(Err(error)) => format!("{error:?}"),
                Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
            };
            if given.shutdown.is_requested() {
                tracing::error!(error, "a background task failed while the app stops");
                return;
            }
            if clock.elapsed().saturating_sub(began) > LONGEST_WAIT {
                wait = Duration::from_secs(1);
            }
            let seconds = wait.as_secs();
            tracing::error!(
                error,
                "a background task failed, and begins anew in {seconds} s"
            );
            tokio::select! {
                () = clock.sleep(wait) => {}
                () = given.shutdown.requested() => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// An app's tasks, and what they run with.
pub(super) struct Tasks {
    tasks: Vec<Task>,
    state: AppState,
    clock: Arc<dyn Clock>,
    are_running: Arc<AtomicBool>,
}

/// Why background tasks don't start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackgroundError {
    /// They run already, for another server or clone of this app.
    #[error(
        "the app's background tasks run already: they run once, started by `Service::serve` or by one \
         `start_background` whose result is still there"
    )]
    AlreadyRunning,
    /// There is nothing to run them on.
    #[error("background tasks need a Tokio runtime: call `start_background` from async code")]
    NoRuntime,
}

impl Tasks {
    pub(super) fn new(tasks: Vec<Task>, state: AppState, clock: Arc<dyn Clock>) -> Self {
        Self {
            tasks,
            state,
            clock,
            are_running: Arc::default(),
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
        for task in self.tasks.iter().cloned() {
            let given = Given {
                state: self.state.clone(),
                shutdown: running.shutdown.clone(),
            };
            let set = if task.ends_itself {
                &mut running.ending
            } else {
                &mut running.others
            };
            let span = tracing::info_span!("background", task = %task.place);
            set.spawn(task.run(given, Arc::clone(&self.clock)).instrument(span));
        }
        Ok(running)
    }
}

/// An app's background tasks, as they run: see
/// [`Service::start_background`](crate::Service::start_background). They are dropped with it, wherever
/// they wait; [`stop`](Self::stop) ends them in good order.
#[must_use = "the tasks end when it is dropped"]
pub struct BackgroundTasks {
    /// Those that take [`Shutdown`].
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

/// From its drop on, they may be started anew.
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

    /// Tells the tasks that take [`Shutdown`], waits this long for them to end, and drops what goes
    /// on where it waits. Nothing of them runs any more when this returns.
    pub async fn stop(self, grace: Duration) {
        // It was logged.
        let _ = self.end(grace).await;
    }

    /// As [`stop`](Self::stop); the error is that a task could not be ended.
    pub(super) async fn end(mut self, grace: Duration) -> Result<(), BlocksThread> {
        self.request_stop();
        let ended = async { while self.ending.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            let tasks = self.ending.len();
            tracing::warn!(
                tasks,
                "background tasks have not ended in time, and are cut off"
            );
        }
        let dropped = async {
            self.ending.shutdown().await;
            self.others.shutdown().await;
        };
        let dropped = tokio::time::timeout(LAST_DROPS, dropped).await;
        if dropped.is_err() {
            tracing::error!("a background task can't be ended: it blocks its thread");
        }
        dropped.map_err(|_| BlocksThread)
    }
}
