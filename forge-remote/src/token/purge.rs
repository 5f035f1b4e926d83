//! The purge of expired tokens and removals, from memory and from the store.

use std::sync::Weak;
use std::time::Duration;

use super::cache::Link;
use super::keeper::{Keeper, in_time};
use super::limits::MAX_LIFE;
use super::removal::Removal;
use super::store::StoreError;
use crate::error::chain;

/// How long an expired token is kept, so that errors can report the time since its expiry.
pub(super) const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 3600);
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
/// The pause after a purge that failed or was postponed.
const PURGE_RETRY: Duration = Duration::from_secs(5 * 60);

impl Keeper {
    /// Purges expired tokens and removals, now and every hour, until every handle is dropped.
    pub(super) async fn keep_purged(keeper: Weak<Self>) {
        loop {
            let Some(strong) = keeper.upgrade() else {
                return;
            };
            // The sleeps start now, so that the duration of the purge isn't added.
            let next = strong.clock.sleep(PURGE_INTERVAL);
            let retry = strong.clock.sleep(PURGE_RETRY);
            let purged = strong.purge().await;
            // Retries the rows that the store has rejected so far.
            strong.wake_writer();
            drop(strong);
            if purged { next.await } else { retry.await }
        }
    }

    /// Purges memory and store once; returns false if the store was not purged.
    async fn purge(&self) -> bool {
        let elapsed = self.clock.elapsed();
        {
            let mut memory = self.memory();
            memory.forget_ended(elapsed, KEPT_AFTER_END);
            // By then, every token that was delivered before the removal has expired.
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
                    "expired tokens could not be purged; the purge is retried"
                );
                false
            }
        }
    }

    /// Purges the store, unless this machine's clock may be wrong: by the earlier of the machine's time
    /// and the store's. If the store has no clock, it waits for an invocation token that shows that the
    /// machine's clock is right.
    async fn purge_store(&self) -> Result<bool, StoreError> {
        let server_time = self.read_server_time().await?;
        let may_purge = match server_time {
            Some(_) => !self.clock_health.is_doubtful(),
            None => self.clock_health.is_confirmed(),
        };
        if !may_purge {
            if self.clock_health.is_doubtful() {
                tracing::warn!(
                    "expired tokens are not purged: invocation tokens are rejected for their dates, so \
                     this machine's clock may be wrong; check it"
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
