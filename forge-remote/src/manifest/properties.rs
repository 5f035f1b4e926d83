//! The entity properties that triggers name, which Forge limits for the whole app.

use serde_yaml::Value;

use super::values::list;
use crate::diagnostic::Rule;

/// The maximum of entity properties that all triggers of an app together can name.
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/product_events/>
pub(crate) const MAX_PROPERTIES: usize = 5;

pub(crate) const TOO_MANY_PROPERTIES: Rule = Rule::lint(
    "too-many-properties",
    "All triggers of an app together can name at most five different entity properties, in their filters \
    (`event.runtime.…`) and in `payload.include.propertyPaths`. The validation does not count them.",
);

/// Returns the entity properties that Forge adds to a trigger's events.
pub(crate) fn included_paths(trigger: &Value) -> impl Iterator<Item = &str> {
    let lists = parts(trigger).map(|part| list(part, &["payload", "include", "propertyPaths"]));
    lists.flatten().filter_map(Value::as_str)
}

/// Returns the trigger and its events in object form: each can have a filter and a payload.
pub(super) fn parts(trigger: &Value) -> impl Iterator<Item = &Value> {
    let events = list(trigger, &["events"]).iter();
    std::iter::once(trigger).chain(events.filter(|event| event.is_mapping()))
}
