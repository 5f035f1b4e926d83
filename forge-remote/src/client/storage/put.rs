//! A value on its way to storage.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::item::{Item, METADATA};
use super::{Call, UNWRITABLE};
use crate::client::error::ClientError;
use crate::client::request::Response;

/// A value on its way to storage: [`Storage::put`](super::Storage::put).
#[must_use = "nothing is stored until it is sent"]
pub struct Put {
    call: Call,
    body: Value,
    options: Map<String, Value>,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Put({:?})", self.call.request)
    }
}

/// A time to live as storage takes it, in whole seconds, one at least.
pub(super) fn ttl(time: Duration) -> Value {
    json!({ "value": time.as_secs().max(1), "unit": "SECONDS" })
}

impl Put {
    pub(super) fn new(mut call: Call, mut body: Value, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => body["value"] = value,
            Err(_) => call.problem = call.problem.or(Some(UNWRITABLE)),
        }
        Self {
            call,
            body,
            options: Map::new(),
        }
    }

    /// Lets it expire after this time, in whole seconds: one at least, a year at most.
    ///
    /// Storage removes it within 48 hours of that, and may give it until then: where the moment
    /// matters, read it by [`get_item`](super::Storage::get_item) and ask
    /// [`Item::has_expired`].
    /// Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-api/>
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.options.insert("ttl".to_owned(), ttl(time));
        self
    }

    /// Only where the key has no value: else the answer is an error, with the code `KEY_CONFLICT`.
    ///
    /// There is nothing to be replaced then, and Atlassian gives no value back:
    ///
    /// ```compile_fail
    /// # use forge_remote::client::Storage;
    /// async fn wrong(storage: &Storage) {
    ///     let _ = storage.put("k", &1).if_absent().replace::<u32>().await;
    /// }
    /// ```
    pub fn if_absent(mut self) -> PutIfAbsent {
        self.options
            .insert("keyPolicy".to_owned(), "FAIL_IF_EXISTS".into());
        PutIfAbsent(self)
    }

    /// Stores it.
    pub async fn send(self) -> Result<(), ClientError> {
        self.perform(true).await?;
        Ok(())
    }

    /// Stores it and gives it back as it is stored now, with its times.
    pub async fn return_new<T: DeserializeOwned>(self) -> Result<Item<T>, ClientError> {
        let call = self.returning("LATEST").with_metadata();
        // Made again, it gives the same.
        call.perform(true).await?.json()
    }

    /// Stores it and gives the value that was there before.
    pub async fn replace<T: DeserializeOwned>(self) -> Result<Option<T>, ClientError> {
        let before = self.returning("PREVIOUS").before().await?;
        Ok(before.map(|item| item.value))
    }

    /// Stores it and gives the item that was there before, with its times.
    pub async fn return_old<T: DeserializeOwned>(self) -> Result<Option<Item<T>>, ClientError> {
        self.returning("PREVIOUS").with_metadata().before().await
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

    async fn before<T: DeserializeOwned>(self) -> Result<Option<Item<T>>, ClientError> {
        // Made again, it would give the value just stored.
        let response = self.perform(false).await?;
        // Without one there is no value in the answer, or no answer.
        #[derive(serde::Deserialize)]
        struct Got {
            value: Option<serde::de::IgnoredAny>,
        }
        let got: Option<Got> = response.json()?;
        match got.and_then(|got| got.value) {
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

/// A value that is stored only where there is none: [`Put::if_absent`].
#[must_use = "nothing is stored until it is sent"]
#[derive(Debug)]
pub struct PutIfAbsent(Put);

impl PutIfAbsent {
    /// As [`Put::expires_in`].
    pub fn expires_in(self, time: Duration) -> Self {
        Self(self.0.expires_in(time))
    }

    /// Stores it, if there is none. It is sent once: made again, the first attempt's value would be
    /// in the way.
    pub async fn send(self) -> Result<(), ClientError> {
        self.0.perform(false).await?;
        Ok(())
    }
}
