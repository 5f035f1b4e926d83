//! Logs for apps that set no `tracing` subscriber.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields};
use tracing_subscriber::layer::{Identity, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::log_fields::LogFields;
use super::log_writer::LogWriter;
use crate::log::Foreign;

/// The log writer, if the app has not set a subscriber.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Logs to standard error: text on a terminal, JSON elsewhere; `RUST_LOG` filters, default: `info`.
/// An app that has set a subscriber keeps it.
///
/// Each event is one line, whatever its values hold. If nobody reads standard error, lines are
/// dropped instead of blocking the app: see [`LogWriter`].
pub(super) fn init() {
    start(Identity::new(), std::io::stderr().is_terminal());
}

/// Logs as text, and has a second layer record debug events too. Returns whether it does: not if the app
/// has set a subscriber.
#[cfg(feature = "dev")]
pub(super) fn init_with<L>(recorder: L) -> bool
where
    L: Layer<Registry> + Send + Sync,
{
    start(recorder, true)
}

fn start<L>(recorder: L, as_text: bool) -> bool
where
    L: Layer<Registry> + Send + Sync,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let writer = LogWriter::stderr(terminal);
    let make_writer = {
        let writer = writer.clone();
        move || writer.clone()
    };
    let recorder = recorder.with_filter(RECORDED.iter().copied().collect::<Targets>());
    let registry = tracing_subscriber::registry().with(recorder);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(make_writer)
        .with_ansi(terminal);
    let set = if as_text {
        let lines = lines.fmt_fields(LogFields(DefaultFields::new()));
        registry.with(lines.with_filter(filter)).try_init()
    } else {
        let lines = lines.json().flatten_event(true).with_span_list(false);
        let lines = lines.fmt_fields(LogFields(JsonFields::new()));
        registry.with(lines.with_filter(filter)).try_init()
    };
    // An error means that the app has set its own subscriber.
    if set.is_ok() {
        let _ = WRITER.set(writer);
        log_panics();
    }
    set.is_ok()
}

/// The events that are recorded. The details of connections are of no use there.
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
