//! The places of a process that one installation leaves to the others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The run time for which other installations can wait without harm.
const SHORT: Duration = Duration::from_secs(1);
/// How long a rejected job waits at least.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// The longest time between the returns of two rejected jobs of a handler and installation.
const LONGEST_SPACING: Duration = Duration::from_millis(500);
/// How long a rejected job waits at most, if the runs take less or more than that: one run, because they may become shorter
/// in the meantime, or processes may be added.
const MIN_LONGEST_WAIT: Duration = Duration::from_secs(120);
const MAX_LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// How long a place is reserved for a suspect that was rejected: until it returns, and is claimed again.
const RESERVED_FOR: Duration = Duration::from_secs(4);

/// The running jobs of a process, by installation.
///
/// The last quarter of the places is for installations that have less than a quarter: otherwise the long jobs of one take
/// every place, and a job of another waits for minutes.
#[derive(Debug)]
pub(crate) struct Shares {
    places: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_installation: HashMap<String, Share>,
    /// The suspect that gets the next place, and until when. Others that apply all the time would take it.
    reserved: Option<(i64, Instant)>,
}

#[derive(Debug, Default)]
struct Share {
    begun: Vec<Begun>,
    /// The last runs of each handler.
    ended: HashMap<String, Ended>,
    /// When the next rejected job of a handler returns.
    next_return: HashMap<String, Instant>,
    /// The number of the last run.
    number: u64,
}

#[derive(Debug)]
struct Begun {
    number: u64,
    handler: String,
    at: Instant,
}

/// The runs of a handler that have ended.
#[derive(Debug, Default)]
struct Ended {
    /// Whether the last one was short.
    was_short: bool,
    /// When the last short ones since a long one ended, at most one for each place.
    short: VecDeque<Instant>,
}

/// A job that applies for a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) job: i64,
    pub(crate) installation: &'a str,
    pub(crate) handler: &'a str,
    /// The app limits how many jobs of the installation run.
    pub(crate) is_limited: bool,
    /// It may have ended a process.
    pub(crate) is_suspect: bool,
    /// How long a run of the handler takes.
    pub(crate) run: Duration,
}

/// A job that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    shares: &'a Shares,
    candidate: Candidate<'a>,
    number: u64,
}

impl Shares {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places,
            state: Mutex::default(),
        }
    }

    /// Returns the number of places that one installation takes at most while others have none.
    fn most(&self) -> usize {
        match self.places {
            ..4 => self.places,
            places => places - self.quarter(),
        }
    }

    fn quarter(&self) -> usize {
        self.places / 4
    }

    /// Records that a job runs. Otherwise returns how long it waits until it applies again.
    pub(crate) fn enter<'a>(
        &'a self,
        candidate: Candidate<'a>,
        now: Instant,
    ) -> Result<Run<'a>, Duration> {
        let most = self.most();
        let mut state = self.state();
        let state = &mut *state;
        let taken = state.taken();
        let reserved = state.reserved.filter(|(_, until)| now < *until);
        let is_own = reserved.is_some_and(|(job, _)| job == candidate.job);
        let is_reserved = reserved.is_some() && !is_own;
        let share = state
            .by_installation
            .entry(candidate.installation.to_owned());
        let share = share.or_default();
        let is_over =
            taken + usize::from(is_reserved) >= most && share.begun.len() >= self.quarter();
        let is_exempt =
            candidate.is_limited || !is_reserved && share.is_short(candidate.handler, now);
        if is_over && !is_exempt {
            if candidate.is_suspect && !is_reserved {
                state.reserved = Some((candidate.job, now + RESERVED_FOR));
                return Err(SHORT);
            }
            return Err(share.wait(candidate.handler, candidate.run, most, now));
        }
        if is_own {
            state.reserved = None;
        }
        share.number += 1;
        let number = share.number;
        share.begun.push(Begun {
            number,
            handler: candidate.handler.to_owned(),
            at: now,
        });
        Ok(Run {
            shares: self,
            candidate,
            number,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the number of running jobs.
    fn taken(&self) -> usize {
        let shares = self.by_installation.values();
        shares.map(|share| share.begun.len()).sum()
    }
}

impl Share {
    /// Returns whether the installation's runs of a handler are short now: the last one was, none has run for long, and
    /// fewer run than have ended within a second. Many that begin together may all be long, although the last one was short.
    /// Another installation's runs are no evidence, as they may have less to do.
    fn is_short(&self, handler: &str, now: Instant) -> bool {
        let is_recent = |time: Instant| now.saturating_duration_since(time) < SHORT;
        let Some(ended) = self.ended.get(handler).filter(|ended| ended.was_short) else {
            return false;
        };
        let evidence = ended.short.iter().filter(|time| is_recent(**time)).count();
        let same = self.begun.iter().filter(|begun| begun.handler == handler);
        let at: Vec<Instant> = same.map(|begun| begun.at).collect();
        at.len() < evidence.max(1) && at.into_iter().all(is_recent)
    }

    /// Returns how long a rejected job waits. However many there are, they return one after another, twice as often as
    /// jobs end: a free place does not wait for long, and each job is rejected about once in its turn. The reserved
    /// workers would otherwise claim and reject them all the time.
    fn wait(&mut self, handler: &str, run: Duration, most: usize, now: Instant) -> Duration {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let spacing = (run.max(SHORT) / most.max(1) / 2).min(LONGEST_SPACING);
        let earliest = now + run.clamp(SHORTEST_WAIT, SHORT);
        let next = self.next_return.get(handler).copied();
        let time = match next.map_or(earliest, |next| next.max(earliest)) {
            time if time <= now + longest_wait(run) => time,
            // Otherwise as early as the first, in addition to a job that waits until then.
            _ => earliest,
        };
        self.next_return.insert(handler.to_owned(), time + spacing);
        time.saturating_duration_since(now)
    }
}

/// Returns how long a rejected job waits at most, given the time that runs take.
fn longest_wait(run: Duration) -> Duration {
    run.clamp(MIN_LONGEST_WAIT, MAX_LONGEST_WAIT)
}

impl Run<'_> {
    /// Records how long the handler ran until now.
    pub(crate) fn note(&self, took: Duration, now: Instant) {
        let mut state = self.shares.state();
        if let Some(share) = state.by_installation.get_mut(self.candidate.installation) {
            let handler = self.candidate.handler.to_owned();
            share
                .ended
                .entry(handler)
                .or_default()
                .note(took, now, self.shares.places);
        }
    }
}

impl Ended {
    fn note(&mut self, took: Duration, now: Instant, places: usize) {
        self.was_short = took < SHORT;
        if !self.was_short {
            self.short.clear();
            return;
        }
        if self.short.len() >= places {
            self.short.pop_front();
        }
        self.short.push_back(now);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        let running = &mut state.by_installation;
        if let Some(share) = running.get_mut(self.candidate.installation) {
            share.begun.retain(|begun| begun.number != self.number);
        }
        let now = Instant::now();
        running.retain(|_, share| {
            !share.begun.is_empty() || share.next_return.values().any(|time| now < *time)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn candidate(installation: &str) -> Candidate<'_> {
        Candidate {
            job: 1,
            installation,
            handler: "index",
            is_limited: false,
            is_suspect: false,
            run: Duration::from_secs(2),
        }
    }

    #[test]
    fn the_last_quarter_is_for_installations_with_less() {
        let (shares, now) = (Shares::new(8), Instant::now());
        let enter = |installation| shares.enter(candidate(installation), now);
        let mut many: Vec<_> = (0..6).map(|_| enter("many").unwrap()).collect();
        let waits = [(); 2].map(|()| enter("many").unwrap_err());
        assert!(waits[0] >= SHORT && waits[1] > waits[0], "{waits:?}");
        let _few = [enter("few").unwrap(), enter("few").unwrap()];
        assert!(enter("few").is_err());
        // Seven run, and then five.
        many.pop();
        assert!(enter("few").is_err());
        many.truncate(3);
        assert!(enter("few").is_ok());
    }

    #[test]
    fn limited_jobs_take_every_place() {
        let (shares, now) = (Shares::new(8), Instant::now());
        let limited = Candidate {
            is_limited: true,
            ..candidate("many")
        };
        let runs: Result<Vec<_>, _> = (0..8).map(|_| shares.enter(limited, now)).collect();
        assert!(runs.is_ok());
        assert!(shares.enter(candidate("many"), now).is_err());
    }

    #[test]
    fn short_jobs_take_every_place_until_one_of_them_lasts() {
        let (shares, now) = (Shares::new(8), Instant::now());
        // The runs of another installation are no evidence.
        let other = shares.enter(candidate("other"), now).unwrap();
        other.note(SHORT / 20, now);
        let enter = |after| shares.enter(candidate("many"), now + after);
        let end = |run: Run<'_>, after| run.note(SHORT / 20, now + after);
        let mut many: Vec<_> = (0..5).map(|_| enter(Duration::ZERO).unwrap()).collect();
        assert!(enter(Duration::ZERO).is_err());
        drop(other);
        many.push(enter(Duration::ZERO).unwrap());
        for run in many.drain(..) {
            end(run, SHORT / 20);
        }
        let mut many: Vec<_> = (0..6).map(|_| enter(SHORT / 10).unwrap()).collect();
        // As many run as have ended: whether these are short, too, is not known yet.
        assert!(enter(SHORT / 10).is_err());
        end(many.remove(0), SHORT / 8);
        for _ in 0..2 {
            many.push(enter(SHORT / 8).unwrap());
        }
        assert!(enter(SHORT / 8).is_err());
        // One has run for a second, and the others may as well.
        for run in many.drain(1..) {
            end(run, SHORT * 2);
        }
        let enter_other = || shares.enter(candidate("other"), now + SHORT * 2);
        let _others: Vec<_> = (0..4).map(|_| enter_other().unwrap()).collect();
        many.push(enter(SHORT * 2).unwrap());
        assert!(enter(SHORT * 2).is_err());
        end(many.remove(0), SHORT * 2);
        for _ in 0..2 {
            many.push(enter(SHORT * 2).unwrap());
        }
    }

    #[test]
    fn a_burst_of_a_handler_that_was_short_takes_one_place_of_the_reserve() {
        let (shares, now) = (Shares::new(8), Instant::now());
        let notify = Candidate {
            handler: "notify",
            ..candidate("many")
        };
        let enter = |candidate, after| shares.enter(candidate, now + after);
        let short = enter(notify, Duration::ZERO).unwrap();
        let _long: Vec<_> = (0..5)
            .map(|_| enter(candidate("many"), Duration::ZERO).unwrap())
            .collect();
        short.note(SHORT / 20, now);
        drop(short);
        let _sixth = enter(candidate("many"), Duration::ZERO).unwrap();
        assert!(enter(candidate("many"), SHORT / 2).is_err());
        // Rare runs do not wait for the long ones, however long ago the last one was.
        let one = enter(notify, SHORT * 60).unwrap();
        assert!(enter(notify, SHORT * 60).is_err());
        // A long one ends the exemption.
        one.note(SHORT * 2, now + SHORT * 62);
        drop(one);
        assert!(enter(notify, SHORT * 62).is_err());
    }

    #[test]
    fn the_next_place_is_for_a_rejected_suspect() {
        let (shares, now) = (Shares::new(8), Instant::now());
        let enter = |candidate, after| shares.enter(candidate, now + after);
        let mut many: Vec<_> = (0..6)
            .map(|_| enter(candidate("many"), Duration::ZERO).unwrap())
            .collect();
        let suspect = |job| Candidate {
            job,
            is_suspect: true,
            ..candidate("many")
        };
        assert_eq!(enter(suspect(2), Duration::ZERO).unwrap_err(), SHORT);
        many.pop();
        assert!(enter(candidate("many"), SHORT).is_err());
        assert!(enter(suspect(3), SHORT).is_err());
        // An installation with few jobs has its own places.
        let _few = enter(candidate("few"), SHORT).unwrap();
        assert_eq!(enter(suspect(2), SHORT).unwrap_err(), SHORT);
        many.pop();
        let _second = enter(suspect(2), SHORT).unwrap();
        many.pop();
        many.push(enter(candidate("many"), SHORT).unwrap());
        // One that does not return keeps no place.
        assert!(enter(suspect(3), SHORT).is_err());
        many.pop();
        assert!(enter(candidate("many"), SHORT).is_err());
        assert!(enter(candidate("many"), SHORT + RESERVED_FOR).is_ok());
    }

    /// One installation has many jobs, and nobody else has any: the free workers claim them, too.
    #[test]
    fn an_idle_reserve_rejects_each_job_about_twice() {
        const PLACES: usize = 20;
        for (run, jobs) in [(2, 1000), (600, 1000), (600, 2000)] {
            let run = Duration::from_secs(run);
            let (shares, began) = (Shares::new(PLACES), Instant::now());
            let candidate = Candidate {
                run,
                ..candidate("many")
            };
            let mut due: BTreeSet<(Duration, u32)> =
                (0..jobs).map(|job| (Duration::ZERO, job)).collect();
            let mut running: VecDeque<(Duration, Run<'_>)> = VecDeque::new();
            let (mut time, mut rejected) = (Duration::ZERO, 0_u64);
            while !due.is_empty() || !running.is_empty() {
                // The free workers claim a job as soon as it is due.
                let next_due = due.first().map(|(at, _)| *at);
                let next_end = running.front().map(|(end, _)| *end);
                let next = [next_due, next_end].into_iter().flatten().min();
                time = time.max(next.unwrap());
                while running.front().is_some_and(|(end, _)| *end <= time) {
                    running.pop_front();
                }
                for _ in running.len()..PLACES {
                    let Some(next) = due.first().copied().filter(|(at, _)| *at <= time) else {
                        break;
                    };
                    due.remove(&next);
                    match shares.enter(candidate, began + time) {
                        Ok(permit) => running.push_back((time + run, permit)),
                        Err(wait) => {
                            rejected += 1;
                            due.insert((time + wait, next.1));
                        }
                    }
                }
            }
            let ideal = run * jobs / 15;
            assert!(time < ideal * 11 / 10, "{time:?} instead of {ideal:?}");
            // At least two a second, however rarely a job ends, and each job again after a run, or two minutes.
            let (seconds, jobs) = (time.as_secs(), u64::from(jobs));
            let returns = jobs + seconds * 2 + jobs * seconds / run.as_secs().max(120);
            assert!(
                rejected < jobs + 3 * returns / 2,
                "{rejected} rejections of {jobs} jobs that run for {run:?}"
            );
        }
    }

    #[test]
    fn many_rejected_jobs_delay_none_for_long_and_no_other_handler() {
        let (shares, now) = (Shares::new(8), Instant::now());
        let enter = |candidate| shares.enter(candidate, now);
        let _many: Vec<_> = (0..6).map(|_| enter(candidate("many")).unwrap()).collect();
        let waits = (0..10_000).map(|_| enter(candidate("many")).unwrap_err());
        assert!(waits.max() <= Some(longest_wait(candidate("many").run)));
        let notify = Candidate {
            handler: "notify",
            ..candidate("many")
        };
        assert!(enter(notify).unwrap_err() <= SHORT);
    }

    #[test]
    fn few_places_have_no_shares() {
        let (shares, now) = (Shares::new(3), Instant::now());
        let runs: Vec<_> = (0..3)
            .map(|_| shares.enter(candidate("many"), now))
            .collect();
        assert!(runs.iter().all(Result::is_ok));
    }

    #[test]
    fn nothing_is_kept_of_an_installation_without_jobs() {
        let shares = Shares::new(8);
        drop(shares.enter(candidate("one"), Instant::now()));
        assert!(shares.state().by_installation.is_empty());
    }
}
