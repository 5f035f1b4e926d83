//! Forge's hosted storage: keys and values, secrets, entities.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/accessing-storage/>

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ClientError;
use super::request::{Request, Response};
use super::{Api, Atlassian, Client, Path, Product, Tenant};
use crate::extract::{Invocation, SystemToken};

/// The longest key, in characters.
const MAX_KEY: usize = 500;
/// How many keys a batch has at most, and how many operations a transaction.
/// Sources: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-batch/>,
/// <https://developer.atlassian.com/platform/forge/storage-reference/entities-transactions/>
const MOST: usize = 25;
/// A query that gives pages without end is broken.
const MOST_PAGES: u32 = 100_000;

impl Atlassian {
    /// Forge's storage of an installation. It is the app's: only the system token opens it, with
    /// the scope `storage:app`.
    pub fn storage(&self, tenant: &impl Tenant, token: &SystemToken) -> Storage {
        Storage(Product::new(self, Api::Storage, tenant).as_app(token))
    }
}

impl Invocation {
    /// Forge's storage of this installation: see [`Atlassian::storage`].
    pub fn storage(&self, token: &SystemToken) -> Storage {
        self.atlassian().storage(self, token)
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
/// anything is sent.
#[derive(Clone, Debug)]
pub struct Storage(Client);

impl Storage {
    /// The value of a key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        get(self.call("/v1/get", &[key]), json!({ "key": key })).await
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
    pub fn query<T: DeserializeOwned>(&self) -> Query<T> {
        Query::new(self.call("/v1/query", &[]), json!({}), "after")
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
        Transaction {
            request: self.call("/v1/transaction", &[]),
            parts: [Vec::new(), Vec::new(), Vec::new()],
            problem: None,
        }
    }

    /// Sets many keys, 25 with one call; each stands for itself. Those of calls before one that
    /// failed are set.
    pub async fn set_all<T: Serialize>(
        &self,
        items: impl IntoIterator<Item = (impl Into<String>, T)>,
    ) -> Result<Batch, ClientError> {
        let mut list = Vec::new();
        for (key, value) in items {
            let key = key.into();
            check(&self.call("/v1/batch/set", &[]), &key)?;
            list.push(
                json!({ "key": key, "value": to_value(&self.call("/v1/batch/set", &[]), &value)? }),
            );
        }
        self.batch("/v1/batch/set", list).await
    }

    /// Gets many keys, 25 with one call; those that aren't there are left out.
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Item<T>>, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Got<T> {
            #[serde(default = "Vec::new")]
            successful_keys: Vec<Item<T>>,
            #[serde(default)]
            failed_keys: Vec<FailedKey>,
        }
        let missing = |failed: &FailedKey| failed.code().is_some_and(is_missing);
        let mut items = Vec::new();
        for part in self.keys("/v1/batch/get", keys)?.chunks(MOST) {
            let request = self.call("/v1/batch/get", &[]).idempotent();
            let again = request.copy();
            let got: Got<T> = request.json(&part).fetch().await?;
            if let Some(failed) = got.failed_keys.iter().find(|failed| !missing(failed)) {
                let code = failed.code().unwrap_or("no code");
                return Err(again.invalid(format!("a key could not be read: {code}")));
            }
            items.extend(got.successful_keys);
        }
        Ok(items)
    }

    /// Removes many keys, 25 with one call; each stands for itself. Those of calls before one that
    /// failed are removed.
    pub async fn delete_all(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Batch, ClientError> {
        let list = self.keys("/v1/batch/delete", keys)?;
        self.batch("/v1/batch/delete", list).await
    }

    fn keys(
        &self,
        path: &'static str,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<Value>, ClientError> {
        let mut list = Vec::new();
        for key in keys {
            let key = key.into();
            check(&self.call(path, &[]), &key)?;
            list.push(json!({ "key": key }));
        }
        Ok(list)
    }

    async fn batch(&self, path: &'static str, list: Vec<Value>) -> Result<Batch, ClientError> {
        let mut all = Batch::default();
        for part in list.chunks(MOST) {
            let call = self.call(path, &[]).idempotent();
            let done: Batch = call.json(&part).fetch().await?;
            all.failed_keys.extend(done.failed_keys);
        }
        Ok(all)
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
        let call = self.0.call("/v1/secret/get", &[key]).secret();
        get(call, json!({ "key": key })).await
    }

    /// Sets a key's value.
    pub async fn set(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        let call = self.0.call("/v1/secret/set", &[key]).secret();
        Put::new(call, json!({ "key": key }), value).send().await
    }

    /// Removes a key; one that isn't there is removed already.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        let call = self.0.call("/v1/secret/delete", &[key]).secret();
        delete(call, json!({ "key": key })).await
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
    pub fn query<T: DeserializeOwned>(&self, index: &str) -> Query<T> {
        let body = json!({ "entityName": self.name, "indexName": index });
        Query::new(self.storage.call("/v1/entity/query", &[]), body, "cursor")
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

    fn secret(self) -> Self {
        Self {
            request: self.request.secret(),
            ..self
        }
    }

    fn copy(&self) -> Request {
        self.request.copy()
    }

    fn json(self, body: &impl Serialize) -> Self {
        Self {
            request: self.request.json(body),
            ..self
        }
    }

    async fn send(self) -> Result<Response, ClientError> {
        match self.problem {
            Some(problem) => Err(self.request.invalid(problem)),
            None => self.request.send().await,
        }
    }

    async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.json()
    }
}

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

fn check(call: &Call, key: &str) -> Result<(), ClientError> {
    match problem_of(key) {
        Some(problem) => Err(call.request.invalid(problem)),
        None => Ok(()),
    }
}

fn to_value(call: &Call, value: &(impl Serialize + ?Sized)) -> Result<Value, ClientError> {
    let written = serde_json::to_value(value);
    written.map_err(|_| call.request.invalid("a value can't be written as JSON"))
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
    #[derive(Deserialize)]
    struct Got<T> {
        value: T,
    }
    let got: Option<Option<Got<T>>> = or_missing(call.idempotent().json(&body).fetch().await)?;
    Ok(got.flatten().map(|got| got.value))
}

async fn delete(call: Call, body: Value) -> Result<(), ClientError> {
    or_missing(call.idempotent().json(&body).send().await)?;
    Ok(())
}

/// A value on its way to storage: [`Storage::put`].
#[must_use = "nothing is stored until it is sent"]
pub struct Put {
    call: Call,
    body: Value,
    options: Map<String, Value>,
    unwritable: bool,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Put({:?})", self.call.request)
    }
}

impl Put {
    fn new(call: Call, mut body: Value, value: &(impl Serialize + ?Sized)) -> Self {
        let value = serde_json::to_value(value);
        let unwritable = value.is_err();
        body["value"] = value.unwrap_or_default();
        Self {
            call,
            body,
            options: Map::new(),
            unwritable,
        }
    }

    /// Removes it by itself after this time, in whole seconds, one at least.
    pub fn expires_in(mut self, time: Duration) -> Self {
        let ttl = json!({ "value": time.as_secs().max(1), "unit": "SECONDS" });
        self.options.insert("ttl".to_owned(), ttl);
        self
    }

    /// Only where the key has no value: else the answer is an error, with the code `KEY_CONFLICT`.
    pub fn if_absent(mut self) -> Self {
        self.options
            .insert("keyPolicy".to_owned(), "FAIL_IF_EXISTS".into());
        self
    }

    /// Stores it.
    pub async fn send(self) -> Result<(), ClientError> {
        self.perform().await?;
        Ok(())
    }

    /// Stores it and gives the value that was there before.
    pub async fn replace<T: DeserializeOwned>(mut self) -> Result<Option<T>, ClientError> {
        self.options
            .insert("returnValue".to_owned(), "PREVIOUS".into());
        // Made again, it would give the value just stored.
        let once = true;
        let response = self.perform_as(once).await?;
        #[derive(Deserialize)]
        struct Got<T> {
            #[serde(default = "none")]
            value: Option<T>,
        }
        fn none<T>() -> Option<T> {
            None
        }
        let got: Option<Got<T>> = response.json()?;
        Ok(got.and_then(|got| got.value))
    }

    async fn perform(self) -> Result<Response, ClientError> {
        // Made again, the first attempt's value would be in the way.
        let once = self.options.contains_key("keyPolicy");
        self.perform_as(once).await
    }

    async fn perform_as(mut self, once: bool) -> Result<Response, ClientError> {
        if self.unwritable {
            return Err(self
                .call
                .request
                .invalid("a value can't be written as JSON"));
        }
        if !self.options.is_empty() {
            self.body["options"] = self.options.into();
        }
        let call = if once {
            self.call
        } else {
            self.call.idempotent()
        };
        call.json(&self.body).send().await
    }
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Item<T> {
    /// The key.
    pub key: String,
    /// The value.
    pub value: T,
}

/// A page of what a query found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Found<T> {
    /// Keys and values.
    pub data: Vec<Item<T>>,
    /// Where the next page begins: for [`Query::after`].
    pub cursor: Option<String>,
}

/// A question to storage: [`Storage::query`], [`Entities::query`].
///
/// ```
/// use forge_remote::client::Storage;
/// use forge_remote::Result;
///
/// async fn notes(storage: &Storage) -> Result<Vec<String>> {
///     let mut notes = Vec::new();
///     let mut query = storage.query::<String>().prefix("note:");
///     while let Some(note) = query.next().await {
///         notes.push(note?.value);
///     }
///     Ok(notes)
/// }
/// ```
#[must_use = "a query does nothing until it is asked"]
pub struct Query<T> {
    call: Call,
    body: Value,
    cursor: &'static str,
    ready: std::collections::VecDeque<Item<T>>,
    fetched: u32,
    is_done: bool,
    /// What is said after the items that came.
    problem: Option<&'static str>,
}

impl<T> fmt::Debug for Query<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({:?})", self.call.request)
    }
}

impl<T: DeserializeOwned> Query<T> {
    fn new(call: Call, body: Value, cursor: &'static str) -> Self {
        Self {
            call,
            body,
            cursor,
            ready: std::collections::VecDeque::new(),
            fetched: 0,
            is_done: false,
            problem: None,
        }
    }

    /// How many come with one page: Atlassian allows fewer than 100.
    pub fn limit(mut self, limit: u32) -> Self {
        self.body["limit"] = limit.into();
        self
    }

    /// Begins after this cursor of an earlier page.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.body[self.cursor] = cursor.into().into();
        self
    }

    /// Keys that begin so; not for entities.
    pub fn prefix(mut self, prefix: &str) -> Self {
        let begins = json!({ "property": "key", "condition": "BEGINS_WITH", "values": [prefix] });
        self.body["where"] = json!([begins]);
        self
    }

    /// A member of the question that has no method here, as Atlassian's reference has it:
    /// `partition`, `range`, `filters`, `sort` of an entity's query.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    /// One page.
    pub async fn page(&self) -> Result<Found<T>, ClientError> {
        let call = Call {
            request: self.call.copy(),
            problem: None,
        };
        call.idempotent().json(&self.body).fetch().await
    }

    /// The next item, from page after page; `None` after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<Item<T>, ClientError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.is_done {
                let problem = self.problem.take()?;
                return Some(Err(self.call.request.invalid(problem)));
            }
            let page = match self.page().await {
                Ok(page) => page,
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            };
            self.ready.extend(page.data);
            self.fetched += 1;
            let Some(cursor) = page.cursor.filter(|cursor| !cursor.is_empty()) else {
                self.is_done = true;
                continue;
            };
            if self.body[self.cursor] == cursor.as_str() || self.fetched >= MOST_PAGES {
                self.problem = Some("there is no end of pages");
                self.is_done = true;
            }
            self.body[self.cursor] = cursor.into();
        }
    }
}

/// Changes that are all made or none: [`Storage::transaction`].
///
/// ```
/// use forge_remote::client::Storage;
/// use forge_remote::Result;
///
/// async fn rename(storage: &Storage, value: &str) -> Result<()> {
///     storage.transaction().set("new", value).delete("old").send().await?;
///     Ok(())
/// }
/// ```
#[must_use = "a transaction does nothing until it is sent"]
pub struct Transaction {
    request: Call,
    /// To set, to delete, to check.
    parts: [Vec<Value>; 3],
    problem: Option<&'static str>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [set, delete, check] = &self.parts;
        write!(
            f,
            "Transaction({} set, {} deleted, {} checked)",
            set.len(),
            delete.len(),
            check.len()
        )
    }
}

impl Transaction {
    /// Sets a key's value.
    pub fn set(self, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.put(key, value, json!({}))
    }

    /// Sets an entity.
    pub fn set_entity(self, entity: &str, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.put(key, value, json!({ "entityName": entity }))
    }

    /// Removes a key.
    pub fn delete(self, key: &str) -> Self {
        self.add(1, key, json!({}))
    }

    /// Removes an entity.
    pub fn delete_entity(self, entity: &str, key: &str) -> Self {
        self.add(1, key, json!({ "entityName": entity }))
    }

    /// Makes the changes only if this entity meets the conditions, as Atlassian's reference has
    /// them.
    pub fn check(self, entity: &str, key: &str, conditions: Value) -> Self {
        self.add(
            2,
            key,
            json!({ "entityName": entity, "conditions": conditions }),
        )
    }

    fn put(mut self, key: &str, value: &(impl Serialize + ?Sized), mut item: Value) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => item["value"] = value,
            Err(_) => self.problem = Some("a value can't be written as JSON"),
        }
        self.add(0, key, item)
    }

    fn add(mut self, part: usize, key: &str, mut item: Value) -> Self {
        self.problem = self.problem.or(problem_of(key));
        item["key"] = key.into();
        if let Some(part) = self.parts.get_mut(part) {
            part.push(item);
        }
        self
    }

    /// Makes the changes, 25 at most. It is sent once: made again, a condition may no longer hold.
    pub async fn send(self) -> Result<(), ClientError> {
        if self.parts.iter().map(Vec::len).sum::<usize>() > MOST {
            return Err(self
                .request
                .request
                .invalid("a transaction has 25 operations at most"));
        }
        let mut body = Map::new();
        for (name, part) in ["set", "delete", "check"].into_iter().zip(self.parts) {
            if !part.is_empty() {
                body.insert(name.to_owned(), part.into());
            }
        }
        let call = Call {
            problem: self.problem,
            ..self.request
        };
        call.json(&body).send().await?;
        Ok(())
    }
}

/// What came of many keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Batch {
    /// Those that failed.
    #[serde(default)]
    pub failed_keys: Vec<FailedKey>,
}

impl Batch {
    /// Whether every key was done.
    pub fn is_complete(&self) -> bool {
        self.failed_keys.is_empty()
    }
}

/// A key that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct FailedKey {
    /// The key.
    pub key: String,
    /// Atlassian's code and message.
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
}
