//! Restate's invocations as jobs, for operators.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{EngineError, JobInspector, JobRecord, JobState};
use serde::Deserialize;

use crate::engine::Restate;
use crate::objects::{JOB, RECORD, RECORD_STATE, Record};
use crate::server::Server;
use crate::stored_call::{IdempotencyKey, ObjectKey, Origin, StoredReport, from_millis};

/// How many rows are read at most.
const MAX_ROWS: u32 = 10_000;
/// How long Restate has to end a job.
const END_WAIT: Duration = Duration::from_secs(5);
const END_CHECK: Duration = Duration::from_millis(50);

/// Shows the jobs of an engine.
pub(crate) struct Inspector(pub(crate) Arc<Restate>);

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
    state: Option<JobState>,
    handler: String,
    installation: String,
    max_attempts: u32,
    due: Option<SystemTime>,
    record: Option<Record>,
}

impl StoredJob {
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self.state, Some(JobState::Waiting | JobState::Running))
    }

    /// Returns the record; `None` if an operator deleted the dead job.
    fn record(self) -> Option<JobRecord> {
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
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the jobs that satisfy an SQL condition, the newest first.
async fn jobs_where(server: &Server, condition: &str) -> Result<Vec<StoredJob>, EngineError> {
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

impl Restate {
    async fn find(&self, id: &str) -> Result<Option<StoredJob>, EngineError> {
        // Restate rejects a query with what can't be an id.
        let is_id = id.starts_with("inv_")
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_id {
            return Ok(None);
        }
        let jobs = jobs_where(&self.server, &format!("i.id = {}", literal(id))).await?;
        Ok(jobs.into_iter().next().filter(|job| job.state.is_some()))
    }

    async fn retry(&self, id: &str) -> Result<bool, EngineError> {
        let Some(job) = self.find(id).await? else {
            return Ok(false);
        };
        match (job.state, &job.record) {
            (Some(JobState::Waiting | JobState::Dead), Some(record)) => {
                self.server.wake(&record.wake).await
            }
            (Some(JobState::Waiting), None) => Err(EngineError::new(
                "Restate starts a delayed job at its time, and not before",
            )),
            _ => Ok(false),
        }
    }

    async fn discard(&self, id: &str) -> Result<bool, EngineError> {
        let Some(job) = self.find(id).await? else {
            return Ok(false);
        };
        let how = match job.state {
            // Its row is kept for its key only.
            Some(JobState::Dead) => "kill",
            Some(JobState::Waiting | JobState::Running) => "cancel",
            _ => return Ok(false),
        };
        if !self.server.end(id, how).await? {
            return Ok(false);
        }
        let ended = async {
            while self
                .find(id)
                .await?
                .is_some_and(|now| now.state == job.state)
            {
                tokio::time::sleep(END_CHECK).await;
            }
            Ok::<(), EngineError>(())
        };
        // A running job ends after its run.
        if let Ok(ended) = tokio::time::timeout(END_WAIT, ended).await {
            ended?;
        }
        if job.record.is_some() {
            self.server.clear_state(RECORD, id).await?;
        }
        Ok(true)
    }
}

impl JobInspector for Inspector {
    fn list(
        &self,
        states: Vec<JobState>,
        handler: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<JobRecord>, EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move {
            let condition = match &handler {
                Some(handler) => {
                    let key = literal(&format!("% {} %", handler.replace('_', "\\_")));
                    format!("i.target_service_key LIKE {key}")
                }
                None => "TRUE".to_owned(),
            };
            let jobs = jobs_where(&restate.server, &condition).await?;
            let records = jobs.into_iter().filter_map(StoredJob::record);
            let wanted = records.filter(|job| {
                let is_of_handler = handler.as_ref().is_none_or(|name| job.handler == *name);
                is_of_handler && states.contains(&job.state)
            });
            Ok(wanted.take(limit as usize).collect())
        })
    }

    fn find(&self, id: String) -> BoxFuture<Result<Option<JobRecord>, EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { Ok(restate.find(&id).await?.and_then(StoredJob::record)) })
    }

    fn retry(&self, id: String) -> BoxFuture<Result<bool, EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { restate.retry(&id).await })
    }

    fn discard(&self, id: String) -> BoxFuture<Result<bool, EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { restate.discard(&id).await })
    }
}
