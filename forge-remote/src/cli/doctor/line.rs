//! The result of a check, and its line in the report.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::output::{NEGATIVE, OK, color, print};
#[cfg(feature = "dev")]
use crate::diagnostic::Rule;

/// The result of a check.
#[derive(Serialize)]
pub(super) struct Line {
    state: State,
    check: &'static str,
    /// The code that `--explain` explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    detail: String,
    fix: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Passed,
    Warning,
    Failed,
}

impl Line {
    pub(super) fn passed(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            state: State::Passed,
            check,
            code: None,
            detail: detail.into(),
            fix: None,
        }
    }

    pub(super) fn failed(
        check: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Failed,
            fix: Some(fix.into()),
            ..Self::passed(check, detail)
        }
    }

    pub(super) fn warning(
        check: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Warning,
            ..Self::failed(check, detail, fix)
        }
    }

    /// Sets the rule that a failed check broke.
    #[cfg(feature = "dev")]
    pub(super) fn code(self, rule: &Rule) -> Self {
        Self {
            code: Some(rule.code),
            ..self
        }
    }

    #[cfg(feature = "dev")]
    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    pub(super) fn word(&self) -> &'static str {
        match self.state {
            State::Passed => "ok  ",
            State::Warning => "warn",
            State::Failed => "FAIL",
        }
    }

    fn write(&self, text: &mut String, color: bool) {
        let code = match self.state {
            State::Passed => "32",
            State::Warning => "33",
            State::Failed => "31",
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

/// Prints the results, and returns the exit status.
pub(super) fn report(lines: &[Line], as_json: bool) -> i32 {
    let count = |state: State| lines.iter().filter(|line| line.state == state).count();
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    if as_json {
        let report = serde_json::json!({ "sound": failed == 0, "checks": lines });
        print(&format!("{report:#}\n"));
    } else {
        let mut text = String::new();
        for line in lines {
            line.write(&mut text, color());
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let _ = match (failed, warnings) {
            (0, 0) => writeln!(text, "\nsound: {} checks passed", lines.len()),
            (0, some) => writeln!(text, "\nsound, with {some} warning{}", plural(some)),
            (some, _) => writeln!(text, "\nnot sound: {some} check{} failed", plural(some)),
        };
        print(&text);
    }
    if failed == 0 { OK } else { NEGATIVE }
}
