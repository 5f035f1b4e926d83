//! Removals: what is left of an installation that was uninstalled, so that no token of it comes
//! back, and who wants to be told.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::seal::{Keys, Subject};
use super::store::{SealedToken, from_millis, to_millis};
use super::{LONGEST_LIFE, Tokens, told};
use crate::registry::BoxFuture;

/// Forge may still call for an installation while it is being uninstalled: that waits up to 55
/// seconds for the app, and a Forge Invocation Token lives 25. What comes later shows that the
/// installation lives on.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall/>
pub(super) const SETTLES: Duration = Duration::from_secs(120);

/// An installation that was removed.
pub(super) struct Removal {
    /// When, by the wall clock of whoever removed it.
    pub(super) at: SystemTime,
    /// Since when the store has it, by the clock's `elapsed`.
    pub(super) written: Option<Duration>,
}

impl Removal {
    /// Whether a token that the store has now was put there in spite of it.
    pub(super) fn is_settled(&self, elapsed: Duration) -> bool {
        self.written
            .is_some_and(|written| elapsed.saturating_sub(written) >= SETTLES)
    }
}

/// What stands in the store in the token's place, sealed as it was.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    /// Milliseconds since 1970.
    removed_at: i64,
}

/// What every such record begins with.
const BEGINNING: &[u8] = b"{\"removedAt\":";

/// When the record of a removal ends: no token that was delivered before lives longer.
pub(super) fn end(removal: SystemTime) -> SystemTime {
    removal + SETTLES + LONGEST_LIFE + Duration::from_secs(60)
}

/// The record of a removal. It ends later than any token that was delivered before, so that in
/// every store it wins.
pub(super) fn sealed(
    installation_id: &str,
    removal: SystemTime,
    keys: &Keys,
) -> Option<SealedToken> {
    let expires_at = from_millis(to_millis(end(removal)));
    let plain = Plain {
        removed_at: to_millis(removal),
    };
    let plain = Zeroizing::new(serde_json::to_vec(&plain).ok()?);
    let subject = Subject {
        installation_id,
        expires_at,
    };
    Some(SealedToken {
        installation_id: installation_id.to_owned(),
        expires_at,
        cloud_ids: Vec::new(),
        sealed: keys.seal(subject, plain)?,
    })
}

/// When the installation was removed, where this is the record of a removal.
pub(super) fn read(plain: &[u8]) -> Option<SystemTime> {
    if !plain.starts_with(BEGINNING) {
        return None;
    }
    let plain: Plain = serde_json::from_slice(plain).ok()?;
    Some(from_millis(plain.removed_at))
}

type Callback = Box<dyn Fn(String) -> BoxFuture<()> + Send + Sync>;

/// Those who want to know of removals, and the way to them.
pub(super) struct Removals {
    callbacks: Arc<Mutex<Vec<Arc<Callback>>>>,
    announcer: Announcer,
    /// Until a task takes it.
    announced: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
}

/// Says that an installation was removed, to those who want to know.
#[derive(Clone)]
pub(super) struct Announcer {
    sender: mpsc::UnboundedSender<String>,
    is_heard: Arc<AtomicBool>,
}

impl Announcer {
    pub(super) fn announce(&self, installation_id: &str) {
        if self.is_heard.load(Ordering::Relaxed) {
            // An error can't matter: nobody is left to hear it.
            let _ = self.sender.send(installation_id.to_owned());
        }
    }
}

impl Default for Removals {
    fn default() -> Self {
        let (sender, announced) = mpsc::unbounded_channel();
        Self {
            callbacks: Arc::default(),
            announcer: Announcer {
                sender,
                is_heard: Arc::default(),
            },
            announced: Mutex::new(Some(announced)),
        }
    }
}

impl Removals {
    pub(super) fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    /// Has a task tell those who want to know, until every handle and the keeper are gone.
    pub(super) fn start(&self, runtime: &tokio::runtime::Handle) {
        if !self.announcer.is_heard.load(Ordering::Relaxed) {
            return;
        }
        let announced = self.announced.lock();
        let announced = announced.unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut announced) = announced else {
            return;
        };
        let callbacks = Arc::clone(&self.callbacks);
        runtime.spawn(async move {
            while let Some(installation_id) = announced.recv().await {
                let all = all(&callbacks);
                for callback in all {
                    let id = installation_id.clone();
                    told("Tokens::on_removed", async move { callback(id).await }).await;
                }
            }
        });
    }
}

fn all(callbacks: &Mutex<Vec<Arc<Callback>>>) -> Vec<Arc<Callback>> {
    let callbacks = callbacks.lock();
    callbacks.unwrap_or_else(PoisonError::into_inner).clone()
}

impl Tokens {
    /// Calls back when an installation was removed ([`remove`](Self::remove), which
    /// [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh) does when the app is uninstalled):
    /// the one sign that what the app keeps for it may be deleted. That an installation isn't
    /// listed, or has no token now, is none.
    ///
    /// The instance that removes it is told at once; another one, or one that starts later, when it
    /// next reads the installation's record in the store, within 28 hours. So it may be told more
    /// than once, also by a process that is started again. Forge itself doesn't promise the call
    /// before an uninstallation: an installation without tokens for days may be gone as well.
    ///
    /// One callback runs after the other, each for 60 seconds at most; one that panics is logged.
    ///
    /// ```
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// tokens.on_removed(|installation_id| async move {
    ///     println!("what was kept for {installation_id} is deleted");
    /// });
    /// ```
    ///
    /// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall/>
    pub fn on_removed<F, Fut>(&self, callback: F)
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let removals = &self.0.removals;
        let callback: Callback = Box::new(move |id| Box::pin(callback(id)));
        let callbacks = removals.callbacks.lock();
        callbacks
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(callback));
        removals.announcer.is_heard.store(true, Ordering::Relaxed);
        self.start_watchers();
    }
}
