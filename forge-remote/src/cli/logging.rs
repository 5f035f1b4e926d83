//! Logs for apps that set no `tracing` subscriber.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::OnceLock;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::color::color_of_errors;
use super::log_fields::LogFields;
use super::log_writer::LogWriter;
use crate::environment;
use crate::log::Foreign;

/// The log writer, if the app has not set a subscriber.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Logs to standard error: text on a terminal, JSON elsewhere; `RUST_LOG` filters, default: `info`.
/// An app that has set a subscriber keeps it.
///
/// Each event is one line, regardless of its values. If nobody reads standard error, lines are
/// dropped instead of blocking the app: see [`LogWriter`].
pub(super) fn init() {
    let writer = LogWriter::stderr(color_of_errors());
    let lines = lines(&writer, std::io::stderr().is_terminal());
    // A filter of the whole subscriber: what it rejects costs nothing.
    let subscriber = tracing_subscriber::registry().with(filter()).with(lines);
    install(subscriber, writer);
}

/// Logs as text, and has a second layer record debug events too. Returns whether it does: not if the app
/// has set a subscriber.
#[cfg(feature = "dev")]
pub(super) fn init_with<L>(recorder: L) -> bool
where
    L: Layer<tracing_subscriber::Registry> + Send + Sync,
{
    let writer = LogWriter::stderr(color_of_errors());
    let recorded: Targets = RECORDED.iter().copied().collect();
    let subscriber = tracing_subscriber::registry()
        .with(recorder.with_filter(recorded))
        .with(lines(&writer, true).with_filter(filter()));
    install(subscriber, writer)
}

/// Returns the filter of the lines.
fn filter() -> Targets {
    wanted_filter().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO))
}

/// Reads `RUST_LOG`: levels and targets. Filters of spans and fields would need regular expressions, which
/// are dear to build.
fn wanted_filter() -> Result<Targets, <Targets as FromStr>::Err> {
    let wanted = environment::variable("RUST_LOG");
    wanted.as_deref().unwrap_or("info").parse()
}

/// Returns the layer that writes each event as one line.
fn lines<S>(writer: &LogWriter, as_text: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let writer = writer.clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(color_of_errors());
    if as_text {
        lines.fmt_fields(LogFields(DefaultFields::new())).boxed()
    } else {
        let lines = lines.json().flatten_event(true).with_span_list(false);
        lines.fmt_fields(LogFields(JsonFields::new())).boxed()
    }
}

/// Returns whether this is the process's subscriber now: not if the app has set its own.
fn install(subscriber: impl SubscriberInitExt, writer: LogWriter) -> bool {
    let is_set = subscriber.try_init().is_ok();
    if is_set {
        let _ = WRITER.set(writer);
        log_panics();
        if let Err(error) = wanted_filter() {
            tracing::warn!(
                %error,
                "RUST_LOG is not valid, so the log's filter is `info`: expected levels and targets, such as \
                 `info,forge_remote=debug`"
            );
        }
    }
    is_set
}

/// The events that are recorded. The details of connections are of no use there.
#[cfg(feature = "dev")]
const RECORDED: &[(&str, LevelFilter)] = &[
    ("", LevelFilter::DEBUG),
    ("h2", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("sqlx", LevelFilter::INFO),
];

/// Logs panics through `tracing`. The standard library's hook writes directly to standard error: if
/// nobody reads it, a panic would block its thread, and a panic's text could forge lines. A hook that
/// the app has set is kept.
fn log_panics() {
    let hook = std::panic::take_hook();
    // After the first `take_hook`, this is the standard library's hook.
    let standard = std::panic::take_hook();
    if std::ptr::eq(&raw const *hook, &raw const *standard) {
        std::panic::set_hook(Box::new(log_panic));
    } else {
        std::panic::set_hook(hook);
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let text = crate::work::panic_text(panic.payload());
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    // Captured only if RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured)
        .then(|| tracing::field::display(backtrace));
    tracing::error!(
        panic = %Foreign(text),
        location,
        thread = thread.name(),
        backtrace,
        "a thread panicked"
    );
    // The process may end with this panic.
    if cfg!(panic = "abort") || thread.name() == Some("main") {
        flush();
    }
}

/// Waits until everything logged so far is written, for 1 second at most.
pub(super) fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush();
    }
}

/// Flushes before the process ends; later lines are written directly.
pub(super) fn close() {
    if let Some(writer) = WRITER.get() {
        writer.close();
    }
}
