//! Being told before a token runs out.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::installation::Installation;
use super::{Inner, Tokens};
use crate::registry::BoxFuture;

/// Looked at this often, at least.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);

/// Somebody who wants to be told.
pub(super) struct Watcher {
    pub(super) before: Duration,
    pub(super) tell: Box<dyn Fn(Installation) -> BoxFuture<()> + Send + Sync>,
}

impl Watcher {
    /// Looks now and then, until every handle is gone.
    pub(super) async fn run(self, tokens: Weak<Inner>) {
        let mut told: HashMap<String, SystemTime> = HashMap::new();
        loop {
            let Some(inner) = tokens.upgrade() else {
                return;
            };
            let sleeping = self.look(Tokens(inner), &mut told).await;
            sleeping.await;
        }
    }

    /// One look at every token; what comes back is the sleep until the next.
    async fn look(&self, tokens: Tokens, told: &mut HashMap<String, SystemTime>) -> BoxFuture<()> {
        let keeper = Arc::clone(tokens.keeper().await);
        let now = keeper.clock.now();
        // Slept from now on, so that time spent on looking isn't added.
        let sleeping = keeper
            .clock
            .sleep((self.before / 4).clamp(SHORTEST, LONGEST));
        told.retain(|_, ends| *ends > now);
        // A store that is down was logged; the next look finds what this one missed.
        let ending = tokens.ending_before(now + self.before).await;
        for installation in ending.unwrap_or_default() {
            let (id, ends) = (installation.installation_id(), installation.expires_at());
            let is_news = ends > now && told.get(id) != Some(&ends);
            if is_news {
                told.insert(id.to_owned(), ends);
                (self.tell)(installation).await;
            }
        }
        sleeping
    }
}
