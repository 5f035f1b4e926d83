//! The fields of spans in log lines: without the ones for OpenTelemetry.

use std::fmt;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::fmt::format::{
    DefaultFields, DefaultVisitor, FormatFields, JsonFields, Writer,
};

use crate::telemetry::span::is_for_traces;

/// The field that only spans for traces have.
const KIND: &str = "otel.kind";

/// A format that can leave out fields.
pub(super) trait Format: for<'w> FormatFields<'w> + 'static {
    /// Writes the fields, except those of a span for traces that only traces have.
    fn write(writer: Writer<'_>, fields: impl RecordFields) -> fmt::Result;
}

impl Format for DefaultFields {
    fn write(writer: Writer<'_>, fields: impl RecordFields) -> fmt::Result {
        // Only spans for traces have a kind: the fields of events, and of the app's own spans, are its own.
        let mut kind = HasKind(false);
        fields.record(&mut kind);
        let mut visitor = DefaultVisitor::new(writer, true);
        match kind.0 {
            true => fields.record(&mut Skipping::new(&mut visitor)),
            false => fields.record(&mut visitor),
        }
        visitor.finish()
    }
}

impl Format for JsonFields {
    fn write(mut writer: Writer<'_>, fields: impl RecordFields) -> fmt::Result {
        // In one pass for the span of a call: only an app's own span may need a second one.
        let mut object = JsonObject::new();
        let mut skipping = Skipping::new(&mut object);
        fields.record(&mut skipping);
        if skipping.has_skipped && !skipping.has_kind {
            object = JsonObject::new();
            fields.record(&mut object);
        }
        writer.write_str(&object.into_text()?)
    }
}

/// The fields of a new span as the members of a JSON object.
///
/// Each call has a span, so they are written directly: the library's visitor collects them in a map first.
struct JsonObject {
    text: Vec<u8>,
    is_invalid: bool,
}

impl JsonObject {
    fn new() -> Self {
        Self {
            // Enough for a call's handler and trace.
            text: Vec::with_capacity(128),
            is_invalid: false,
        }
    }

    fn add(&mut self, field: &Field, value: impl Serialize) {
        self.text
            .push(if self.text.is_empty() { b'{' } else { b',' });
        // The name of a field can be a keyword.
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        let written = serde_json::to_writer(&mut self.text, name);
        self.text.push(b':');
        let written = written.and_then(|()| serde_json::to_writer(&mut self.text, &value));
        self.is_invalid |= written.is_err();
    }

    fn into_text(mut self) -> Result<String, fmt::Error> {
        if self.text.is_empty() {
            self.text.push(b'{');
        }
        self.text.push(b'}');
        match String::from_utf8(self.text) {
            Ok(text) if !self.is_invalid => Ok(text),
            _ => Err(fmt::Error),
        }
    }
}

impl Visit for JsonObject {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// Formats fields as `F` does, and leaves out those of spans that are for traces.
pub(super) struct LogFields<F>(pub(super) F);

impl<'w, F: Format> FormatFields<'w> for LogFields<F> {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        F::write(writer, fields)
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let mut visible = HasVisible(false);
        fields.record(&mut visible);
        if !visible.0 {
            return Ok(());
        }
        let mut inner = FormattedFields::<F>::new(std::mem::take(&mut current.fields));
        let added = self.0.add_fields(&mut inner, fields);
        current.fields = inner.fields;
        added
    }
}

/// Whether the fields are of a span for traces.
struct HasKind(bool);

impl Visit for HasKind {
    fn record_str(&mut self, field: &Field, _: &str) {
        self.0 |= field.name() == KIND;
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Whether one of the fields is in log lines.
struct HasVisible(bool);

impl Visit for HasVisible {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        self.0 |= !is_for_traces(field.name());
    }
}

/// Passes on the fields that are in log lines.
struct Skipping<'a> {
    visitor: &'a mut dyn Visit,
    has_skipped: bool,
    /// Whether the fields are of a span for traces.
    has_kind: bool,
}

impl<'a> Skipping<'a> {
    fn new(visitor: &'a mut dyn Visit) -> Self {
        Self {
            visitor,
            has_skipped: false,
            has_kind: false,
        }
    }

    /// Returns the visitor, if it gets this field.
    fn visitor(&mut self, field: &Field) -> Option<&mut dyn Visit> {
        let name = field.name();
        if is_for_traces(name) {
            self.has_skipped = true;
            self.has_kind |= name == KIND;
            return None;
        }
        Some(&mut *self.visitor)
    }
}

macro_rules! pass_on {
    ($($method:ident: $value:ty,)*) => {
        impl Visit for Skipping<'_> {
            $(
                fn $method(&mut self, field: &Field, value: $value) {
                    if let Some(visitor) = self.visitor(field) {
                        visitor.$method(field, value);
                    }
                }
            )*
        }
    };
}

pass_on! {
    record_f64: f64,
    record_i64: i64,
    record_u64: u64,
    record_i128: i128,
    record_u128: u128,
    record_bool: bool,
    record_str: &str,
    record_bytes: &[u8],
    record_error: &(dyn std::error::Error + 'static),
    record_debug: &dyn fmt::Debug,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Writes the formatted fields of each new span.
    struct Written<F>(F, std::sync::mpsc::Sender<String>);

    impl<S, F> tracing_subscriber::Layer<S> for Written<F>
    where
        S: tracing::Subscriber,
        F: for<'w> FormatFields<'w> + Send + Sync + 'static,
    {
        fn on_new_span(
            &self,
            attributes: &tracing::span::Attributes<'_>,
            _: &tracing::span::Id,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            let mut text = String::new();
            self.0
                .format_fields(Writer::new(&mut text), attributes)
                .unwrap();
            self.1.send(text).unwrap();
        }
    }

    #[test]
    fn spans_of_an_app_have_the_members_that_the_library_writes() {
        let (sender, spans) = std::sync::mpsc::channel();
        let ours = Written(LogFields(JsonFields::new()), sender.clone());
        let theirs = Written(JsonFields::new(), sender);
        let subscriber = tracing_subscriber::registry().with(ours).with(theirs);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("empty");
            tracing::info_span!(
                "full",
                text = "a \"quoted\"\n\u{7} line, \u{1F980}",
                r#type = "keyword",
                number = -7_i64,
                count = u64::MAX,
                ratio = 0.5,
                unknown = f64::NAN,
                large = u128::MAX,
                flag = true,
                bytes = &b"\xff\0"[..],
                debug = ?Some("x"),
                display = %"y",
                later = tracing::field::Empty,
            );
        });
        let spans: Vec<serde_json::Value> = spans
            .try_iter()
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect();
        assert_eq!(spans.len(), 4);
        for pair in spans.chunks(2) {
            assert_eq!(pair[0], pair[1]);
        }
    }
}
