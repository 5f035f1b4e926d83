//! The bodies that a local platform sends for events, from the data in `samples.json`.
//!
//! Each product has the members of `every` event, the members by entity (`of`, the last part of the
//! event's name), additional members by event (`also`), and named `parts`. `"@name"` refers to a part,
//! `"@entity"` to the entity's name.
//!
//! Sources: <https://developer.atlassian.com/platform/forge/events-reference/> and
//! <https://developer.atlassian.com/platform/app-migration/apis/forge/events>. An event with an
//! undocumented body has no entry; its body has only its name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::registry::SampleCall;

#[derive(Deserialize)]
struct ProductSamples {
    /// The member with the event's name.
    #[serde(default = "event_type")]
    named: String,
    #[serde(default)]
    parts: Map<String, Value>,
    every: Map<String, Value>,
    of: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    also: BTreeMap<String, Map<String, Value>>,
}

fn event_type() -> String {
    "eventType".to_owned()
}

static SAMPLES: LazyLock<BTreeMap<String, ProductSamples>> =
    LazyLock::new(|| serde_json::from_str(include_str!("samples.json")).unwrap_or_default());

/// Returns the sample call of an event.
pub(super) fn sample_call(event: &'static str) -> SampleCall {
    SampleCall {
        event: Some(event),
        is_guess: body(event).is_none(),
        ..SampleCall::from_platform(event_sample(event))
    }
}

/// Returns the sample body of an event; only its name if the body is not documented.
pub(crate) fn event_sample(event: &str) -> Value {
    body(event).unwrap_or_else(|| serde_json::json!({ "eventType": event }))
}

/// Returns an event's body, if it is documented.
fn body(event: &str) -> Option<Value> {
    let mut parts = event.splitn(4, ':');
    let product = format!("{}:{}", parts.next()?, parts.next()?);
    let (_, entity) = (parts.next(), parts.next().unwrap_or_default());
    let product = SAMPLES.get(&product)?;
    let of = product.of.get(entity).or_else(|| product.of.get("*"))?;
    let also = product.also.get(event).into_iter().flatten();
    let mut body = Map::new();
    body.insert(product.named.clone(), event.into());
    for (name, value) in product.every.iter().chain(of).chain(also) {
        body.insert(name.clone(), filled(value, entity, &product.parts));
    }
    Some(Value::Object(body))
}

fn filled(value: &Value, entity: &str, parts: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('@') {
            Some("entity") => entity.into(),
            Some(part) => parts
                .get(part)
                .map_or(Value::Null, |value| filled(value, entity, parts)),
            None => value.clone(),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| filled(item, entity, parts));
            items.collect()
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), filled(value, entity, parts)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use forge_remote_schema::events;

    use super::*;

    /// Events with undocumented bodies.
    const UNDOCUMENTED: [&str; 2] = [
        "avi:jira:deleted:issue-property",
        "avi:jira:set:issue-property",
    ];

    #[test]
    fn every_documented_event_has_a_body() {
        let events = events::all().map(|event| event.name);
        let without: Vec<&str> = events.filter(|event| body(event).is_none()).collect();
        assert_eq!(without, UNDOCUMENTED);
    }

    #[test]
    fn samples_refer_to_existing_parts_and_events() {
        let mut unused: Vec<&str> = Vec::new();
        for product in SAMPLES.values() {
            for event in product.also.keys() {
                assert!(events::find(event).is_some(), "{event}");
            }
            unused.extend(product.of.keys().map(String::as_str));
        }
        for event in events::all().map(|event| event.name) {
            let Some(body) = body(event) else { continue };
            assert!(!body.to_string().contains("\"@"), "{body}");
            assert!(
                body["eventType"] == event || body["type"] == event,
                "{body}"
            );
            let entity = event.splitn(4, ':').nth(3);
            unused.retain(|one| Some(*one) != entity);
        }
        assert_eq!(unused, ["*"]);
    }
}
