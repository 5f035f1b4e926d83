//! A call of Forge's storage, and its valid keys.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::error::ClientError;
use crate::client::request::{Request, Response};

/// Upper bound on the length of a key, in characters.
const MAX_KEY_CHARS: usize = 500;
/// Upper bound on the keys of one batch call and on the operations of a transaction.
/// Sources: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-batch/>,
/// <https://developer.atlassian.com/platform/forge/storage-reference/entities-transactions/>
pub(super) const MAX_OPERATIONS: usize = 25;

/// A call and the problem with its key, if any.
pub(super) struct StorageCall {
    pub(super) request: Request,
    pub(super) problem: Option<&'static str>,
}

impl StorageCall {
    pub(super) fn idempotent(self) -> Self {
        Self {
            request: self.request.idempotent(),
            ..self
        }
    }

    pub(super) fn json(self, body: &impl Serialize) -> Self {
        Self {
            request: self.request.json(body),
            ..self
        }
    }

    pub(super) fn copy(&self) -> Self {
        Self {
            request: self.request.copy(),
            problem: self.problem,
        }
    }

    pub(super) fn invalid(&self, reason: &str) -> ClientError {
        self.request.invalid(reason)
    }

    pub(super) async fn send(self) -> Result<Response, ClientError> {
        match self.problem {
            Some(problem) => Err(self.invalid(problem)),
            None => self.request.send().await,
        }
    }

    pub(super) async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.json()
    }
}

/// Builds the error of a well-formed response without the requested values.
pub(super) fn unusable(response: &Response, reason: String) -> ClientError {
    ClientError::Unreadable {
        call: response.call().clone(),
        status: response.status(),
        wanted: "the requested values",
        trace_id: response.trace_id(),
        reason,
    }
}

pub(super) const NOT_JSON: &str = "a value cannot be serialized as JSON";

/// Returns the problem with a key. Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs/>
pub(super) fn problem_of(key: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":._-#".contains(c);
    if key.trim().is_empty() {
        Some("a storage key cannot be empty or only whitespace")
    } else if key.chars().nth(MAX_KEY_CHARS).is_some() {
        Some("a storage key can have at most 500 characters")
    } else if !key.chars().all(allowed) {
        Some("a storage key can only have letters, digits, whitespace and `:._-#`")
    } else {
        None
    }
}

/// Returns whether the code means a missing key: Atlassian's documentation and its own package use different codes.
pub(super) fn is_missing(code: &str) -> bool {
    matches!(code, "NOT_FOUND" | "KEY_NOT_FOUND")
}
