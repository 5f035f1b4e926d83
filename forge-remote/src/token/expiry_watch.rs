//! The task behind [`Tokens::on_expiring`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use super::callbacks::{ExpiryCallback, run_callback};
use super::handle::{AppScope, Tokens, TokensState};
use super::installation::Installation;
use super::purge::KEPT_AFTER_END;
use crate::fit::BoxFuture;

/// Bounds on the interval between two checks.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
const MIN_INTERVAL: Duration = Duration::from_secs(1);

impl Tokens {
    /// Registers a callback for tokens that have less than `before` to live and no successor.
    ///
    /// It runs once for each token, one after the other, in every instance of the app.
    ///
    /// Tokens that expired while the process was down are reported too, with a
    /// [`remaining`](Installation::remaining) of zero, for one day; then they are purged. Reports are
    /// not persisted: a restarted process reports them again.
    ///
    /// A callback has a time limit of 60 seconds; a panic is logged.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// tokens.on_expiring(Duration::from_secs(30 * 60), |installation| async move {
    ///     let left = installation.remaining().as_secs() / 60;
    ///     eprintln!("no new token for {}; {left} minutes left", installation.installation_id());
    /// });
    /// ```
    pub fn on_expiring<F, Fut>(&self, before: Duration, callback: F)
    where
        F: Fn(Installation) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.callbacks.add_expiry(ExpiryCallback {
            before,
            call: Box::new(move |installation| Box::pin(callback(installation))),
        });
        self.start_watchers();
    }
}

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
