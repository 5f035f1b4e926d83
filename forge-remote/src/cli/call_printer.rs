//! The output of `dev`: a line for each call.

use std::io::IsTerminal as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::output::{color, print, print_error};
use super::table::wrapped;
use crate::console::Summary;
use crate::platform::{Columns, NOTE_INDENT, PlatformClient, Record, Run};

/// Prints calls that have ended.
#[derive(Clone, Copy)]
pub(super) struct CallPrinter {
    columns: Columns,
    is_json: bool,
    color: bool,
    fits_terminal: bool,
}

/// Whether a line begins with the time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    Shown,
    Hidden,
}

impl CallPrinter {
    pub(super) fn new(caller: &PlatformClient, is_json: bool) -> Self {
        Self {
            columns: Columns::of(caller.app.registry().handlers()),
            is_json,
            color: color(),
            fits_terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Prints a paragraph about the process itself.
    pub(super) fn notice(&self, text: &str) {
        if self.is_json {
            print_error(&text.trim_end());
        } else {
            print(&format!("{text}\n"));
        }
    }

    /// Prints a call with its outcome.
    pub(super) fn print(&self, record: &Record, time: Time) {
        let Some(outcome) = &record.outcome else {
            return;
        };
        if self.is_json {
            let line = serde_json::to_string(&Summary::new(record)).unwrap_or_default();
            return print(&format!("{line}\n"));
        }
        let mut text = String::new();
        if time == Time::Shown {
            text.push_str(&format!("{}  ", clock(record.at)));
        }
        text.push_str(&outcome.line(self.columns, &record.problems(), self.color));
        if self.fits_terminal {
            text = with_wrapped_notes(&text);
        }
        print(&format!("{text}\n"));
    }
}

impl CallPrinter {
    /// Prints the run of work that a call left behind.
    pub(super) fn print_run(&self, run: &Run) {
        if self.is_json {
            let line = serde_json::to_string(run).unwrap_or_default();
            return print(&format!("{line}\n"));
        }
        let mut text = run.line(self.columns, self.color);
        if self.fits_terminal {
            text = with_wrapped_notes(&text);
        }
        print(&format!("{text}\n"));
    }
}

/// Returns the time of day in UTC: `09:30:00Z`.
fn clock(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02}Z", seconds % 60)
}

/// Returns a call's line as it is, and the lines below it in lines that fit a terminal.
fn with_wrapped_notes(text: &str) -> String {
    let indent = NOTE_INDENT.repeat(2);
    let lines = text
        .lines()
        .map(|line| match line.starts_with(NOTE_INDENT) {
            true => wrapped(line, &indent),
            false => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}
