//! Rate limits for log lines.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::futures::TaskLocalFuture;

/// The time window of a limit.
const WINDOW: Duration = Duration::from_secs(60);
/// Upper bound on the lines of one code in a window.
const LINES_PER_CODE: u32 = 10;

tokio::task_local! {
    /// The limits of the app whose call is being handled.
    static CURRENT: LogLimits;
}

/// Returns a permit to log a line with this code under the limits of the app whose call is being
/// handled; outside of a call, every line is permitted. For lines that a caller can cause at will: a
/// failure of the app itself is logged each time.
pub fn permit(code: &'static str) -> Option<Permit> {
    CURRENT
        .try_with(|limits| limits.permit(code))
        .unwrap_or(Some(Permit { suppressed: None }))
}

/// Permission to log one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The number of lines suppressed since the last permitted one; `None` instead of 0, so that the
    /// field is omitted from the line.
    pub suppressed: Option<u64>,
}

/// Limits one kind of line to a number a minute, and counts the suppressed lines.
///
/// ```ignore
/// if let Some(permit) = limit.permit(clock.elapsed()) {
///     tracing::warn!(suppressed = permit.suppressed, "the store is down");
/// }
/// ```
#[derive(Debug)]
pub struct LogLimit {
    lines: u32,
    window_start: Option<Duration>,
    logged: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Creates a limit of this many lines a minute.
    pub const fn new(lines: u32) -> Self {
        Self {
            lines,
            window_start: None,
            logged: 0,
            suppressed: 0,
        }
    }

    /// Returns a permit to log a line now, or counts the line as suppressed. `now` is the time of a
    /// monotonic clock.
    pub fn permit(&mut self, now: Duration) -> Option<Permit> {
        let is_over = self
            .window_start
            .is_none_or(|start| now.saturating_sub(start) >= WINDOW);
        if is_over {
            self.window_start = Some(now);
            self.logged = 0;
        }
        if self.logged >= self.lines {
            self.suppressed += 1;
            return None;
        }
        self.logged += 1;
        let suppressed = std::mem::take(&mut self.suppressed);
        Some(Permit {
            suppressed: (suppressed > 0).then_some(suppressed),
        })
    }
}

/// Limits to one line a minute.
impl Default for LogLimit {
    fn default() -> Self {
        Self::new(1)
    }
}

/// A limit for each code, so that callers cannot fill the log. Clones share the counts.
#[derive(Clone)]
pub struct LogLimits(Arc<Limits>);

struct Limits {
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
    by_code: Mutex<HashMap<&'static str, LogLimit>>,
}

impl fmt::Debug for LogLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLimits").finish_non_exhaustive()
    }
}

impl LogLimits {
    /// Creates limits that read the time from `elapsed`, a monotonic clock.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(Limits {
            elapsed: Box::new(elapsed),
            by_code: Mutex::default(),
        }))
    }

    /// Runs a call under these limits: [`permit`] applies them.
    pub fn scope<F: Future>(&self, call: F) -> TaskLocalFuture<LogLimits, F> {
        CURRENT.scope(self.clone(), call)
    }

    /// Runs one step of a call under these limits, as [`scope`](Self::scope) runs all of it.
    pub fn sync_scope<T>(&self, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), step)
    }

    /// Returns a permit to log a line with this code, or counts the line as suppressed. The next line
    /// of the same code has the count. Codes are constants of the program: no caller can add one.
    pub fn permit(&self, code: &'static str) -> Option<Permit> {
        let now = (self.0.elapsed)();
        let by_code = self.0.by_code.lock();
        by_code
            .unwrap_or_else(PoisonError::into_inner)
            .entry(code)
            .or_insert(LogLimit::new(LINES_PER_CODE))
            .permit(now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn suppressed_lines_are_counted_in_the_next_one() {
        let mut limit = LogLimit::new(2);
        let at = Duration::from_secs;
        assert_eq!(limit.permit(at(5)), Some(Permit { suppressed: None }));
        assert_eq!(limit.permit(at(6)), Some(Permit { suppressed: None }));
        for second in 7..64 {
            assert_eq!(limit.permit(at(second)), None, "{second}");
        }
        assert_eq!(limit.permit(at(65)).unwrap().suppressed, Some(57));
        assert_eq!(limit.permit(at(66)).unwrap().suppressed, None);
        assert_eq!(limit.permit(at(67)), None);
    }
}
