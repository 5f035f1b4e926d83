//! The bodies that a local platform sends for events: data, in `samples.json`.
//!
//! For each product: what `every` event of it has, what one has that is `of` an entity (the last
//! part of its name), what the event of this name has `also`, and `parts` of these. `"@name"`
//! stands for such a part, `"@entity"` for the entity's name.
//!
//! From <https://developer.atlassian.com/platform/forge/events-reference/> and
//! <https://developer.atlassian.com/platform/app-migration/apis/forge/events>. An event whose body
//! no page describes has no entry and is its name alone.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::registry::SampleCall;

#[derive(Deserialize)]
struct ProductApi {
    /// Where the event's name stands.
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

static SAMPLES: LazyLock<BTreeMap<String, ProductApi>> =
    LazyLock::new(|| serde_json::from_str(include_str!("samples.json")).unwrap_or_default());

/// The call that such an event makes.
pub(super) fn simulation(event: &'static str) -> SampleCall {
    SampleCall {
        event: Some(event),
        is_guess: body(event).is_none(),
        ..SampleCall::of_platform(event_sample(event))
    }
}

/// What comes with such an event; its name alone where no page describes it.
pub(crate) fn event_sample(event: &str) -> Value {
    body(event).unwrap_or_else(|| serde_json::json!({ "eventType": event }))
}

/// Its body, where a page describes it.
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

    /// Those that no page describes.
    const UNKNOWN: [&str; 2] = [
        "avi:jira:deleted:issue-property",
        "avi:jira:set:issue-property",
    ];

    #[test]
    fn every_event_has_a_body_but_those_that_no_page_describes() {
        let events = events::all().map(|event| event.name);
        let without: Vec<&str> = events.filter(|event| body(event).is_none()).collect();
        assert_eq!(without, UNKNOWN);
    }

    #[test]
    fn every_part_and_every_name_of_the_samples_is_there() {
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
