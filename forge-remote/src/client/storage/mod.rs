//! Forge's hosted storage: keys and values, secrets, entities.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/accessing-storage/>

mod batch;
mod item;
mod put;
mod query;
mod transaction;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub use batch::{BatchError, BatchKey, BatchOutcome, FailedKey, FailedKeyError, SetBatch};
pub use item::Item;
pub use put::{Put, PutIfAbsent};
pub use query::{QueryPage, StorageQuery};
pub use transaction::Transaction;

use super::api::Api;
use super::atlassian::AtlassianClient;
use super::error::ClientError;
use super::path::Path;
use super::product::ProductApi;
use super::product_client::ProductClient;
use super::request::{Request, Response};
use super::tenant::Tenant;
use crate::credentials::SystemToken;

/// The longest key, in characters.
const MAX_KEY: usize = 500;
/// How many keys a batch has at most, and how many operations a transaction.
/// Sources: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-batch/>,
/// <https://developer.atlassian.com/platform/forge/storage-reference/entities-transactions/>
const MOST: usize = 25;

impl AtlassianClient {
    /// Forge's storage of an installation. It is the app's: only the system token opens it, with
    /// the scope `storage:app`. The token alone says whose storage it is, so a token of another
    /// installation is an error when a call is made, before anything is sent; and one that a page
    /// brought is [proven](SystemToken#on-a-pages-call) first.
    pub fn storage(&self, tenant: &impl Tenant, token: &SystemToken) -> Storage {
        Storage(ProductApi::new(self, Api::Storage, tenant).as_app(token))
    }
}

/// Forge's storage of one installation: the one that the app's functions and pages see.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[derive(Default, serde::Deserialize, serde::Serialize)]
/// struct Settings { theme: String }
///
/// #[endpoint(auth = system, scopes = ["storage:app"])]
/// async fn set_theme(call: Invocation, token: SystemToken, Json(theme): Json<String>) -> Result<()> {
///     let storage = call.storage(&token);
///     let mut settings: Settings = storage.get("settings").await?.unwrap_or_default();
///     settings.theme = theme;
///     storage.set("settings", &settings).await?;
///     Ok(())
/// }
/// ```
///
/// A key has 1 to 500 of letters, digits, whitespace and `:._-#`; another is an error before
/// anything is sent. A value has 240 KiB at most, and no more than 31 objects or lists inside each
/// other.
/// Source: <https://developer.atlassian.com/platform/forge/limits-kvs-ce/>
#[derive(Clone, Debug)]
pub struct Storage(ProductClient);

impl Storage {
    /// The value of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        get(self.call("/v1/get", &[key]), json!({ "key": key })).await
    }

    /// The value of a key, with when it was created and updated, and when it expires.
    pub async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        get_item(self.call("/v1/get", &[key]), json!({ "key": key })).await
    }

    /// Sets a key's value.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.put(key, value).send().await
    }

    /// Sets a key's value in a certain way: for a time, or only where there is none.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        Put::new(self.call("/v1/set", &[key]), json!({ "key": key }), value)
    }

    /// Removes a key; one that isn't there is removed already.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        delete(self.call("/v1/delete", &[key]), json!({ "key": key })).await
    }

    /// The keys and values, in pages.
    pub fn query<T: DeserializeOwned>(&self) -> StorageQuery<T> {
        StorageQuery::new(self.call("/v1/query", &[]), Map::new(), "after")
    }

    /// Values that are encrypted and can't be queried.
    pub fn secrets(&self) -> Secrets {
        Secrets(self.clone())
    }

    /// The entities of a type that `app.storage.entities` declares in the manifest.
    pub fn entity(&self, name: &str) -> Entities {
        Entities {
            storage: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Changes that are all made or none.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.call("/v1/transaction", &[]))
    }

    /// A call, which fails before it is sent when a key is wrong. Storage knows only `POST`.
    fn call(&self, path: &'static str, keys: &[&str]) -> Call {
        let request = self.0.post(Path::from(path));
        let problem = keys.iter().find_map(|key| problem_of(key));
        Call { request, problem }
    }
}

/// Encrypted values: [`Storage::secrets`].
#[derive(Clone, Debug)]
pub struct Secrets(Storage);

impl Secrets {
    /// The value of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        get(self.call("/v1/secret/get", key), json!({ "key": key })).await
    }

    /// The value of a key, with when it was created and updated, and when it expires.
    pub async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        get_item(self.call("/v1/secret/get", key), json!({ "key": key })).await
    }

    /// Sets a key's value.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.put(key, value).send().await
    }

    /// Sets a key's value in a certain way: for a time, or only where there is none.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        Put::new(
            self.call("/v1/secret/set", key),
            json!({ "key": key }),
            value,
        )
    }

    /// Removes a key; one that isn't there is removed already.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        delete(self.call("/v1/secret/delete", key), json!({ "key": key })).await
    }

    fn call(&self, path: &'static str, key: &str) -> Call {
        let call = self.0.call(path, &[key]);
        Call {
            request: call.request.secret(),
            ..call
        }
    }
}

/// Entities of one type: [`Storage::entity`].
#[derive(Clone, Debug)]
pub struct Entities {
    storage: Storage,
    name: String,
}

impl Entities {
    /// The entity of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        get(self.storage.call("/v1/entity/get", &[key]), self.named(key)).await
    }

    /// The entity of a key, with when it was created and updated, and when it expires.
    pub async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        get_item(self.storage.call("/v1/entity/get", &[key]), self.named(key)).await
    }

    /// Sets the entity of a key.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.put(key, value).send().await
    }

    /// Sets the entity of a key in a certain way.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        Put::new(
            self.storage.call("/v1/entity/set", &[key]),
            self.named(key),
            value,
        )
    }

    /// Removes the entity of a key; one that isn't there is removed already.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        delete(
            self.storage.call("/v1/entity/delete", &[key]),
            self.named(key),
        )
        .await
    }

    /// The entities by an index, in pages.
    pub fn query<T: DeserializeOwned>(&self, index: &str) -> StorageQuery<T> {
        let named = [("entityName", &*self.name), ("indexName", index)];
        let body = named.map(|(name, text)| (name.to_owned(), text.into()));
        let call = self.storage.call("/v1/entity/query", &[]);
        StorageQuery::new(call, body.into_iter().collect(), "cursor")
    }

    fn named(&self, key: &str) -> Value {
        json!({ "entityName": self.name, "key": key })
    }
}

/// A call and what is wrong with its key.
struct Call {
    request: Request,
    problem: Option<&'static str>,
}

impl Call {
    fn idempotent(self) -> Self {
        Self {
            request: self.request.idempotent(),
            ..self
        }
    }

    fn json(self, body: &impl Serialize) -> Self {
        Self {
            request: self.request.json(body),
            ..self
        }
    }

    fn copy(&self) -> Self {
        Self {
            request: self.request.copy(),
            problem: self.problem,
        }
    }

    fn invalid(&self, reason: &str) -> ClientError {
        self.request.invalid(reason)
    }

    async fn send(self) -> Result<Response, ClientError> {
        match self.problem {
            Some(problem) => Err(self.invalid(problem)),
            None => self.request.send().await,
        }
    }

    async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.json()
    }
}

/// An answer of the right shape from which nothing can be made.
fn unusable(response: &Response, reason: String) -> ClientError {
    ClientError::Unreadable {
        call: response.call().clone(),
        status: response.status(),
        wanted: "what was asked for",
        trace_id: response.trace_id(),
        reason,
    }
}

const UNWRITABLE: &str = "a value can't be written as JSON";

/// What is wrong with a key. Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs/>
fn problem_of(key: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":._-#".contains(c);
    if key.trim().is_empty() {
        Some("a storage key can't be empty or only whitespace")
    } else if key.chars().nth(MAX_KEY).is_some() {
        Some("a storage key has 500 characters at most")
    } else if !key.chars().all(allowed) {
        Some("a storage key has letters, digits, whitespace and `:._-#` only")
    } else {
        None
    }
}

/// Atlassian's pages and its own package have different codes for it.
fn is_missing(code: &str) -> bool {
    matches!(code, "NOT_FOUND" | "KEY_NOT_FOUND")
}

fn or_missing<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error
                .answer()
                .and_then(|answer| answer.code())
                .is_some_and(is_missing) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn get<T: DeserializeOwned>(call: Call, body: Value) -> Result<Option<T>, ClientError> {
    #[derive(serde::Deserialize)]
    struct Got<T> {
        value: T,
    }
    let got: Option<Option<Got<T>>> = or_missing(call.idempotent().json(&body).fetch().await)?;
    Ok(got.flatten().map(|got| got.value))
}

async fn get_item<T: DeserializeOwned>(
    call: Call,
    mut body: Value,
) -> Result<Option<Item<T>>, ClientError> {
    body["options"] = json!({ "metadataFields": item::METADATA });
    let got: Option<Option<Item<T>>> = or_missing(call.idempotent().json(&body).fetch().await)?;
    Ok(got.flatten())
}

async fn delete(call: Call, body: Value) -> Result<(), ClientError> {
    or_missing(call.idempotent().json(&body).send().await)?;
    Ok(())
}
