//! What is logged, for tests that look at it.

use std::sync::{Arc, Mutex};

/// What is logged on this thread, by any crate, down to `DEBUG`.
#[derive(Clone, Debug, Default)]
pub struct Logged(Arc<Mutex<String>>);

impl Logged {
    /// From now on, until what comes back is dropped.
    pub fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let guard = tracing::subscriber::set_default(self.clone());
        // A place that another test reached for the first time just then may have missed it.
        tracing::callsite::rebuild_interest_cache();
        guard
    }

    /// What was logged so far, a line for each event; then it begins anew.
    pub fn take(&self) -> String {
        tracing::callsite::rebuild_interest_cache();
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Whether this was logged.
    pub fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().contains(text)
    }
}

impl tracing::Subscriber for Logged {
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
