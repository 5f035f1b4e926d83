//! Transactions: changes that are applied together or not at all.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::call::{MAX_OPERATIONS, NOT_JSON, StorageCall, problem_of};
use super::put::ttl;
use crate::client::error::ClientError;

/// A set of changes that are applied together or not at all:
/// [`Storage::transaction`](super::Storage::transaction).
///
/// ```
/// use std::time::Duration;
/// use forge_remote::client::Storage;
/// use forge_remote::Result;
/// use serde_json::json;
///
/// async fn promote(storage: &Storage, ada: &serde_json::Value) -> Result<()> {
///     let junior = json!({ "property": "level", "condition": "EQUAL_TO", "values": ["junior"] });
///     storage
///         .transaction()
///         .set_entity("employee", "ada", ada)
///         .if_current(json!({ "and": [junior] }))
///         .set("promoted:ada", "yesterday")
///         .expires_in(Duration::from_secs(7 * 24 * 3600))
///         .delete("applied:ada")
///         .send()
///         .await?;
///     Ok(())
/// }
/// ```
///
/// A transaction has at most 25 operations, each on a different key, and at most 4 MB.
/// Source: <https://developer.atlassian.com/platform/forge/storage-reference/entities-transactions/>
#[must_use = "a transaction does nothing until it is sent"]
pub struct Transaction {
    call: StorageCall,
    parts: [Vec<Value>; 3],
    /// The index of the part that contains the last operation.
    last: Option<usize>,
}

const SET: usize = 0;
const DELETE: usize = 1;
const CHECK: usize = 2;

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
    pub(super) fn new(call: StorageCall) -> Self {
        Self {
            call,
            parts: [Vec::new(), Vec::new(), Vec::new()],
            last: None,
        }
    }

    /// Sets a key's value.
    pub fn set(self, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.put(key, value, json!({}))
    }

    /// Sets an entity.
    pub fn set_entity(self, entity: &str, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.put(key, value, json!({ "entityName": entity }))
    }

    /// Deletes a key.
    pub fn delete(self, key: &str) -> Self {
        self.add(DELETE, key, json!({}))
    }

    /// Deletes an entity.
    pub fn delete_entity(self, entity: &str, key: &str) -> Self {
        self.add(DELETE, key, json!({ "entityName": entity }))
    }

    /// Applies the transaction only if this entity meets the conditions.
    ///
    /// The conditions have the format of Atlassian's reference.
    pub fn require(self, entity: &str, key: &str, conditions: Value) -> Self {
        self.add(
            CHECK,
            key,
            json!({ "entityName": entity, "conditions": conditions }),
        )
    }

    /// Sets the expiry of the value set last; see [`Put::expires_in`](super::Put::expires_in).
    pub fn expires_in(mut self, time: Duration) -> Self {
        match self.last {
            Some(SET) => self.change_last("options", json!({ "ttl": ttl(time) })),
            _ => self.fail("`expires_in` must follow a `set` or `set_entity`"),
        }
        self
    }

    /// Applies the transaction only if the current state of the entity set or deleted last meets these
    /// conditions.
    ///
    /// The conditions have the format of Atlassian's reference.
    pub fn if_current(mut self, conditions: Value) -> Self {
        let last = self.last.filter(|last| *last != CHECK);
        let item = last.and_then(|last| self.parts.get(last)?.last());
        if item.is_some_and(|item| item.get("entityName").is_some()) {
            self.change_last("conditions", conditions);
        } else {
            self.fail("`if_current` must follow a `set_entity` or `delete_entity`");
        }
        self
    }

    fn change_last(&mut self, name: &str, value: Value) {
        let part = self.last.and_then(|last| self.parts.get_mut(last));
        if let Some(item) = part.and_then(|part| part.last_mut()) {
            item[name] = value;
        }
    }

    fn fail(&mut self, problem: &'static str) {
        self.call.problem = self.call.problem.or(Some(problem));
    }

    fn put(mut self, key: &str, value: &(impl Serialize + ?Sized), mut item: Value) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => item["value"] = value,
            Err(_) => self.fail(NOT_JSON),
        }
        self.add(SET, key, item)
    }

    fn add(mut self, part: usize, key: &str, mut item: Value) -> Self {
        if let Some(problem) = problem_of(key) {
            self.fail(problem);
        }
        item["key"] = key.into();
        let mut others = self.parts.iter().flatten();
        let named = |item: &Value| (item["key"].clone(), item.get("entityName").cloned());
        if others.any(|other| named(other) == named(&item)) {
            self.fail("a transaction contains a key twice");
        }
        if let Some(items) = self.parts.get_mut(part) {
            items.push(item);
            self.last = Some(part);
        }
        self
    }

    /// Applies the changes.
    ///
    /// The call is not retried, because a condition may no longer hold after the first attempt.
    pub async fn send(mut self) -> Result<(), ClientError> {
        if self.parts.iter().map(Vec::len).sum::<usize>() > MAX_OPERATIONS {
            self.fail("a transaction has more than 25 operations");
        }
        let mut body = Map::new();
        for (name, part) in ["set", "delete", "check"].into_iter().zip(self.parts) {
            if !part.is_empty() {
                body.insert(name.to_owned(), part.into());
            }
        }
        self.call.json(&body).send().await?;
        Ok(())
    }
}
