//! When Forge last called each scheduled trigger, for metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fit::Clock;
use crate::registry::Registry;
use crate::telemetry::record;

/// The last calls of an app's scheduled triggers, by the handler's key.
#[derive(Clone)]
pub(super) struct LastCalls(BTreeMap<String, Arc<LastCall>>);

/// The last call of a scheduled trigger.
pub(super) struct LastCall {
    interval: Duration,
    clock: Arc<dyn Clock>,
    /// The time of the last call, by the clock's `elapsed`, in milliseconds; at first the start of
    /// the process.
    at: AtomicU64,
}

impl LastCalls {
    /// Starts to record the calls, if metrics are recorded.
    pub(super) fn new(registry: &Registry, clock: &Arc<dyn Clock>) -> Self {
        if !record::ENABLED {
            return Self(BTreeMap::new());
        }
        let handlers = registry.handlers().iter();
        let scheduled = handlers.filter_map(|handler| {
            let call = LastCall {
                interval: handler.registration().kind.interval()?,
                clock: Arc::clone(clock),
                at: AtomicU64::new(millis(clock.elapsed())),
            };
            Some((handler.key().to_owned(), Arc::new(call)))
        });
        Self(scheduled.collect())
    }

    /// Returns the record of a handler's last call; `None` if it is not a scheduled trigger.
    pub(super) fn of(&self, handler: &str) -> Option<Arc<LastCall>> {
        self.0.get(handler).cloned()
    }

    /// Records how long ago the calls were.
    pub(super) fn record(&self) {
        for (handler, call) in &self.0 {
            record::schedule(handler, call.interval, call.age());
        }
    }
}

impl LastCall {
    /// Records a call.
    pub(super) fn note(&self) {
        self.at
            .store(millis(self.clock.elapsed()), Ordering::Relaxed);
    }

    fn age(&self) -> Duration {
        let at = Duration::from_millis(self.at.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(at)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
