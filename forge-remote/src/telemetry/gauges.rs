//! The numbers that are recorded together, by name.
#![cfg_attr(not(feature = "metrics"), allow(dead_code))]

use std::time::Duration;

/// The writes to the token store since the process started, and what waits for the next one.
pub(crate) struct TokenWrites {
    /// The tokens that the store has taken.
    pub(crate) written: u64,
    /// The calls of the store that failed.
    pub(crate) failed: u64,
    /// The tokens that were dropped before they were written, because memory was full.
    pub(crate) dropped: u64,
    /// The tokens and removals that wait.
    pub(crate) pending: u64,
}

/// The stored jobs.
pub(crate) struct JobGauges {
    /// The waiting and the running jobs.
    pub(crate) pending: u64,
    /// The jobs that are not retried.
    pub(crate) dead: u64,
    /// The time since the oldest due job became due.
    pub(crate) oldest_age: Duration,
}
