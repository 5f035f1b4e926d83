//! The log lines of single calls, and the calls to Atlassian among them.

use std::fmt;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as FieldValues};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::platform::{Journal, LogLine, OutgoingCall};

/// The field of a call's span that identifies the call.
const TRACE_ID: &str = "trace_id";
/// The target of the spans of calls and of jobs' runs, above their modules.
const OWN_TARGET: &str = "forge_remote";
/// The message of the client's event for each call.
const CALLED_ATLASSIAN: &str = "called Atlassian";

/// A layer that files each event under the call in whose span it happens.
pub(crate) struct LogLayer {
    journal: Journal,
}

impl LogLayer {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

/// The trace id of a call, in the extensions of its span.
struct TraceId(String);

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_of_a_call(attributes.metadata()) {
            return;
        }
        let mut fields = RecordedFields::default();
        attributes.record(&mut fields);
        remember(&mut fields, id, &context);
    }

    fn on_record(&self, id: &Id, values: &FieldValues<'_>, context: Context<'_, S>) {
        if !context.metadata(id).is_some_and(is_of_a_call) {
            return;
        }
        let mut fields = RecordedFields::default();
        values.record(&mut fields);
        remember(&mut fields, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(scope) = context.event_scope(event) else {
            return;
        };
        let found = scope
            .into_iter()
            .find_map(|span| Some(span.extensions().get::<TraceId>()?.0.clone()));
        let Some(trace_id) = found else { return };
        let mut fields = RecordedFields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        if fields.message == CALLED_ATLASSIAN {
            self.journal
                .add_outgoing(&trace_id, |after| fields.outgoing(after));
            return;
        }
        self.journal.add_line(&trace_id, |after| LogLine {
            after,
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            message: fields.message,
            fields: fields.others,
        });
    }
}

/// Returns whether a span can be that of a call: a span of the app may have another trace id.
fn is_of_a_call(span: &Metadata<'_>) -> bool {
    let (first, _) = span
        .target()
        .split_once("::")
        .unwrap_or((span.target(), ""));
    first == OWN_TARGET
}

/// Keeps a span's trace id, if the fields have one.
fn remember<S: Subscriber + for<'l> LookupSpan<'l>>(
    fields: &mut RecordedFields,
    id: &Id,
    context: &Context<'_, S>,
) {
    let trace_id = fields.take(TRACE_ID);
    if let (Some(trace_id), Some(span)) = (trace_id, context.span(id)) {
        span.extensions_mut().replace(TraceId(trace_id));
    }
}

/// The fields of an event as text.
#[derive(Default)]
struct RecordedFields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl RecordedFields {
    fn add(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.others.iter().position(|(field, _)| *field == name)?;
        Some(self.others.swap_remove(at).1)
    }

    fn outgoing(mut self, ended_after: Duration) -> OutgoingCall {
        let mut text = |name| self.take(name).unwrap_or_default();
        OutgoingCall {
            ended_after,
            elapsed: duration(&text("elapsed")).unwrap_or_default(),
            api: text("api"),
            method: text("method"),
            path: text("path"),
            status: text("status").parse().ok(),
        }
    }
}

impl Visit for RecordedFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// Reads a duration in the format of `Debug`: `1.5ms`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}
