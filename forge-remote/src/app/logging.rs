//! Logs for apps that bring no subscriber of their own.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Lines on standard error: text on a terminal, JSON elsewhere; `RUST_LOG` filters, `info` unless
/// set. An app that has set a subscriber keeps it.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    // An error means that there is a subscriber already: the app's own.
    let _ = if terminal {
        builder.try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init()
    };
}
