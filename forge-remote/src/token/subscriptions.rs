//! Registering callbacks: for removed installations, and for tokens that expire soon.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::callbacks::{ExpiryCallback, RemovalOutcome};
use super::handle::Tokens;
use super::installation::Installation;

/// Upper bound on the delay: the record of a removal lasts 28 hours.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

impl Tokens {
    /// Registers a callback for removed installations, which deletes the app's data of an installation.
    ///
    /// [`remove`](Self::remove) removes an installation. When the app is uninstalled, the handlers of
    /// [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh) and
    /// [`App::keep_tokens_fresh_by`](crate::App::keep_tokens_fresh_by) call it. Without either, or with the latter and a
    /// `#[pre_uninstall]` handler of the app, that handler has to. `manifest --check` and the launch warn of an app that
    /// is never called (`no-pre-uninstall`).
    /// The callback is the only signal that this data may be deleted: an installation that isn't
    /// listed, or has no token now, may still exist.
    ///
    /// The callback runs at least once in each instance, and may run more than once: make it
    /// idempotent. It returns nothing, or a `Result`: after an error, a panic or 60 seconds it is
    /// retried, first after 10 seconds and finally every 15 minutes, until it succeeds. Each instance
    /// looks for removals when it starts and once an hour, so an instance that was killed during a
    /// callback retries it after its restart. (With a store that lost its data, or
    /// [`MemoryTokens`](super::MemoryTokens), removals are lost at a restart.)
    ///
    /// It runs once the removal has settled, see [`removal_delay`](Self::removal_delay): if Forge
    /// makes another call for the installation before that, the removal is revoked and not
    /// reported.
    ///
    /// Forge doesn't guarantee the `preUninstall` call: an installation that has had no token for days may
    /// have been uninstalled too. Atlassian doesn't document whether Forge also makes this call when the app
    /// is removed from one of an installation's products. So the delay is 75 minutes for an installation in
    /// several products, and for one whose products neither the call nor the store names: with tokens that are kept
    /// fresh, Forge calls for every remaining installation within it.
    ///
    /// ```
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// # async fn delete_installation_data(installation_id: &str) -> std::io::Result<()> { Ok(()) }
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// tokens.on_removed(|installation_id| async move {
    ///     delete_installation_data(&installation_id).await
    /// });
    /// ```
    ///
    /// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall/>
    pub fn on_removed<F, Fut>(&self, callback: F)
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: RemovalOutcome,
    {
        let callback = Arc::new(callback);
        self.0.callbacks.add_removal(Box::new(move |id| {
            let callback = Arc::clone(&callback);
            // Called inside the future, so that a panic before its first await point is caught as well.
            Box::pin(async move { callback(id).await.into_result() })
        }));
        self.start_watchers();
    }

    /// Returns whether there is a callback for removed installations.
    pub(crate) fn has_removal_callbacks(&self) -> bool {
        self.0.callbacks.has_removal()
    }

    /// Sets the delay between a removal and the callbacks of [`on_removed`](Self::on_removed), at most
    /// 24 hours. Default: 2 minutes, in which Forge may still call for an installation that is being
    /// uninstalled; 75 minutes for an installation in several products, or in an unknown number of them.
    ///
    /// An installation that Forge calls for within this time (after the first two minutes) was not
    /// uninstalled: the callbacks don't run.
    #[must_use]
    pub fn removal_delay(self, delay: Duration) -> Self {
        self.set("removal_delay", |settings| {
            settings.removal_delay = Some(delay.min(MAX_DELAY));
        });
        self
    }

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
