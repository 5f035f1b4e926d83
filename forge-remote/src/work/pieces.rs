//! The pieces of work that handlers have spawned, each with the piece that it descends from, for `dev --once`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    /// The number of the piece that a handler spawned, in this piece and in the ones that it spawns itself.
    static ROOT: u64;
}

/// The pieces of spawned work of one app, numbered in the order of their starts.
#[derive(Default)]
pub(crate) struct SpawnedPieces {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    /// The running pieces, with their roots.
    running: BTreeMap<u64, u64>,
    /// The pieces that have ended, if they are recorded.
    ended: Vec<EndedPiece>,
    is_recording: bool,
}

impl State {
    fn running_since(&self, first: u64) -> u64 {
        let since = self.running.values().filter(|root| **root >= first);
        since.map(|_| 1).sum()
    }
}

/// A piece of work that has ended and was not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedPiece {
    /// The number of the piece that a handler spawned, and that this one descends from.
    pub(crate) root: u64,
    pub(crate) succeeded: bool,
}

impl SpawnedPieces {
    /// Registers a piece until the returned guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> RunningPiece {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let root = ROOT.try_with(|root| *root).unwrap_or(number);
        state.running.insert(number, root);
        RunningPiece {
            pieces: Arc::clone(self),
            number,
            root,
            succeeded: None,
        }
    }

    /// Records the ends of pieces from now on, and returns the number of the next piece.
    pub(crate) fn record(&self) -> u64 {
        let mut state = self.lock();
        state.is_recording = true;
        state.next
    }

    /// Returns the pieces that have ended since the last time, and how many are running whose root has this number or a
    /// later one.
    pub(crate) fn take_ended(&self, first: u64) -> (Vec<EndedPiece>, u64) {
        let mut state = self.lock();
        let ended = std::mem::take(&mut state.ended);
        (ended, state.running_since(first))
    }

    /// Waits until no piece is running whose root has this number or a later one.
    pub(crate) async fn end_since(&self, first: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().running_since(first) == 0 {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a running piece. A piece that is dropped before its end was cancelled.
pub(crate) struct RunningPiece {
    pieces: Arc<SpawnedPieces>,
    number: u64,
    root: u64,
    succeeded: Option<bool>,
}

impl RunningPiece {
    /// Runs the piece's work: what it spawns descends from the same root.
    pub(crate) fn scope<F: Future>(&self, work: F) -> TaskLocalFuture<u64, F> {
        ROOT.scope(self.root, work)
    }

    pub(crate) fn end(mut self, succeeded: bool) {
        self.succeeded = Some(succeeded);
    }
}

impl Drop for RunningPiece {
    fn drop(&mut self) {
        let mut state = self.pieces.lock();
        state.running.remove(&self.number);
        if let Some(succeeded) = self.succeeded.filter(|_| state.is_recording) {
            let root = self.root;
            state.ended.push(EndedPiece { root, succeeded });
        }
        drop(state);
        self.pieces.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::FutureExt as _;

    use super::*;

    /// A piece of an earlier call that ends is not one of the later call.
    #[test]
    fn the_pieces_of_a_later_call_are_awaited() {
        let pieces = Arc::new(SpawnedPieces::default());
        pieces.begin().end(true);
        assert_eq!(pieces.record(), 1);
        let abandoned = pieces.begin();
        let second = pieces.record();
        let own = pieces.begin();
        abandoned.end(false);
        assert!(pieces.end_since(second).now_or_never().is_none());
        let ended = EndedPiece {
            root: 1,
            succeeded: false,
        };
        assert_eq!(pieces.take_ended(second), (vec![ended], 1));
        let waits = pieces.end_since(second);
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        own.end(true);
        assert!(waits.now_or_never().is_some());
        let ended = EndedPiece {
            root: second,
            succeeded: true,
        };
        assert_eq!(pieces.take_ended(second), (vec![ended], 0));
        assert_eq!(pieces.take_ended(second), (vec![], 0));
        // A cancelled piece is not running, and has no result.
        drop(pieces.begin());
        assert!(pieces.end_since(second).now_or_never().is_some());
        assert_eq!(pieces.take_ended(second), (vec![], 0));
    }

    /// An earlier call's piece spawns another one during a later call.
    #[tokio::test]
    async fn a_piece_belongs_to_the_call_of_the_piece_that_spawned_it() {
        let pieces = Arc::new(SpawnedPieces::default());
        let first = pieces.begin();
        let second = pieces.record();
        let inner = first.scope(async { pieces.begin() }).await;
        first.end(true);
        assert!(pieces.end_since(second).now_or_never().is_some());
        assert!(pieces.end_since(0).now_or_never().is_none());
        let innermost = inner.scope(async { pieces.begin() }).await;
        inner.end(true);
        innermost.end(true);
        let (ended, _) = pieces.take_ended(second);
        let roots = ended.into_iter().map(|one| one.root);
        assert_eq!(Vec::from_iter(roots), [0, 0, 0]);
    }
}
