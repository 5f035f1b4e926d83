//! The app's callbacks: after a removal, and before a token expires.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::installation::Installation;
use crate::error::{Error, Result};
use crate::fit::BoxFuture;

/// Time limit of a callback.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(60);

/// The output of a callback of [`Tokens::on_removed`](super::Tokens::on_removed): nothing, or a
/// `Result`, whose error causes a retry.
pub trait RemovalOutcome: Send + 'static {
    /// Converts the output; after an error the callback is retried.
    fn into_result(self) -> Result<()>;
}

impl RemovalOutcome for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error> + Send + 'static> RemovalOutcome for std::result::Result<(), E> {
    fn into_result(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

/// A callback of [`Tokens::on_removed`](super::Tokens::on_removed).
pub(super) type RemovalCallback = Box<dyn Fn(String) -> BoxFuture<Result<()>> + Send + Sync>;

/// The callbacks for removals, shared with the task that runs them.
pub(super) type RemovalCallbacks = Arc<Mutex<Vec<Arc<RemovalCallback>>>>;

/// A callback of [`Tokens::on_expiring`](super::Tokens::on_expiring).
pub(super) struct ExpiryCallback {
    /// The remaining life of a token at which the callback runs.
    pub(super) before: Duration,
    pub(super) call: Box<dyn Fn(Installation) -> BoxFuture<()> + Send + Sync>,
}

/// The callbacks, and the channel of announced removals.
pub(super) struct Callbacks {
    removal: RemovalCallbacks,
    announcer: Announcer,
    /// The announced removals, until a task takes them.
    announced: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
    /// The callbacks for expiring tokens, until a task takes them.
    expiry: Mutex<Vec<ExpiryCallback>>,
}

/// The sender that announces removals to the task that runs the callbacks.
#[derive(Clone)]
pub(super) struct Announcer {
    sender: mpsc::UnboundedSender<String>,
    has_callbacks: Arc<AtomicBool>,
}

impl Announcer {
    pub(super) fn announce(&self, installation_id: &str) {
        if self.has_callbacks.load(Ordering::Relaxed) {
            // An error means that the task has ended, because every handle was dropped.
            let _ = self.sender.send(installation_id.to_owned());
        }
    }
}

impl Default for Callbacks {
    fn default() -> Self {
        let (sender, announced) = mpsc::unbounded_channel();
        Self {
            removal: Arc::default(),
            announcer: Announcer {
                sender,
                has_callbacks: Arc::default(),
            },
            announced: Mutex::new(Some(announced)),
            expiry: Mutex::default(),
        }
    }
}

impl Callbacks {
    pub(super) fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    pub(super) fn add_removal(&self, callback: RemovalCallback) {
        let all = self.removal.lock();
        all.unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(callback));
        self.announcer.has_callbacks.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_removal(&self) -> bool {
        self.announcer.has_callbacks.load(Ordering::Relaxed)
    }

    /// Returns the callbacks for removals and the announced removals, to the first caller after a
    /// callback was added.
    pub(super) fn take_removal(
        &self,
    ) -> Option<(RemovalCallbacks, mpsc::UnboundedReceiver<String>)> {
        if !self.has_removal() {
            return None;
        }
        let announced = self.announced.lock();
        let announced = announced.unwrap_or_else(PoisonError::into_inner).take()?;
        Some((Arc::clone(&self.removal), announced))
    }

    pub(super) fn add_expiry(&self, callback: ExpiryCallback) {
        let all = self.expiry.lock();
        all.unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    /// Takes the callbacks for expiring tokens that no task has taken yet.
    pub(super) fn take_expiry(&self) -> Vec<ExpiryCallback> {
        let all = self.expiry.lock();
        std::mem::take(&mut *all.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a callback with a time limit; a panic is returned as an error.
pub(super) async fn run_callback<T>(
    callback: impl Future<Output = T>,
) -> std::result::Result<T, String> {
    // A panic may leave the user's data inconsistent, as in a handler.
    let callback = AssertUnwindSafe(callback).catch_unwind();
    match tokio::time::timeout(CALLBACK_TIMEOUT, callback).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(_)) => Err("the callback panicked".to_owned()),
        Err(_) => Err(format!(
            "the callback took longer than {CALLBACK_TIMEOUT:?} and was cancelled"
        )),
    }
}
