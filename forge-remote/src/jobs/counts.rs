//! How many jobs there are, for metrics.

use std::time::SystemTime;

/// The numbers of an engine's stored jobs, from [`JobEngine::counts`](super::JobEngine::counts).
///
/// ```
/// use forge_remote::jobs::JobCounts;
///
/// let mut counts = JobCounts::default();
/// counts.pending = 2;
/// assert_eq!((counts.dead, counts.oldest_due), (0, None));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobCounts {
    /// The jobs that wait, for their time too, or run.
    pub pending: u64,
    /// The jobs that are dead.
    pub dead: u64,
    /// When the waiting job with the earliest time is or was due; `None` if none waits.
    pub oldest_due: Option<SystemTime>,
}
