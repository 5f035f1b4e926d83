//! The outcome of a batch, by key.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::call::is_missing;
use crate::client::error::ClientError;

/// A key of a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchKey {
    /// The key.
    pub key: String,
    /// The entity's type; `None` if it is not an entity.
    #[serde(default)]
    pub entity_name: Option<String>,
}

impl BatchKey {
    pub(super) fn of(item: &Value) -> Self {
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            key: text("key").unwrap_or_default(),
            entity_name: text("entityName"),
        }
    }
}

impl From<FailedKey> for BatchKey {
    fn from(failed: FailedKey) -> Self {
        Self {
            key: failed.key,
            entity_name: failed.entity_name,
        }
    }
}

/// The outcome of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchOutcome {
    /// The keys that succeeded.
    pub done: Vec<BatchKey>,
    /// The keys that failed.
    pub failed_keys: Vec<FailedKey>,
}

impl BatchOutcome {
    /// Returns whether every key succeeded.
    pub fn is_complete(&self) -> bool {
        self.failed_keys.is_empty()
    }
}

/// The error of a batch that ended early, with the state of each key.
///
/// To continue, send the keys in [`unsure`](Self::unsure) and [`not_tried`](Self::not_tried). It
/// converts into [`ClientError`], including by `?`.
#[derive(thiserror::Error)]
#[error(
    "{error} (of a batch: {} done, {} failed, {} perhaps done, {} not tried)",
    done.len(), failed_keys.len(), unsure.len(), not_tried.len()
)]
#[non_exhaustive]
pub struct BatchError {
    /// The keys that succeeded in earlier calls.
    pub done: Vec<BatchKey>,
    /// The keys that failed in earlier calls.
    pub failed_keys: Vec<FailedKey>,
    /// The keys of the failed call, which may have succeeded if only the response was lost.
    pub unsure: Vec<BatchKey>,
    /// The keys of calls that were not made.
    pub not_tried: Vec<BatchKey>,
    /// The error of the failed call.
    #[source]
    pub error: Box<ClientError>,
}

/// Same as `Display`: keys are user data.
impl fmt::Debug for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ClientError> for BatchError {
    fn from(error: ClientError) -> Self {
        Self {
            done: Vec::new(),
            failed_keys: Vec::new(),
            unsure: Vec::new(),
            not_tried: Vec::new(),
            error: Box::new(error),
        }
    }
}

impl From<BatchError> for ClientError {
    fn from(error: BatchError) -> Self {
        *error.error
    }
}

/// A key that failed, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailedKey {
    /// The key.
    pub key: String,
    /// The entity's type; `None` if it is not an entity.
    #[serde(default)]
    pub entity_name: Option<String>,
    /// Atlassian's code and message; `None` if the response does not mention this key.
    #[serde(default)]
    pub error: Option<FailedKeyError>,
}

/// Atlassian's code and message for a failed key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct FailedKeyError {
    /// The code: `MAX_SIZE`, …
    #[serde(default)]
    pub code: Option<String>,
    /// The message.
    #[serde(default)]
    pub message: Option<String>,
}

impl FailedKey {
    /// Returns Atlassian's code.
    pub fn code(&self) -> Option<&str> {
        self.error.as_ref()?.code.as_deref()
    }

    pub(super) fn is_missing(&self) -> bool {
        self.code().is_some_and(is_missing)
    }
}
