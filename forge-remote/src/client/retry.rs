//! The policy for retries of outgoing calls.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};

/// Upper bound on one wait, regardless of the policy and of `Retry-After`.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A policy for retrying failed calls.
///
/// Calls are retried if they may be repeated: `GET`, `HEAD`, `OPTIONS`, `PUT`, `DELETE`, and requests
/// marked with [`Request::idempotent`](super::Request::idempotent). They are retried after a 429, 502,
/// 503 or 504 and when there was no response. The wait is the response's `Retry-After`, or else an
/// exponential backoff with full jitter. A call whose connection was never established is always
/// retried, regardless of its method.
///
/// # Deadline of the invocation
///
/// Forge waits 5 seconds for the response to an event, and then retries the event; it waits 25 seconds
/// for the response to a page's call. See [`kinds`](crate::kinds). So a call through an
/// [`Invocation`](crate::Invocation) is not retried after that time, counted from the request's arrival.
/// The call fails instead, while the handler can still respond. An attempt in progress runs until its own
/// [`timeout`](super::AtlassianClient::timeout), because it may still succeed. Calls that start after the
/// deadline have none and follow this policy. For work that outlives the response, use
/// [`AtlassianClient::without_deadline`](super::AtlassianClient::without_deadline). An `AtlassianClient`
/// taken as a handler's argument has no deadline either.
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
    max: Duration,
    total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryPolicy {
    /// Creates the default policy: four attempts, a first wait of up to half a second, and the last
    /// attempt within 30 seconds of the first.
    pub const fn new() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(500),
            max: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }

    /// Creates a policy without retries.
    pub const fn none() -> Self {
        Self::new().attempts(1)
    }

    /// Sets the maximum number of attempts.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the upper bound of the first wait. It doubles with each further wait, up to `max`.
    #[must_use]
    pub const fn waits(mut self, first: Duration, max: Duration) -> Self {
        self.first = first;
        self.max = max;
        self
    }

    /// Sets the total time, from the first attempt, within which the last attempt may start.
    ///
    /// If Atlassian demands a longer wait, the call fails at once, and
    /// [`ClientError::retry_after`](super::ClientError::retry_after) returns that wait. A single wait
    /// is never longer than a day.
    #[must_use]
    pub const fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Returns the wait before the next attempt, if there is one. `attempt` counts from 1.
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
        let ceiling = self.first.saturating_mul(doubled).min(self.max);
        // As a float, the largest durations round up beyond `Duration::MAX`.
        let jitter = ceiling.min(MAX_WAIT).mul_f64(random_share());
        let wait = match retry_after {
            // Clients with the same `Retry-After` must not all retry at the same moment.
            Some(after) => after.saturating_add(jitter.min(self.first)),
            None => jitter,
        };
        (wait <= MAX_WAIT && spent.saturating_add(wait) <= self.total).then_some(wait)
    }
}

/// Returns whether another attempt may succeed after this status.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Reads `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Returns a random number from 0 to 1.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    // Without a random source, wait for the whole time.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 1.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_attempts_are_limited() {
        let retries = RetryPolicy::new().attempts(5);
        for _ in 0..100 {
            for (attempt, max) in [(1, 500), (2, 1000), (3, 2000), (4, 4000)] {
                let wait = retries.wait(attempt, Duration::ZERO, None);
                assert!(wait.is_some_and(|wait| wait <= Duration::from_millis(max)));
            }
        }
        assert_eq!(retries.wait(5, Duration::ZERO, None), None);
        let after = Some(Duration::from_secs(7));
        let wait = retries.wait(1, Duration::ZERO, after);
        assert!(wait.is_some_and(|wait| (7.0..=7.5).contains(&wait.as_secs_f64())));
        assert_eq!(retries.wait(1, Duration::from_secs(24), after), None);
        let wait = retries.wait(4_000_000_000, Duration::ZERO, Some(Duration::MAX));
        assert_eq!(wait, None);
        let patient = retries.attempts(u32::MAX).total(Duration::MAX);
        assert!(patient.wait(4_000_000_000, Duration::ZERO, None) <= Some(Duration::from_secs(10)));
        let endless = patient.waits(Duration::MAX, Duration::MAX);
        for _ in 0..100 {
            let wait = endless.wait(1, Duration::ZERO, after);
            assert!(wait.is_none_or(|wait| wait > Duration::from_secs(7) && wait <= MAX_WAIT));
            assert!(endless.wait(1, Duration::ZERO, None) <= Some(MAX_WAIT));
        }
        let forever = Some(Duration::from_secs(u64::MAX));
        assert_eq!(patient.wait(1, Duration::ZERO, forever), None);
        assert!(
            patient
                .wait(1, Duration::ZERO, Some(MAX_WAIT / 2))
                .is_some()
        );
    }
}
