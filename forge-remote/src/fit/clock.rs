//! Time, passed in: tests never sleep.

use std::time::{Duration, Instant, SystemTime};

use crate::registry::BoxFuture;

/// Where the framework gets its time from.
///
/// ```
/// use forge_remote::fit::{Clock, SystemClock};
///
/// let clock = SystemClock::default();
/// assert!(clock.elapsed() <= clock.elapsed());
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: what `exp`, `nbf` and `iat` are compared with.
    fn now(&self) -> SystemTime;

    /// Time since the clock was made; never goes back. Ages and cool-downs are measured with it.
    fn elapsed(&self) -> Duration;

    /// Completes once [`elapsed`](Self::elapsed) has grown by `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
