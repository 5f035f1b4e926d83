//! The places of a process that one installation leaves to the others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    running: usize,
    /// How many of its jobs were rejected since one of them last ended.
    rejected: u32,
}

/// A job that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    shares: &'a Shares,
    installation: &'a str,
}

impl Shares {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places,
            running: Mutex::default(),
        }
    }

    /// Returns the number of places that one installation takes at most while others have none.
    pub(crate) fn most(&self) -> usize {
        match self.places {
            ..4 => self.places,
            places => places - self.quarter(),
        }
    }

    fn quarter(&self) -> usize {
        self.places / 4
    }

    /// Records that a job runs, whose installation may have more than its share if it `yields` soon. Otherwise returns
    /// how many of the installation's jobs were rejected, with this one, since one of them last ended.
    pub(crate) fn enter<'a>(&'a self, installation: &'a str, yields: bool) -> Result<Run<'a>, u32> {
        let mut running = self.running();
        let all: usize = running.values().map(|share| share.running).sum();
        let share = running.entry(installation.to_owned()).or_default();
        if !yields && all >= self.most() && share.running >= self.quarter() {
            share.rejected = share.rejected.saturating_add(1);
            return Err(share.rejected);
        }
        share.running += 1;
        Ok(Run {
            shares: self,
            installation,
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Share>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let mut running = self.shares.running();
        if let Some(share) = running.get_mut(self.installation) {
            share.running -= 1;
            share.rejected = 0;
            if share.running == 0 {
                running.remove(self.installation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_for_installations_with_less() {
        let shares = Shares::new(8);
        let enter = |installation| shares.enter(installation, false);
        let mut many: Vec<_> = (0..6).map(|_| enter("many").unwrap()).collect();
        assert_eq!(enter("many").unwrap_err(), 1);
        assert_eq!(enter("many").unwrap_err(), 2);
        let _few = [enter("few").unwrap(), enter("few").unwrap()];
        assert_eq!(enter("few").unwrap_err(), 1);
        // Seven run, and then five.
        many.pop();
        assert_eq!(enter("few").unwrap_err(), 2);
        many.truncate(3);
        assert!(enter("few").is_ok());
    }

    #[test]
    fn short_jobs_take_every_place() {
        let shares = Shares::new(8);
        let runs = (0..8).map(|_| shares.enter("many", true));
        let runs: Result<Vec<_>, _> = runs.collect();
        assert!(runs.is_ok());
        assert!(shares.enter("many", false).is_err());
    }

    #[test]
    fn few_places_have_no_shares() {
        let shares = Shares::new(3);
        let runs: Vec<_> = (0..3).map(|_| shares.enter("many", false)).collect();
        assert!(runs.iter().all(Result::is_ok));
    }

    #[test]
    fn nothing_is_kept_of_an_installation_without_jobs() {
        let shares = Shares::new(8);
        drop(shares.enter("one", false));
        assert!(shares.running().is_empty());
    }
}
