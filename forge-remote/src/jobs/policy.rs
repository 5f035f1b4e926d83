//! How often, how long and how many at once a durable handler runs.

use std::time::Duration;

/// The options of a durable handler: `durable(retries = …, backoff = …, timeout = …, per_installation = …)`.
///
/// ```
/// use std::time::Duration;
/// use forge_remote::jobs::JobPolicy;
///
/// let policy = JobPolicy::DEFAULT.with_retries(3);
/// assert_eq!(policy.max_attempts(), 4);
/// assert_eq!(policy.timeout(), Duration::from_secs(120));
/// assert_eq!(policy.first_pause(), Duration::from_secs(10));
/// assert_eq!(policy.longest_pause(), Duration::from_secs(3600));
/// let second = policy.pause_after(2, "the envelope's key");
/// assert!(second > Duration::from_secs(18) && second <= Duration::from_secs(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobPolicy {
    retries: u32,
    first_pause: Duration,
    max_pause: Duration,
    timeout: Duration,
    per_installation: Option<u32>,
}

impl JobPolicy {
    /// The policy of `durable` without options: 8 retries, `"10s..1h"`, 2 minutes, no limit per
    /// installation.
    pub const DEFAULT: Self = Self {
        retries: 8,
        first_pause: Duration::from_secs(10),
        max_pause: Duration::from_secs(3600),
        timeout: Duration::from_secs(120),
        per_installation: None,
    };

    /// Sets the number of attempts after the first.
    #[must_use]
    pub const fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the pause before the first retry and the longest one, in seconds.
    #[must_use]
    pub const fn with_backoff_seconds(mut self, first: u64, max: u64) -> Self {
        self.first_pause = Duration::from_secs(first);
        self.max_pause = Duration::from_secs(max);
        self
    }

    /// Sets the time limit of one attempt, in seconds.
    #[must_use]
    pub const fn with_timeout_seconds(mut self, timeout: u64) -> Self {
        self.timeout = Duration::from_secs(timeout);
        self
    }

    /// Limits how many calls of one installation run at once.
    #[must_use]
    pub const fn with_per_installation(mut self, limit: u32) -> Self {
        self.per_installation = Some(limit);
        self
    }

    /// Returns the number of attempts, at least 1.
    pub const fn max_attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// Returns the time limit of one attempt.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns how many calls of one installation may run at once; `None` without a limit.
    pub const fn per_installation(&self) -> Option<u32> {
        self.per_installation
    }

    /// Returns the pause before the first retry.
    pub const fn first_pause(&self) -> Duration {
        self.first_pause
    }

    /// Returns the longest pause between two attempts.
    pub const fn longest_pause(&self) -> Duration {
        self.max_pause
    }

    /// Returns the pause after this attempt, counted from 1, of the envelope with this key. It doubles with each attempt, up
    /// to the longest one, and is up to a tenth shorter, so that calls that failed together don't return together.
    pub fn pause_after(&self, attempt: u32, key: &str) -> Duration {
        let sum = key.bytes().fold(attempt, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let pause = self.base_pause(attempt);
        pause - pause / 10 * (sum % 100) / 100
    }

    fn base_pause(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1));
        let pause = factor.and_then(|factor| self.first_pause.checked_mul(factor));
        pause.unwrap_or(self.max_pause).min(self.max_pause)
    }
}
