//! Queries of Forge's storage: keys by their beginning, entities by their indexes.

use serde_json::{Map, Value};

use super::call::{CheckedCall, JsonResponse, ok, page_of};
use super::conditions::{Condition, Filter, compared};
use super::data::{Data, Stored};
use super::declared::Index;
use super::storage_values::{StorageKey, bad_request, entity, error, invalid_condition, item_json};

/// The default number of items on a page.
const DEFAULT_PAGE_SIZE: usize = 10;

impl CheckedCall<'_> {
    pub(super) fn query_keys(&self, data: &Data) -> Result<JsonResponse, JsonResponse> {
        let clauses = self.body().get("where").and_then(Value::as_array);
        let prefix = match clauses.map(Vec::as_slice) {
            None | Some([]) => "",
            Some([clause]) => {
                let is = |name: &str, text: &str| clause.get(name) == Some(&text.into());
                if !is("property", "key") {
                    return Err(bad_request(
                        "QUERY_WHERE_FIELD_INVALID",
                        "only `key` can be queried",
                    ));
                }
                if !is("condition", "BEGINS_WITH") {
                    let message = "only BEGINS_WITH is supported for keys";
                    return Err(bad_request("INVALID_FILTER_CONDITION", message));
                }
                let values = clause.get("values").and_then(Value::as_array);
                match values.map(Vec::as_slice) {
                    Some([Value::String(prefix)]) => prefix,
                    _ => {
                        return Err(bad_request(
                            "INVALID_FILTER_VALUES",
                            "`values` must be one text",
                        ));
                    }
                }
            }
            Some(_) => {
                return Err(bad_request(
                    "QUERY_WHERE_INVALID",
                    "`where` has at most one clause",
                ));
            }
        };
        let here = self.of_kind(data, "kvs");
        let found: Vec<_> = here
            .filter(|(storage_key, _)| storage_key.2.starts_with(prefix))
            .collect();
        self.page(&found, "after", None)
    }

    pub(super) fn query_entities(&self, data: &Data) -> Result<JsonResponse, JsonResponse> {
        let body = self.body();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, index_name) = (text("entityName"), text("indexName"));
        let declared = entity(data, name)?;
        let simple;
        // `None` is the index by key.
        let index = match declared {
            _ if index_name == "by-key" => None,
            Some(declared) => {
                let index = declared.index(index_name);
                let message = "the entity has no such index";
                Some(index.ok_or_else(|| bad_request("INVALID_ENTITY_INDEX", message))?)
            }
            None if index_name.is_empty() => {
                return Err(bad_request(
                    "INVALID_ENTITY_INDEX",
                    "`indexName` is missing",
                ));
            }
            // An undeclared index without a partition is assumed to be an attribute's.
            None if body.get("partition").is_none() => {
                simple = Index::simple(index_name);
                Some(&simple)
            }
            None => {
                let message = "the index is not declared: declare the entity in the manifest, or with \
                               `FakeApis::declare_entity`";
                return Err(error(501, "NOT_IMPLEMENTED", message));
            }
        };
        let partition = body.get("partition").and_then(Value::as_array);
        let partition = partition.cloned().unwrap_or_default();
        if partition.len() != index.map_or(0, |index| index.partition.len()) {
            let message = "each attribute of the index's partition needs a value";
            return Err(bad_request("INVALID_FILTER_VALUES", message));
        }
        let range = body.get("range").filter(|range| !range.is_null());
        let range = range.map(|range| Condition::read(range, true));
        let range = range.transpose().map_err(invalid_condition)?;
        let filter = body.get("filters").filter(|filter| !filter.is_null());
        let filter = filter.map(|filter| Filter::read(filter, declared));
        let filter = filter.transpose().map_err(invalid_condition)?;

        let mut found = Vec::new();
        for (storage_key, stored) in self.of_kind(data, &format!("entity:{name}")) {
            let ordered = match index {
                None => Some(Value::from(storage_key.2.as_str())),
                Some(index) => sorted_by(index, &partition, &stored.value),
            };
            let Some(ordered) = ordered else {
                continue;
            };
            if range
                .as_ref()
                .is_none_or(|range| range.holds(Some(&ordered)))
            {
                found.push((ordered, (storage_key, stored)));
            }
        }
        found.sort_by(|(one, _), (other, _)| {
            compared(one, other).unwrap_or(std::cmp::Ordering::Equal)
        });
        match text("sort") {
            "" | "ASC" => {}
            "DESC" => found.reverse(),
            _ => return Err(bad_request("INVALID_SORT", "`sort` is ASC or DESC")),
        }
        let found: Vec<_> = found.into_iter().map(|(_, item)| item).collect();
        self.page(&found, "cursor", filter.as_ref())
    }

    fn of_kind<'d>(
        &self,
        data: &'d Data,
        kind: &str,
    ) -> impl Iterator<Item = (&'d StorageKey, &'d Stored)> {
        let (installation, kind) = (self.token.installation.clone(), kind.to_owned());
        let stored = data.stored.iter();
        stored
            .filter(move |(storage_key, _)| storage_key.0 == installation && storage_key.1 == kind)
    }

    /// Returns a page of the items found. As with Atlassian, a filter applies to the items of the page,
    /// so a page may be empty and more may follow.
    fn page(
        &self,
        found: &[(&StorageKey, &Stored)],
        cursor: &str,
        filter: Option<&Filter>,
    ) -> Result<JsonResponse, JsonResponse> {
        let body = self.body();
        let from = body.get(cursor).and_then(Value::as_str);
        let from = match from.map(str::parse) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => return Err(bad_request("INVALID_CURSOR", "the cursor is not valid")),
        };
        let limit = match body.get("limit") {
            None => Some(DEFAULT_PAGE_SIZE),
            Some(limit) => limit.as_u64().and_then(|limit| usize::try_from(limit).ok()),
        };
        let Some(limit) = limit.filter(|limit| (1..100).contains(limit)) else {
            return Err(bad_request(
                "LIST_QUERY_LIMIT_EXCEEDED",
                "the limit must be 1 to 99",
            ));
        };
        let (items, next) = page_of(found, from, limit);
        let fields = body.pointer("/options/metadataFields");
        let items = items.into_iter();
        let items = items.filter(|(_, stored)| filter.is_none_or(|one| one.holds(&stored.value)));
        let items: Vec<Value> = items
            .map(|(storage_key, stored)| item_json(storage_key, stored, fields))
            .collect();
        let mut response = Map::from_iter([("data".to_owned(), items.into())]);
        if let Some(next) = next {
            response.insert("cursor".to_owned(), next.to_string().into());
        }
        Ok(ok(response.into()))
    }
}

/// Returns the value by which an index sorts an entity; `None` if the entity is not in this partition of it.
fn sorted_by(index: &Index, partition: &[Value], entity: &Value) -> Option<Value> {
    let mut parts = index.partition.iter().zip(partition);
    let is_in = parts.all(|(name, wanted)| {
        let value = entity.get(name);
        value.is_some_and(|value| compared(value, wanted).is_some_and(|order| order.is_eq()))
    });
    let range = index.range.as_ref();
    let value = range.map_or(Some(&Value::Null), |name| entity.get(name));
    value.filter(|_| is_in).cloned()
}
