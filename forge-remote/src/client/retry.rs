//! When a call is made again, and after how long.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};

/// No wait is longer, whatever was allowed or asked for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How failed calls are made again.
///
/// Only calls that may be repeated are: `GET`, `HEAD`, `OPTIONS`, `PUT`, `DELETE`, and those marked
/// with [`Request::idempotent`](super::Request::idempotent). They are made again after a 429, 502,
/// 503 or 504 and when there was no answer, `Retry-After` obeyed; else after an exponentially
/// growing time with full jitter. A call whose connection was never made is made again whatever it
/// is.
///
/// # While Forge waits
///
/// Forge hangs up on an event after 5 seconds and delivers it again, on a page after 25: see
/// [`kinds`](crate::kinds). So what a handler calls through its [`Invocation`](crate::Invocation) is
/// not made again later than that, counted from the request's arrival: a call that fails then fails
/// at once, while somebody can still be told. An attempt that has begun is left to its
/// [`timeout`](super::AtlassianClient::timeout), for it may do its work yet. Once the time is over nobody
/// waits any more, and calls that begin then are repeated as they are said to be here. For work that
/// doesn't answer anybody there is [`AtlassianClient::without_deadline`](super::AtlassianClient::without_deadline);
/// an `AtlassianClient` that is a handler's argument has no deadline either.
///
/// ```
/// use std::time::Duration;
/// use forge_remote::client::{AtlassianClient, RetryPolicy};
///
/// let atlassian = AtlassianClient::new().retries(RetryPolicy::new().attempts(6).total(Duration::from_secs(120)));
/// # let _ = atlassian;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    first: Duration,
    longest: Duration,
    total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryPolicy {
    /// Four attempts, waits that begin with up to half a second, the last attempt within 30 seconds
    /// of the first.
    pub const fn new() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }

    /// One attempt.
    pub const fn none() -> Self {
        Self::new().attempts(1)
    }

    /// How often a call is made at most.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long the first wait is at most; each further one may be twice as long, up to `longest`.
    #[must_use]
    pub const fn waits(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// No attempt begins later than this after the first. When Atlassian asks for a longer wait,
    /// the call fails at once: [`ClientError::retry_after`](super::ClientError::retry_after) has
    /// it. No single wait is longer than a day, whatever is allowed here.
    #[must_use]
    pub const fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// The wait before the next attempt, when there is one. `attempt` counts from 1.
    pub(super) fn wait(
        &self,
        attempt: u32,
        spent: Duration,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
        let ceiling = self.first.saturating_mul(doubled).min(self.longest);
        // A float of the longest durations rounds up to more than a duration can be.
        let jitter = ceiling.min(LONGEST).mul_f64(random_share());
        let wait = match retry_after {
            // Those who were told the same time must not all come back at once.
            Some(told) => told.saturating_add(jitter.min(self.first)),
            None => jitter,
        };
        (wait <= LONGEST && spent.saturating_add(wait) <= self.total).then_some(wait)
    }
}

/// The server may do better next time.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// From 0 to 1.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    // Without a random source there is no jitter, but a wait.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 1.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_bounded_and_end() {
        let retries = RetryPolicy::new().attempts(5);
        for _ in 0..100 {
            for (attempt, most) in [(1, 500), (2, 1000), (3, 2000), (4, 4000)] {
                let wait = retries.wait(attempt, Duration::ZERO, None);
                assert!(wait.is_some_and(|wait| wait <= Duration::from_millis(most)));
            }
        }
        assert_eq!(retries.wait(5, Duration::ZERO, None), None);
        let told = Some(Duration::from_secs(7));
        let wait = retries.wait(1, Duration::ZERO, told);
        assert!(wait.is_some_and(|wait| (7.0..=7.5).contains(&wait.as_secs_f64())));
        assert_eq!(retries.wait(1, Duration::from_secs(24), told), None);
        let wait = retries.wait(4_000_000_000, Duration::ZERO, Some(Duration::MAX));
        assert_eq!(wait, None);
        let patient = retries.attempts(u32::MAX).total(Duration::MAX);
        assert!(patient.wait(4_000_000_000, Duration::ZERO, None) <= Some(Duration::from_secs(10)));
        let endless = patient.waits(Duration::MAX, Duration::MAX);
        for _ in 0..100 {
            let wait = endless.wait(1, Duration::ZERO, told);
            assert!(wait.is_none_or(|wait| wait > Duration::from_secs(7) && wait <= LONGEST));
            assert!(endless.wait(1, Duration::ZERO, None) <= Some(LONGEST));
        }
        let ever = Some(Duration::from_secs(u64::MAX));
        assert_eq!(patient.wait(1, Duration::ZERO, ever), None);
        assert!(patient.wait(1, Duration::ZERO, Some(LONGEST / 2)).is_some());
    }
}
