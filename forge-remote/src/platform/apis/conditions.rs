//! Conditions of queries and transactions.
//!
//! Source: <https://developer.atlassian.com/platform/forge/storage-reference/entities-api-query/>

use std::cmp::Ordering;

use serde_json::Value;

use super::declared::Entity;

/// The maximum of conditions in a filter.
const MAX_CONDITIONS: usize = 100;

/// Atlassian's error code for an invalid condition.
pub(super) type ConditionError = &'static str;

/// One condition on a value.
pub(super) struct Condition {
    name: String,
    values: Vec<Value>,
}

impl Condition {
    /// Reads `condition` and `values`. A range supports fewer conditions than a filter.
    pub(super) fn read(item: &Value, in_range: bool) -> Result<Self, ConditionError> {
        let name = item.get("condition").and_then(Value::as_str);
        let name = name.unwrap_or_default();
        let values = item.get("values").and_then(Value::as_array);
        let values = values.cloned().unwrap_or_default();
        let count = match name {
            "BEGINS_WITH"
            | "EQUAL_TO"
            | "GREATER_THAN"
            | "GREATER_THAN_EQUAL_TO"
            | "LESS_THAN"
            | "LESS_THAN_EQUAL_TO" => 1,
            "BETWEEN" => 2,
            "NOT_EQUAL_TO" | "CONTAINS" | "NOT_CONTAINS" if !in_range => 1,
            "EXISTS" | "NOT_EXISTS" if !in_range => 0,
            _ => return Err("INVALID_FILTER_CONDITION"),
        };
        if values.len() != count {
            return Err("INVALID_FILTER_VALUES");
        }
        Ok(Self {
            name: name.to_owned(),
            values,
        })
    }

    /// Returns whether a value, or a missing value, meets the condition.
    pub(super) fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else {
            return matches!(
                self.name.as_str(),
                "NOT_EXISTS" | "NOT_EQUAL_TO" | "NOT_CONTAINS"
            );
        };
        let first = self.values.first().unwrap_or(&Value::Null);
        let text = |test: fn(&str, &str) -> bool| matches!((value, first), (Value::String(text), Value::String(part)) if test(text, part));
        let is = |wanted: &[Ordering]| {
            compared(value, first).is_some_and(|ordering| wanted.contains(&ordering))
        };
        match self.name.as_str() {
            "BEGINS_WITH" => text(|text, part| text.starts_with(part)),
            "CONTAINS" => text(|text, part| text.contains(part)),
            "NOT_CONTAINS" => !text(|text, part| text.contains(part)),
            "EQUAL_TO" => is(&[Ordering::Equal]),
            "NOT_EQUAL_TO" => !is(&[Ordering::Equal]),
            "GREATER_THAN" => is(&[Ordering::Greater]),
            "GREATER_THAN_EQUAL_TO" => is(&[Ordering::Greater, Ordering::Equal]),
            "LESS_THAN" => is(&[Ordering::Less]),
            "LESS_THAN_EQUAL_TO" => is(&[Ordering::Less, Ordering::Equal]),
            "BETWEEN" => {
                let last = self.values.get(1).unwrap_or(&Value::Null);
                is(&[Ordering::Greater, Ordering::Equal])
                    && compared(value, last).is_some_and(Ordering::is_le)
            }
            "EXISTS" => true,
            _ => false,
        }
    }
}

/// Compares two values of the same type.
pub(super) fn compared(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        _ => None,
    }
}

/// A filter: `{ "and": [ … ] }` or `{ "or": [ … ] }` of conditions that each name a property.
pub(super) struct Filter {
    all: bool,
    conditions: Vec<(String, Condition)>,
}

impl Filter {
    pub(super) fn read(filter: &Value, entity: Option<&Entity>) -> Result<Self, ConditionError> {
        let list = |name: &str| filter.get(name).and_then(Value::as_array);
        let (all, items) = match (list("and"), list("or")) {
            (Some(items), None) => (true, items),
            (None, Some(items)) => (false, items),
            // Exactly one of the two is required.
            _ => return Err("INVALID_FILTER_CONDITION"),
        };
        if items.len() > MAX_CONDITIONS {
            return Err("INVALID_FILTER_CONDITION");
        }
        let mut conditions = Vec::new();
        for item in items {
            let property = item.get("property").and_then(Value::as_str);
            let property = property.ok_or("QUERY_WHERE_FIELD_INVALID")?;
            if let Some(entity) = entity {
                match entity.type_of(property) {
                    None => return Err("QUERY_WHERE_FIELD_INVALID"),
                    Some("any") => return Err("UNPROCESSABLE"),
                    Some(_) => {}
                }
            }
            conditions.push((property.to_owned(), Condition::read(item, false)?));
        }
        Ok(Self { all, conditions })
    }

    pub(super) fn holds(&self, value: &Value) -> bool {
        let mut held = self
            .conditions
            .iter()
            .map(|(name, one)| one.holds(value.get(name)));
        if self.all {
            held.all(|held| held)
        } else {
            held.any(|held| held)
        }
    }
}
