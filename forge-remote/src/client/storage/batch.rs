//! Batches: many keys with few calls.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::batch_outcome::{BatchError, BatchKey, BatchOutcome, FailedKey};
use super::call::{MAX_OPERATIONS, NOT_JSON, StorageCall, problem_of, unusable};
use super::item::{Item, METADATA};
use super::put::ttl;
use super::values::{Entities, Storage};
use crate::client::error::ClientError;
use crate::client::request::Response;

/// Upper bound on the size of one call of a batch, in bytes.
/// Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-batch/>
const MAX_CALL_BYTES: usize = 4_000_000;

impl Storage {
    /// Creates a batch of values to set, for keys and entities. Each succeeds or fails independently.
    pub fn batch(&self) -> SetBatch {
        SetBatch {
            call: self.call("/v1/batch/set", &[]),
            items: Vec::new(),
        }
    }

    /// Sets many keys independently, with one call per 25 keys or 4 MB. See [`SetBatch::send`].
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

    /// Gets the values of many keys, with one call for each 25. Missing keys are left out.
    ///
    /// On an error, the items read so far are dropped. The error lists the keys to read again.
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(self, key_items(keys, None, false)).await
    }

    /// Like [`get_all`](Self::get_all), with the times of creation, update and expiry.
    pub async fn get_items<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(self, key_items(keys, None, true)).await
    }

    /// Deletes many keys independently, with one call for each 25. A missing key counts as deleted.
    pub async fn delete_all(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BatchOutcome, BatchError> {
        remove(self, key_items(keys, None, false)).await
    }
}

/// Many entities of one type. To set many, use [`Storage::batch`].
impl Entities {
    /// Gets many entities; see [`Storage::get_all`].
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(&self.storage, key_items(keys, Some(&self.name), false)).await
    }

    /// Gets many entities with their times; see [`Storage::get_items`].
    pub async fn get_items<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, BatchError> {
        read(&self.storage, key_items(keys, Some(&self.name), true)).await
    }

    /// Deletes many entities; see [`Storage::delete_all`].
    pub async fn delete_all(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BatchOutcome, BatchError> {
        remove(&self.storage, key_items(keys, Some(&self.name), false)).await
    }
}

/// A batch of values to set independently: [`Storage::batch`].
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
#[must_use = "nothing is stored until the batch is sent"]
pub struct SetBatch {
    call: StorageCall,
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

    /// Sets the expiry of the value set last; see [`Put::expires_in`](super::Put::expires_in).
    pub fn expires_in(mut self, time: Duration) -> Self {
        match self.items.last_mut() {
            Some(item) => item["options"] = json!({ "ttl": ttl(time) }),
            None => self.fail("`expires_in` must follow a `set` or `set_entity`"),
        }
        self
    }

    fn put(mut self, mut item: Value, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => item["value"] = value,
            Err(_) => self.fail(NOT_JSON),
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

    /// Sends the batch, with one call per 25 keys or 4 MB.
    ///
    /// A failed key is not an error: see [`BatchOutcome::failed_keys`]. A failed call ends the batch
    /// with an error that lists the state of each key. A duplicate key is an error before anything
    /// is sent.
    pub async fn send(mut self) -> Result<BatchOutcome, BatchError> {
        let mut seen = BTreeSet::new();
        if !self
            .items
            .iter()
            .all(|item| seen.insert(BatchKey::of(item)))
        {
            self.fail("a batch contains a key twice");
        }
        write(self.call, self.items).await
    }
}

/// The request items of a list of keys, each key once.
struct KeyItems {
    items: Vec<Value>,
    problem: Option<&'static str>,
}

fn key_items(
    keys: impl IntoIterator<Item = impl Into<String>>,
    entity: Option<&str>,
    with_metadata: bool,
) -> KeyItems {
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
    KeyItems { items, problem }
}

async fn remove(storage: &Storage, keys: KeyItems) -> Result<BatchOutcome, BatchError> {
    let mut call = storage.call("/v1/batch/delete", &[]);
    call.problem = keys.problem;
    let mut batch = write(call, keys.items).await?;
    // A missing key counts as deleted.
    let failed = std::mem::take(&mut batch.failed_keys);
    let (missing, failed) = failed.into_iter().partition(FailedKey::is_missing);
    batch.failed_keys = failed;
    batch
        .done
        .extend(Vec::into_iter(missing).map(BatchKey::from));
    Ok(batch)
}

/// Sends a batch of changes.
async fn write(call: StorageCall, items: Vec<Value>) -> Result<BatchOutcome, BatchError> {
    let mut batch = BatchOutcome::default();
    let mut chunks = Chunks::of(&call, items)?;
    while let Some(chunk) = chunks.next() {
        let result: ChunkResult<BatchKey> = match chunk.send(&call).await {
            Ok((result, _)) => result,
            Err(error) => return Err(ended(batch, chunk, chunks, error)),
        };
        batch
            .failed_keys
            .extend(chunk.failed(&result.successful_keys, result.failed_keys));
        batch.done.extend(result.successful_keys);
    }
    Ok(batch)
}

async fn read<T: DeserializeOwned>(
    storage: &Storage,
    keys: KeyItems,
) -> Result<Vec<Item<T>>, BatchError> {
    let mut call = storage.call("/v1/batch/get", &[]);
    call.problem = keys.problem;
    let (mut items, mut batch, mut last) = (Vec::new(), BatchOutcome::default(), None);
    let mut chunks = Chunks::of(&call, keys.items)?;
    while let Some(chunk) = chunks.next() {
        let result: ChunkResult<Item<T>> = match chunk.send(&call).await {
            Ok((result, response)) => {
                last = Some(response);
                result
            }
            Err(error) => return Err(ended(batch, chunk, chunks, error)),
        };
        let read = result.successful_keys.iter().map(|item| BatchKey {
            key: item.key.clone(),
            entity_name: item.entity_name.clone(),
        });
        let read: Vec<BatchKey> = read.collect();
        let failed = chunk.failed(&read, result.failed_keys);
        batch
            .failed_keys
            .extend(failed.into_iter().filter(|failed| !failed.is_missing()));
        batch.done.extend(read);
        items.extend(result.successful_keys);
    }
    match (batch.failed_keys.first(), last) {
        (Some(failed), Some(last)) => {
            let code = failed.code().unwrap_or("no code");
            let error = unusable(&last, format!("a key could not be read: {code}"));
            Err(ended(batch, Chunk::default(), Chunks::default(), error))
        }
        _ => Ok(items),
    }
}

/// The chunks of a batch.
#[derive(Default)]
struct Chunks(std::vec::IntoIter<Chunk>);

/// The items of one call.
#[derive(Default)]
struct Chunk {
    keys: Vec<BatchKey>,
    items: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Chunks {
    fn of(call: &StorageCall, items: Vec<Value>) -> Result<Self, BatchError> {
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
            let Ok(json) = to_raw_value(item) else {
                return Err(wrong(NOT_JSON));
            };
            // Includes the comma before the item.
            let bytes = json.get().len() + 1;
            let fits = |chunk: &&mut Chunk| {
                chunk.items.len() < MAX_OPERATIONS && chunk.bytes + bytes < MAX_CALL_BYTES
            };
            let key = BatchKey::of(item);
            match chunks.last_mut().filter(fits) {
                Some(chunk) => chunk.add(key, json, bytes),
                None => {
                    let mut chunk = Chunk::default();
                    chunk.add(key, json, bytes);
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
        call: &StorageCall,
    ) -> Result<(ChunkResult<S>, Response), ClientError> {
        // The operations are independent, so a retry has the same result.
        let response = call.copy().idempotent().json(&self.items).send().await?;
        Ok((response.json()?, response))
    }

    /// Returns the failed keys, including keys that the response does not mention.
    fn failed(&self, done: &[BatchKey], mut failed: Vec<FailedKey>) -> Vec<FailedKey> {
        for key in &self.keys {
            let is_same = |other: &FailedKey| other.key == key.key;
            // The response may omit the entity, so only keys are compared.
            if !done.iter().any(|other| other.key == key.key) && !failed.iter().any(is_same) {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChunkResult<S> {
    #[serde(default = "Vec::new")]
    successful_keys: Vec<S>,
    #[serde(default)]
    failed_keys: Vec<FailedKey>,
}

/// Returns the error of a batch that ended with the call of `chunk`.
fn ended(batch: BatchOutcome, chunk: Chunk, rest: Chunks, error: ClientError) -> BatchError {
    BatchError {
        done: batch.done,
        failed_keys: batch.failed_keys,
        unsure: chunk.keys,
        not_tried: rest.0.flat_map(|chunk| chunk.keys).collect(),
        error: Box::new(error),
    }
}
