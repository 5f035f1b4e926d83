//! Changes that are all made or none.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::put::ttl;
use super::{Call, MOST, UNWRITABLE, problem_of};
use crate::client::error::ClientError;

/// Changes that are all made or none: [`Storage::transaction`](super::Storage::transaction).
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
/// It has 25 operations at most, each on a key of its own, and 4 MB.
/// Source: <https://developer.atlassian.com/platform/forge/storage-reference/entities-transactions/>
#[must_use = "a transaction does nothing until it is sent"]
pub struct Transaction {
    call: Call,
    parts: [Vec<Value>; 3],
    /// The part that the last operation is in.
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
    pub(super) fn new(call: Call) -> Self {
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

    /// Removes a key.
    pub fn delete(self, key: &str) -> Self {
        self.add(DELETE, key, json!({}))
    }

    /// Removes an entity.
    pub fn delete_entity(self, entity: &str, key: &str) -> Self {
        self.add(DELETE, key, json!({ "entityName": entity }))
    }

    /// Makes the changes only if this entity meets the conditions, as Atlassian's reference has
    /// them.
    pub fn require(self, entity: &str, key: &str, conditions: Value) -> Self {
        self.add(
            CHECK,
            key,
            json!({ "entityName": entity, "conditions": conditions }),
        )
    }

    /// Lets what was set last expire, as [`Put::expires_in`](super::Put::expires_in).
    pub fn expires_in(mut self, time: Duration) -> Self {
        match self.last {
            Some(SET) => self.change_last("options", json!({ "ttl": ttl(time) })),
            _ => self.fail("`expires_in` is for what was set just before"),
        }
        self
    }

    /// Makes the changes only if the entity that was set or removed last meets these conditions
    /// before, as Atlassian's reference has them.
    pub fn if_current(mut self, conditions: Value) -> Self {
        let last = self.last.filter(|last| *last != CHECK);
        let item = last.and_then(|last| self.parts.get(last)?.last());
        if item.is_some_and(|item| item.get("entityName").is_some()) {
            self.change_last("conditions", conditions);
        } else {
            self.fail("`if_current` is for an entity that was set or removed just before");
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
            Err(_) => self.fail(UNWRITABLE),
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
            self.fail("a transaction has each key once");
        }
        if let Some(items) = self.parts.get_mut(part) {
            items.push(item);
            self.last = Some(part);
        }
        self
    }

    /// Makes the changes. It is sent once: made again, a condition may no longer hold.
    pub async fn send(mut self) -> Result<(), ClientError> {
        if self.parts.iter().map(Vec::len).sum::<usize>() > MOST {
            self.fail("a transaction has 25 operations at most");
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
