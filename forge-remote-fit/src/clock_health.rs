//! Whether the machine's clock agrees with Atlassian's, as FITs show it.

use std::sync::atomic::{AtomicU8, Ordering};

const CONFIRMED: u8 = 1;
const DOUBTFUL: u8 = 2;

/// The state of the machine's clock, by the dates of the last FIT with a valid signature.
///
/// The verifier records it; code that deletes by date reads it.
#[derive(Debug, Default)]
pub struct ClockHealth(AtomicU8);

impl ClockHealth {
    /// Records a FIT whose dates were accepted.
    pub fn confirm(&self) {
        self.0.store(CONFIRMED, Ordering::Relaxed);
    }

    /// Records a FIT that was rejected for its dates.
    pub fn doubt(&self) {
        self.0.store(DOUBTFUL, Ordering::Relaxed);
    }

    /// Returns whether the last FIT's dates were accepted.
    pub fn is_confirmed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CONFIRMED
    }

    /// Returns whether the last FIT was rejected for its dates.
    pub fn is_doubtful(&self) -> bool {
        self.0.load(Ordering::Relaxed) == DOUBTFUL
    }
}
