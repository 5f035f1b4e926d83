//! The jobs in memory, for the console of `dev`.

use std::time::SystemTime;

use super::inspect::{JobInspector, JobRecord, JobState};
use super::memory::{Job, MemoryJobs};
use super::report::EngineError;
use crate::fit::BoxFuture;

impl JobInspector for MemoryJobs {
    fn list(
        &self,
        states: Vec<JobState>,
        handler: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<JobRecord>, EngineError>> {
        let mut all = self.records();
        all.retain(|record| {
            let is_wanted = handler
                .as_ref()
                .is_none_or(|handler| *handler == record.handler);
            is_wanted && states.contains(&record.state)
        });
        all.truncate(limit.try_into().unwrap_or(usize::MAX));
        Box::pin(std::future::ready(Ok(all)))
    }

    fn find(&self, id: String) -> BoxFuture<Result<Option<JobRecord>, EngineError>> {
        let found = self.records().into_iter().find(|record| record.id == id);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn retry(&self, id: String) -> BoxFuture<Result<bool, EngineError>> {
        let retried = id.parse().is_ok_and(|id| self.retry_now(id));
        self.0.changed.notify_one();
        Box::pin(std::future::ready(Ok(retried)))
    }

    fn discard(&self, id: String) -> BoxFuture<Result<bool, EngineError>> {
        let discarded = id.parse().is_ok_and(|id| self.discard_now(id));
        // A job that waited for the discarded one's turn may run.
        self.0.changed.notify_one();
        Box::pin(std::future::ready(Ok(discarded)))
    }
}

impl MemoryJobs {
    /// Returns all jobs that are known, the newest first.
    pub(crate) fn records(&self) -> Vec<JobRecord> {
        let queue = self.0.queue();
        let unfinished = queue.jobs.iter().map(|(id, job)| match job.is_running {
            true => record(*id, job, JobState::Running),
            false => record(*id, job, JobState::Waiting),
        });
        let ended = queue.ended.iter();
        let ended = ended.map(|(id, job, state)| record(*id, job, *state));
        let mut all: Vec<(u64, JobRecord)> = unfinished.chain(ended).collect();
        all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        all.into_iter().map(|(_, record)| record).collect()
    }

    fn retry_now(&self, id: u64) -> bool {
        let mut queue = self.0.queue();
        let is_it =
            |(ended, _, state): &(u64, Job, JobState)| *ended == id && *state == JobState::Dead;
        if let Some(at) = queue.ended.iter().position(is_it)
            && let Some((_, mut job, _)) = queue.ended.remove(at)
        {
            job.is_running = false;
            queue.jobs.insert(id, job);
        }
        let Some(job) = queue.jobs.get_mut(&id).filter(|job| !job.is_running) else {
            return false;
        };
        job.due = SystemTime::UNIX_EPOCH;
        let max_attempts = job.envelope.max_attempts;
        job.envelope.max_attempts = max_attempts.max(job.attempts.saturating_add(1));
        true
    }

    fn discard_now(&self, id: u64) -> bool {
        let mut queue = self.0.queue();
        if queue.jobs.contains_key(&id) {
            // A run in progress ends without effect.
            queue.end(id, JobState::Discarded);
            return true;
        }
        let before = queue.ended.len();
        queue
            .ended
            .retain(|(ended, _, state)| *ended != id || *state != JobState::Dead);
        queue.ended.len() < before
    }
}

fn record(id: u64, job: &Job, state: JobState) -> (u64, JobRecord) {
    let envelope = &job.envelope;
    let mut record = JobRecord::new(
        id.to_string(),
        &envelope.handler,
        &envelope.installation_id,
        envelope.accepted_at,
    );
    record.state = state;
    record.attempts = job.attempts;
    record.max_attempts = envelope.max_attempts;
    record.due = (state == JobState::Waiting).then_some(job.due);
    record.last.clone_from(&job.last);
    record.key_id = envelope.key_id();
    (id, record)
}
