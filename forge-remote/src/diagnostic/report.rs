//! One report of a check.

use std::ops::Range;

use super::location::{CodeLocation, Position};
use super::rule::{Rule, RuleKind};

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Information; nothing is wrong.
    Note,
    /// A probable problem.
    Warning,
    /// A problem: the check fails.
    Error,
}

/// One report of a check: the problem, its positions, the reasons and the fix.
///
/// As JSON it has the keys `code`, `level`, `message`, `manifest` (`{line, column}` or `null`),
/// `code_positions` (a list of `file:line:column`), `notes` and `help`.
///
/// ```
/// use forge_remote::App;
///
/// let error = App::empty().build().map(drop).unwrap_err();
/// let problem = &error.problems()[0];
/// assert_eq!(problem.code, "no-handlers");
/// assert!(problem.to_string().starts_with("error[no-handlers]: there are no handlers"));
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The rule's stable code.
    pub code: &'static str,
    /// The severity.
    #[serde(rename = "level")]
    pub severity: Severity,
    /// The problem.
    pub message: String,
    /// The position in the manifest.
    pub manifest: Option<Position>,
    /// The positions in the code.
    #[serde(rename = "code_positions")]
    pub locations: Vec<CodeLocation>,
    /// The reasons, one each.
    pub notes: Vec<String>,
    /// The fix.
    pub help: Option<String>,
    /// The bytes to underline in the manifest.
    #[serde(skip)]
    pub(super) span: Range<usize>,
    #[serde(skip)]
    kind: RuleKind,
    /// The word before the code, instead of the severity's.
    #[serde(skip)]
    pub(super) title: Option<&'static str>,
}

impl Diagnostic {
    /// Creates a diagnostic without a position.
    pub(crate) fn new(rule: &Rule, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code: rule.code,
            severity,
            message: message.into(),
            manifest: None,
            locations: Vec::new(),
            notes: Vec::new(),
            help: None,
            span: 0..0,
            kind: rule.kind,
            title: None,
        }
    }

    /// Creates an error with its fix.
    pub(crate) fn error(rule: &Rule, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(rule, Severity::Error, message).help(help)
    }

    /// Returns whether the manifest and the code disagree, as opposed to a finding of a lint.
    pub fn is_difference(&self) -> bool {
        self.kind == RuleKind::Difference
    }

    /// Adds positions in the code.
    #[must_use]
    pub(crate) fn at(mut self, places: impl IntoIterator<Item = impl Into<CodeLocation>>) -> Self {
        self.locations.extend(places.into_iter().map(Into::into));
        self
    }

    /// Adds the fix.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Methods for checks of a manifest.
#[cfg(feature = "cli")]
impl Diagnostic {
    #[cfg(feature = "dev")]
    /// Returns the diagnostic as a warning.
    #[must_use]
    pub(crate) fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Renders the diagnostic with this word instead of its severity's.
    #[must_use]
    pub(crate) fn titled(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Adds the position in the manifest, and the bytes to underline there.
    #[must_use]
    pub(crate) fn in_manifest(mut self, (position, span): (Position, Range<usize>)) -> Self {
        self.manifest = Some(position);
        self.span = span;
        self
    }

    /// Adds reasons.
    #[must_use]
    pub(crate) fn notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }
}

/// Returns a number with its noun: `1 key`, `2 keys`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}
