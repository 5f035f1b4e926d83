//! River's jobs, for operators.

use std::sync::Arc;

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{EngineError, JobInspector, JobRecord, JobState};
use riverqueue::{Error, JobListParams, JobRow, JobState as RiverState, SortDirection};

use crate::engine::{Database, River};
use crate::error::failed;
use crate::stored_call::{QUEUE, StoredCall, read_report};

/// How many rows are read at once when a list is of one handler.
const PAGE: u32 = 500;

/// Shows the jobs of an engine.
pub(crate) struct Inspector<D: Database>(pub(crate) Arc<River<D>>);

fn river_failed(error: Error) -> EngineError {
    failed("River could not read or change the jobs", error)
}

fn river_states(state: JobState) -> &'static [RiverState] {
    match state {
        JobState::Waiting => &[
            RiverState::Available,
            RiverState::Pending,
            RiverState::Retryable,
            RiverState::Scheduled,
        ],
        JobState::Running => &[RiverState::Running],
        JobState::Done => &[RiverState::Completed],
        JobState::Dead => &[RiverState::Discarded],
        JobState::Discarded => &[RiverState::Cancelled],
        _ => &[],
    }
}

/// Returns the record of a row; `None` for a job of another kind.
fn record(row: &JobRow) -> Option<JobRecord> {
    let StoredCall(envelope) = row.decode_args().ok()?;
    let key_id = envelope.key_id();
    let mut record = JobRecord::new(
        row.id.to_string(),
        envelope.handler,
        envelope.installation_id,
        envelope.accepted_at,
    );
    let is_of = |state: &JobState| river_states(*state).contains(&row.state);
    record.state = JobState::ALL.into_iter().find(is_of)?;
    record.attempts = u32::try_from(row.attempt).unwrap_or_default();
    record.max_attempts = u32::try_from(row.max_attempts).unwrap_or_default();
    record.due = (record.state == JobState::Waiting).then(|| row.scheduled_at.into());
    record.last = read_report(&row.metadata);
    record.key_id = key_id;
    Some(record)
}

impl<D: Database> River<D> {
    async fn list_jobs(
        &self,
        states: Vec<JobState>,
        handler: Option<String>,
        limit: u32,
    ) -> Result<Vec<JobRecord>, EngineError> {
        let (_, client) = self.inspected().await?;
        let states = states.into_iter().flat_map(river_states).copied();
        let page = if handler.is_some() {
            PAGE
        } else {
            limit.min(PAGE)
        };
        let mut params = JobListParams::default()
            .queues([QUEUE])
            .states(states)
            .direction(SortDirection::Descending)
            .limit(page);
        let mut records = Vec::new();
        loop {
            let listed = client
                .jobs()
                .list(params.clone())
                .await
                .map_err(river_failed)?;
            let of_handler = |record: &JobRecord| match &handler {
                Some(handler) => record.handler == *handler,
                None => true,
            };
            records.extend(listed.jobs.iter().filter_map(record).filter(of_handler));
            records.truncate(limit as usize);
            match listed.last_cursor {
                Some(cursor)
                    if listed.jobs.len() == page as usize && records.len() < limit as usize =>
                {
                    params = params.after(cursor);
                }
                _ => return Ok(records),
            }
        }
    }

    async fn find_row(&self, id: &str) -> Result<Option<JobRow>, EngineError> {
        let Ok(id) = id.parse() else {
            return Ok(None);
        };
        let (_, client) = self.inspected().await?;
        match client.jobs().get(id).await {
            Ok(row) => Ok(record(&row).map(|_| row)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(river_failed(error)),
        }
    }

    async fn retry_job(&self, id: &str) -> Result<bool, EngineError> {
        let Some(row) = self.find_row(id).await? else {
            return Ok(false);
        };
        if matches!(row.state, RiverState::Running | RiverState::Completed) {
            return Ok(false);
        }
        let (ledger, client) = self.inspected().await?;
        // A sweep before River's change records the job as finished again, and this process may end after the
        // change.
        ledger.reopen(row.id).await?;
        client.jobs().retry(row.id).await.map_err(river_failed)?;
        ledger.reopen(row.id).await?;
        Ok(true)
    }

    async fn discard_job(&self, id: &str) -> Result<bool, EngineError> {
        let Some(row) = self.find_row(id).await? else {
            return Ok(false);
        };
        let (ledger, client) = self.inspected().await?;
        match row.state {
            RiverState::Completed | RiverState::Cancelled => return Ok(false),
            RiverState::Discarded => client.jobs().delete(row.id).await,
            _ => client.jobs().cancel(row.id).await,
        }
        .map_err(river_failed)?;
        // A run that has not ended yet counts until it has; the sweep records its end.
        if row.state != RiverState::Running {
            ledger.finish(&[row.id]).await?;
        }
        Ok(true)
    }
}

impl<D: Database> JobInspector for Inspector<D> {
    fn list(
        &self,
        states: Vec<JobState>,
        handler: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<JobRecord>, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.list_jobs(states, handler, limit).await })
    }

    fn find(&self, id: String) -> BoxFuture<Result<Option<JobRecord>, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { Ok(river.find_row(&id).await?.as_ref().and_then(record)) })
    }

    fn retry(&self, id: String) -> BoxFuture<Result<bool, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.retry_job(&id).await })
    }

    fn discard(&self, id: String) -> BoxFuture<Result<bool, EngineError>> {
        let river = Arc::clone(&self.0);
        Box::pin(async move { river.discard_job(&id).await })
    }
}
