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
/// The metadata key of the number of ended processes after which a run of the job completed.
const CLEARED: &str = "forge_remote:cleared";

/// The metadata key of the number of attempts that are not counted because their processes ended; the statements that
/// release jobs have it too.
const GIVEN_BACK: &str = "forge_remote:given_back";

/// An envelope, as the arguments of a River job.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct StoredCall(pub(crate) Envelope);

impl JobArgs for StoredCall {
    const KIND: &'static str = "forge_remote.call";
}

/// Returns the id of the key of an envelope whose sealed contents begin with this base64.
pub(crate) fn key_id(start: &str) -> Option<String> {
    let start = BASE64.decode(start).ok()?;
    Envelope::new("", "", "", start).key_id()
}

#[derive(Deserialize, Serialize)]
struct StoredReport {
    code: String,
    /// The sealed text, in base64.
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

/// Returns how many processes ended while the job ran, since its last complete run.
pub(crate) fn ended_processes(metadata: &JobMetadata) -> u32 {
    let since = all_ended_processes(metadata) - number(metadata, CLEARED);
    u32::try_from(since).unwrap_or_default()
}

/// Records that the job has completed a run.
pub(crate) fn clear_suspicion(context: &WorkContext, metadata: &JobMetadata) {
    if ended_processes(metadata) > 0 {
        // Numbers are always JSON.
        let _ = context.metadata_set(CLEARED, all_ended_processes(metadata));
        let _ = context.metadata_set(GIVEN_BACK, 0);
    }
}

fn all_ended_processes(metadata: &JobMetadata) -> i64 {
    number(metadata, riverqueue::METADATA_KEY_RESCUE_COUNT)
}

fn number(metadata: &JobMetadata, key: &str) -> i64 {
    metadata.get(key).ok().flatten().unwrap_or_default()
}

pub(crate) fn to_millis(time: SystemTime) -> i64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
