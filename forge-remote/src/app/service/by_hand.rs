//! Checks that an app behind another server runs its background tasks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use crate::app::background::Tasks;
use crate::token::Tokens;

/// Watches over what [`Service::serve`](crate::Service::serve) does in addition to serving requests:
/// it starts what needs no owner, and logs what only the owner of the server can do.
pub(super) struct ByHand {
    first_request: Once,
    tokens: Option<Tokens>,
    tasks: OnceLock<Arc<Tasks>>,
    needs_tasks: AtomicBool,
    is_shut_down: AtomicBool,
}

impl fmt::Debug for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHand").finish_non_exhaustive()
    }
}

impl ByHand {
    pub(super) fn new(tokens: Option<Tokens>) -> Self {
        Self {
            first_request: Once::new(),
            tokens,
            tasks: OnceLock::new(),
            needs_tasks: AtomicBool::new(true),
            is_shut_down: AtomicBool::new(false),
        }
    }

    /// Sets the app's background tasks, which are complete once its routes are.
    pub(super) fn watch(&self, tasks: &Arc<Tasks>) {
        let _ = self.tasks.set(Arc::clone(tasks));
    }

    /// Handles a request: the first one checks for tasks that are not running.
    pub(super) fn on_request(&self) {
        self.first_request.call_once(|| {
            // The app may have been built outside of the runtime.
            if let Some(tokens) = &self.tokens {
                tokens.start_watchers();
            }
            let tasks = self.tasks.get().map_or(0, |tasks| tasks.not_running());
            if tasks > 0 && self.needs_tasks.load(Ordering::Relaxed) {
                tracing::warn!(
                    tasks,
                    "the app serves requests, but its background tasks are not running: call `Service::start_background`"
                );
            }
        });
    }

    /// Records that the app's own server takes care of everything.
    pub(super) fn is_served(&self) {
        self.first_request.call_once(|| {});
    }

    /// Records that the background tasks are not needed, for tests.
    #[cfg(feature = "testing")]
    pub(super) fn needs_no_tasks(&self) {
        self.needs_tasks.store(false, Ordering::Relaxed);
    }

    /// Records that the tokens were written, or that their loss was logged.
    pub(super) fn is_shut_down(&self) {
        self.is_shut_down.store(true, Ordering::Relaxed);
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let has_served = self.first_request.is_completed();
        if !has_served || self.is_shut_down.load(Ordering::Relaxed) {
            return;
        }
        let pending = self.tokens.as_ref().map(|tokens| tokens.stats().pending);
        if let Some(pending @ 1..) = pending {
            tracing::error!(
                pending,
                "the app was dropped before its tokens were written to their store: call `Service::shutdown` once your server \
                 has sent its last response"
            );
        }
    }
}
