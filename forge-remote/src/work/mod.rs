//! Counts, bounds and cancels running handlers and spawned work.

#[cfg(feature = "dev")]
mod pieces;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument as _;

#[cfg(feature = "dev")]
pub(crate) use self::pieces::EndedPiece;
#[cfg(feature = "dev")]
use self::pieces::SpawnedPieces;
use crate::error::Result;
use crate::log::{LogLimits, Permit};
use crate::response;

type Handling = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Time limit for dropping cancelled work: work that never awaits cannot be cancelled.
pub(crate) const LAST_DROPS: Duration = Duration::from_secs(2);

/// The fix for a handler that takes longer than its caller waits.
pub(crate) const RESPOND_FIRST: &str = "respond first, and work after that: see `durable`, `Invocation::spawn` and the chapter `long_work`";

/// Work of the app still runs after its cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a handler or background task blocks its thread and is still running (see the log): move \
     blocking code into `tokio::task::spawn_blocking`"
)]
pub(crate) struct BlocksThread;

/// The work of one app, shared by its routes and its servers.
pub(crate) struct Work {
    /// Running handlers, with or without a caller.
    calls: TaskTracker,
    /// Work spawned by handlers.
    spawned: TaskTracker,
    #[cfg(feature = "dev")]
    pieces: Arc<SpawnedPieces>,
    max_calls: AtomicUsize,
    servers: AtomicUsize,
    is_draining: AtomicBool,
    /// Cancelled when the last server ends; later work gets a new one.
    end: Mutex<CancellationToken>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("calls", &self.calls.len())
            .field("spawned", &self.spawned.len())
            .finish_non_exhaustive()
    }
}

impl Work {
    pub(crate) fn new(max_calls: usize) -> Self {
        let (calls, spawned) = (TaskTracker::new(), TaskTracker::new());
        // A closed tracker still accepts work, and its `wait` completes whenever it is empty.
        calls.close();
        spawned.close();
        Self {
            calls,
            spawned,
            #[cfg(feature = "dev")]
            pieces: Arc::default(),
            max_calls: AtomicUsize::new(max_calls),
            servers: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            end: Mutex::new(CancellationToken::new()),
        }
    }

    /// Changes how many handlers may run at the same time.
    pub(crate) fn limit_calls(&self, max_calls: usize) {
        self.max_calls.store(max_calls, Ordering::Relaxed);
    }

    /// Returns how many handlers may run at the same time.
    pub(crate) fn max_calls(&self) -> usize {
        self.max_calls.load(Ordering::Relaxed)
    }

    /// Runs a handler under these log limits; `None` if the limit of running handlers is reached.
    ///
    /// A handler that has begun runs to completion: when its caller disconnects, or when it has not
    /// responded after `timeout`, it continues as a separate task.
    pub(crate) fn handle<'a>(
        &'a self,
        timeout: Duration,
        log_limits: &'a LogLimits,
        handling: impl FnOnce() -> Handling,
    ) -> Option<InFlight<'a>> {
        let token = self.calls.token();
        if self.calls.len() > self.max_calls.load(Ordering::Relaxed) {
            return None;
        }
        Some(InFlight {
            handling: Some((handling(), token)),
            work: self,
            log_limits,
            timeout,
            deadline: None,
        })
    }

    /// Runs work that only a stopping server waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.spawn_logged(async move {
            let result = work.await;
            if let Err(error) = &result {
                tracing::error!(?error, "the work that a handler spawned failed");
            }
            result.is_ok()
        });
    }

    /// Runs work that logs its failures and returns whether it succeeded.
    pub(crate) fn spawn_logged(&self, work: impl Future<Output = bool> + Send + 'static) {
        let token = self.spawned.token();
        // If the task is dropped, the piece is too.
        #[cfg(feature = "dev")]
        let piece = self.pieces.begin();
        self.run(token, async move {
            #[cfg(feature = "dev")]
            let work = piece.scope(work);
            let result = AssertUnwindSafe(work).catch_unwind().await;
            let succeeded = result.unwrap_or_else(|panic| {
                let panic = panic_text(&*panic);
                tracing::error!(panic, "the work that a handler spawned panicked");
                false
            });
            #[cfg(feature = "dev")]
            piece.end(succeeded);
            #[cfg(not(feature = "dev"))]
            let _ = succeeded;
        });
    }

    /// Returns the work that handlers have spawned.
    #[cfg(feature = "dev")]
    pub(crate) fn pieces(&self) -> &SpawnedPieces {
        &self.pieces
    }

    /// Runs a task until it completes or the last server ends.
    fn run(&self, token: TaskTrackerToken, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end().clone();
        if end.is_cancelled() {
            tracing::warn!("the app has stopped: the rest of a call's work is cancelled");
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            tracing::error!(
                "spawned work is cancelled, because there is no Tokio runtime to run it"
            );
            return;
        };
        let until_end = async move {
            if end.run_until_cancelled(task).await.is_none() {
                tracing::warn!("the app has stopped: the rest of a call's work is cancelled");
            }
            drop(token);
        };
        runtime.spawn(until_end.in_current_span());
    }

    /// Completes when no handler and no spawned work is running.
    pub(crate) async fn finished(&self) {
        self.calls.wait().await;
        // Spawned work may spawn more, but runs no handler.
        self.spawned.wait().await;
    }

    /// Registers a server until the returned guard is dropped.
    pub(crate) fn serve(self: &Arc<Self>) -> Serving {
        if self.servers.fetch_add(1, Ordering::SeqCst) == 0 {
            self.renew();
        }
        Serving(Arc::clone(self))
    }

    /// Returns whether a server is registered.
    pub(crate) fn is_served(&self) -> bool {
        self.servers.load(Ordering::SeqCst) > 0
    }

    /// Returns whether a server is about to stop, so that no more calls should be sent to it.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Cancels all running work, unless a server is still registered.
    pub(crate) async fn cut_off(&self) -> Result<(), BlocksThread> {
        if self.is_served() {
            return Ok(());
        }
        self.end().cancel();
        let ended = tokio::time::timeout(LAST_DROPS, self.finished()).await;
        if ended.is_err() {
            tracing::error!("a call cannot be cancelled: it blocks its thread");
        }
        self.renew();
        ended.map_err(|_| BlocksThread)
    }

    fn renew(&self) {
        let mut end = self.end();
        if end.is_cancelled() {
            *end = CancellationToken::new();
        }
    }

    fn end(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a server with an app's [`Work`].
pub(crate) struct Serving(Arc<Work>);

impl Serving {
    /// Makes `/readyz` report that the server stops, while connections are still accepted.
    pub(crate) fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.is_draining.store(false, Ordering::Relaxed);
        if self.0.servers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.end().cancel();
        }
    }
}

/// A handler in flight: its response, or 503 when it takes longer than its caller waits.
pub(crate) struct InFlight<'a> {
    handling: Option<(Handling, TaskTrackerToken)>,
    work: &'a Work,
    /// Callers can disconnect as often as they like.
    log_limits: &'a LogLimits,
    timeout: Duration,
    /// Created at the first poll that returns `Pending`.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl InFlight<'_> {
    /// Continues the handler as a task without its caller.
    fn detach(&mut self) {
        let Some((handling, token)) = self.handling.take() else {
            return;
        };
        let log_limits = self.log_limits.clone();
        self.work.run(token, async move {
            let limited = log_limits.scope(handling);
            match AssertUnwindSafe(limited).catch_unwind().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    if let Some(Permit { suppressed }) = log_limits.permit("finished_alone") {
                        let message = "the handler has finished after its caller left";
                        tracing::info!(status, suppressed, "{message}");
                    }
                }
                Err(panic) => {
                    let panic = panic_text(&*panic);
                    tracing::error!(panic, "the handler panicked after its caller left");
                }
            }
        });
    }
}

impl Future for InFlight<'_> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = &mut *self;
        let Some((handling, _)) = &mut this.handling else {
            return Poll::Ready(response::internal_error());
        };
        let step = || {
            this.log_limits
                .sync_scope(|| handling.as_mut().poll(context))
        };
        let polled = std::panic::catch_unwind(AssertUnwindSafe(step));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(response)) => {
                this.handling = None;
                return Poll::Ready(response);
            }
            Err(panic) => {
                // A future that has panicked must not be polled again.
                this.handling = None;
                tracing::error!(panic = panic_text(&*panic), "the handler panicked");
                return Poll::Ready(response::internal_error());
            }
        }
        let timeout = this.timeout;
        let deadline = this
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(deadline.as_mut().poll(context));
        if let Some(Permit { suppressed }) = this.log_limits.permit("overdue") {
            tracing::warn!(
                ?timeout,
                suppressed,
                help = RESPOND_FIRST,
                "the handler has not responded in time: its caller gets 503, the handler continues"
            );
        }
        this.detach();
        Poll::Ready(response::overdue())
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.handling.is_some() {
            if let Some(Permit { suppressed }) = self.log_limits.permit("caller_left") {
                tracing::info!(
                    suppressed,
                    "the caller has disconnected; the handler continues"
                );
            }
            self.detach();
        }
    }
}

/// Returns the message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str))
        .unwrap_or("a value that is not text")
}

#[cfg(all(test, feature = "dev"))]
mod tests {
    use super::*;

    /// Without a runtime, and after the app's end, the work is not run.
    #[test]
    fn work_that_is_not_run_has_ended() {
        let work = Work::new(1);
        work.spawn(async { Ok(()) });
        assert!(work.pieces().end_since(0).now_or_never().is_some());
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        if let Ok(runtime) = runtime {
            let _guard = runtime.enter();
            work.end().cancel();
            work.spawn(async { Ok(()) });
        }
        assert!(work.pieces().end_since(0).now_or_never().is_some());
        assert_eq!(work.pieces().record(), 2);
    }
}
