//! Injected clocks, so that tests do not sleep.

use std::time::{Duration, Instant, SystemTime};

use super::future::BoxFuture;

/// A source of time.
///
/// ```
/// use forge_remote_fit::{Clock, SystemClock};
///
/// let clock = SystemClock::default();
/// assert!(clock.elapsed() <= clock.elapsed());
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall clock's time, with which `exp`, `nbf` and `iat` are compared.
    fn now(&self) -> SystemTime;

    /// Returns the time since the clock was created, which never decreases. Ages and cooldowns are measured with it.
    fn elapsed(&self) -> Duration;

    /// Completes once [`elapsed`](Self::elapsed) has grown by `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;
}

/// A moment by both clocks. The monotonic one stops while a virtual machine is suspended, the wall
/// clock can be set: the longer of the two ages counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) elapsed: Duration,
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// Reads both clocks.
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self {
            elapsed: clock.elapsed(),
            wall: clock.now(),
        }
    }

    /// Returns the time since this moment.
    pub(crate) fn age(&self, clock: &dyn Clock) -> Duration {
        let by_wall = clock.now().duration_since(self.wall).unwrap_or_default();
        clock.elapsed().saturating_sub(self.elapsed).max(by_wall)
    }
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
