//! The task behind [`Tokens::on_expiring`]: checks the stored tokens at intervals.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use super::callbacks::{ExpiryCallback, run_callback};
use super::handle::{AppScope, Tokens, TokensState};
use super::purge::KEPT_AFTER_END;
use crate::fit::BoxFuture;

/// Bounds on the interval between two checks.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
const MIN_INTERVAL: Duration = Duration::from_secs(1);

impl ExpiryCallback {
    /// Checks the tokens at intervals, until every handle is dropped.
    pub(super) async fn run(self, tokens: Weak<TokensState>) {
        let mut reported: HashMap<String, SystemTime> = HashMap::new();
        while let Some(inner) = tokens.upgrade() {
            let Some(sleeping) = self
                .check(Tokens(inner, AppScope::default()), &mut reported)
                .await
            else {
                return;
            };
            sleeping.await;
        }
    }

    /// Checks every token once. Returns the sleep until the next check.
    async fn check(
        &self,
        tokens: Tokens,
        reported: &mut HashMap<String, SystemTime>,
    ) -> Option<BoxFuture<()>> {
        let keeper = tokens.0.keeper.get()?;
        let now = keeper.clock.now();
        // The sleep starts now, so that the duration of this check isn't added.
        let sleeping = keeper
            .clock
            .sleep((self.before / 4).clamp(MIN_INTERVAL, MAX_INTERVAL));
        reported.retain(|_, ends| *ends + KEPT_AFTER_END > now);
        let until = now + self.before;
        // An error was logged; the next check finds the tokens that this one missed.
        let ending = tokens.ending_before(until).await.unwrap_or_default();
        for (id, ends) in ending {
            if reported.get(&id) == Some(&ends) || ends + KEPT_AFTER_END <= now {
                continue;
            }
            // A listed token may have been renewed since, here or elsewhere.
            let Some(installation) = tokens.current(&id).await else {
                continue;
            };
            let ends = installation.expires_at();
            if ends < until && reported.get(&id) != Some(&ends) {
                reported.insert(id, ends);
                let calling = async { (self.call)(installation).await };
                if let Err(error) = run_callback(calling).await {
                    tracing::error!(what = "Tokens::on_expiring", error, "a callback failed");
                }
            }
        }
        Some(sleeping)
    }
}
