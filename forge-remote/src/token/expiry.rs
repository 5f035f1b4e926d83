//! Being told before a token runs out.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{PoisonError, Weak};
use std::time::{Duration, SystemTime};

use super::callbacks::run_callback;
use super::installation::Installation;
use super::purge::KEPT_AFTER_END;
use super::{Inner, Tokens};
use crate::fit::BoxFuture;

/// Looked at this often, at least.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);

/// Somebody who wants to be told.
pub(super) struct Watcher {
    before: Duration,
    tell: Box<dyn Fn(Installation) -> BoxFuture<()> + Send + Sync>,
}

impl Tokens {
    /// Calls back when a token has less than `before` to live and none has followed it: once for
    /// each token, one after the other, in every instance of the app.
    ///
    /// A token that ended meanwhile, because nobody looked for a while or the process was down, is
    /// told of as well, with nothing [`remaining`](Installation::remaining): for a day, after which
    /// it is purged. What was told is not kept, so a process that is started again tells it again.
    ///
    /// A callback may take 60 seconds; one that panics is logged.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// tokens.on_expiring(Duration::from_secs(30 * 60), |installation| async move {
    ///     let left = installation.remaining().as_secs() / 60;
    ///     eprintln!("{} gets no new tokens; {left} minutes left", installation.installation_id());
    /// });
    /// ```
    pub fn on_expiring<F, Fut>(&self, before: Duration, callback: F)
    where
        F: Fn(Installation) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let watchers = self.0.watchers.lock();
        watchers
            .unwrap_or_else(PoisonError::into_inner)
            .push(Watcher {
                before,
                tell: Box::new(move |installation| Box::pin(callback(installation))),
            });
        self.start_watchers();
    }
}

impl Watcher {
    /// Looks now and then, until every handle is gone.
    pub(super) async fn run(self, tokens: Weak<Inner>) {
        let mut told: HashMap<String, SystemTime> = HashMap::new();
        while let Some(inner) = tokens.upgrade() {
            let Some(sleeping) = self.look(Tokens(inner), &mut told).await else {
                return;
            };
            sleeping.await;
        }
    }

    /// One look at every token; what comes back is the sleep until the next.
    async fn look(
        &self,
        tokens: Tokens,
        already: &mut HashMap<String, SystemTime>,
    ) -> Option<BoxFuture<()>> {
        let keeper = tokens.0.keeper.get()?;
        let now = keeper.clock.now();
        // Slept from now on, so that time spent on looking isn't added.
        let sleeping = keeper
            .clock
            .sleep((self.before / 4).clamp(SHORTEST, LONGEST));
        already.retain(|_, ends| *ends + KEPT_AFTER_END > now);
        let until = now + self.before;
        // A store that is down was logged; the next look finds what this one missed.
        let ending = tokens.ending_before(until).await.unwrap_or_default();
        for (id, ends) in ending {
            if already.get(&id) == Some(&ends) || ends + KEPT_AFTER_END <= now {
                continue;
            }
            // What was listed may have been renewed, here or elsewhere.
            let Some(installation) = tokens.as_it_is(&id).await else {
                continue;
            };
            let ends = installation.expires_at();
            if ends < until && already.get(&id) != Some(&ends) {
                already.insert(id, ends);
                let telling = async { (self.tell)(installation).await };
                if let Err(error) = run_callback(telling).await {
                    tracing::error!(what = "Tokens::on_expiring", error, "a callback failed");
                }
            }
        }
        Some(sleeping)
    }
}
