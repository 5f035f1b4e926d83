//! Writes of one value with options.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::call::{NOT_JSON, StorageCall};
use super::item::{Item, METADATA};
use crate::client::error::ClientError;
use crate::client::request::Response;

/// A write of one value that has not been sent yet: [`Storage::put`](super::Storage::put).
#[must_use = "nothing is stored until it is sent"]
pub struct Put {
    call: StorageCall,
    body: Value,
    options: Map<String, Value>,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Put({:?})", self.call.request)
    }
}

/// Formats a time to live for storage: in whole seconds, at least one.
pub(super) fn ttl(time: Duration) -> Value {
    json!({ "value": time.as_secs().max(1), "unit": "SECONDS" })
}

impl Put {
    pub(super) fn new(
        mut call: StorageCall,
        mut body: Value,
        value: &(impl Serialize + ?Sized),
    ) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => body["value"] = value,
            Err(_) => call.problem = call.problem.or(Some(NOT_JSON)),
        }
        Self {
            call,
            body,
            options: Map::new(),
        }
    }

    /// Sets the time to live, in whole seconds: at least one second, at most a year.
    ///
    /// Storage deletes the value up to 48 hours later, and may return it until then. If the exact
    /// moment matters, read it with [`get_item`](super::Storage::get_item) and check
    /// [`Item::has_expired`].
    /// Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-api/>
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.options.insert("ttl".to_owned(), ttl(time));
        self
    }

    /// Writes only if the key has no value; otherwise the call fails with the code `KEY_CONFLICT`.
    ///
    /// Such a write replaces nothing, and Atlassian returns no value for it:
    ///
    /// ```compile_fail
    /// # use forge_remote::client::Storage;
    /// async fn does_not_compile(storage: &Storage) {
    ///     let _ = storage.put("k", &1).if_absent().replace::<u32>().await;
    /// }
    /// ```
    pub fn if_absent(mut self) -> PutIfAbsent {
        self.options
            .insert("keyPolicy".to_owned(), "FAIL_IF_EXISTS".into());
        PutIfAbsent(self)
    }

    /// Stores the value.
    pub async fn send(self) -> Result<(), ClientError> {
        self.perform(true).await?;
        Ok(())
    }

    /// Stores the value and returns it as stored, with its times.
    pub async fn return_new<T: DeserializeOwned>(self) -> Result<Item<T>, ClientError> {
        let call = self.returning("LATEST").with_metadata();
        // A retry returns the same value.
        call.perform(true).await?.json()
    }

    /// Stores the value and returns the previous one.
    pub async fn replace<T: DeserializeOwned>(self) -> Result<Option<T>, ClientError> {
        let previous = self.returning("PREVIOUS").previous().await?;
        Ok(previous.map(|item| item.value))
    }

    /// Stores the value and returns the previous item, with its times.
    pub async fn return_old<T: DeserializeOwned>(self) -> Result<Option<Item<T>>, ClientError> {
        self.returning("PREVIOUS").with_metadata().previous().await
    }

    fn returning(mut self, which: &str) -> Self {
        self.options.insert("returnValue".to_owned(), which.into());
        self
    }

    fn with_metadata(mut self) -> Self {
        self.options
            .insert("returnMetadataFields".to_owned(), json!(METADATA));
        self
    }

    async fn previous<T: DeserializeOwned>(self) -> Result<Option<Item<T>>, ClientError> {
        // A retry would return the value that was just stored.
        let response = self.perform(false).await?;
        // If there was no previous item, the response has no value or no body.
        #[derive(serde::Deserialize)]
        struct Previous {
            value: Option<serde::de::IgnoredAny>,
        }
        let previous: Option<Previous> = response.json()?;
        match previous.and_then(|previous| previous.value) {
            Some(_) => response.json().map(Some),
            None => Ok(None),
        }
    }

    async fn perform(mut self, may_repeat: bool) -> Result<Response, ClientError> {
        if !self.options.is_empty() {
            self.body["options"] = self.options.into();
        }
        let call = if may_repeat {
            self.call.idempotent()
        } else {
            self.call
        };
        call.json(&self.body).send().await
    }
}

/// A write that only happens if the key has no value: [`Put::if_absent`].
#[must_use = "nothing is stored until it is sent"]
#[derive(Debug)]
pub struct PutIfAbsent(Put);

impl PutIfAbsent {
    /// Sets the time to live; see [`Put::expires_in`].
    pub fn expires_in(self, time: Duration) -> Self {
        Self(self.0.expires_in(time))
    }

    /// Stores the value if the key has none.
    ///
    /// The call is not retried, because a retry would conflict with the first attempt's value.
    pub async fn send(self) -> Result<(), ClientError> {
        self.0.perform(false).await?;
        Ok(())
    }
}
