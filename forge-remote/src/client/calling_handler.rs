//! The handler that makes a call, and the scopes that the app's code declares.

use std::collections::BTreeSet;

/// The handler whose calls are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallingHandler {
    /// The name of the function.
    pub(crate) name: &'static str,
    pub(crate) scopes: &'static [&'static str],
}

/// The scopes that an app's code declares.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppScopes {
    /// The scopes without alternatives.
    pub(crate) required: BTreeSet<String>,
}
