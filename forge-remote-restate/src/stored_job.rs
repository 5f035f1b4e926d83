//! Jobs as Restate's tables show them.

use std::time::SystemTime;

use forge_remote::jobs::{EngineError, JobRecord, JobState, ReportCode};
use serde::Deserialize;

use crate::objects::{JOB, RECORD, RECORD_STATE, Record};
use crate::server::Server;
use crate::stored_call::{IdempotencyKey, ObjectKey, Origin, StoredReport, from_millis, to_millis};

/// How many jobs are read at most.
const MAX_ROWS: u32 = 10_000;

/// An invocation of a job's object, with the record of its wait.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    object: String,
    idempotency_key: Option<String>,
    /// The time of creation, in milliseconds since 1970.
    created: i64,
    scheduled_at: Option<i64>,
    /// The text of a [`JobState`]; another one if an operator deleted the dead job.
    job_state: String,
    record: Option<String>,
}

/// A job that Restate stores.
pub(crate) struct StoredJob {
    pub(crate) id: String,
    pub(crate) accepted_at: SystemTime,
    /// `None` if an operator deleted the dead job: its row is kept for its key.
    pub(crate) state: Option<JobState>,
    handler: String,
    pub(crate) installation: String,
    max_attempts: u32,
    due: Option<SystemTime>,
    pub(crate) record: Option<Record>,
}

impl StoredJob {
    /// Returns whether it ended because the app was uninstalled: its key is free.
    pub(crate) fn is_uninstalled(&self) -> bool {
        let last = self
            .record
            .as_ref()
            .and_then(|record| record.attempts.last.as_ref());
        let code = last
            .and_then(StoredReport::report)
            .map(|report| report.code);
        self.state == Some(JobState::Dead) && code == Some(ReportCode::Uninstalled)
    }

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
        let state = |state: &JobState| state.as_str() == self.job_state;
        let state = JobState::ALL.into_iter().find(state);
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

/// Which jobs are read, the newest first.
pub(crate) struct JobQuery {
    /// A condition in SQL on `i`, the invocation.
    pub(crate) condition: String,
    /// `None`: those in all states, and the deleted ones.
    pub(crate) states: Option<Vec<JobState>>,
    pub(crate) limit: u32,
}

impl JobQuery {
    pub(crate) fn new(condition: String) -> Self {
        Self {
            condition,
            states: None,
            limit: MAX_ROWS,
        }
    }

    /// Returns the query as SQL. The state is decided there, so that jobs in other states do not use up the limit.
    fn sql(&self, now: SystemTime) -> String {
        let Self {
            condition,
            states,
            limit,
        } = self;
        let states = match states {
            None => "TRUE".to_owned(),
            Some(states) if states.is_empty() => "FALSE".to_owned(),
            Some(states) => {
                let states = states.iter().map(|state| literal(state.as_str()));
                format!("job_state IN ({})", states.collect::<Vec<_>>().join(", "))
            }
        };
        // A record is compact JSON. Times have 13 digits, or are 0: they compare as texts.
        let due = "split_part(split_part(s.value_utf8, '\"due\":', 2), ',', 1)";
        let now = to_millis(now);
        let limit = limit.min(&MAX_ROWS);
        format!(
            "SELECT * FROM ( \
                SELECT i.id, i.target_service_key AS object, i.idempotency_key, \
                    CAST(i.created_at AS BIGINT) AS created, \
                    CAST(i.scheduled_start_at AS BIGINT) AS scheduled_at, \
                    s.value_utf8 AS record, \
                    CASE \
                        WHEN i.status = 'completed' AND i.completion_result = 'success' THEN 'done' \
                        WHEN i.status = 'completed' AND i.completion_failure LIKE '%kill%' THEN 'deleted' \
                        WHEN i.status = 'completed' AND i.completion_failure LIKE '%cancel%' THEN 'discarded' \
                        WHEN i.status = 'completed' THEN 'dead' \
                        WHEN s.value_utf8 LIKE '%\"is_dead\":true%' THEN 'dead' \
                        WHEN i.status = 'running' AND (s.value_utf8 IS NULL OR {due} <= '{now}') THEN 'running' \
                        ELSE 'waiting' \
                    END AS job_state \
                FROM sys_invocation i LEFT JOIN state s \
                    ON s.service_key = i.id AND s.service_name = '{RECORD}' AND s.key = '{RECORD_STATE}' \
                WHERE i.target_service_name = '{JOB}' AND {condition} \
            ) jobs WHERE {states} ORDER BY created DESC, id LIMIT {limit}"
        )
    }

    pub(crate) async fn run(self, server: &Server) -> Result<Vec<StoredJob>, EngineError> {
        let rows: Vec<Row> = server.query(&self.sql(SystemTime::now())).await?;
        Ok(rows.into_iter().filter_map(Row::job).collect())
    }
}

/// Returns the jobs with this object key, the newest first.
pub(crate) async fn stored_jobs(
    server: &Server,
    object: &ObjectKey<'_>,
) -> Result<Vec<StoredJob>, EngineError> {
    let condition = format!("i.target_service_key = {}", literal(&object.to_string()));
    JobQuery::new(condition).run(server).await
}
