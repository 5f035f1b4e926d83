//! The data that Restate stores with an envelope: the look-up names and the attempts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use forge_remote::jobs::{Envelope, PastAttempts, Report, ReportCode};
use serde::{Deserialize, Serialize};

/// The key of the virtual object of a job, which an operator sees in Restate's UI even before the job's
/// first attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectKey<'a> {
    pub(crate) key: &'a str,
    pub(crate) handler: &'a str,
    pub(crate) installation: &'a str,
}

impl<'a> ObjectKey<'a> {
    pub(crate) fn of(envelope: &'a Envelope) -> Self {
        Self {
            key: &envelope.key,
            handler: &envelope.handler,
            installation: &envelope.installation_id,
        }
    }

    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        Some(Self {
            key: parts.next()?,
            handler: parts.next()?,
            installation: parts.next()?,
        })
    }
}

impl std::fmt::Display for ObjectKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.key, self.handler, self.installation)
    }
}

/// Restate's idempotency key of a job, with what an operator sees before the first attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    pub(crate) max_attempts: u32,
    pub(crate) origin: Origin,
}

/// Why Restate stores a job as new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The call is new regardless of the stored ones: accepted at this time, with a random number.
    Always { accepted_at: u64, nonce: String },
    /// The call is the first after this invocation among the calls with its object key. Two that are accepted
    /// at once have the same predecessor: Restate stores one of them.
    After(Option<String>),
}

impl std::fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let max = self.max_attempts;
        match &self.origin {
            Origin::Always { accepted_at, nonce } => {
                write!(f, "{max}.always.{accepted_at}.{nonce}")
            }
            Origin::After(None) => write!(f, "{max}.first"),
            Origin::After(Some(predecessor)) => write!(f, "{max}.after.{predecessor}"),
        }
    }
}

impl IdempotencyKey {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let max_attempts = parts.next()?.parse().ok()?;
        let origin = match parts.next()? {
            "always" => Origin::Always {
                accepted_at: parts.next()?.parse().ok()?,
                nonce: parts.next()?.to_owned(),
            },
            "first" => Origin::After(None),
            "after" => Origin::After(Some(parts.next()?.to_owned())),
            _ => return None,
        };
        Some(Self {
            max_attempts,
            origin,
        })
    }
}

/// The report of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct StoredReport {
    code: String,
    /// The sealed text, in base64.
    sealed: String,
}

impl From<&Report> for StoredReport {
    fn from(report: &Report) -> Self {
        Self {
            code: report.code.as_str().to_owned(),
            sealed: BASE64.encode(&report.sealed),
        }
    }
}

impl StoredReport {
    pub(crate) fn bare(code: ReportCode) -> Self {
        Self::from(&Report::new(code, Vec::new()))
    }

    pub(crate) fn report(&self) -> Option<Report> {
        let code = ReportCode::parse(&self.code)?;
        Some(Report::new(code, BASE64.decode(&self.sealed).ok()?))
    }
}

/// The attempts of a job so far, as they are stored.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct StoredAttempts {
    pub(crate) count: u32,
    pub(crate) last: Option<StoredReport>,
    /// The number of processes that ended while the job ran, since its last complete run. If there are any, the next
    /// attempt runs alone, if it can.
    #[serde(default)]
    pub(crate) ended_processes: u32,
    /// The number of uncounted attempts since the last complete run: their processes ended, perhaps because of
    /// another job.
    pub(crate) given_back: u32,
}

impl StoredAttempts {
    /// Records that an attempt was completed: its process has survived it.
    pub(crate) fn complete(&mut self) {
        self.ended_processes = 0;
        self.given_back = 0;
    }

    pub(crate) fn past(&self) -> PastAttempts {
        let last = self.last.as_ref().and_then(StoredReport::report);
        PastAttempts::new(self.count, last)
    }
}

pub(crate) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// Returns a random text of letters and digits.
pub(crate) fn nonce() -> Option<String> {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Restate compares what a job sends again with what it stored, byte by byte, even from an earlier version.
    #[test]
    fn a_call_is_written_as_earlier_versions_wrote_it() {
        let mut envelope = Envelope::new("k", "index", "ari:1", b"\0\xff".to_vec());
        envelope.accepted_at = from_millis(7);
        let stored = serde_json::to_string(&envelope).unwrap();
        assert_eq!(
            stored,
            r#"{"key":"k","handler":"index","installation":"ari:1","accepted_at":7,"not_before":null,"max_attempts":1,"sealed":"AP8"}"#
        );
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let origins = [
            Origin::Always {
                accepted_at: 7,
                nonce: "ab".to_owned(),
            },
            Origin::After(None),
            Origin::After(Some("inv_1".to_owned())),
        ];
        for origin in origins {
            let key = IdempotencyKey {
                max_attempts: 9,
                origin,
            };
            assert_eq!(IdempotencyKey::parse(&key.to_string()), Some(key));
        }
        let key = ObjectKey {
            key: "a-b_c",
            handler: "index",
            installation: "ari:cloud:x/y z",
        };
        assert_eq!(ObjectKey::parse(&key.to_string()), Some(key.clone()));
        assert_eq!(ObjectKey::parse("a b"), None);
        assert_eq!(IdempotencyKey::parse("of another"), None);
    }
}
