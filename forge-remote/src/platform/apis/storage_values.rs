//! Values in the fake Forge storage: single, in batches and in transactions, with Atlassian's limits.
//!
//! Sources: <https://developer.atlassian.com/platform/forge/remote/accessing-storage/>,
//! <https://developer.atlassian.com/platform/forge/limits-kvs-ce/>

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{CheckedCall, JsonResponse, ok};
use super::conditions::Filter;
use super::data::{Data, Stored};
use super::declared::Entity;

const MAX_KEY: usize = 500;
const MAX_VALUE: usize = 240 * 1024;
const MAX_DEPTH: usize = 31;
/// The maximum of keys in a batch, and of operations in a transaction.
const MAX_ITEMS: usize = 25;
/// The largest batch or transaction, in bytes.
const MAX_TOTAL_BYTES: usize = 4 * 1024 * 1024;
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

/// An installation, a kind and a key.
pub(super) type StorageKey = (String, String, String);

/// A change of one stored value.
enum Change {
    Set(StorageKey, Stored),
    Delete(StorageKey),
}

/// The options that a value can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Options {
    All,
    /// Only `ttl`, in batches and transactions.
    OnlyTtl,
}

/// Returns an error response; storage's error codes are words.
pub(super) fn error(status: u16, code: &str, message: &str) -> JsonResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, json!({ "code": code, "message": message }))
}

pub(super) fn bad_request(code: &str, message: &str) -> JsonResponse {
    error(400, code, message)
}

fn missing() -> JsonResponse {
    error(404, "KEY_NOT_FOUND", "the key does not exist")
}

/// Returns the response to an invalid condition.
pub(super) fn invalid_condition(code: &'static str) -> JsonResponse {
    if code == "UNPROCESSABLE" {
        let message = "attributes of the type `any` cannot be used in conditions";
        return error(422, code, message);
    }
    bad_request(code, "the condition is not valid")
}

impl CheckedCall<'_> {
    /// Returns an item's storage key, if it is valid.
    fn storage_key(
        &self,
        kind: &str,
        data: &Data,
        item: &Value,
    ) -> Result<StorageKey, JsonResponse> {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let key = text("key").unwrap_or_default();
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":._-#".contains(c);
        if key.is_empty() {
            return Err(bad_request(
                "KEY_TOO_SHORT",
                "a key has at least 1 character",
            ));
        }
        if key.chars().nth(MAX_KEY).is_some() {
            return Err(bad_request(
                "KEY_TOO_LONG",
                "a key has at most 500 characters",
            ));
        }
        if key.trim().is_empty() || !key.chars().all(allowed) {
            return Err(bad_request(
                "INVALID_KEY",
                "a key consists of letters, digits, whitespace and `:._-#`",
            ));
        }
        let kind = match text("entityName") {
            None => kind.to_owned(),
            Some(name) => {
                entity(data, name)?;
                format!("entity:{name}")
            }
        };
        Ok((self.token.installation.clone(), kind, key.to_owned()))
    }

    pub(super) fn get(
        &self,
        kind: &str,
        data: &Data,
        item: &Value,
    ) -> Result<JsonResponse, JsonResponse> {
        let storage_key = self.storage_key(kind, data, item)?;
        let fields = item.pointer("/options/metadataFields");
        Ok(match data.stored.get(&storage_key) {
            Some(stored) => ok(item_json(&storage_key, stored, fields)),
            None => missing(),
        })
    }

    pub(super) fn set(
        &self,
        kind: &str,
        data: &mut Data,
        item: &Value,
        options: Options,
    ) -> Result<JsonResponse, JsonResponse> {
        let storage_key = self.storage_key(kind, data, item)?;
        let new = self.to_store(data, &storage_key, item, options)?;
        let option = |name: &str| item.pointer("/options")?.get(name)?.as_str();
        let before = data.stored.get(&storage_key).cloned();
        if option("keyPolicy") == Some("FAIL_IF_EXISTS") && before.is_some() {
            return Err(error(409, "KEY_CONFLICT", "the key already exists"));
        }
        let fields = item.pointer("/options/returnMetadataFields");
        let response = match (option("returnValue"), before) {
            (Some("PREVIOUS"), Some(before)) => ok(item_json(&storage_key, &before, fields)),
            (Some("LATEST"), _) => ok(item_json(&storage_key, &new, fields)),
            _ => (StatusCode::NO_CONTENT, Value::Null),
        };
        data.apply(Change::Set(storage_key, new));
        Ok(response)
    }

    pub(super) fn delete(
        &self,
        kind: &str,
        data: &mut Data,
        item: &Value,
    ) -> Result<JsonResponse, JsonResponse> {
        let storage_key = self.storage_key(kind, data, item)?;
        data.apply(Change::Delete(storage_key));
        Ok((StatusCode::NO_CONTENT, Value::Null))
    }

    /// Returns the value to store, if it is valid.
    fn to_store(
        &self,
        data: &Data,
        storage_key: &StorageKey,
        item: &Value,
        options: Options,
    ) -> Result<Stored, JsonResponse> {
        let Some(value) = item.get("value") else {
            return Err(bad_request("INVALID_VALUE", "`value` is missing"));
        };
        if value.to_string().len() > MAX_VALUE {
            return Err(bad_request("MAX_SIZE", "a value has at most 240 KiB"));
        }
        if depth(value) > MAX_DEPTH {
            return Err(bad_request("MAX_DEPTH", "a value has at most 31 levels"));
        }
        if let Some(name) = storage_key.1.strip_prefix("entity:") {
            if !value.is_object() {
                return Err(bad_request(
                    "INVALID_ENTITY_VALUE",
                    "an entity must be an object",
                ));
            }
            let misfit = entity(data, name)?.and_then(|entity| entity.misfit(value));
            if let Some(attribute) = misfit {
                let message = format!("`{attribute}` does not have the declared type");
                return Err(bad_request("INVALID_ENTITY_VALUE", &message));
            }
        }
        let (now, life) = (self.now(), life(item, options)?);
        let before = data.stored.get(storage_key);
        Ok(Stored {
            value: value.clone(),
            created: before.map_or(now, |before| before.created),
            updated: now,
            expires: life.map(|life| now + life),
        })
    }

    pub(super) fn batch(&self, what: &str, data: &mut Data) -> Result<JsonResponse, JsonResponse> {
        let items = self.body().as_array().cloned().unwrap_or_default();
        if items.is_empty() || items.len() > MAX_ITEMS {
            return Err(bad_request("INVALID_BATCH", "a batch has 1 to 25 keys"));
        }
        self.check_size_and_keys(&items)?;
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for item in &items {
            let result = match what {
                "get" => self.get("kvs", data, item),
                "set" => self.set("kvs", data, item, Options::OnlyTtl),
                _ => self.delete("kvs", data, item),
            };
            let (status, response) = result.unwrap_or_else(|response| response);
            let mut one = if status.is_success() && response.is_object() {
                response.clone()
            } else {
                json!({ "key": item["key"] })
            };
            if let Some(name) = item.get("entityName") {
                one["entityName"] = name.clone();
            }
            if status.is_success() {
                done.push(one);
            } else {
                one["error"] = response;
                failed.push(one);
            }
        }
        Ok(ok(json!({ "successfulKeys": done, "failedKeys": failed })))
    }

    /// Checks the conditions under which a whole batch or transaction fails.
    fn check_size_and_keys(&self, items: &[Value]) -> Result<(), JsonResponse> {
        let mut seen = BTreeSet::new();
        let name = |item: &Value| (item["key"].to_string(), item["entityName"].to_string());
        if !items.iter().all(|item| seen.insert(name(item))) {
            return Err(bad_request("DUPLICATE_KEY", "a key can be used only once"));
        }
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(bad_request("MAX_SIZE", "a request has at most 4 MB"));
        }
        Ok(())
    }

    pub(super) fn transaction(&self, data: &mut Data) -> Result<JsonResponse, JsonResponse> {
        let items = |name: &str| {
            let items = self.body().get(name).and_then(Value::as_array);
            items.cloned().unwrap_or_default()
        };
        let [set, delete, check] = ["set", "delete", "check"].map(items);
        let all: Vec<Value> = [&set, &delete, &check]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if all.is_empty() || all.len() > MAX_ITEMS {
            return Err(bad_request(
                "INVALID_TRANSACTION",
                "a transaction has 1 to 25 operations",
            ));
        }
        self.check_size_and_keys(&all)?;
        let mut changes = Vec::new();
        for item in &set {
            let storage_key = self.storage_key("kvs", data, item)?;
            self.meets(data, &storage_key, item)?;
            let new = self.to_store(data, &storage_key, item, Options::OnlyTtl)?;
            changes.push(Change::Set(storage_key, new));
        }
        for item in &delete {
            let storage_key = self.storage_key("kvs", data, item)?;
            self.meets(data, &storage_key, item)?;
            changes.push(Change::Delete(storage_key));
        }
        for item in &check {
            let storage_key = self.storage_key("kvs", data, item)?;
            if item.get("conditions").is_none() {
                return Err(bad_request(
                    "INVALID_FILTER_CONDITION",
                    "a check needs conditions",
                ));
            }
            if !data.stored.contains_key(&storage_key) {
                return Err(condition_failed());
            }
            self.meets(data, &storage_key, item)?;
        }
        for change in changes {
            data.apply(change);
        }
        Ok((StatusCode::NO_CONTENT, Value::Null))
    }

    /// Checks an item's conditions against the stored value. A missing entity is checked as one without
    /// attributes.
    fn meets(
        &self,
        data: &Data,
        storage_key: &StorageKey,
        item: &Value,
    ) -> Result<(), JsonResponse> {
        let Some(conditions) = item.get("conditions") else {
            return Ok(());
        };
        let Some(name) = storage_key.1.strip_prefix("entity:") else {
            let message = "only entities can have conditions";
            return Err(bad_request("INVALID_FILTER_CONDITION", message));
        };
        let filter = Filter::read(conditions, entity(data, name)?).map_err(invalid_condition)?;
        let stored = data.stored.get(storage_key).map(|stored| &stored.value);
        if filter.holds(stored.unwrap_or(&json!({}))) {
            Ok(())
        } else {
            Err(condition_failed())
        }
    }
}

impl Data {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Set(storage_key, stored) => self.stored.insert(storage_key, stored),
            Change::Delete(storage_key) => self.stored.remove(&storage_key),
        };
    }
}

pub(super) fn entity<'d>(data: &'d Data, name: &str) -> Result<Option<&'d Entity>, JsonResponse> {
    let entity = data.declared.entity(name);
    entity.map_err(|problem| bad_request("INVALID_ENTITY_TYPE", problem))
}

fn condition_failed() -> JsonResponse {
    error(
        409,
        "CONDITION_FAILED",
        "a condition is not met; nothing was changed",
    )
}

/// Returns an item as the API returns it.
pub(super) fn item_json(
    storage_key: &StorageKey,
    stored: &Stored,
    fields: Option<&Value>,
) -> Value {
    let mut item = json!({ "key": storage_key.2, "value": stored.value });
    let fields = fields.and_then(Value::as_array);
    for field in fields.into_iter().flatten() {
        match field.as_str() {
            Some("CREATED_AT") => item["createdAt"] = milliseconds(stored.created).into(),
            Some("UPDATED_AT") => item["updatedAt"] = milliseconds(stored.updated).into(),
            Some("EXPIRE_TIME") => {
                if let Some(expires) = stored.expires {
                    item["expireTime"] = iso_8601(expires).into();
                }
            }
            _ => {}
        }
    }
    item
}

/// Returns an item's time to live, if its options are valid.
fn life(item: &Value, allowed: Options) -> Result<Option<Duration>, JsonResponse> {
    let Some(options) = item.get("options").and_then(Value::as_object) else {
        return Ok(None);
    };
    let invalid = |message: &str| bad_request("INVALID_OPTIONS", message);
    let takes = |name: &str| match name {
        "ttl" => true,
        "keyPolicy" | "returnValue" | "returnMetadataFields" => allowed == Options::All,
        _ => false,
    };
    if !options.keys().all(|name| takes(name)) {
        return Err(invalid("an option is not known or not allowed here"));
    }
    let has = |name: &str| options.contains_key(name);
    if has("returnValue") && options.get("keyPolicy") == Some(&"FAIL_IF_EXISTS".into()) {
        return Err(invalid("`returnValue` requires the `keyPolicy` OVERRIDE"));
    }
    if has("returnMetadataFields") && !has("returnValue") {
        return Err(invalid("`returnMetadataFields` requires `returnValue`"));
    }
    let Some(ttl) = options.get("ttl") else {
        return Ok(None);
    };
    let unit = match ttl.get("unit").and_then(Value::as_str) {
        Some("SECONDS") => 1,
        Some("MINUTES") => 60,
        Some("HOURS") => 3600,
        Some("DAYS") => 24 * 3600,
        _ => {
            return Err(invalid(
                "`ttl.unit` must be SECONDS, MINUTES, HOURS or DAYS",
            ));
        }
    };
    let count = ttl
        .get("value")
        .and_then(Value::as_u64)
        .filter(|count| *count > 0);
    let life = count
        .and_then(|count| count.checked_mul(unit))
        .map(Duration::from_secs);
    match life.filter(|life| *life <= MAX_TTL) {
        Some(life) => Ok(Some(life)),
        None => Err(invalid(
            "`ttl.value` must be a whole number, at most a year",
        )),
    }
}

/// Returns the nesting depth of objects and lists.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Formats a time as in `2026-01-15T16:12:19.000Z`.
fn iso_8601(time: SystemTime) -> String {
    let milliseconds = milliseconds(time);
    let (seconds, thousandths) = (milliseconds / 1000, milliseconds % 1000);
    let (days, seconds) = (seconds / (24 * 3600), seconds % (24 * 3600));
    // Days since 1 March 0000 of the proleptic Gregorian calendar; years counted from March.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_atlassians_format() {
        let at = |ms| iso_8601(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_768_493_539_000), "2026-01-15T16:12:19.000Z");
        assert_eq!(at(1_709_251_199_500), "2024-02-29T23:59:59.500Z");
        assert_eq!(at(951_868_800_123), "2000-03-01T00:00:00.123Z");
    }
}
