//! The calls that the local platform has made: the last ones, with their outcomes and log lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio::sync::broadcast;

use super::changes::CallChanges;
use super::outcome::Outcome;

/// The number of calls that are kept.
pub(crate) const MAX_CALLS: usize = 500;
/// The limit on the kept data of all calls, in bytes. The newest call is always kept; the next limits bound its
/// size.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The number of lines, and of outgoing calls, that are kept of one call.
const MAX_LINES: usize = 500;
/// The lines and outgoing calls that are kept of one call, in bytes.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;
/// The longest text of a line, in bytes.
const MAX_TEXT: usize = 16 * 1024;
/// The overhead of a call, a line or a header in addition to its texts, in bytes.
const OVERHEAD: usize = 128;
/// How the message of a handler's error begins.
const FAILED: &str = "the handler failed";
/// The number of changes that a slow subscriber can be behind.
const MAX_BEHIND: usize = 1024;
/// The least time between two changes of one call's log: subscribers read it that much later.
const LOG_PAUSE: Duration = Duration::from_millis(250);

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

/// A sent call and its outcome.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) at: SystemTime,
    pub(crate) sent: Arc<Sent>,
    /// `None` while the call runs.
    pub(crate) outcome: Option<Arc<Outcome>>,
    pub(crate) log: Vec<LogLine>,
    /// The number of lines and outgoing calls that were too many.
    pub(crate) left_out: usize,
    pub(crate) outgoing: Vec<OutgoingCall>,
}

/// The sent call.
pub(crate) struct Sent {
    /// The handler's unique name.
    pub(crate) handler: String,
    pub(crate) key: String,
    pub(crate) module_type: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) event: Option<String>,
    pub(crate) tokens: Vec<&'static str>,
    pub(crate) origin: Origin,
    /// Without the body.
    pub(crate) changes: CallChanges,
    /// The number of the retry; `None` for a first delivery.
    pub(crate) retry: Option<u32>,
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
    /// The log of the call with this id grew.
    Logged(u64),
    /// A schedule was paused or resumed, or its next call is another.
    Schedules,
}

/// The last calls. Clones share them.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    state: Mutex<JournalState>,
    changes: broadcast::Sender<Change>,
}

#[derive(Default)]
struct JournalState {
    last_id: u64,
    bytes: usize,
    calls: VecDeque<JournalEntry>,
}

/// A call with its size.
struct JournalEntry {
    record: Record,
    bytes: usize,
    /// The part of the lines and outgoing calls.
    log_bytes: usize,
    /// When subscribers last got a change of its log.
    announced: Option<Instant>,
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
        let mut state = self.state();
        let id = state.begin(sent);
        // Under the lock, so that subscribers get the ids in order.
        self.announce(Change::Began(id));
        id
    }

    /// Sets the outcome of a call.
    pub(crate) fn end(&self, id: u64, outcome: Arc<Outcome>) {
        let size = outcome.response_size();
        self.state().change(
            |record| record.id == id,
            |entry| {
                entry.record.outcome = Some(outcome);
                size
            },
        );
        self.announce(Change::Ended(id));
    }

    /// Adds a log line to the call with this trace id.
    pub(crate) fn add_line(&self, trace_id: &str, line: impl FnOnce(Duration) -> LogLine) {
        let grown = self.state().add_to_log(trace_id, |record| {
            let line = line(record.elapsed()).cut();
            let size = line.size();
            (record.log.len() < MAX_LINES).then(|| record.log.push(line))?;
            Some(size)
        });
        self.announce_log(grown);
    }

    /// Adds an outgoing call to the call with this trace id.
    pub(crate) fn add_outgoing(&self, trace_id: &str, call: impl FnOnce(Duration) -> OutgoingCall) {
        let grown = self.state().add_to_log(trace_id, |record| {
            let call = call(record.elapsed()).cut();
            let size = call.size();
            (record.outgoing.len() < MAX_LINES).then(|| record.outgoing.push(call))?;
            Some(size)
        });
        self.announce_log(grown);
    }

    /// Returns a view of each call, oldest first.
    pub(crate) fn calls<T>(&self, view: impl Fn(&Record) -> T) -> Vec<T> {
        let state = self.state();
        state.calls.iter().map(|one| view(&one.record)).collect()
    }

    /// Returns a view of the call with this id, if it is one of the last.
    pub(crate) fn view<T>(&self, id: u64, view: impl FnOnce(&Record) -> T) -> Option<T> {
        let state = self.state();
        let mut calls = state.calls.iter().rev();
        let found = calls.find(|one| one.record.id == id)?;
        Some(view(&found.record))
    }

    /// Returns the call with this id, if it is one of the last.
    pub(crate) fn find(&self, id: u64) -> Option<Record> {
        self.view(id, Record::clone)
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

    fn announce_log(&self, grown: Option<u64>) {
        if let Some(id) = grown {
            self.announce(Change::Logged(id));
        }
    }

    fn state(&self) -> MutexGuard<'_, JournalState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalState {
    fn begin(&mut self, sent: Sent) -> u64 {
        self.last_id += 1;
        let bytes = sent.size();
        let record = Record {
            id: self.last_id,
            at: SystemTime::now(),
            sent: Arc::new(sent),
            outcome: None,
            log: Vec::new(),
            left_out: 0,
            outgoing: Vec::new(),
        };
        self.calls.push_back(JournalEntry {
            record,
            bytes,
            log_bytes: 0,
            announced: None,
        });
        self.bytes += bytes;
        self.drop_oldest();
        self.last_id
    }

    /// Changes the newest call that is wanted, which grows by the bytes that `change` returns.
    fn change(
        &mut self,
        is_wanted: impl Fn(&Record) -> bool,
        change: impl FnOnce(&mut JournalEntry) -> usize,
    ) {
        let mut calls = self.calls.iter_mut().rev();
        let Some(entry) = calls.find(|one| is_wanted(&one.record)) else {
            return;
        };
        let size = change(entry);
        entry.bytes += size;
        self.bytes += size;
        self.drop_oldest();
    }

    /// Adds to the log of the call with this trace id, unless it is long enough. `add` returns the bytes, or
    /// `None` if it adds nothing. Returns the id of the call if subscribers have to get the change.
    fn add_to_log(
        &mut self,
        trace_id: &str,
        add: impl FnOnce(&mut Record) -> Option<usize>,
    ) -> Option<u64> {
        let mut grown = None;
        let is_wanted = |record: &Record| record.sent.trace_id == trace_id;
        self.change(is_wanted, |entry| {
            let has_room = entry.log_bytes < MAX_LOG_BYTES;
            let added = has_room.then(|| add(&mut entry.record)).flatten();
            if added.is_none() {
                entry.record.left_out += 1;
            }
            let size = added.unwrap_or_default();
            entry.log_bytes += size;
            let is_recent = entry.announced.is_some_and(|at| at.elapsed() < LOG_PAUSE);
            if !is_recent {
                entry.announced = Some(Instant::now());
                grown = Some(entry.record.id);
            }
            size
        });
        grown
    }

    /// Drops the oldest calls beyond the limits, but never the newest.
    fn drop_oldest(&mut self) {
        while self.calls.len() > MAX_CALLS || (self.bytes > MAX_BYTES && self.calls.len() > 1) {
            let dropped = self.calls.pop_front();
            self.bytes -= dropped.map_or(0, |one| one.bytes);
        }
    }
}

impl Record {
    /// Returns the errors and warnings of its log, a line each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let lines = self.log.iter();
        let lines = lines.filter(|line| line.level <= tracing::Level::WARN);
        lines.map(LogLine::to_text).collect()
    }

    fn elapsed(&self) -> Duration {
        self.at.elapsed().unwrap_or_default()
    }
}

impl LogLine {
    /// Returns the line as text: of a handler's error, the error with its causes.
    fn to_text(&self) -> String {
        let error = self.fields.iter().find(|(name, _)| *name == "error");
        if let (true, Some((_, error))) = (self.message.starts_with(FAILED), error) {
            return error.clone();
        }
        let fields = self.fields.iter();
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let separator = if fields.is_empty() { "" } else { ": " };
        let (level, message) = (self.level, &self.message);
        format!("{level} {message}{separator}{}", fields.join(" "))
    }
}

impl Sent {
    fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.len() + OVERHEAD);
        let texts = [&self.handler, &self.key, &self.path, &self.trace_id].map(String::len);
        let changes = &self.changes;
        let changed = [
            &self.event,
            &changes.event,
            &changes.subpath,
            &changes.query,
        ];
        let changed = changed.into_iter().flatten().map(String::len);
        let claims = self.claims.to_string().len();
        let texts = texts
            .into_iter()
            .chain(headers)
            .chain(changed)
            .chain([claims]);
        texts.sum::<usize>() + self.body.len() + OVERHEAD
    }
}

impl LogLine {
    fn cut(mut self) -> Self {
        let fields = self.fields.iter_mut().map(|(_, value)| value);
        fields.chain([&mut self.message]).for_each(cut);
        self
    }

    fn size(&self) -> usize {
        let fields = self.fields.iter();
        let fields = fields.map(|(name, value)| name.len() + value.len());
        self.target.len() + self.message.len() + fields.sum::<usize>() + OVERHEAD
    }
}

impl OutgoingCall {
    fn cut(mut self) -> Self {
        cut(&mut self.path);
        self
    }

    fn size(&self) -> usize {
        self.api.len() + self.method.len() + self.path.len() + OVERHEAD
    }
}

/// Cuts a text that is too long.
fn cut(text: &mut String) {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
