//! The error type of the rules.

/// A broken rule: the problem and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The problem.
    pub message: String,
    /// The fix.
    pub help: String,
}

impl Mistake {
    /// Creates a mistake with its fix.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}
