//! The result of a check, and its line in the report.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::output::{NEGATIVE, OK, color, print};
#[cfg(feature = "dev")]
use crate::diagnostic::Rule;
use crate::diagnostic::{Check, CheckState};

/// The version of the report in JSON: a change that a reader of the last one misunderstands gets a new one.
const VERSION: u32 = 1;

/// The result of a check.
#[derive(Serialize)]
pub(super) struct Line {
    state: CheckState,
    check: &'static str,
    /// The code that `--explain` explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    detail: String,
    fix: Option<String>,
}

impl From<Check> for Line {
    fn from(check: Check) -> Self {
        Self {
            state: check.state,
            check: check.subject,
            code: None,
            detail: check.detail,
            fix: check.fix,
        }
    }
}

impl Line {
    pub(super) fn passed(check: &'static str, detail: impl Into<String>) -> Self {
        Check::passed(check, detail).into()
    }

    pub(super) fn unknown(
        check: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Check::unknown(check, detail, fix).into()
    }

    pub(super) fn failed(
        check: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Check::failed(check, detail, fix).into()
    }

    pub(super) fn warning(
        check: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Check::warning(check, detail, fix).into()
    }

    /// Sets the rule that a failed check broke.
    #[cfg(feature = "dev")]
    pub(super) fn code(self, rule: &Rule) -> Self {
        Self {
            code: Some(rule.code),
            ..self
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state == CheckState::Failed
    }

    pub(super) fn word(&self) -> &'static str {
        match self.state {
            CheckState::Passed => "ok  ",
            CheckState::Unknown => "?   ",
            CheckState::Pending | CheckState::Warning => "warn",
            CheckState::Failed => "FAIL",
        }
    }

    fn write(&self, text: &mut String, color: bool) {
        let code = match self.state {
            CheckState::Passed => "32",
            CheckState::Unknown => "36",
            CheckState::Pending | CheckState::Warning => "33",
            CheckState::Failed => "31",
        };
        let word = match color {
            true => format!("\u{1b}[{code}m{}\u{1b}[0m", self.word()),
            false => self.word().to_owned(),
        };
        let code = self.code.map(|code| format!(" [{code}]"));
        let (code, detail) = (code.unwrap_or_default(), self.detail.trim_end());
        let _ = writeln!(text, "{word}  {:10}  {detail}{code}", self.check);
        if let Some(fix) = &self.fix {
            let _ = writeln!(text, "      {:10}  fix: {fix}", "");
        }
    }
}

/// A duration in minutes, hours or days.
pub(super) struct Minutes(pub(super) Duration);

impl Minutes {
    /// Returns the time since then.
    pub(super) fn since(then: SystemTime, now: SystemTime) -> Self {
        Self(now.duration_since(then).unwrap_or_default())
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs() / 60;
        match minutes {
            0..120 => write!(f, "{minutes} min"),
            120..2880 => write!(f, "{} h", minutes / 60),
            _ => write!(f, "{} days", minutes / 1440),
        }
    }
}

/// Prints the results, and returns the exit status.
pub(super) fn report(lines: &[Line], as_json: bool) -> i32 {
    let count = |state: CheckState| lines.iter().filter(|line| line.state == state).count();
    let failed = count(CheckState::Failed);
    let warnings = count(CheckState::Warning) + count(CheckState::Pending);
    let unknown = count(CheckState::Unknown);
    if as_json {
        let report = serde_json::json!({
            "version": VERSION,
            "sound": failed == 0,
            "checks": lines,
        });
        print(&format!("{report:#}\n"));
    } else {
        let mut text = String::new();
        for line in lines {
            line.write(&mut text, color());
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let _ = match (failed, warnings) {
            (0, 0) if unknown > 0 => {
                let passed = lines.len() - unknown;
                writeln!(
                    text,
                    "\nsound: {passed} checks passed, {unknown} not possible from here"
                )
            }
            (0, 0) => writeln!(text, "\nsound: {} checks passed", lines.len()),
            (0, some) => writeln!(text, "\nsound, with {some} warning{}", plural(some)),
            (some, _) => writeln!(text, "\nnot sound: {some} check{} failed", plural(some)),
        };
        print(&text);
    }
    if failed == 0 { OK } else { NEGATIVE }
}
