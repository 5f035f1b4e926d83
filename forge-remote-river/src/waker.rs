//! Wakes River's client after a commit of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use riverqueue::{Client, QueueConfig};

use crate::stored_call::QUEUE;

/// Makes a client look for jobs. River wakes it only for inserts in River's own transactions.
///
/// A client looks for jobs when its queue's configuration changes, and River passes on a configuration that
/// differs from the one before. So each wake has another cooldown, of nanoseconds more.
pub(crate) struct Waker {
    client: Client,
    queue: QueueConfig,
    wakes: AtomicU64,
}

impl Waker {
    /// The shortest time between two looks for jobs, to which a wake adds less than a millisecond.
    pub(crate) const FETCH_COOLDOWN: Duration = Duration::from_millis(10);

    pub(crate) fn new(client: Client, queue: QueueConfig) -> Self {
        Self {
            client,
            queue,
            wakes: AtomicU64::new(1),
        }
    }

    /// Makes the client look for jobs, at the end of its cooldown. Wakes until then count as one.
    pub(crate) fn wake(&self) {
        let number = self.wakes.fetch_add(1, Ordering::Relaxed) % 1_000_000;
        let cooldown = Self::FETCH_COOLDOWN + Duration::from_nanos(number);
        let queue = self.queue.clone().with_fetch_cooldown(cooldown);
        if let Err(error) = self.client.local_queues().update(QUEUE, queue) {
            // The job then starts when the client next looks for jobs.
            tracing::debug!(%error, "River cannot be woken");
        }
    }
}
