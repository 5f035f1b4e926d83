//! Envelopes: what an engine stores of a call or a job.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::report::{Report, ReportCode};
use crate::token::sealing_key;

/// A sealed call or job with the data that an engine needs.
///
/// An engine may store it with serde, in a form that later versions read:
///
/// ```
/// use forge_remote::jobs::Envelope;
///
/// let envelope = Envelope::new("key", "report", "ari:1", b"sealed".to_vec());
/// let stored = serde_json::to_string(&envelope)?;
/// let json = r#"{"key":"key","handler":"report","installation":"ari:1","accepted_at":0,"not_before":null,"max_attempts":1,"sealed":"c2VhbGVk"}"#;
/// assert_eq!(stored, json);
/// let read: Envelope = serde_json::from_str(&stored)?;
/// assert_eq!(read, envelope);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Times are in milliseconds since 1970. [`repeats`](Self::repeats) is not serialized: an engine needs it in
/// `accept` only.
#[derive(Clone, Deserialize, PartialEq, Eq, Serialize)]
#[serde(from = "StoredEnvelope", into = "StoredEnvelope")]
#[non_exhaustive]
pub struct Envelope {
    /// Equal for a delivery and its retries: letters, digits, `-` and `_`.
    pub key: String,
    /// The earlier envelopes with the same key of which this one is a duplicate.
    pub repeats: Repeats,
    /// The handler's key.
    pub handler: String,
    /// The installation's ARI.
    pub installation_id: String,
    /// When the call arrived.
    pub accepted_at: SystemTime,
    /// The earliest time at which it runs, accurate to a second or better; `None` to run it immediately.
    pub not_before: Option<SystemTime>,
    /// The number of attempts after which it is dead.
    pub max_attempts: u32,
    /// The encrypted call.
    pub sealed: Vec<u8>,
}

impl Envelope {
    /// Creates an envelope of this handler and installation, with one attempt and a key that no retry
    /// has. The other fields are set afterwards.
    pub fn new(
        key: impl Into<String>,
        handler: impl Into<String>,
        installation_id: impl Into<String>,
        sealed: Vec<u8>,
    ) -> Self {
        Self {
            key: key.into(),
            repeats: Repeats::Never,
            handler: handler.into(),
            installation_id: installation_id.into(),
            accepted_at: SystemTime::UNIX_EPOCH,
            not_before: None,
            max_attempts: 1,
            sealed,
        }
    }

    /// Returns the id of the key that its contents are sealed under; `None` if the app did not seal them. The key has
    /// to stay in `FORGE_REMOTE_TOKEN_KEY` until the envelope's job is done or discarded.
    ///
    /// ```
    /// use forge_remote::jobs::Envelope;
    ///
    /// let envelope = Envelope::new("key", "report", "ari:1", b"not sealed".to_vec());
    /// assert_eq!(envelope.key_id(), None);
    /// ```
    pub fn key_id(&self) -> Option<String> {
        sealing_key(&self.sealed)
    }

    /// Returns the due time: `not_before`, or else `accepted_at`.
    pub fn due(&self) -> SystemTime {
        self.not_before.unwrap_or(self.accepted_at)
    }
}

/// Which stored envelopes with the same key make an [`Envelope`] a repetition. The engine ignores a
/// repetition, and returns [`Accepted::Repeated`](crate::jobs::Accepted::Repeated).
///
/// An engine that [outlives the process](crate::jobs::Guarantees::outlives_process) must remember the key of each
/// waiting or running envelope, and of each one accepted within [`LONGEST_WINDOW`](Self::LONGEST_WINDOW), even if its
/// job is done, dead or discarded. It forgets the key of an envelope that ended because the app was
/// [uninstalled](crate::jobs::JobEngine::end_installation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeats {
    /// The envelope is always new. Used for deliveries without Forge's retry context.
    Never,
    /// The envelope repeats one that was accepted within this time before it. Used for retries by
    /// Forge.
    Within(Duration),
    /// An envelope that still waits or runs, however old, or one that was accepted within this time. For
    /// work that is not a call of Forge and must be stored only once.
    UnfinishedOrWithin(Duration),
}

impl Repeats {
    /// The longest window that the app gives an envelope: 26 hours.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(26 * 3600);

    /// Returns the time within which an equal key is a repetition, and whether a waiting or running
    /// envelope makes it one at any age; `None` for [`Never`](Self::Never).
    pub fn window(self) -> Option<(Duration, bool)> {
        match self {
            Self::Never => None,
            Self::Within(window) => Some((window, false)),
            Self::UnfinishedOrWithin(window) => Some((window, true)),
        }
    }
}

impl Envelope {
    /// Returns the pause before the next attempt to find an instance with the envelope's handler. It grows
    /// with the envelope's age. `None` means that the envelope is dead: it is a week old and has waited
    /// before, or is two weeks old.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use forge_remote::jobs::{Envelope, Report, ReportCode};
    ///
    /// let mut envelope = Envelope::new("key", "report", "ari:1", vec![]);
    /// envelope.accepted_at = SystemTime::UNIX_EPOCH;
    /// let last = Report::new(ReportCode::UnknownHandler, vec![]);
    /// let pause = |seconds| {
    ///     let now = envelope.accepted_at + Duration::from_secs(seconds);
    ///     envelope.pause_without_handler(now, Some(&last))
    /// };
    /// assert_eq!(pause(1), Some(Duration::from_secs(5)));
    /// assert_eq!(pause(3600), Some(Duration::from_secs(450)));
    /// assert_eq!(pause(8 * 24 * 3600), None);
    /// ```
    pub fn pause_without_handler(
        &self,
        now: SystemTime,
        last: Option<&Report>,
    ) -> Option<Duration> {
        const SHORTEST: Duration = Duration::from_secs(5);
        const LONGEST: Duration = Duration::from_secs(3600);
        const END: Duration = Duration::from_secs(7 * 24 * 3600);
        let age = now.duration_since(self.due()).unwrap_or_default();
        let has_waited = last.is_some_and(|last| {
            matches!(
                last.code,
                ReportCode::UnknownHandler | ReportCode::OtherKey | ReportCode::Rejected
            )
        });
        let is_over = age >= END && has_waited || age >= 2 * END;
        (!is_over).then(|| (age / 8).clamp(SHORTEST, LONGEST))
    }

    /// Logs that this envelope's job is dead.
    pub fn log_dead(&self, id: &str, attempts: u32, report: &Report) {
        tracing::error!(
            job = id,
            handler = self.handler,
            installation = self.installation_id,
            attempts,
            reason = report.code.as_str(),
            "a job is dead: it does not run again"
        );
    }
}

/// Writes the handler and the key: the rest may be user data.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("handler", &self.handler)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// An envelope as it is stored. Times are in milliseconds since 1970.
#[derive(Clone, Deserialize, Serialize)]
struct StoredEnvelope {
    key: String,
    handler: String,
    installation: String,
    accepted_at: i64,
    #[serde(default)]
    not_before: Option<i64>,
    max_attempts: u32,
    /// The sealed contents, in base64.
    sealed: String,
}

impl From<Envelope> for StoredEnvelope {
    fn from(envelope: Envelope) -> Self {
        Self {
            accepted_at: to_millis(envelope.accepted_at),
            not_before: envelope.not_before.map(to_millis),
            key: envelope.key,
            handler: envelope.handler,
            installation: envelope.installation_id,
            max_attempts: envelope.max_attempts,
            sealed: BASE64.encode(envelope.sealed),
        }
    }
}

/// A text that is not base64 becomes an empty call, which no seal opens.
impl From<StoredEnvelope> for Envelope {
    fn from(stored: StoredEnvelope) -> Self {
        let sealed = BASE64.decode(stored.sealed).unwrap_or_default();
        let mut envelope = Self::new(stored.key, stored.handler, stored.installation, sealed);
        envelope.accepted_at = from_millis(stored.accepted_at);
        envelope.not_before = stored.not_before.map(from_millis);
        envelope.max_attempts = stored.max_attempts;
        envelope
    }
}

fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that versions before this one stored: in River, and in Restate.
    #[test]
    fn the_forms_of_earlier_versions_are_read() {
        let mut expected = Envelope::new("k", "index", "ari:1", b"\0\xff".to_vec());
        expected.accepted_at = from_millis(7);
        expected.max_attempts = 3;
        for end in ["", r#","not_before":null"#] {
            let stored = format!(
                r#"{{"key":"k","handler":"index","installation":"ari:1","accepted_at":7,"max_attempts":3,"sealed":"AP8"{end}}}"#
            );
            let read: Envelope = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, expected);
        }
        expected.not_before = Some(from_millis(9));
        let stored = serde_json::to_string(&expected).unwrap();
        assert!(stored.contains(r#""not_before":9"#), "{stored}");
        assert_eq!(serde_json::from_str::<Envelope>(&stored).unwrap(), expected);
        let damaged = stored.replace("AP8", "?");
        let read: Envelope = serde_json::from_str(&damaged).unwrap();
        assert!(read.sealed.is_empty());
    }
}
