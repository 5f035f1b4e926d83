//! The output of commands, and their exit statuses.

use std::io::{self, IsTerminal as _, Write as _};

use clap::{Arg, ArgAction};

use super::logging;
use crate::environment::variable;

/// The command succeeded.
pub(super) const OK: i32 = 0;
/// The command ran, and its result is negative: a difference, a failed call.
pub(super) const NEGATIVE: i32 = 1;
/// The command could not run.
pub(super) const FAILED: i32 = 2;

/// Returns a flag that takes no value.
pub(super) fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// Returns whether to color standard output: a terminal, unless `NO_COLOR` is set
/// (<https://no-color.org/>).
pub(super) fn color() -> bool {
    io::stdout().is_terminal() && variable("NO_COLOR").is_none()
}

/// Prints to standard output; errors such as a closed pipe are ignored.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to standard error.
pub(super) fn print_error(error: &impl std::fmt::Display) {
    // Earlier log lines come first.
    logging::flush();
    let _ = writeln!(io::stderr(), "{error}");
}
