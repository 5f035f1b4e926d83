//! How a key set is kept fresh.

use std::time::Duration;

use super::source::LONGEST_FETCH;

/// The shortest cache lifetime of a fetched set.
pub(super) const MIN_TTL: Duration = Duration::from_secs(60);

/// The refresh policy of a key set. The defaults suit Atlassian's keys, which rotate often and
/// without notice.
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
    /// Sets the longest cache lifetime of a fetched set (default: 1 hour; at least 60 seconds). The set
    /// is refreshed after 80 % of it, so a key that Atlassian withdraws is rejected within 48 minutes
    /// by default. A shorter `max-age` of the source is respected, down to 60 seconds. A longer one is
    /// not, because a withdrawn key would be accepted for that long.
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.time_to_live = ttl.max(MIN_TTL);
        self
    }

    /// Sets how long the last good set is used while its source is down (default: 24 hours). After
    /// that, requests get 503.
    pub fn max_stale(mut self, limit: Duration) -> Self {
        self.max_stale = limit;
        self
    }

    /// Sets the shortest time between two fetches that unknown keys cause (default: 5 seconds, at
    /// least 1), however many FITs name such keys. If no fetch is allowed yet, the request gets 503,
    /// not 401: the key may have been published meanwhile.
    pub fn unknown_key_cooldown(mut self, cooldown: Duration) -> Self {
        self.unknown_key_cooldown = cooldown.max(Duration::from_secs(1));
        self
    }

    /// Sets how long one fetch may take (default: 3 seconds; from 1 to 60). Behind a slow proxy, set it
    /// higher: the request that caused the fetch then gets 503 after 4 seconds (Forge waits 5 for an
    /// event), and later requests find the keys.
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
