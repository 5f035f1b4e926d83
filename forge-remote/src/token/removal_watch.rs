//! The task behind [`Tokens::on_removed`]: at least once, after the removal has settled, until the
//! callbacks succeed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use super::callbacks::{RemovalCallbacks, run_callback};
use super::handle::{AppScope, Tokens, TokensState};
use super::keeper::Keeper;
use super::limits::PAGE;
use super::records::Found;
use super::removal::{Removal, SETTLES};
use super::store::{PageRequest, StoreError};
use crate::fit::BoxFuture;

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const MAX_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The interval between two reads of all removals in the store, to find those of other instances.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// The pause after a failed sweep.
const SWEEP_RETRY: Duration = Duration::from_secs(60);
/// The delay for an installation that may have several products: longer than the hour within which Forge calls for every
/// existing installation with `keep_tokens_fresh`.
const PRODUCTS_SETTLE: Duration = Duration::from_secs(75 * 60);
/// The age at which the record of a removal is written again while a callback still fails.
const RENEW_AFTER: Duration = Duration::from_secs(6 * 3600);

/// A removal whose callbacks have not all succeeded.
struct Pending {
    /// The due time, by the clock's `elapsed`.
    due: Duration,
    pause: Duration,
    /// The callbacks that have succeeded, by number.
    succeeded: BTreeSet<usize>,
}

impl Pending {
    fn retry_later(&mut self, elapsed: Duration) -> Duration {
        let pause = self.pause;
        self.due = elapsed + pause;
        self.pause = (pause * 2).min(MAX_PAUSE);
        pause
    }
}

/// The task that runs the callbacks.
pub(super) struct RemovalWatch {
    callbacks: RemovalCallbacks,
    pending: BTreeMap<String, Pending>,
    /// The time of the next sweep, by the clock's `elapsed`.
    sweep_at: Duration,
}

impl RemovalWatch {
    pub(super) fn new(callbacks: RemovalCallbacks) -> Self {
        Self {
            callbacks,
            pending: BTreeMap::new(),
            sweep_at: Duration::ZERO,
        }
    }

    /// Runs until every handle is dropped.
    pub(super) async fn run(
        mut self,
        tokens: Weak<TokensState>,
        mut announced: mpsc::UnboundedReceiver<String>,
    ) {
        let mut first = None;
        loop {
            let Some(inner) = tokens.upgrade() else {
                return;
            };
            let tokens = Tokens(inner, AppScope::default());
            let Some(keeper) = tokens.0.keeper.get() else {
                return;
            };
            let delay = tokens.settings().removal_delay;
            let news = first.take().into_iter();
            for id in news.chain(std::iter::from_fn(|| announced.try_recv().ok())) {
                self.add(keeper, delay, id);
            }
            let sleeping = self.step(keeper, delay).await;
            drop(tokens);
            let Some(sleeping) = sleeping else {
                continue;
            };
            tokio::select! {
                id = announced.recv() => match id {
                    Some(id) => first = Some(id),
                    None => return,
                },
                () = sleeping => {}
            }
        }
    }

    /// Runs one due sweep or callback; if none is due, returns the sleep until the next.
    async fn step(
        &mut self,
        keeper: &Arc<Keeper>,
        delay: Option<Duration>,
    ) -> Option<BoxFuture<()>> {
        let elapsed = keeper.clock.elapsed();
        if elapsed >= self.sweep_at {
            let swept = keeper.learn_removals().await;
            // An error was logged.
            let pause = if swept.is_ok() {
                SWEEP_INTERVAL
            } else {
                SWEEP_RETRY
            };
            self.sweep_at = elapsed + pause;
            for id in keeper.unreported_ids() {
                self.add(keeper, delay, id);
            }
            return None;
        }
        // The longest waiting one first, so that repeated failures starve no other.
        let due = self.pending.iter().filter(|(_, one)| one.due <= elapsed);
        let due = due.min_by_key(|(_, one)| one.due);
        if let Some(id) = due.map(|(id, _)| id.clone()) {
            self.run_callbacks(keeper, &id).await;
            return None;
        }
        let next = self.pending.values().map(|one| one.due);
        let next = next.min().unwrap_or(self.sweep_at).min(self.sweep_at);
        Some(keeper.clock.sleep(next.saturating_sub(elapsed)))
    }

    /// Adds a removal that this process has not reported yet.
    fn add(&mut self, keeper: &Keeper, delay: Option<Duration>, id: String) {
        let Some(removal) = keeper.unreported(&id) else {
            return;
        };
        let due = due(&removal, delay);
        self.pending.entry(id).or_insert(Pending {
            due,
            pause: FIRST_PAUSE,
            succeeded: BTreeSet::new(),
        });
    }

    /// Runs the callbacks for a removal, unless Forge has called for the installation since.
    async fn run_callbacks(&mut self, keeper: &Arc<Keeper>, id: &str) {
        let Some(mut pending) = self.pending.remove(id) else {
            return;
        };
        if keeper.unreported(id).is_none() {
            return;
        }
        let elapsed = keeper.clock.elapsed();
        match keeper.look_up(id).await {
            Ok(Found::Nothing) => {}
            // The removal was revoked by a later call of Forge, here or at another instance.
            Ok(Found::Entry(_)) => return,
            // The error was logged; another instance may have seen a later call.
            Ok(Found::Shut(_)) | Err(_) => {
                pending.retry_later(elapsed);
                self.pending.insert(id.to_owned(), pending);
                return;
            }
        }
        let callbacks = self.callbacks.lock();
        let callbacks = callbacks.unwrap_or_else(PoisonError::into_inner).clone();
        let mut failed = None;
        for (number, callback) in callbacks.iter().enumerate() {
            if pending.succeeded.contains(&number) {
                continue;
            }
            match run_callback(callback(id.to_owned())).await {
                Ok(Ok(())) => {
                    pending.succeeded.insert(number);
                }
                Ok(Err(error)) => failed = Some(format!("{error:?}")),
                Err(error) => failed = Some(error),
            }
        }
        let Some(error) = failed else {
            keeper.mark_reported(id);
            return;
        };
        let retry_in = pending.retry_later(keeper.clock.elapsed());
        tracing::error!(
            what = "Tokens::on_removed",
            installation = id,
            error,
            ?retry_in,
            "a removal's callback failed; it is retried"
        );
        self.pending.insert(id.to_owned(), pending);
        keeper.renew_removal(id, RENEW_AFTER);
    }
}

/// Returns when the callbacks of a removal run, by the clock's `elapsed`.
fn due(removal: &Removal, delay: Option<Duration>) -> Duration {
    let delay = delay.unwrap_or(match removal.products {
        Some(1) => SETTLES,
        Some(_) | None => PRODUCTS_SETTLE,
    });
    removal.known + delay.saturating_sub(removal.age)
}

impl Keeper {
    /// Returns whether the callbacks of an installation's removal are due; `None` if it is not removed.
    pub(super) fn has_settled(
        &self,
        installation_id: &str,
        delay: Option<Duration>,
    ) -> Option<bool> {
        let memory = self.memory();
        let removal = memory.removals.get(installation_id)?;
        Some(self.clock.elapsed() >= due(removal, delay))
    }

    /// Reads the store's records of removals: those of other instances, and of processes that ended
    /// before their callbacks succeeded.
    async fn learn_removals(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut page = PageRequest::first(PAGE);
        loop {
            let listed = self.read(self.store.list(page.clone())).await?;
            // Records of removals have no sites; the others need not be opened.
            for sealed in listed.tokens.iter().filter(|one| one.cloud_ids.is_empty()) {
                self.open_record(sealed, false);
            }
            match listed.next {
                Some(next) => page.after = Some(next),
                None => return Ok(()),
            }
        }
    }
}
