//! Restate's invocations as jobs, for operators.

use std::sync::Arc;
use std::time::Duration;

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{EngineError, JobInspector, JobRecord, JobState};

use crate::engine::Restate;
use crate::objects::RECORD;
use crate::stored_job::{JobQuery, StoredJob, literal};

/// How long Restate has to end a job.
const END_WAIT: Duration = Duration::from_secs(5);
const END_CHECK: Duration = Duration::from_millis(50);

/// Shows the jobs of an engine.
pub(crate) struct Inspector(pub(crate) Arc<Restate>);

impl Restate {
    async fn find(&self, id: &str) -> Result<Option<StoredJob>, EngineError> {
        // Restate rejects a query with what cannot be an id.
        let is_id = id.starts_with("inv_")
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_id {
            return Ok(None);
        }
        let query = JobQuery::new(format!("i.id = {}", literal(id)));
        let jobs = query.run(&self.server).await?;
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

    /// Discards the waiting jobs of an installation, and returns their number.
    pub(crate) async fn end_installation(&self, installation: &str) -> Result<u64, EngineError> {
        let mut ended = 0;
        loop {
            let key = literal(&format!("% {}", pattern(installation)));
            let query = JobQuery {
                states: Some(vec![JobState::Waiting]),
                ..JobQuery::new(format!("i.target_service_key LIKE {key}"))
            };
            let mut jobs = query.run(&self.server).await?;
            // An installation's name may end another one's.
            jobs.retain(|job| job.installation == installation);
            if jobs.is_empty() {
                return Ok(ended);
            }
            for job in jobs {
                if self.discard(&job.id).await? {
                    ended += 1;
                    // So that its key is free for when the app is installed again. One that still runs keeps it.
                    let _ = self.server.end(&job.id, "purge").await;
                }
            }
        }
    }
}

/// Returns a text as a pattern of SQL's `LIKE` that matches it.
fn pattern(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('_', "\\_")
        .replace('%', "\\%")
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
                    let key = literal(&format!("% {} %", pattern(handler)));
                    format!("i.target_service_key LIKE {key}")
                }
                None => "TRUE".to_owned(),
            };
            let query = JobQuery {
                states: Some(states),
                limit,
                ..JobQuery::new(condition)
            };
            let jobs = query.run(&restate.server).await?;
            let records = jobs.into_iter().filter_map(StoredJob::record);
            // An installation's name may have the spaces of the condition.
            Ok(records
                .filter(|job| handler.as_ref().is_none_or(|name| job.handler == *name))
                .collect())
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
