//! How long the runs of each handler take, by which its rejected calls are spread.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time of a handler's run, before one was measured.
const FIRST_GUESS: Duration = Duration::from_millis(200);

/// The time of a run by handler, averaged over the last ones.
#[derive(Debug, Default)]
pub(crate) struct RunTimes(Mutex<HashMap<String, Duration>>);

impl RunTimes {
    pub(crate) fn of(&self, handler: &str) -> Duration {
        self.averages().get(handler).copied().unwrap_or(FIRST_GUESS)
    }

    /// Records a run. The handlers are those of the app, so they are few.
    pub(crate) fn note(&self, handler: &str, took: Duration) {
        let mut averages = self.averages();
        match averages.get_mut(handler) {
            Some(average) => *average = *average * 7 / 8 + took / 8,
            None => {
                averages.insert(handler.to_owned(), took);
            }
        }
    }

    fn averages(&self) -> MutexGuard<'_, HashMap<String, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_handler_does_not_slow_another() {
        let times = RunTimes::default();
        times.note("fast", Duration::from_millis(8));
        for _ in 0..100 {
            times.note("slow", Duration::from_secs(600));
        }
        assert_eq!(times.of("fast"), Duration::from_millis(8));
        assert_eq!(times.of("new"), FIRST_GUESS);
        times.note("fast", Duration::from_millis(16));
        assert_eq!(times.of("fast"), Duration::from_millis(9));
        assert!(times.of("slow") > Duration::from_secs(599));
    }
}
