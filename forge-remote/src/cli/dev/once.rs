//! `dev --once`: a call of each handler, and the work that the calls leave behind.

use super::session::Session;
use crate::cli::call_printer::Time;
use crate::jobs::{JobRecord, JobState};
use crate::platform::{CallChanges, CallVerdict, Origin, Outcome, Run};
use crate::work::EndedPiece;

/// The number of jobs that one call may store, directly or through other jobs, and that are waited for.
const MAX_JOBS: u64 = 500;

/// How the error of a job begins whose handler rejected its body.
const REJECTED: [&str; 3] = [
    "the handler's response was 400",
    "the handler's response was 415",
    "the handler's response was 422",
];

/// The work that earlier calls left behind.
#[derive(Default)]
struct Seen {
    /// The newest job.
    job: u64,
    /// The key of each call's handler, with the number of the first piece of work that it may have spawned.
    calls: Vec<(u64, String)>,
}

impl Seen {
    /// Returns the runs of work that earlier calls did not wait for, and that has ended meanwhile.
    fn late_runs(&self, ended: &[EndedPiece]) -> Vec<Run> {
        let runs = ended.iter().filter_map(|one| {
            let mut calls = self.calls.iter().rev();
            let (_, key) = calls.find(|(first, _)| *first <= one.root)?;
            let (verdict, status) = verdict(one.succeeded);
            let mut run = Run::spawned(key, 1, verdict, status);
            run.notes
                .push("it ended after the time limit of its call".to_owned());
            Some(run)
        });
        runs.collect()
    }
}

/// Returns the verdict and the status of spawned work that has ended.
fn verdict(succeeded: bool) -> (CallVerdict, &'static str) {
    match succeeded {
        true => (CallVerdict::Passed, "done"),
        false => (CallVerdict::Failed, "failed"),
    }
}

/// The runs of work after a call.
struct Runs {
    /// Of this call.
    own: Vec<Run>,
    /// Of earlier ones.
    late: Vec<Run>,
}

impl Session {
    /// Calls every handler once, and a trigger's handler once for each event, in the order of an
    /// installation's life. After each call, the jobs that it stored and the work that it spawned run too. Returns
    /// the exit status.
    pub(super) async fn once(self) -> i32 {
        let mut failed = 0_usize;
        let mut calls = Vec::new();
        for handler in self.caller.app.registry().handlers() {
            let sample_calls = self.caller.sample_calls(handler).into_iter();
            calls.extend(sample_calls.map(|sample_call| (handler, sample_call)));
        }
        calls.sort_by_key(|(handler, sample_call)| {
            let ends = handler.registration().kind.ends_installation();
            Phase::of(sample_call.event, ends)
        });
        let mut seen = Seen::default();
        for (handler, sample_call) in calls {
            let changes = CallChanges::default();
            let first = self.caller.app.work().pieces().record();
            seen.calls.push((first, handler.key().to_owned()));
            let calling = self
                .caller
                .call(handler, sample_call, &changes, Origin::Once);
            let (id, outcome) = calling.await;
            if let Some(record) = self.caller.journal.find(id) {
                self.printer.print(&record, Time::Hidden);
            }
            failed += usize::from(outcome.verdict() == CallVerdict::Failed);
            let Runs { own, late } = self.runs(id, &outcome, first, &mut seen).await;
            for run in late.iter().chain(&own) {
                self.printer.print_run(run);
            }
            // Late work was counted when its call had ended.
            failed += own
                .iter()
                .filter(|run| run.verdict == CallVerdict::Failed)
                .count();
        }
        self.end().await;
        i32::from(failed > 0)
    }

    /// Waits for the work that a call left behind, and returns its runs. `first` is the number of the first piece of
    /// work that it may have spawned.
    async fn runs(&self, call: u64, outcome: &Outcome, first: u64, seen: &mut Seen) -> Runs {
        let pieces = self.caller.app.work().pieces();
        let grace = self.caller.app.limits().shutdown;
        let (has_all_jobs, is_late) = loop {
            let has_all_jobs = match &self.jobs {
                Some(jobs) => jobs.settled(&*self.clock, seen.job + MAX_JOBS).await,
                None => true,
            };
            let spawned = pieces.end_since(first);
            let is_late = tokio::time::timeout(grace, spawned).await.is_err();
            // Spawned work may have sent a job.
            let mut jobs = self.jobs.iter();
            if is_late || !has_all_jobs || !jobs.any(|jobs| jobs.has_due(self.clock.now())) {
                break (has_all_jobs, is_late);
            }
        };
        let mut runs = self.job_runs(outcome, has_all_jobs, seen);
        let (ended, running) = pieces.take_ended(first);
        let is_own = |one: &EndedPiece| one.root >= first;
        let (ended, late): (Vec<_>, Vec<_>) = ended.into_iter().partition(is_own);
        let count = |succeeded| {
            let ended = ended.iter().filter(|one| one.succeeded == succeeded);
            ended.map(|_| 1).sum::<u64>()
        };
        for succeeded in [true, false] {
            let (verdict, status) = verdict(succeeded);
            if count(succeeded) > 0 {
                let count = count(succeeded);
                runs.push(Run::spawned(&outcome.key, count, verdict, status));
            }
        }
        if count(false) > 0
            && let Some(failed) = runs.last_mut()
        {
            let record = self.caller.journal.find(call);
            failed.notes = record.map(|record| record.problems()).unwrap_or_default();
        }
        if is_late && running > 0 {
            let mut run = Run::spawned(&outcome.key, running, CallVerdict::Failed, "running");
            run.notes.push(format!(
                "it still runs after {grace:?}; it is cancelled at the end"
            ));
            runs.push(run);
        }
        if !has_all_jobs && let Some(last) = runs.last_mut() {
            last.notes.push(format!(
                "the call has stored more than {MAX_JOBS} jobs, directly or through other jobs; the rest is not waited for"
            ));
        }
        Runs {
            own: runs,
            late: seen.late_runs(&late),
        }
    }

    /// Returns the runs of the jobs that are new, the oldest first. Jobs that were not waited for are left out.
    fn job_runs(&self, outcome: &Outcome, has_all_jobs: bool, seen: &mut Seen) -> Vec<Run> {
        let records = self
            .jobs
            .as_ref()
            .map(|jobs| jobs.records())
            .unwrap_or_default();
        let id = |record: &JobRecord| record.id.parse::<u64>().unwrap_or_default();
        let is_new = |record: &JobRecord| id(record) > seen.job;
        let new: Vec<JobRecord> = records.into_iter().rev().filter(is_new).collect();
        seen.job = new.last().map_or(seen.job, id);
        let seal = self.caller.app.job_seal();
        let has_run = |job: &&JobRecord| {
            let is_first = job.attempts == 0 && job.last.is_none();
            let has_ended = job.state != JobState::Running;
            has_all_jobs || has_ended && !(job.state == JobState::Waiting && is_first)
        };
        let runs = new.iter().filter(has_run).filter_map(|job| {
            let error = job.last_error(seal);
            self.job_run(job, error, outcome)
        });
        runs.collect()
    }

    /// Returns the first run of a job; `None` if it waits for a later time, or was ended with its installation.
    fn job_run(&self, job: &JobRecord, error: Option<String>, outcome: &Outcome) -> Option<Run> {
        let now = self.clock.now();
        let was_due =
            job.attempts > 0 || job.last.is_some() || job.due.is_none_or(|due| due <= now);
        let (verdict, status) = match job.state {
            JobState::Discarded => return None,
            JobState::Waiting if !was_due => return None,
            JobState::Done if job.attempts <= 1 => (CallVerdict::Passed, "done"),
            _ => {
                let is_rejected =
                    |error: &String| REJECTED.iter().any(|text| error.starts_with(text));
                match error.as_ref().is_some_and(is_rejected) && outcome.is_guess {
                    true => (CallVerdict::NeedsSample, "failed"),
                    false => (CallVerdict::Failed, "failed"),
                }
            }
        };
        let mut notes: Vec<String> = error.into_iter().collect();
        if let Some(report) = job.last.as_ref().filter(|_| notes.is_empty()) {
            notes.push(report.code.as_str().to_owned());
        }
        match job.state {
            JobState::Done if job.attempts > 1 => {
                notes.push(format!("it succeeded at attempt {}", job.attempts));
            }
            JobState::Waiting => {
                let pause = job
                    .due
                    .and_then(|due| due.duration_since(now).ok())
                    .unwrap_or_default();
                notes.push(format!(
                    "its next attempt would be in {} s",
                    pause.as_secs().max(1)
                ));
            }
            JobState::Dead => notes.push("it is not retried".to_owned()),
            _ => {}
        }
        if verdict == CallVerdict::NeedsSample {
            let key = &outcome.key;
            notes.push(format!(
                "it needs a body: set one with `App::sample_body(\"{key}\", json)`"
            ));
        }
        Some(Run::job(job, verdict, status, notes))
    }
}

/// A part of an installation's life. A handler that is called before the installation has no token yet,
/// and one that is called after the uninstallation has none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Installed,
    Upgraded,
    InUse,
    Uninstalled,
}

impl Phase {
    fn of(event: Option<&str>, ends_installation: bool) -> Self {
        match event {
            _ if ends_installation => Self::Uninstalled,
            Some("avi:forge:installed:app") => Self::Installed,
            Some("avi:forge:upgraded:app") => Self::Upgraded,
            _ => Self::InUse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_work_is_reported_under_the_key_of_its_call() {
        let seen = Seen {
            job: 0,
            calls: vec![
                (0, "first".into()),
                (2, "second".into()),
                (2, "third".into()),
            ],
        };
        let ended = [(1, true), (0, false), (2, true)];
        let ended = ended.map(|(root, succeeded)| EndedPiece { root, succeeded });
        let runs = seen.late_runs(&ended);
        let runs = runs.iter().map(|one| (one.key.as_str(), one.status));
        let expected = [("first", "done"), ("first", "failed"), ("third", "done")];
        assert_eq!(Vec::from_iter(runs), expected);
    }
}
