//! A log capture for tests.

use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};
use tracing_core::span::Current;

/// The events logged on this thread, by any crate, down to `DEBUG`.
#[derive(Clone, Debug, Default)]
pub struct LogCapture(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    lines: String,
    /// The name and fields of each span; its id is its position here, from 1.
    spans: Vec<(&'static Metadata<'static>, String)>,
    /// The ids of the spans that this thread is in, the innermost last.
    entered: Vec<u64>,
}

impl LogCapture {
    /// Starts the capture, which lasts until the returned guard is dropped.
    pub fn start(&self) -> tracing::subscriber::DefaultGuard {
        // With one subscriber in the process, a callsite's interest is that of the thread that registers
        // it, often another test's, which has no subscriber.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(Self::default()));
        let guard = tracing::subscriber::set_default(self.clone());
        // A callsite that another test registers at this moment may have cached its interest already.
        tracing::callsite::rebuild_interest_cache();
        guard
    }

    /// Returns the captured log and clears it: a line for each event, with its level, its fields and the
    /// innermost span.
    pub fn take(&self) -> String {
        tracing::callsite::rebuild_interest_cache();
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    /// Returns whether the captured log contains a text.
    pub fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().lines.contains(text)
    }
}

/// Writes fields as `name=value `.
struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push_str(&format!("{field}={value} "));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for LogCapture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = format!("{} ", attributes.metadata().name());
        attributes.record(&mut Fields(&mut span));
        let spans = &mut self.0.lock().unwrap().spans;
        spans.push((attributes.metadata(), span));
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} ", event.metadata().level());
        event.record(&mut Fields(&mut line));
        let mut log = self.0.lock().unwrap();
        if let Some(id) = log.entered.last() {
            line.push_str(&format!("in {}", log.spans[*id as usize - 1].1));
        }
        line.push('\n');
        log.lines.push_str(&line);
    }

    fn current_span(&self) -> Current {
        let log = self.0.lock().unwrap();
        match log.entered.last() {
            Some(id) => Current::new(Id::from_u64(*id), log.spans[*id as usize - 1].0),
            None => Current::none(),
        }
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let entered = &mut self.0.lock().unwrap().entered;
        if let Some(at) = entered.iter().rposition(|one| *one == id.into_u64()) {
            entered.remove(at);
        }
    }
}
