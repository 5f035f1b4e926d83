//! A call as River stores it, and the report of its last run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use forge_remote::jobs::{Envelope, Report, ReportCode};
use riverqueue::{JobArgs, JobMetadata, WorkContext};
use serde::{Deserialize, Serialize};

/// River's queue of the calls.
pub(crate) const QUEUE: &str = "forge_remote";
/// The metadata key of the last report.
const REPORT: &str = "forge_remote:report";

/// An envelope, as the arguments of a River job.
#[derive(Clone, Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "forge_remote.call")]
pub(crate) struct StoredCall {
    pub(crate) key: String,
    pub(crate) handler: String,
    pub(crate) installation: String,
    /// In milliseconds since 1970.
    pub(crate) accepted_at: i64,
    /// In milliseconds since 1970. Rows of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<i64>,
    max_attempts: u32,
    /// In base64.
    sealed: String,
}

impl StoredCall {
    pub(crate) fn new(envelope: &Envelope) -> Self {
        Self {
            key: envelope.key.clone(),
            handler: envelope.handler.clone(),
            installation: envelope.installation_id.clone(),
            accepted_at: to_millis(envelope.accepted_at),
            not_before: envelope.not_before.map(to_millis),
            max_attempts: envelope.max_attempts,
            sealed: BASE64.encode(&envelope.sealed),
        }
    }

    /// Returns when it is due, in milliseconds since 1970.
    pub(crate) fn due(&self) -> i64 {
        self.not_before.unwrap_or(self.accepted_at)
    }

    /// Returns the envelope. A text that is not base64 becomes an empty call, which no seal opens.
    pub(crate) fn envelope(&self) -> Envelope {
        let sealed = BASE64.decode(&self.sealed).unwrap_or_default();
        let mut envelope = Envelope::new(&*self.key, &*self.handler, &*self.installation, sealed);
        envelope.accepted_at = from_millis(self.accepted_at);
        envelope.not_before = self.not_before.map(from_millis);
        envelope.max_attempts = self.max_attempts;
        envelope
    }
}

#[derive(Deserialize, Serialize)]
struct StoredReport {
    code: String,
    /// In base64.
    sealed: String,
}

/// Writes the report of a run into the job's metadata.
pub(crate) fn write_report(context: &WorkContext, report: &Report) {
    let stored = StoredReport {
        code: report.code.as_str().to_owned(),
        sealed: BASE64.encode(&report.sealed),
    };
    // A struct of texts is always JSON.
    let _ = context.metadata_set(REPORT, stored);
}

/// Returns the report of the last run.
pub(crate) fn read_report(metadata: &JobMetadata) -> Option<Report> {
    let stored: StoredReport = metadata.get(REPORT).ok()??;
    let code = ReportCode::parse(&stored.code)?;
    Some(Report::new(code, BASE64.decode(stored.sealed).ok()?))
}

pub(crate) fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
