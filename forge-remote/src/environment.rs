//! Environment variables.

use std::env;

/// Returns an environment variable. An empty one counts as missing.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns an environment variable, which may be empty.
pub(crate) fn value(name: &str) -> Option<String> {
    env::var(name).ok()
}
