//! Many keys with few calls.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::item::{Item, METADATA};
use super::put::ttl;
use super::{Call, Entities, MOST, Storage, UNWRITABLE, is_missing, problem_of, unusable};
use crate::client::error::ClientError;
use crate::client::request::Response;

/// How large a call of a batch is at most, in bytes.
/// Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-batch/>
const MOST_BYTES: usize = 4_000_000;

impl Storage {
    /// Many values to set, of keys and of entities, each for itself.
    pub fn batch(&self) -> SetBatch {
        SetBatch {
            call: self.call("/v1/batch/set", &[]),
            items: Vec::new(),
        }
    }

    /// Sets many keys, each for itself, with a call for each 25 or 4 MB: see [`SetBatch::send`].
    pub async fn set_all<T: Serialize>(
        &self,
        items: impl IntoIterator<Item = (impl Into<String>, T)>,
    ) -> Result<BatchOutcome, BatchError> {
        let items = items.into_iter();
        let batch = items.fold(self.batch(), |batch, (key, value)| {
            batch.set(&key.into(), &value)
        });
        batch.send().await
    }

    /// Gets many keys, with a call for each 25; those that aren't there are left out. The items that
    /// came are dropped with an error, which says for which keys to ask again.
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(self, keyed(keys, None, false)).await
    }

    /// As [`get_all`](Self::get_all), with when each was created and updated, and when it expires.
    pub async fn get_items<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(self, keyed(keys, None, true)).await
    }

    /// Removes many keys, each for itself, with a call for each 25; those that aren't there are
    /// removed already.
    pub async fn delete_all(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BatchOutcome, BatchError> {
        remove(self, keyed(keys, None, false)).await
    }
}

/// Many entities of one type. To set many, [`Storage::batch`].
impl Entities {
    /// As [`Storage::get_all`].
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(&self.storage, keyed(keys, Some(&self.name), false)).await
    }

    /// As [`Storage::get_items`].
    pub async fn get_items<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(&self.storage, keyed(keys, Some(&self.name), true)).await
    }

    /// As [`Storage::delete_all`].
    pub async fn delete_all(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BatchOutcome, BatchError> {
        remove(&self.storage, keyed(keys, Some(&self.name), false)).await
    }
}

/// Many values to set, each for itself: [`Storage::batch`].
///
/// ```
/// use std::time::Duration;
/// use forge_remote::client::Storage;
/// use forge_remote::Result;
/// # use serde_json::Value;
///
/// async fn store(storage: &Storage, ada: &Value, draft: &str) -> Result<()> {
///     let done = storage
///         .batch()
///         .set_entity("employee", "ada", ada)
///         .set("draft", draft)
///         .expires_in(Duration::from_secs(3600))
///         .send()
///         .await?;
///     for failed in &done.failed_keys {
///         eprintln!("{} was not stored: {:?}", failed.key, failed.code());
///     }
///     Ok(())
/// }
/// ```
#[must_use = "nothing is stored until it is sent"]
pub struct SetBatch {
    call: Call,
    items: Vec<Value>,
}

impl fmt::Debug for SetBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetBatch({} keys)", self.items.len())
    }
}

impl SetBatch {
    /// Sets a key's value.
    pub fn set(self, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.put(json!({ "key": key }), key, value)
    }

    /// Sets an entity.
    pub fn set_entity(self, entity: &str, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.put(json!({ "key": key, "entityName": entity }), key, value)
    }

    /// Lets what was set last expire, as [`Put::expires_in`](super::Put::expires_in).
    pub fn expires_in(mut self, time: Duration) -> Self {
        match self.items.last_mut() {
            Some(item) => item["options"] = json!({ "ttl": ttl(time) }),
            None => self.fail("`expires_in` is for what was set just before"),
        }
        self
    }

    fn put(mut self, mut item: Value, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => item["value"] = value,
            Err(_) => self.fail(UNWRITABLE),
        }
        if let Some(problem) = problem_of(key) {
            self.fail(problem);
        }
        self.items.push(item);
        self
    }

    fn fail(&mut self, problem: &'static str) {
        self.call.problem = self.call.problem.or(Some(problem));
    }

    /// Sets them, with a call for each 25 or 4 MB. That a key failed isn't an error: see
    /// [`BatchOutcome::failed_keys`]. The error is that of a call, which ends the batch, and says how far
    /// it came. A key twice is an error before anything is sent.
    pub async fn send(mut self) -> Result<BatchOutcome, BatchError> {
        let mut seen = BTreeSet::new();
        if !self
            .items
            .iter()
            .all(|item| seen.insert(BatchKey::of(item)))
        {
            self.fail("a batch has each key once");
        }
        write(self.call, self.items).await
    }
}

/// What was asked for, each key once.
struct Keyed {
    items: Vec<Value>,
    problem: Option<&'static str>,
}

fn keyed(
    keys: impl IntoIterator<Item = impl Into<String>>,
    entity: Option<&str>,
    with_metadata: bool,
) -> Keyed {
    let (mut items, mut problem, mut seen) = (Vec::new(), None, BTreeSet::new());
    for key in keys {
        let key = key.into();
        problem = problem.or(problem_of(&key));
        if !seen.insert(key.clone()) {
            continue;
        }
        let mut item = json!({ "key": key });
        if let Some(entity) = entity {
            item["entityName"] = entity.into();
        }
        if with_metadata {
            item["options"] = json!({ "metadataFields": METADATA });
        }
        items.push(item);
    }
    Keyed { items, problem }
}

async fn remove(storage: &Storage, keyed: Keyed) -> Result<BatchOutcome, BatchError> {
    let mut call = storage.call("/v1/batch/delete", &[]);
    call.problem = keyed.problem;
    let mut batch = write(call, keyed.items).await?;
    // What isn't there is removed.
    let failed = std::mem::take(&mut batch.failed_keys);
    let (gone, failed) = failed.into_iter().partition(FailedKey::is_missing);
    batch.failed_keys = failed;
    batch.done.extend(Vec::into_iter(gone).map(BatchKey::from));
    Ok(batch)
}

/// A batch of changes.
async fn write(call: Call, items: Vec<Value>) -> Result<BatchOutcome, BatchError> {
    let mut batch = BatchOutcome::default();
    let mut chunks = Chunks::of(&call, items)?;
    while let Some(chunk) = chunks.next() {
        let got: Got<BatchKey> = match chunk.send(&call).await {
            Ok((got, _)) => got,
            Err(error) => return Err(BatchError::new(batch, chunk, chunks, error)),
        };
        batch
            .failed_keys
            .extend(chunk.failed(&got.successful_keys, got.failed_keys));
        batch.done.extend(got.successful_keys);
    }
    Ok(batch)
}

async fn read<T: DeserializeOwned>(
    storage: &Storage,
    keyed: Keyed,
) -> Result<Vec<Item<T>>, BatchError> {
    let mut call = storage.call("/v1/batch/get", &[]);
    call.problem = keyed.problem;
    let (mut items, mut batch, mut last) = (Vec::new(), BatchOutcome::default(), None);
    let mut chunks = Chunks::of(&call, keyed.items)?;
    while let Some(chunk) = chunks.next() {
        let got: Got<Item<T>> = match chunk.send(&call).await {
            Ok((got, answer)) => {
                last = Some(answer);
                got
            }
            Err(error) => return Err(BatchError::new(batch, chunk, chunks, error)),
        };
        let read = got.successful_keys.iter().map(|item| BatchKey {
            key: item.key.clone(),
            entity_name: item.entity_name.clone(),
        });
        let read: Vec<BatchKey> = read.collect();
        let failed = chunk.failed(&read, got.failed_keys);
        batch
            .failed_keys
            .extend(failed.into_iter().filter(|failed| !failed.is_missing()));
        batch.done.extend(read);
        items.extend(got.successful_keys);
    }
    match (batch.failed_keys.first(), last) {
        (Some(failed), Some(last)) => {
            let code = failed.code().unwrap_or("no code");
            let error = unusable(&last, format!("a key could not be read: {code}"));
            Err(BatchError::new(
                batch,
                Chunk::default(),
                Chunks::default(),
                error,
            ))
        }
        _ => Ok(items),
    }
}

/// Calls' worth of items.
#[derive(Default)]
struct Chunks(std::vec::IntoIter<Chunk>);

#[derive(Default)]
struct Chunk {
    keys: Vec<BatchKey>,
    items: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Chunks {
    fn of(call: &Call, items: Vec<Value>) -> Result<Self, BatchError> {
        let wrong = |problem: &str| {
            let not_tried = items.iter().map(BatchKey::of).collect();
            BatchError {
                not_tried,
                ..BatchError::from(call.invalid(problem))
            }
        };
        if let Some(problem) = call.problem {
            return Err(wrong(problem));
        }
        let mut chunks: Vec<Chunk> = Vec::new();
        for item in &items {
            let Ok(written) = to_raw_value(item) else {
                return Err(wrong(UNWRITABLE));
            };
            // With the comma before it.
            let bytes = written.get().len() + 1;
            let fits =
                |chunk: &&mut Chunk| chunk.items.len() < MOST && chunk.bytes + bytes < MOST_BYTES;
            let key = BatchKey::of(item);
            match chunks.last_mut().filter(fits) {
                Some(chunk) => chunk.add(key, written, bytes),
                None => {
                    let mut chunk = Chunk::default();
                    chunk.add(key, written, bytes);
                    chunks.push(chunk);
                }
            }
        }
        Ok(Self(chunks.into_iter()))
    }

    fn next(&mut self) -> Option<Chunk> {
        self.0.next()
    }
}

impl Chunk {
    fn add(&mut self, key: BatchKey, item: Box<RawValue>, bytes: usize) {
        self.keys.push(key);
        self.items.push(item);
        self.bytes += bytes;
    }

    async fn send<S: DeserializeOwned>(
        &self,
        call: &Call,
    ) -> Result<(Got<S>, Response), ClientError> {
        // Each stands for itself: made again, it comes to the same.
        let answer = call.copy().idempotent().json(&self.items).send().await?;
        Ok((answer.json()?, answer))
    }

    /// Those that failed, and those of which nothing was said.
    fn failed(&self, done: &[BatchKey], mut failed: Vec<FailedKey>) -> Vec<FailedKey> {
        for key in &self.keys {
            let is_it = |other: &FailedKey| other.key == key.key;
            // Storage need not name the entity again.
            if !done.iter().any(|other| other.key == key.key) && !failed.iter().any(is_it) {
                failed.push(FailedKey {
                    key: key.key.clone(),
                    entity_name: key.entity_name.clone(),
                    error: None,
                });
            }
        }
        failed
    }
}

/// A key of a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchKey {
    /// The key.
    pub key: String,
    /// The entity's type, where it is one.
    #[serde(default)]
    pub entity_name: Option<String>,
}

impl BatchKey {
    fn of(item: &Value) -> Self {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Got<S> {
    #[serde(default = "Vec::new")]
    successful_keys: Vec<S>,
    #[serde(default)]
    failed_keys: Vec<FailedKey>,
}

/// What came of many keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchOutcome {
    /// Those that were done.
    pub done: Vec<BatchKey>,
    /// Those that failed, each for itself.
    pub failed_keys: Vec<FailedKey>,
}

impl BatchOutcome {
    /// Whether every key was done.
    pub fn is_complete(&self) -> bool {
        self.failed_keys.is_empty()
    }
}

/// A batch that ended early, and how far it came. It goes on with
/// [`unsure`](Self::unsure) and [`not_tried`](Self::not_tried).
///
/// A [`ClientError`] can be made of it, by `?` too.
#[derive(thiserror::Error)]
#[error(
    "{error} (of a batch: {} done, {} failed, {} perhaps done, {} not tried)",
    done.len(), failed_keys.len(), unsure.len(), not_tried.len()
)]
#[non_exhaustive]
pub struct BatchError {
    /// Those that were done before.
    pub done: Vec<BatchKey>,
    /// Those that failed before, each for itself.
    pub failed_keys: Vec<FailedKey>,
    /// Those of the call that failed: done if it failed on the way back.
    pub unsure: Vec<BatchKey>,
    /// Those of the calls after it.
    pub not_tried: Vec<BatchKey>,
    /// What the call failed of.
    #[source]
    pub error: Box<ClientError>,
}

/// As its text: keys are customers' data.
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

impl BatchError {
    fn new(batch: BatchOutcome, chunk: Chunk, rest: Chunks, error: ClientError) -> Self {
        Self {
            done: batch.done,
            failed_keys: batch.failed_keys,
            unsure: chunk.keys,
            not_tried: rest.0.flat_map(|chunk| chunk.keys).collect(),
            error: Box::new(error),
        }
    }
}

/// A key that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailedKey {
    /// The key.
    pub key: String,
    /// The entity's type, where it is one.
    #[serde(default)]
    pub entity_name: Option<String>,
    /// Atlassian's code and message; `None` where it said nothing of this key.
    #[serde(default)]
    pub error: Option<FailedKeyError>,
}

/// Atlassian's code and message.
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
    /// Atlassian's code.
    pub fn code(&self) -> Option<&str> {
        self.error.as_ref()?.code.as_deref()
    }

    fn is_missing(&self) -> bool {
        self.code().is_some_and(is_missing)
    }
}
