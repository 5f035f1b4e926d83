//! A log capture for tests.

use std::sync::{Arc, Mutex};

/// The events logged on this thread, by any crate, down to `DEBUG`.
#[derive(Clone, Debug, Default)]
pub struct LogCapture(Arc<Mutex<String>>);

impl LogCapture {
    /// Starts the capture, which lasts until the returned guard is dropped.
    pub fn start(&self) -> tracing::subscriber::DefaultGuard {
        let guard = tracing::subscriber::set_default(self.clone());
        // A callsite that another test registers at this moment may have cached its interest already.
        tracing::callsite::rebuild_interest_cache();
        guard
    }

    /// Returns the captured log, a line for each event, and clears it.
    pub fn take(&self) -> String {
        tracing::callsite::rebuild_interest_cache();
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Returns whether the captured log contains a text.
    pub fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().contains(text)
    }
}

impl tracing::Subscriber for LogCapture {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields<'a>(&'a mut String);
        impl tracing::field::Visit for Fields<'_> {
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                self.0.push_str(&format!("{field}={value} "));
            }

            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        let mut text = self.0.lock().unwrap();
        text.push_str(&format!("{} ", event.metadata().level()));
        event.record(&mut Fields(&mut text));
        text.push('\n');
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
