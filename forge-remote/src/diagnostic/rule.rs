//! The codes of checks' reports.

/// The subject of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleKind {
    /// A problem of the code or its configuration that keeps the app from starting.
    Launch,
    /// A difference between the manifest and the code.
    Difference,
    /// A mistake in the manifest, whether or not Atlassian's validation reports it.
    /// [`App::allow_lint`](crate::App::allow_lint) turns the rule off.
    Lint,
    /// A change of the manifest, by which Forge chooses between a minor and a major version.
    Version,
    /// A fault of a deployment, which `doctor --url` finds from outside.
    Deployment,
    /// The reason why a call was rejected, which the log has.
    Rejection,
}

/// The code of a check's report, and its explanation.
///
/// ```
/// use forge_remote::manifest::find_rule;
///
/// let rule = find_rule("base-url").unwrap();
/// assert!(rule.explanation.contains("trailing slash"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// The stable code.
    pub code: &'static str,
    /// The rule's subject.
    pub kind: RuleKind,
    /// The reason for the rule, and the fix.
    pub explanation: &'static str,
}

impl Rule {
    /// Creates a rule for a problem that keeps the app from starting.
    pub(crate) const fn launch(code: &'static str, explanation: &'static str) -> Self {
        Self::new(code, RuleKind::Launch, explanation)
    }

    /// Creates a rule for a difference between the manifest and the code.
    #[cfg(feature = "cli")]
    pub(crate) const fn difference(code: &'static str, explanation: &'static str) -> Self {
        Self::new(code, RuleKind::Difference, explanation)
    }

    /// Creates a rule about the manifest that an app may turn off.
    pub(crate) const fn lint(code: &'static str, explanation: &'static str) -> Self {
        Self::new(code, RuleKind::Lint, explanation)
    }

    /// Creates a rule about the version that a change of the manifest leads to.
    #[cfg(feature = "cli")]
    pub(crate) const fn version(code: &'static str, explanation: &'static str) -> Self {
        Self::new(code, RuleKind::Version, explanation)
    }

    /// Creates a rule about a deployment.
    #[cfg(feature = "dev")]
    pub(crate) const fn deployment(code: &'static str, explanation: &'static str) -> Self {
        Self::new(code, RuleKind::Deployment, explanation)
    }

    /// Creates the rule that a rejected call broke.
    #[cfg(feature = "cli")]
    pub(crate) const fn rejection(code: &'static str, explanation: &'static str) -> Self {
        Self::new(code, RuleKind::Rejection, explanation)
    }

    const fn new(code: &'static str, kind: RuleKind, explanation: &'static str) -> Self {
        Self {
            code,
            kind,
            explanation,
        }
    }
}
