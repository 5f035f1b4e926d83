//! GraphQL's own errors.

use std::fmt;

use serde_json::{Map, Value};

/// How many errors a message names.
const NAMED: usize = 5;

/// An error in GraphQL's answer. Its `Debug` and `Display` leave the extensions out, which may hold
/// anything.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct GraphQlError {
    /// The message, cut short and without the token.
    pub message: String,
    /// Where in the answer: `jira.issueByKey.fields.0`. Empty where it is about all of it.
    pub path: String,
    /// `extensions.classification`, or `extensions.errorType`: what kind of error it is.
    pub classification: Option<String>,
    /// `extensions.statusCode`: 403 where something is missing to see it, 429 for a rate limit, …
    pub status_code: Option<u16>,
    /// Everything that was said besides.
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

/// The errors as a message names them, with what to do.
pub(in crate::client) fn told(errors: &[GraphQlError]) -> String {
    let named: Vec<String> = errors.iter().take(NAMED).map(ToString::to_string).collect();
    let mut text = named.join("; ");
    if errors.len() > NAMED {
        text.push_str(&format!("; and {} more", errors.len() - NAMED));
    }
    match status(errors) {
        Some(401 | 403) => text.push_str(
            ". The token probably lacks a scope: list it in the handler's `scopes = […]` or in \
             `App::scopes`, run `manifest --write`, deploy, and have the installation upgraded; or \
             who asks may not see this",
        ),
        Some(429) => text.push_str(". A rate limit was hit: ask again later, and for less at once"),
        _ => {}
    }
    text
}

/// What the first error that has a status says of it.
pub(in crate::client) fn status(errors: &[GraphQlError]) -> Option<u16> {
    errors.iter().find_map(|error| error.status_code)
}
