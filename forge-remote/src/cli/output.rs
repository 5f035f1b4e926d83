//! The output of commands, and their exit statuses.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Arg, ArgAction};

pub(super) use super::color::color;
use super::logging;
use super::table::fitted;

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

/// Whether a part of the output could not be written.
static IS_INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Prints to standard output. A closed pipe is ignored: its reader has read enough. After any other error
/// the command's [`status`] is [`FAILED`].
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let Err(error) = written else { return };
    let is_first =
        error.kind() != ErrorKind::BrokenPipe && !IS_INCOMPLETE.swap(true, Ordering::Relaxed);
    if is_first {
        print_error(&format!(
            "error: the output is incomplete ({error}): make room where it is written to, and run the command again"
        ));
    }
}

/// Prints a report for people: on a terminal in lines that fit it, elsewhere in whole lines, so that they can be
/// searched.
pub(super) fn print_report(text: &str) {
    match io::stdout().is_terminal() {
        true => print(&fitted(text)),
        false => print(text),
    }
}

/// Returns the exit status of a command that returned this one.
pub(super) fn status(status: i32) -> i32 {
    if IS_INCOMPLETE.load(Ordering::Relaxed) {
        FAILED
    } else {
        status
    }
}

/// Prints to standard error.
pub(super) fn print_error(error: &impl std::fmt::Display) {
    // Earlier log lines come first.
    logging::flush();
    let mut text = error.to_string();
    if io::stderr().is_terminal() {
        text = fitted(&text);
    }
    let _ = writeln!(io::stderr(), "{text}");
}
