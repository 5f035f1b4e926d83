//! The log of a test's handlers, and their limits.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

/// A log of the handlers' work, and the permits that they wait for.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) lines: Arc<watch::Sender<Vec<String>>>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) most: Arc<AtomicUsize>,
}

impl Log {
    pub(crate) fn new(open: bool) -> Self {
        Self {
            lines: Arc::new(watch::Sender::new(Vec::new())),
            gate: Arc::new(Semaphore::new(if open {
                Semaphore::MAX_PERMITS
            } else {
                0
            })),
            running: Arc::default(),
            most: Arc::default(),
        }
    }

    pub(crate) fn write(&self, line: impl Into<String>) {
        self.lines.send_modify(|lines| lines.push(line.into()));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits until this many lines are written, and returns them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<String> {
        let mut lines = self.lines.subscribe();
        let waiting = lines.wait_for(|lines| lines.len() >= count);
        let waiting = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        let lines = waiting.unwrap_or_else(|_| panic!("the handler does not run"));
        lines.unwrap().clone()
    }
}
