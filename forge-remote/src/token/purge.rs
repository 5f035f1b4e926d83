//! The purge of what has ended, from memory and from the store.

use std::sync::Weak;
use std::time::Duration;

use super::cache::Link;
use super::keeper::{Keeper, in_time};
use super::limits::MAX_LIFE;
use super::removal::Removal;
use super::store::StoreError;
use crate::error::chain;

/// How long an ended token stays, so that the error can say since when.
pub(super) const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 3600);
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
/// After a purge that failed or had to wait.
const PURGE_RETRY: Duration = Duration::from_secs(5 * 60);

impl Keeper {
    /// Purges what has ended, now and every hour, until every handle is gone.
    pub(super) async fn keep_purged(keeper: Weak<Self>) {
        loop {
            let Some(strong) = keeper.upgrade() else {
                return;
            };
            // From now on, so that the time spent isn't added.
            let hour = strong.clock.sleep(PURGE_INTERVAL);
            let again = strong.clock.sleep(PURGE_RETRY);
            let purged = strong.purge().await;
            // What the store has refused so far.
            strong.start_writing();
            drop(strong);
            if purged { hour.await } else { again.await }
        }
    }

    /// Whether it was done.
    async fn purge(&self) -> bool {
        let elapsed = self.clock.elapsed();
        {
            let mut memory = self.memory();
            memory.forget_ended(elapsed, KEPT_AFTER_END);
            // Longer than any token lives that was delivered before.
            let over = |removal: &Removal| {
                removal.written.is_some_and(|written| {
                    elapsed.saturating_sub(written) > MAX_LIFE + KEPT_AFTER_END
                })
            };
            memory.removals.retain(|_, removal| !over(removal));
            if memory.link != Link::Open {
                return false;
            }
        }
        match self.purge_store().await {
            Ok(is_done) => is_done,
            Err(error) => {
                self.memory().counts.purge_failures += 1;
                tracing::warn!(
                    store = self.store.name(),
                    error = %format_args!("{error}{}", chain(&error)),
                    "ended tokens could not be purged; it is tried again"
                );
                false
            }
        }
    }

    /// Purges the store, unless this machine's clock may be wrong: by the earlier of its own time
    /// and the store's. Without a clock of the store's, it waits for an invocation token that shows
    /// that the machine's is right.
    async fn purge_store(&self) -> Result<bool, StoreError> {
        let server_time = self.read_server_time().await?;
        let may_purge = match server_time {
            Some(_) => !self.clock_health.is_doubtful(),
            None => self.clock_health.is_confirmed(),
        };
        if !may_purge {
            if self.clock_health.is_doubtful() {
                tracing::warn!(
                    "ended tokens are not purged: invocation tokens are refused for their dates, so \
                     this machine's clock may be wrong"
                );
            }
            return Ok(false);
        }
        let now = self.steady_now();
        let now = server_time.map_or(now, |time| time.min(now));
        let Some(before) = now.checked_sub(KEPT_AFTER_END) else {
            return Ok(true);
        };
        let purged = in_time(self.store.purge(before)).await?;
        self.memory().counts.purged += purged;
        Ok(true)
    }
}
