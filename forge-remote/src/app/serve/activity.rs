//! The activity of a connection: its own task records it, and the server reads it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// The phase of a connection's current HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connection waits for the first byte of a request.
    Idle,
    /// A request's head is incomplete.
    Head,
    /// A request was passed to its handler; its response is not complete.
    Call,
    /// The response is complete but not yet passed to the kernel.
    Flush,
    /// The response is sent, and the request's body is not at its end.
    Body,
    /// The connection is closed for writing, and what the peer still sends is discarded.
    Closing,
}

const PHASE_BITS: u32 = 3;

impl Phase {
    fn of(phases: u64) -> Self {
        match phases & 0b111 {
            0 => Self::Idle,
            1 => Self::Head,
            2 => Self::Call,
            3 => Self::Flush,
            4 => Self::Body,
            _ => Self::Closing,
        }
    }
}

/// The activity of one connection.
///
/// Only the connection's task changes the first two, so that a change is a load and a store. Both
/// count their changes: the server compares the numbers over time and needs no clock reading from
/// the task.
#[derive(Debug)]
pub(super) struct Activity {
    /// How often the phase has changed, and the phase.
    phases: AtomicU64,
    /// How often writing was blocked by the peer and unblocked again; odd while it is blocked.
    writes: AtomicU64,
    /// The connection closes if it is still in this state of `phases`; 0: no request to close.
    close_in_phase: AtomicU64,
    /// The connection closes if it is still in this state of `writes`; 0: no request to close.
    close_in_write: AtomicU64,
    /// The connection frees its buffers if it is still in this state of `phases`; 0: no request to rest.
    rest_in_phase: AtomicU64,
    /// The number of request bodies that handlers hold and have not read to their end.
    bodies: AtomicU32,
    /// A body was dropped before its end, and the HTTP layer may not have seen it yet.
    is_body_left: AtomicBool,
    /// The last request has a body that was not read to its end, or is invalid, so the peer may still send the rest.
    is_unread: AtomicBool,
    /// The connection ends after its call, or at once without one.
    is_stopping: AtomicBool,
    /// The connection's task, once it has been polled.
    task: Mutex<Option<Waker>>,
}

/// A state of a connection: it is equal to a later one only if nothing has happened in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    phases: u64,
    writes: u64,
}

impl Snapshot {
    pub(super) fn phase(self) -> Phase {
        Phase::of(self.phases)
    }

    /// Returns whether the connection has completed a call.
    pub(super) fn is_used(self) -> bool {
        self.phases >> PHASE_BITS > 1
    }

    /// Returns whether writing is blocked because the peer does not read.
    pub(super) fn is_blocked(self) -> bool {
        self.writes & 1 == 1
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            // No state is ever 0, because 0 stands for "no request to close".
            phases: AtomicU64::new(1 << PHASE_BITS),
            writes: AtomicU64::new(2),
            close_in_phase: AtomicU64::new(0),
            close_in_write: AtomicU64::new(0),
            rest_in_phase: AtomicU64::new(0),
            bodies: AtomicU32::new(0),
            is_body_left: AtomicBool::new(false),
            is_unread: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            task: Mutex::new(None),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::of(self.phases.load(Ordering::Relaxed))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            phases: self.phases.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    /// Records a change of phase. For the connection's task alone.
    pub(super) fn enter(&self, phase: Phase) {
        let changes = self.phases.load(Ordering::Relaxed) >> PHASE_BITS;
        let phases = (changes + 1) << PHASE_BITS | phase as u64;
        self.phases.store(phases, Ordering::Relaxed);
    }

    /// Records that a request was passed to its handler. For the connection's task alone.
    pub(super) fn begin_call(&self) {
        self.enter(Phase::Call);
        self.is_unread.store(false, Ordering::Relaxed);
    }

    /// Records that writing is now blocked, or is unblocked. For the connection's task alone.
    pub(super) fn toggle_blocked(&self) {
        let writes = self.writes.load(Ordering::Relaxed);
        self.writes.store(writes + 1, Ordering::Relaxed);
    }

    /// Requests that the connection closes, unless something happens on it first.
    pub(super) fn close_if(&self, still: Snapshot) {
        if still.is_blocked() {
            self.close_in_write.store(still.writes, Ordering::Relaxed);
        } else {
            self.close_in_phase.store(still.phases, Ordering::Relaxed);
        }
        self.wake();
    }

    /// Requests that the connection frees its buffers, unless something happens on it first.
    pub(super) fn rest_if(&self, still: Snapshot) {
        if self.rest_in_phase.swap(still.phases, Ordering::Relaxed) != still.phases {
            self.wake();
        }
    }

    /// Returns whether the connection must free its buffers.
    pub(super) fn must_rest(&self) -> bool {
        let phases = self.phases.load(Ordering::Relaxed);
        Phase::of(phases) == Phase::Idle && self.rest_in_phase.load(Ordering::Relaxed) == phases
    }

    /// Returns whether a request's body is not at its end, as far as the HTTP layer knows. It then keeps the
    /// connection, because it alone knows where the body ends and the next request begins.
    pub(super) fn has_body(&self) -> bool {
        self.is_body_held() || self.is_body_left.load(Ordering::Relaxed)
    }

    /// Returns whether a handler holds a request's body and has not read it completely.
    pub(super) fn is_body_held(&self) -> bool {
        self.bodies.load(Ordering::Acquire) > 0
    }

    pub(super) fn add_body(&self) {
        self.bodies.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that a body was read completely, or was dropped. Only once the HTTP layer can see the same.
    pub(super) fn remove_body(&self, is_read: bool) {
        if !is_read {
            self.is_body_left.store(true, Ordering::Release);
        }
        self.bodies.fetch_sub(1, Ordering::AcqRel);
    }

    /// Records that a request is not read to its end. If a body is dropped, before the HTTP layer can see that: it may end
    /// the connection at once.
    pub(super) fn leave_unread(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
    }

    /// Returns whether the peer may still send a part of its last request.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Records that the HTTP layer runs now, and sees which bodies were dropped. For the connection's task alone.
    pub(super) fn show_bodies(&self) {
        if self.is_body_left.load(Ordering::Relaxed) {
            self.is_body_left.swap(false, Ordering::AcqRel);
        }
    }

    /// Wakes the connection if it waits for a body that was read or dropped in another task.
    pub(super) fn wake_after_body(&self) {
        if self.phase() == Phase::Body && !self.is_body_held() {
            self.wake();
        }
    }

    /// Requests that the connection ends after its call, or at once without one.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Returns whether the connection must close now, even with unsent data.
    pub(super) fn must_close(&self) -> bool {
        self.close_in_phase.load(Ordering::Relaxed) == self.phases.load(Ordering::Relaxed)
            || self.close_in_write.load(Ordering::Relaxed) == self.writes.load(Ordering::Relaxed)
    }

    /// Sets the task to wake for a request. The task must check for requests after this call.
    pub(super) fn set_task(&self, task: &Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
    }

    fn wake(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_cancels_a_close_request() {
        let activity = Activity::new();
        let idle = activity.snapshot();
        activity.close_if(idle);
        assert!(activity.must_close());
        activity.enter(Phase::Head);
        assert!(!activity.must_close());

        activity.enter(Phase::Call);
        activity.toggle_blocked();
        let blocked = activity.snapshot();
        assert!(blocked.is_blocked());
        activity.close_if(blocked);
        assert!(activity.must_close());
        // One byte is read by the peer, and it stops again.
        activity.toggle_blocked();
        activity.toggle_blocked();
        assert!(!activity.must_close() && activity.snapshot() != blocked);
    }
}
