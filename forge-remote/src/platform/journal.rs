//! The calls that the local platform has made: the last ones, with their outcomes and log lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::broadcast;

use super::changes::CallChanges;
use super::outcome::Outcome;

/// The number of calls that are kept.
pub(crate) const MAX_CALLS: usize = 500;
/// The bodies and lines that are kept, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The number of lines, and of outgoing calls, that are kept of one call.
const MAX_LINES: usize = 500;
/// What a line counts for, in bytes.
const LINE_SIZE: usize = 256;
/// The number of changes that a slow subscriber can be behind.
const MAX_BEHIND: usize = 1024;

/// The cause of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Its interval.
    Schedule,
    /// The console.
    Console,
    /// The command `invoke`.
    Invoke,
    /// `dev --once`.
    Once,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Console => "console",
            Self::Invoke => "invoke",
            Self::Once => "once",
        }
    }
}

/// A call that was sent, and what became of it.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) at: SystemTime,
    pub(crate) sent: Arc<Sent>,
    /// `None` while the call runs.
    pub(crate) outcome: Option<Arc<Outcome>>,
    pub(crate) log: Vec<LogLine>,
    pub(crate) outgoing: Vec<OutgoingCall>,
}

/// What was sent.
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) kind: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) event: Option<String>,
    pub(crate) tokens: Vec<&'static str>,
    pub(crate) origin: Origin,
    pub(crate) changes: CallChanges,
    pub(crate) trace_id: String,
    /// Without secrets.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) claims: Value,
    pub(crate) body: Vec<u8>,
}

/// A log line of a call.
#[derive(Clone)]
pub(crate) struct LogLine {
    pub(crate) after: Duration,
    pub(crate) level: tracing::Level,
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// A call to Atlassian that a call's handler made.
#[derive(Clone)]
pub(crate) struct OutgoingCall {
    pub(crate) ended_after: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) api: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: Option<u16>,
}

/// A change that subscribers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The call with this id began.
    Began(u64),
    /// The call with this id ended.
    Ended(u64),
    /// A schedule was paused or resumed, or its next call is another.
    Schedules,
}

/// The last calls. Clones share them.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    bytes: usize,
    /// Each with its size in bytes.
    calls: VecDeque<(Record, usize)>,
}

impl Default for Journal {
    fn default() -> Self {
        let changes = broadcast::Sender::new(MAX_BEHIND);
        let state = Mutex::default();
        Self(Arc::new(Shared { state, changes }))
    }
}

impl Journal {
    /// Adds a call that is about to be sent, and returns its id.
    pub(crate) fn begin(&self, sent: Sent) -> u64 {
        let id = self.state().begin(sent);
        self.announce(Change::Began(id));
        id
    }

    /// Sets the outcome of a call.
    pub(crate) fn end(&self, id: u64, outcome: Arc<Outcome>) {
        let size = outcome.response_size();
        self.state().change(
            |record| record.id == id,
            size,
            |record| record.outcome = Some(outcome),
        );
        self.announce(Change::Ended(id));
    }

    /// Adds a log line to the call with this trace id.
    pub(crate) fn add_line(&self, trace_id: &str, line: impl FnOnce(Duration) -> LogLine) {
        let is_wanted =
            |record: &Record| record.sent.trace_id == trace_id && record.log.len() < MAX_LINES;
        self.state().change(is_wanted, LINE_SIZE, |record| {
            record.log.push(line(record.elapsed()));
        });
    }

    /// Adds an outgoing call to the call with this trace id.
    pub(crate) fn add_outgoing(&self, trace_id: &str, call: impl FnOnce(Duration) -> OutgoingCall) {
        let is_wanted =
            |record: &Record| record.sent.trace_id == trace_id && record.outgoing.len() < MAX_LINES;
        self.state().change(is_wanted, LINE_SIZE, |record| {
            record.outgoing.push(call(record.elapsed()));
        });
    }

    /// Returns the calls, oldest first.
    pub(crate) fn calls(&self) -> Vec<Record> {
        self.state()
            .calls
            .iter()
            .map(|(record, _)| record.clone())
            .collect()
    }

    /// Returns the call with this id, if it is one of the last.
    pub(crate) fn find(&self, id: u64) -> Option<Record> {
        let state = self.state();
        let mut calls = state.calls.iter().rev();
        calls
            .find(|(record, _)| record.id == id)
            .map(|(record, _)| record.clone())
    }

    /// Returns the changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Sends a change to all subscribers.
    pub(crate) fn announce(&self, change: Change) {
        // An error means that nobody listens.
        let _ = self.0.changes.send(change);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, sent: Sent) -> u64 {
        self.last_id += 1;
        let size = sent.body.len();
        let record = Record {
            id: self.last_id,
            at: SystemTime::now(),
            sent: Arc::new(sent),
            outcome: None,
            log: Vec::new(),
            outgoing: Vec::new(),
        };
        self.calls.push_back((record, size));
        self.bytes += size;
        self.drop_oldest();
        self.last_id
    }

    /// Changes the newest call that is wanted, which grows by `size` bytes.
    fn change(
        &mut self,
        is_wanted: impl Fn(&Record) -> bool,
        size: usize,
        change: impl FnOnce(&mut Record),
    ) {
        let mut calls = self.calls.iter_mut().rev();
        let Some((record, total)) = calls.find(|(record, _)| is_wanted(record)) else {
            return;
        };
        change(record);
        *total += size;
        self.bytes += size;
        self.drop_oldest();
    }

    /// Drops the oldest calls beyond the limits, but never the newest.
    fn drop_oldest(&mut self) {
        while self.calls.len() > MAX_CALLS || (self.bytes > MAX_BYTES && self.calls.len() > 1) {
            let dropped = self.calls.pop_front();
            self.bytes -= dropped.map_or(0, |(_, size)| size);
        }
    }
}

impl Record {
    fn elapsed(&self) -> Duration {
        self.at.elapsed().unwrap_or_default()
    }
}
