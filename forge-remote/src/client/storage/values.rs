//! Keys and values, secrets, entities.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::call::{StorageCall, is_missing, problem_of};
use super::item::{Item, METADATA};
use super::put::Put;
use super::query::StorageQuery;
use super::transaction::Transaction;
use crate::client::api::Api;
use crate::client::atlassian::AtlassianClient;
use crate::client::error::ClientError;
use crate::client::installation_ref::InstallationRef;
use crate::client::path::Path;
use crate::client::product::ProductApi;
use crate::client::product_client::ProductClient;
use crate::credentials::SystemToken;

impl AtlassianClient {
    /// Returns the Forge storage of an installation. It needs the system token and the scope `storage:app`.
    ///
    /// The token alone identifies the installation. So calls with a token of another installation
    /// fail before anything is sent, and a token from a page's call is
    /// [proven](SystemToken#on-a-pages-call) first.
    pub fn storage(&self, installation: &impl InstallationRef, token: &SystemToken) -> Storage {
        Storage(ProductApi::new(self, Api::Storage, installation).as_app(token))
    }
}

/// The Forge storage of one installation, shared with the app's functions and pages.
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
/// A key has 1 to 500 letters, digits, whitespace characters and `:._-#`. Any other key is an error
/// before anything is sent. A value has at most 240 KiB, and at most 31 levels of nested objects and
/// lists.
/// Source: <https://developer.atlassian.com/platform/forge/limits-kvs-ce/>
#[derive(Clone, Debug)]
pub struct Storage(ProductClient);

impl Storage {
    /// Returns the value of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        self.values().get(key).await
    }

    /// Returns the value of a key with the times of creation, update and expiry.
    pub async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        self.values().get_item(key).await
    }

    /// Sets a key's value.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.put(key, value).send().await
    }

    /// Prepares a write with options: with an expiry, or only if the key has no value.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        self.values().put(key, value)
    }

    /// Deletes a key. A missing key is not an error.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        self.values().delete(key).await
    }

    /// Queries the keys and values, page by page.
    pub fn query<T: DeserializeOwned>(&self) -> StorageQuery<T> {
        StorageQuery::new(self.call("/v1/query", &[]), Map::new(), "after")
    }

    /// Returns the storage of encrypted values (secrets), which has no queries.
    pub fn secrets(&self) -> Secrets {
        Secrets(self.clone())
    }

    /// Returns the entities of a type that the manifest declares in `app.storage.entities`.
    pub fn entity(&self, name: &str) -> Entities {
        Entities {
            storage: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Creates a transaction: changes that are applied together or not at all.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.call("/v1/transaction", &[]))
    }

    fn values(&self) -> Values<'_> {
        Values {
            storage: self,
            family: &KEYS,
            entity: None,
        }
    }

    /// Creates a call, which fails before it is sent if a key is not valid. Storage supports only `POST`.
    pub(super) fn call(&self, path: &'static str, keys: &[&str]) -> StorageCall {
        let request = self.0.post(Path::from(path));
        let problem = keys.iter().find_map(|key| problem_of(key));
        StorageCall { request, problem }
    }
}

/// The encrypted values of an installation's storage: [`Storage::secrets`].
#[derive(Clone, Debug)]
pub struct Secrets(Storage);

impl Secrets {
    /// Returns the value of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        self.values().get(key).await
    }

    /// Returns the value of a key with the times of creation, update and expiry.
    pub async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        self.values().get_item(key).await
    }

    /// Sets a key's value.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.put(key, value).send().await
    }

    /// Prepares a write with options: with an expiry, or only if the key has no value.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        self.values().put(key, value)
    }

    /// Deletes a key. A missing key is not an error.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        self.values().delete(key).await
    }

    fn values(&self) -> Values<'_> {
        Values {
            storage: &self.0,
            family: &SECRETS,
            entity: None,
        }
    }
}

/// The entities of one type: [`Storage::entity`].
#[derive(Clone, Debug)]
pub struct Entities {
    pub(super) storage: Storage,
    pub(super) name: String,
}

impl Entities {
    /// Returns the entity of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        self.values().get(key).await
    }

    /// Returns the entity of a key with the times of creation, update and expiry.
    pub async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        self.values().get_item(key).await
    }

    /// Sets the entity of a key.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.put(key, value).send().await
    }

    /// Prepares a write of an entity with options.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        self.values().put(key, value)
    }

    /// Deletes the entity of a key. A missing key is not an error.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        self.values().delete(key).await
    }

    /// Queries the entities by an index, page by page.
    pub fn query<T: DeserializeOwned>(&self, index: &str) -> StorageQuery<T> {
        let named = [("entityName", &*self.name), ("indexName", index)];
        let body = named.map(|(name, text)| (name.to_owned(), text.into()));
        let call = self.storage.call("/v1/entity/query", &[]);
        StorageQuery::new(call, body.into_iter().collect(), "cursor")
    }

    fn values(&self) -> Values<'_> {
        Values {
            storage: &self.storage,
            family: &ENTITIES,
            entity: Some(&self.name),
        }
    }
}

/// The paths of a family of values.
struct Family {
    get: &'static str,
    set: &'static str,
    delete: &'static str,
    /// Whether responses with these values are not logged.
    is_secret: bool,
}

const KEYS: Family = Family {
    get: "/v1/get",
    set: "/v1/set",
    delete: "/v1/delete",
    is_secret: false,
};
const SECRETS: Family = Family {
    get: "/v1/secret/get",
    set: "/v1/secret/set",
    delete: "/v1/secret/delete",
    is_secret: true,
};
const ENTITIES: Family = Family {
    get: "/v1/entity/get",
    set: "/v1/entity/set",
    delete: "/v1/entity/delete",
    is_secret: false,
};

/// The calls for one value of a family.
struct Values<'a> {
    storage: &'a Storage,
    family: &'static Family,
    /// The type of the entities.
    entity: Option<&'a str>,
}

impl Values<'_> {
    fn call(&self, path: &'static str, key: &str) -> StorageCall {
        let call = self.storage.call(path, &[key]);
        match self.family.is_secret {
            true => StorageCall {
                request: call.request.secret(),
                ..call
            },
            false => call,
        }
    }

    fn body(&self, key: &str) -> Value {
        match self.entity {
            Some(entity) => json!({ "entityName": entity, "key": key }),
            None => json!({ "key": key }),
        }
    }

    async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        #[derive(serde::Deserialize)]
        struct Found<T> {
            value: T,
        }
        let call = self.call(self.family.get, key).idempotent();
        let found: Option<Option<Found<T>>> = or_missing(call.json(&self.body(key)).fetch().await)?;
        Ok(found.flatten().map(|found| found.value))
    }

    async fn get_item<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Item<T>>, ClientError> {
        let mut body = self.body(key);
        body["options"] = json!({ "metadataFields": METADATA });
        let call = self.call(self.family.get, key).idempotent();
        let found: Option<Option<Item<T>>> = or_missing(call.json(&body).fetch().await)?;
        Ok(found.flatten())
    }

    fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Put {
        Put::new(self.call(self.family.set, key), self.body(key), value)
    }

    async fn delete(&self, key: &str) -> Result<(), ClientError> {
        let call = self.call(self.family.delete, key).idempotent();
        or_missing(call.json(&self.body(key)).send().await)?;
        Ok(())
    }
}

fn or_missing<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error
                .status_error()
                .and_then(|response| response.code())
                .is_some_and(is_missing) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
