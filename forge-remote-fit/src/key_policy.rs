//! How a key set is kept fresh.

use std::time::Duration;

use super::source::LONGEST_FETCH;

/// The shortest cache lifetime of a fetched set.
pub(super) const MIN_TTL: Duration = Duration::from_secs(60);

/// How a key set is kept fresh. The defaults suit Atlassian's: keys rotate often, without notice.
#[derive(Clone, Debug)]
pub struct JwksPolicy {
    pub(super) time_to_live: Duration,
    pub(super) max_stale: Duration,
    pub(super) unknown_key_cooldown: Duration,
    pub(super) fetch_timeout: Duration,
}

impl Default for JwksPolicy {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_secs(3600),
            max_stale: Duration::from_secs(24 * 3600),
            unknown_key_cooldown: Duration::from_secs(5),
            fetch_timeout: Duration::from_secs(3),
        }
    }
}

impl JwksPolicy {
    /// The longest cache lifetime of a fetched set (default: 1 hour; at least 60 seconds). The set
    /// is refreshed when 80 % of it have passed, so a key that Atlassian withdraws is refused
    /// within 48 minutes by default. A source's shorter `max-age` is followed, down to 60 seconds;
    /// a longer one is not: it would keep a withdrawn key alive for as long.
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.time_to_live = ttl.max(MIN_TTL);
        self
    }

    /// How long the last good set is used while its source is down (default: 24 hours). After
    /// that, requests are answered 503.
    pub fn max_stale(mut self, limit: Duration) -> Self {
        self.max_stale = limit;
        self
    }

    /// The least time between two fetches for keys that are not in the set (default: 5 seconds, at
    /// least 1), however many tokens name such keys. A token whose key could not be looked for
    /// within that time is answered 503, not 401: the key may have been published meanwhile.
    pub fn unknown_key_cooldown(mut self, cooldown: Duration) -> Self {
        self.unknown_key_cooldown = cooldown.max(Duration::from_secs(1));
        self
    }

    /// How long one fetch may take (default: 3 seconds; from 1 to 60). Behind a slow proxy, set it
    /// higher: the request that caused a fetch is answered 503 after 4 seconds (Forge waits 5 for
    /// an event), and the keys are there for the next ones.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote_fit::JwksPolicy;
    ///
    /// let policy = JwksPolicy::default().fetch_timeout(Duration::from_secs(15));
    /// # let _ = policy;
    /// ```
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout.clamp(Duration::from_secs(1), LONGEST_FETCH);
        self
    }
}
