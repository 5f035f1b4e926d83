//! The checks that stores and engines make of themselves, for the command `doctor`.

/// A check that a token store or an engine of jobs makes of itself, as a line of `doctor`'s report.
///
/// ```
/// use forge_remote::diagnostic::{Check, CheckState};
///
/// let check = Check::failed(
///     "durability",
///     "my store: its log is turned off",
///     "turn the log on in the server's configuration",
/// );
/// assert_eq!(check.state, CheckState::Failed);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The state.
    pub state: CheckState,
    /// The subject of the check, in a word: `migrations`, `durability`.
    pub subject: &'static str,
    /// The finding, with the name of the store. It has no secret.
    pub detail: String,
    /// The fix; `None` for a passed check.
    pub fix: Option<String>,
}

/// The state of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CheckState {
    /// The check passed.
    Passed,
    /// The next launch changes the store, for example by a migration, so `doctor` does not read its
    /// contents.
    Pending,
    /// The result cannot be determined here. `fix` describes where to look.
    Unknown,
    /// A probable problem.
    Warning,
    /// A problem.
    Failed,
}

impl Check {
    /// Creates a passed check.
    pub fn passed(subject: &'static str, detail: impl Into<String>) -> Self {
        Self {
            state: CheckState::Passed,
            subject,
            detail: detail.into(),
            fix: None,
        }
    }

    /// Creates a check of something that the next launch of the app will change, such as a migration.
    pub fn pending(
        subject: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::passed(subject, detail).with(CheckState::Pending, fix)
    }

    /// Creates a check of something that cannot be found out from here.
    pub fn unknown(
        subject: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::passed(subject, detail).with(CheckState::Unknown, fix)
    }

    /// Creates a check of something that is probably wrong.
    pub fn warning(
        subject: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::passed(subject, detail).with(CheckState::Warning, fix)
    }

    /// Creates a failed check.
    pub fn failed(
        subject: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::passed(subject, detail).with(CheckState::Failed, fix)
    }

    fn with(self, state: CheckState, fix: impl Into<String>) -> Self {
        Self {
            state,
            fix: Some(fix.into()),
            ..self
        }
    }
}
