//! The engine in memory, for tests and local platforms.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::counts::JobCounts;
use super::engine::{Accepted, EngineContext, JobEngine, JobRunner, PastAttempts, Verdict};
use super::envelope::{Envelope, Repeats};
use super::guarantees::Guarantees;
use super::inspect::{JobInspector, JobState};
use super::report::{EngineError, Report, ReportCode};
use crate::fit::BoxFuture;
#[cfg(feature = "dev")]
use crate::fit::Clock;

/// How many envelopes run at once.
const MAX_RUNNING: u32 = 20;
/// How many of them are for installations that have fewer, and whose handler has no limit.
const RESERVED: u32 = MAX_RUNNING / 4;
/// Upper bound on envelopes that wait or run. Above it, none is accepted.
const MAX_JOBS: usize = 100_000;
/// How many ended jobs are kept for operators.
const MAX_ENDED: usize = 1000;
/// How long keys are remembered, and how many at least before old ones are forgotten.
const KEYS_LIVE: Duration = Repeats::LONGEST_WINDOW;
const KEYS_KEPT: usize = 10_000;

/// An engine in memory: its jobs end with the process. For tests, and for `dev`.
///
/// ```
/// use forge_remote::jobs::MemoryJobs;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:jira:created:issue"], durable)]
/// async fn index(Event(created): Event) -> Result<()> {
///     println!("{created}");
///     Ok(())
/// }
///
/// let app = App::new().jobs(MemoryJobs::new());
/// # let _ = app;
/// ```
#[derive(Clone, Default)]
pub struct MemoryJobs(pub(super) Arc<Shared>);

#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) changed: Notify,
    /// Wakes the tasks that wait for the end of jobs.
    settled: Notify,
}

impl fmt::Debug for MemoryJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJobs")
            .field("jobs", &self.0.queue().jobs.len())
            .finish()
    }
}

impl MemoryJobs {
    /// Creates an engine without jobs. Clones share the jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of jobs that wait or run.
    pub fn unfinished(&self) -> usize {
        self.0.queue().jobs.len()
    }

    /// Returns whether a job runs, or is due and has not started yet.
    #[cfg(feature = "dev")]
    pub(crate) fn has_due(&self, now: SystemTime) -> bool {
        self.0.queue().has_due(now)
    }

    /// Waits until no job runs or is due for its first run. Returns `false` once there is a job with an id above
    /// `last_id`.
    #[cfg(feature = "dev")]
    pub(crate) async fn settled(&self, clock: &dyn Clock, last_id: u64) -> bool {
        loop {
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let queue = self.0.queue();
                if !queue.has_due(clock.now()) {
                    return true;
                }
                if queue.last_id > last_id {
                    return false;
                }
            }
            settled.await;
        }
    }
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct Queue {
    last_id: u64,
    pub(super) jobs: BTreeMap<u64, Job>,
    /// The last jobs that ended, the oldest first.
    pub(super) ended: VecDeque<(u64, Job, JobState)>,
    /// The newest job of each key, and when it was accepted.
    keys: HashMap<String, (u64, SystemTime)>,
    /// The end of the pause of each handler and installation.
    pauses: HashMap<Group, SystemTime>,
}

/// A handler and an installation.
type Group = (String, String);

pub(super) struct Job {
    pub(super) envelope: Envelope,
    pub(super) due: SystemTime,
    pub(super) attempts: u32,
    pub(super) last: Option<Report>,
    pub(super) is_running: bool,
}

impl Job {
    fn group(&self) -> Group {
        let Envelope {
            handler,
            installation_id,
            ..
        } = &self.envelope;
        (handler.clone(), installation_id.clone())
    }
}

impl Queue {
    fn accept(&mut self, envelope: Envelope) -> Result<Accepted, EngineError> {
        let now = envelope.accepted_at;
        let age = |at: SystemTime| now.duration_since(at).unwrap_or_default();
        if let Some((window, or_unfinished)) = envelope.repeats.window()
            && let Some((id, at)) = self.keys.get(&envelope.key)
            && (age(*at) < window || or_unfinished && self.jobs.contains_key(id))
        {
            return Ok(Accepted::Repeated(id.to_string()));
        }
        if self.jobs.len() >= MAX_JOBS {
            return Err(EngineError::new(format!(
                "{MAX_JOBS} jobs are waiting in memory"
            )));
        }
        if self.keys.len() >= KEYS_KEPT.max(2 * self.jobs.len()) {
            let jobs = &self.jobs;
            self.keys
                .retain(|_, (id, at)| age(*at) <= KEYS_LIVE || jobs.contains_key(id));
        }
        self.last_id += 1;
        let id = self.last_id;
        self.keys.insert(envelope.key.clone(), (id, now));
        let job = Job {
            due: envelope.not_before.unwrap_or(now),
            envelope,
            attempts: 0,
            last: None,
            is_running: false,
        };
        self.jobs.insert(id, job);
        Ok(Accepted::New(id.to_string()))
    }

    /// Starts the job that is due, of the installation with the fewest running ones.
    fn start_next(
        &mut self,
        runner: &dyn JobRunner,
        now: SystemTime,
    ) -> Option<(u64, Envelope, PastAttempts)> {
        self.pauses.retain(|_, until| *until > now);
        let mut running: HashMap<&str, u32> = HashMap::new();
        let mut running_group: HashMap<Group, u32> = HashMap::new();
        for job in self.jobs.values().filter(|job| job.is_running) {
            *running.entry(&job.envelope.installation_id).or_default() += 1;
            *running_group.entry(job.group()).or_default() += 1;
        }
        let all_running: u32 = running.values().sum();
        let mut unknown = Vec::new();
        let startable = |(id, job): &(&u64, &Job)| {
            if job.is_running || job.due > now {
                return false;
            }
            let Some(policy) = runner.policy(&job.envelope.handler) else {
                unknown.push(**id);
                return false;
            };
            let group = job.group();
            let has_room = match policy.per_installation() {
                Some(limit) => running_group.get(&group).copied().unwrap_or(0) < limit,
                // The long jobs of one installation leave room to the others.
                None => {
                    let installation = job.envelope.installation_id.as_str();
                    let running = running.get(installation).copied().unwrap_or(0);
                    running < RESERVED || all_running < MAX_RUNNING - RESERVED
                }
            };
            has_room && !self.pauses.contains_key(&group)
        };
        let next = self.jobs.iter().filter(startable).min_by_key(|(id, job)| {
            let installation = job.envelope.installation_id.as_str();
            (running.get(installation).copied(), job.due, **id)
        });
        let next = next.map(|(id, _)| *id);
        for id in unknown {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            let report = Report::new(ReportCode::UnknownHandler, Vec::new());
            match job.envelope.pause_without_handler(now, job.last.as_ref()) {
                Some(pause) => {
                    job.due = now + pause;
                    job.last = Some(report.after(job.last.as_ref()));
                }
                None => self.end_dead(id, report),
            }
        }
        let job = self.jobs.get_mut(&next?)?;
        job.is_running = true;
        job.attempts += 1;
        let past = PastAttempts::new(job.attempts - 1, job.last.take());
        Some((next?, job.envelope.clone(), past))
    }

    /// Returns when a job that waits for a time may start.
    fn next_due(&self, now: SystemTime) -> Option<SystemTime> {
        let waiting = self.jobs.values().filter(|job| !job.is_running);
        let due = waiting.map(|job| {
            let paused = self.pauses.get(&job.group());
            paused.copied().map_or(job.due, |until| job.due.max(until))
        });
        due.filter(|due| *due > now).min()
    }

    #[cfg(feature = "dev")]
    fn has_due(&self, now: SystemTime) -> bool {
        let is_new = |job: &Job| job.attempts == 0 && job.last.is_none() && job.due <= now;
        let is_paused = |job: &Job| {
            let until = self.pauses.get(&job.group());
            until.is_some_and(|until| *until > now)
        };
        let mut jobs = self.jobs.values();
        jobs.any(|job| job.is_running || is_new(job) && !is_paused(job))
    }

    fn counts(&self) -> JobCounts {
        let is_dead = |(_, _, state): &&(u64, Job, JobState)| *state == JobState::Dead;
        let waiting = self.jobs.values().filter(|job| !job.is_running);
        JobCounts {
            pending: self.jobs.len() as u64,
            dead: self.ended.iter().filter(is_dead).count() as u64,
            oldest_due: waiting.map(|job| job.due).min(),
        }
    }

    fn settle(&mut self, id: u64, verdict: Verdict, now: SystemTime) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.is_running = false;
        match verdict {
            Verdict::Retry { after, report } if job.attempts < job.envelope.max_attempts => {
                job.due = after_pause(now, after);
                job.last = Some(report);
            }
            Verdict::Later {
                after,
                report,
                pauses_installation,
            } => {
                let until = after_pause(now, after);
                job.due = until;
                job.attempts = job.attempts.saturating_sub(1);
                job.last = Some(report);
                if pauses_installation {
                    let group = job.group();
                    self.pauses.insert(group, until);
                }
            }
            Verdict::Retry { report, .. } => self.end_dead(id, report),
            Verdict::Dead { report } => {
                if report.code == ReportCode::Uninstalled {
                    self.release_key(id);
                }
                self.end_dead(id, report);
            }
            Verdict::Done => self.end(id, JobState::Done),
        }
    }

    fn end_dead(&mut self, id: u64, report: Report) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.envelope
                .log_dead(&id.to_string(), job.attempts, &report);
            job.last = Some(report);
        }
        self.end(id, JobState::Dead);
    }

    /// Moves a job to the ended ones.
    pub(super) fn end(&mut self, id: u64, state: JobState) {
        if let Some(job) = self.jobs.remove(&id) {
            self.ended.push_back((id, job, state));
        }
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
    }

    fn end_installation(&mut self, installation_id: &str) -> u64 {
        let waits = |job: &Job| !job.is_running && job.envelope.installation_id == installation_id;
        let ids = self.jobs.iter().filter(|(_, job)| waits(job));
        let ids: Vec<u64> = ids.map(|(id, _)| *id).collect();
        for id in &ids {
            self.release_key(*id);
            self.end(*id, JobState::Discarded);
        }
        ids.len() as u64
    }

    /// Forgets the key of a job of an installation that was removed.
    fn release_key(&mut self, id: u64) {
        if let Some(job) = self.jobs.get(&id)
            && self
                .keys
                .get(&job.envelope.key)
                .is_some_and(|(newest, _)| *newest == id)
        {
            self.keys.remove(&job.envelope.key);
        }
    }

    /// Releases the running jobs, without counting their attempts.
    fn hand_back(&mut self) {
        for job in self.jobs.values_mut().filter(|job| job.is_running) {
            job.is_running = false;
            job.attempts = job.attempts.saturating_sub(1);
            job.last = Some(Report::new(ReportCode::Interrupted, Vec::new()));
        }
    }
}

/// Returns the time after a pause; one that no calendar has is a year.
fn after_pause(now: SystemTime, pause: Duration) -> SystemTime {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    now + pause.min(YEAR)
}

impl JobEngine for MemoryJobs {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        let accepted = self.0.queue().accept(envelope);
        self.0.changed.notify_one();
        Box::pin(std::future::ready(accepted))
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let running = Running(shared);
            running.serve(context).await;
            Ok(())
        })
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
            .limits_installations()
            .shares_fairly()
            .ends_installations()
            .retries_early()
    }

    fn end_installation(&self, installation_id: &str) -> BoxFuture<Result<u64, EngineError>> {
        let ended = self.0.queue().end_installation(installation_id);
        Box::pin(std::future::ready(Ok(ended)))
    }

    fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
        Some(Arc::new(self.clone()))
    }

    fn counts(&self) -> BoxFuture<Result<Option<JobCounts>, EngineError>> {
        let counts = self.0.queue().counts();
        Box::pin(std::future::ready(Ok(Some(counts))))
    }
}

/// A guard of a server: jobs whose runs it cancels are released.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.queue().hand_back();
        self.0.settled.notify_waiters();
    }
}

impl Running {
    async fn serve(&self, context: EngineContext) {
        let EngineContext {
            runner,
            clock,
            mut stop,
            grace,
        } = context;
        let mut runs: JoinSet<(u64, Verdict)> = JoinSet::new();
        loop {
            while runs.len() < MAX_RUNNING as usize {
                let next = self.0.queue().start_next(&*runner, clock.now());
                let Some((id, envelope, past)) = next else {
                    break;
                };
                let run = Arc::clone(&runner).run(envelope, past);
                runs.spawn(async move { (id, run.await) });
            }
            self.0.settled.notify_waiters();
            let next_due = self.0.queue().next_due(clock.now());
            let wait = next_due.map(|due| due.duration_since(clock.now()).unwrap_or_default());
            let due = async {
                match wait {
                    Some(wait) => clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => break,
                Some(Ok((id, verdict))) = runs.join_next() => {
                    self.0.queue().settle(id, verdict, clock.now());
                }
                () = self.0.changed.notified() => {}
                () = due => {}
            }
        }
        let ended = async {
            while let Some(ended) = runs.join_next().await {
                if let Ok((id, verdict)) = ended {
                    self.0.queue().settle(id, verdict, clock.now());
                }
            }
        };
        tokio::select! {
            () = ended => {}
            () = clock.sleep(grace) => {}
        }
    }
}
