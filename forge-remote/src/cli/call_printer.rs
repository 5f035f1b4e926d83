//! The output of `dev`: a line for each call.

use std::io::IsTerminal as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::output::{color, print, print_error};
use crate::console::Summary;
use crate::platform::{Columns, LogLine, PlatformClient, Record, Verdict};

/// Prints calls that have ended.
#[derive(Clone, Copy)]
pub(super) struct CallPrinter {
    columns: Columns,
    is_json: bool,
    color: bool,
    /// Whether the log of failed calls is repeated below them: not if the terminal shows it already.
    repeats_log: bool,
}

/// Whether a line begins with the time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    Shown,
    Hidden,
}

impl CallPrinter {
    pub(super) fn new(caller: &PlatformClient, is_json: bool, has_log: bool) -> Self {
        Self {
            columns: Columns::of(caller.app.registry().handlers()),
            is_json,
            color: color(),
            repeats_log: has_log && !std::io::stderr().is_terminal(),
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
        text.push_str(&outcome.line(self.columns, self.color));
        if self.repeats_log && outcome.verdict() == Verdict::Failed {
            let lines = record
                .log
                .iter()
                .filter(|line| line.level <= tracing::Level::WARN);
            for line in lines {
                text.push_str(&format!("\n      {}", log_text(line)));
            }
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

fn log_text(line: &LogLine) -> String {
    let fields = line.fields.iter();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let separator = if fields.is_empty() { "" } else { ": " };
    let text = format!(
        "{} {}{separator}{}",
        line.level,
        line.message,
        fields.join(" ")
    );
    crate::log::Foreign(&text).to_string()
}
