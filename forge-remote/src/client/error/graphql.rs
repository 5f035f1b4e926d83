//! The errors in a GraphQL response.

use std::fmt;

use serde_json::{Map, Value};

/// Upper bound on the errors listed in a message.
const MAX_LISTED: usize = 5;

/// An error in a GraphQL response.
///
/// `Debug` and `Display` omit the extensions, which may contain anything.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct GraphQlError {
    /// The message, shortened and without the token.
    pub message: String,
    /// The path in the response: `jira.issueByKey.fields.0`. Empty if the error concerns the whole response.
    pub path: String,
    /// The kind of error, from `extensions.classification` or `extensions.errorType`.
    pub classification: Option<String>,
    /// The status from `extensions.statusCode`: 403 for a missing permission, 429 for a rate limit, …
    pub status_code: Option<u16>,
    /// All extensions.
    pub extensions: Map<String, Value>,
}

impl fmt::Display for GraphQlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let status = self.status_code.map(|code| code.to_string());
        let path = (!self.path.is_empty()).then(|| format!("at {}", self.path));
        let known = [self.classification.clone(), status, path];
        let known: Vec<String> = known.into_iter().flatten().collect();
        if known.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", known.join(", "))
    }
}

impl fmt::Debug for GraphQlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl GraphQlError {
    pub(in crate::client) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            path: String::new(),
            classification: None,
            status_code: None,
            extensions: Map::new(),
        }
    }
}

/// Lists the errors for a message, with the fix.
pub(in crate::client) fn describe(errors: &[GraphQlError]) -> String {
    let listed: Vec<String> = errors
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect();
    let mut text = listed.join("; ");
    if errors.len() > MAX_LISTED {
        text.push_str(&format!("; and {} more", errors.len() - MAX_LISTED));
    }
    match status(errors) {
        Some(401 | 403) => text.push_str(
            ". The token probably lacks a scope: list it in the handler's `scopes = […]` or in \
             `App::scopes`, run `manifest --write`, deploy, and have the installation upgraded; or \
             the user or app lacks permission to see this",
        ),
        Some(429) => text.push_str(". A rate limit was hit: retry later, and request less at once"),
        _ => {}
    }
    text
}

/// Returns the status of the first error that has one.
pub(in crate::client) fn status(errors: &[GraphQlError]) -> Option<u16> {
    errors.iter().find_map(|error| error.status_code)
}
