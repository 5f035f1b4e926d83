//! The fields of spans in log lines: without the ones for OpenTelemetry.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::fmt::format::{
    DefaultFields, DefaultVisitor, FormatFields, JsonFields, JsonVisitor, Writer,
};

use crate::telemetry::span::is_for_traces;

/// A format of fields whose visitor can be wrapped.
pub(super) trait Format: for<'w> FormatFields<'w> + 'static {
    /// Writes the fields that `record` passes to the visitor.
    fn write(writer: Writer<'_>, record: impl FnOnce(&mut dyn Visit)) -> fmt::Result;
}

impl Format for DefaultFields {
    fn write(writer: Writer<'_>, record: impl FnOnce(&mut dyn Visit)) -> fmt::Result {
        let mut visitor = DefaultVisitor::new(writer, true);
        record(&mut visitor);
        visitor.finish()
    }
}

impl Format for JsonFields {
    fn write(mut writer: Writer<'_>, record: impl FnOnce(&mut dyn Visit)) -> fmt::Result {
        let mut visitor = JsonVisitor::new(&mut writer);
        record(&mut visitor);
        visitor.finish()
    }
}

/// Formats fields as `F` does, and leaves out those of spans that are for traces.
pub(super) struct LogFields<F>(pub(super) F);

impl<'w, F: Format> FormatFields<'w> for LogFields<F> {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        // Only spans for traces have a kind: the fields of events, and of the app's own spans, are its own.
        let mut kind = HasKind(false);
        fields.record(&mut kind);
        F::write(writer, |visitor| match kind.0 {
            true => fields.record(&mut Skipping(visitor)),
            false => fields.record(visitor),
        })
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
        self.0 |= field.name() == "otel.kind";
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
struct Skipping<'a>(&'a mut dyn Visit);

macro_rules! pass_on {
    ($($method:ident: $value:ty,)*) => {
        impl Visit for Skipping<'_> {
            $(
                fn $method(&mut self, field: &Field, value: $value) {
                    if !is_for_traces(field.name()) {
                        self.0.$method(field, value);
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
