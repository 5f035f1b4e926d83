//! Jobs as Restate's tables show them.

use std::time::SystemTime;

use forge_remote::jobs::{EngineError, JobRecord, JobState};
use serde::Deserialize;

use crate::objects::{JOB, RECORD, RECORD_STATE, Record};
use crate::server::Server;
use crate::stored_call::{IdempotencyKey, ObjectKey, Origin, StoredReport, from_millis};

/// How many rows are read at most.
const MAX_ROWS: u32 = 10_000;

/// An invocation of a job's object, with the record of its wait.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    object: String,
    idempotency_key: Option<String>,
    status: String,
    /// In milliseconds since 1970.
    created: i64,
    scheduled_at: Option<i64>,
    completion_result: Option<String>,
    completion_failure: Option<String>,
    record: Option<String>,
}

/// A job that Restate stores.
pub(crate) struct StoredJob {
    pub(crate) id: String,
    pub(crate) accepted_at: SystemTime,
    /// `None` if an operator deleted the dead job: its row is kept for its key.
    pub(crate) state: Option<JobState>,
    handler: String,
    installation: String,
    max_attempts: u32,
    due: Option<SystemTime>,
    pub(crate) record: Option<Record>,
}

impl StoredJob {
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self.state, Some(JobState::Waiting | JobState::Running))
    }

    /// Returns the record; `None` if an operator deleted the dead job.
    pub(crate) fn record(self) -> Option<JobRecord> {
        let mut job = JobRecord::new(self.id, self.handler, self.installation, self.accepted_at);
        job.state = self.state?;
        job.max_attempts = self.max_attempts;
        job.due = self.due.filter(|_| job.state == JobState::Waiting);
        if let Some(record) = self.record {
            job.attempts = record.attempts.count;
            job.max_attempts = record.max_attempts;
            job.last = record.attempts.last.as_ref().and_then(StoredReport::report);
        }
        Some(job)
    }
}

impl Row {
    /// Returns the job; `None` for an invocation that this crate did not make.
    fn job(self) -> Option<StoredJob> {
        let object = ObjectKey::parse(&self.object)?;
        let key = IdempotencyKey::parse(self.idempotency_key.as_deref()?)?;
        let time = |millis: i64| from_millis(u64::try_from(millis).unwrap_or_default());
        let record: Option<Record> = self
            .record
            .as_deref()
            .and_then(|record| serde_json::from_str(record).ok());
        let (handler, installation) = (object.handler.to_owned(), object.installation.to_owned());
        let failure = self.completion_failure.as_deref().unwrap_or_default();
        let waits = record
            .as_ref()
            .is_some_and(|record| from_millis(record.due) > SystemTime::now());
        let state = match self.status.as_str() {
            "completed" if self.completion_result.as_deref() == Some("success") => {
                Some(JobState::Done)
            }
            "completed" if failure.contains("kill") => None,
            "completed" if failure.contains("cancel") => Some(JobState::Discarded),
            "completed" => Some(JobState::Dead),
            _ if record.as_ref().is_some_and(|record| record.is_dead) => Some(JobState::Dead),
            "running" if !waits => Some(JobState::Running),
            _ => Some(JobState::Waiting),
        };
        let recorded = record.as_ref().map(|record| from_millis(record.due));
        Some(StoredJob {
            accepted_at: match &key.origin {
                Origin::Always { accepted_at, .. } => from_millis(*accepted_at),
                Origin::After(_) => time(self.created),
            },
            id: self.id,
            state,
            handler,
            installation,
            max_attempts: key.max_attempts,
            due: recorded.or(self.scheduled_at.map(time)),
            record,
        })
    }
}

/// Returns a text as SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the jobs that satisfy an SQL condition, the newest first.
pub(crate) async fn jobs_where(
    server: &Server,
    condition: &str,
) -> Result<Vec<StoredJob>, EngineError> {
    let sql = format!(
        "SELECT i.id, i.target_service_key AS object, i.idempotency_key, i.status, \
            CAST(i.created_at AS BIGINT) AS created, \
            CAST(i.scheduled_start_at AS BIGINT) AS scheduled_at, \
            i.completion_result, i.completion_failure, s.value_utf8 AS record \
        FROM sys_invocation i LEFT JOIN state s \
            ON s.service_key = i.id AND s.service_name = '{RECORD}' AND s.key = '{RECORD_STATE}' \
        WHERE i.target_service_name = '{JOB}' AND {condition} \
        ORDER BY created DESC, i.id LIMIT {MAX_ROWS}"
    );
    let rows: Vec<Row> = server.query(&sql).await?;
    Ok(rows.into_iter().filter_map(Row::job).collect())
}

/// Returns the jobs with this object key, the newest first.
pub(crate) async fn stored_jobs(
    server: &Server,
    object: &ObjectKey<'_>,
) -> Result<Vec<StoredJob>, EngineError> {
    let condition = format!("i.target_service_key = {}", literal(&object.to_string()));
    jobs_where(server, &condition).await
}
