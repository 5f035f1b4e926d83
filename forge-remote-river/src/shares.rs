//! The places of a process that one installation leaves to the others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The run time for which other installations can wait without harm.
const SHORT: Duration = Duration::from_secs(1);
/// How long a rejected job waits at least.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// The longest time between the returns of two rejected jobs of a handler and installation.
const LONGEST_SPACING: Duration = Duration::from_millis(500);
/// How long a rejected job waits at most: the runs may become shorter in the meantime, or processes may be added.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The running jobs of a process, by installation.
///
/// The last quarter of the places is for installations that have less than a quarter: otherwise the long jobs of one take
/// every place, and a job of another waits for minutes.
#[derive(Debug)]
pub(crate) struct Shares {
    places: usize,
    running: Mutex<HashMap<String, Share>>,
}

#[derive(Debug, Default)]
struct Share {
    begun: Vec<Begun>,
    /// Whether the last run of a handler was short.
    short: HashMap<String, bool>,
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

/// A job that applies for a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) installation: &'a str,
    pub(crate) handler: &'a str,
    /// The app limits how many jobs of the installation run.
    pub(crate) is_limited: bool,
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
            running: Mutex::default(),
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
        let mut running = self.running();
        let all: usize = running.values().map(|share| share.begun.len()).sum();
        let Candidate {
            installation,
            handler,
            is_limited,
            run,
        } = candidate;
        let share = running.entry(installation.to_owned()).or_default();
        let is_over = all >= most && share.begun.len() >= self.quarter();
        if is_over && !is_limited && !share.is_short(handler, now) {
            return Err(share.wait(handler, run, most, now));
        }
        share.number += 1;
        let number = share.number;
        share.begun.push(Begun {
            number,
            handler: handler.to_owned(),
            at: now,
        });
        Ok(Run {
            shares: self,
            candidate,
            number,
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Share>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Returns whether the installation's runs of a handler are short now: the last one was, and none has run for
    /// long. Another installation's are no evidence, as they may have less to do.
    fn is_short(&self, handler: &str, now: Instant) -> bool {
        let is_recent = |time: Instant| now.saturating_duration_since(time) < SHORT;
        let same = self.begun.iter().filter(|begun| begun.handler == handler);
        self.short.get(handler).copied().unwrap_or_default()
            && same.map(|begun| begun.at).all(is_recent)
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
            time if time <= now + LONGEST_WAIT => time,
            // Otherwise as early as the first, in addition to a job that waits until then.
            _ => earliest,
        };
        self.next_return.insert(handler.to_owned(), time + spacing);
        time.saturating_duration_since(now)
    }
}

impl Run<'_> {
    /// Records how long the handler ran.
    pub(crate) fn note(&self, took: Duration) {
        let mut running = self.shares.running();
        if let Some(share) = running.get_mut(self.candidate.installation) {
            let handler = self.candidate.handler.to_owned();
            share.short.insert(handler, took < SHORT);
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let mut running = self.shares.running();
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
    use std::collections::{BTreeSet, VecDeque};

    use super::*;

    fn candidate(installation: &str) -> Candidate<'_> {
        Candidate {
            installation,
            handler: "index",
            is_limited: false,
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
        other.note(SHORT / 20);
        let enter = |after| shares.enter(candidate("many"), now + after);
        let mut many: Vec<_> = (0..5).map(|_| enter(Duration::ZERO).unwrap()).collect();
        assert!(enter(Duration::ZERO).is_err());
        drop(other);
        many.push(enter(Duration::ZERO).unwrap());
        let short = many.pop().unwrap();
        short.note(SHORT / 20);
        drop(short);
        while many.len() < 7 {
            many.push(enter(SHORT / 2).unwrap());
        }
        // One has run for a second, and the others may as well.
        assert!(enter(SHORT).is_err());
        // The others have ended: the last run that is known was short.
        many.truncate(1);
        many.push(enter(SHORT * 60).unwrap());
        many.remove(0);
        many.extend((0..7).map(|_| enter(SHORT * 60).unwrap()));
        // One has ended, after a long run.
        let long = many.pop().unwrap();
        long.note(SHORT * 2);
        drop(long);
        assert!(enter(SHORT * 60).is_err());
    }

    /// One installation has many jobs, and nobody else has any: the free workers claim them, too.
    #[test]
    fn an_idle_reserve_rejects_each_job_about_twice() {
        const PLACES: usize = 20;
        const JOBS: u32 = 1000;
        let (shares, began) = (Shares::new(PLACES), Instant::now());
        for run in [2, 600].map(Duration::from_secs) {
            let candidate = Candidate {
                run,
                ..candidate("many")
            };
            let mut due: BTreeSet<(Duration, u32)> =
                (0..JOBS).map(|job| (Duration::ZERO, job)).collect();
            let mut running = VecDeque::new();
            let (mut time, mut rejected) = (Duration::ZERO, 0);
            while !due.is_empty() || !running.is_empty() {
                time += run / 200;
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
            let ideal = run * JOBS / 15;
            assert!(time < ideal * 11 / 10, "{time:?} instead of {ideal:?}");
            // At least two a second, however rarely a job ends, and each job again after two minutes.
            let seconds = u32::try_from(time.as_secs()).unwrap();
            let returns = JOBS + seconds * 2 + JOBS * seconds / 120;
            assert!(rejected < JOBS + 3 * returns / 2, "{rejected} rejections");
        }
    }

    #[test]
    fn many_rejected_jobs_delay_none_for_long_and_no_other_handler() {
        let (shares, now) = (Shares::new(8), Instant::now());
        let enter = |candidate| shares.enter(candidate, now);
        let _many: Vec<_> = (0..6).map(|_| enter(candidate("many")).unwrap()).collect();
        let waits = (0..10_000).map(|_| enter(candidate("many")).unwrap_err());
        assert!(waits.max() <= Some(LONGEST_WAIT));
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
        assert!(shares.running().is_empty());
    }
}
