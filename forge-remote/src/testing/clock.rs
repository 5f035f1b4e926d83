//! A clock that tests advance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::fit::Clock;
use crate::registry::BoxFuture;

/// A clock that stands still until a test advances it.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<TestClockState>);

#[derive(Debug)]
struct TestClockState {
    /// The wall clock's time at an elapsed time of zero.
    start: Mutex<SystemTime>,
    elapsed: watch::Sender<Duration>,
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TestClock {
    /// Creates a clock that shows the current time.
    pub fn new() -> Self {
        Self(Arc::new(TestClockState {
            start: Mutex::new(SystemTime::now()),
            elapsed: watch::Sender::new(Duration::ZERO),
        }))
    }

    /// Advances the clock and wakes sleepers that are due.
    pub fn advance(&self, duration: Duration) {
        self.0.elapsed.send_modify(|elapsed| *elapsed += duration);
    }

    /// Sets the wall clock, as an operator does or a virtual machine that resumes. The time
    /// [elapsed](Clock::elapsed) does not change.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::fit::Clock as _;
    /// use forge_remote::testing::TestClock;
    ///
    /// let clock = TestClock::new();
    /// clock.set(clock.now() - Duration::from_secs(3600));
    /// assert_eq!(clock.elapsed(), Duration::ZERO);
    /// ```
    pub fn set(&self, now: SystemTime) {
        *self.start() = now - *self.0.elapsed.borrow();
    }

    /// Returns the wall clock's time.
    pub fn now(&self) -> SystemTime {
        *self.start() + *self.0.elapsed.borrow()
    }

    fn start(&self) -> MutexGuard<'_, SystemTime> {
        self.0.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        self.now()
    }

    fn elapsed(&self) -> Duration {
        *self.0.elapsed.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let until = self.elapsed() + duration;
        let mut elapsed = self.0.elapsed.subscribe();
        Box::pin(async move {
            // An error means that the clock was dropped.
            let _ = elapsed.wait_for(|elapsed| *elapsed >= until).await;
        })
    }
}
