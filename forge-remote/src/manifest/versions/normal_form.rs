//! The form of values in which two that mean the same to Forge are equal.

use std::borrow::Cow;

use forge_remote_schema::kinds;
use forge_remote_schema::options::{Form, ValueShape};
use serde_yaml::{Mapping, Value};

use crate::manifest::equivalent::meaning;
use crate::manifest::items::key;

/// Returns a value with every list of items that have a `key` in the order of their keys.
pub(super) fn of_value(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::Sequence(items) => {
            let items = items.iter().map(|item| of_value(item).into_owned());
            let mut items: Vec<Value> = items.collect();
            if items.iter().all(|item| key(item).is_some()) {
                // The sort is stable: if several have one key, the first counts.
                items.sort_by(|one, other| key(one).cmp(&key(other)));
            }
            Cow::Owned(Value::Sequence(items))
        }
        Value::Mapping(parts) => {
            let parts = parts.iter();
            let parts = parts.map(|(name, part)| (name.clone(), of_value(part).into_owned()));
            Cow::Owned(Value::Mapping(parts.collect()))
        }
        scalar => Cow::Borrowed(scalar),
    }
}

/// Returns a module with its lists of names in order, and without defaults that are written.
fn of_module(module_type: &str, item: &Value) -> Value {
    let mut item = of_value(item).into_owned();
    let Some(properties) = item.as_mapping_mut() else {
        return item;
    };
    for list in ["events", "actions"] {
        let items = properties.get_mut(list).and_then(Value::as_sequence_mut);
        if let Some(items) = items
            && items.iter().all(Value::is_string)
        {
            items.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
    }
    if let Some(kind) = kinds::declared().find(|kind| kind.module_type == module_type) {
        let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
        for option in kind.options.iter().chain(nested) {
            if matches!(option.shape, ValueShape::Flag) && option.form == Form::Same {
                remove_default(properties, option.place, &Value::Bool(false));
            }
        }
    }
    match module_type {
        "webtrigger" => remove_default(properties, &["response", "type"], &"dynamic".into()),
        "action" => {
            let inputs = properties.get_mut("inputs").and_then(Value::as_mapping_mut);
            for (_, input) in inputs.into_iter().flatten() {
                if let Some(input) = input.as_mapping_mut() {
                    remove_default(input, &["required"], &Value::Bool(false));
                }
            }
        }
        _ => {}
    }
    item
}

/// Returns a module before and after in the same form.
pub(super) fn of_modules(module_type: &str, old: &Value, new: &Value) -> [Value; 2] {
    let [mut old, mut new] = [old, new].map(|item| of_module(module_type, item));
    // Events are names, or objects with separate filters.
    let has_same_events = module_type == "trigger"
        && match (meaning(&old), meaning(&new)) {
            (Some(old), Some(new)) => old == new,
            _ => false,
        };
    if has_same_events {
        for properties in [&mut old, &mut new]
            .into_iter()
            .filter_map(Value::as_mapping_mut)
        {
            for name in ["events", "filter", "payload"] {
                properties.shift_remove(name);
            }
        }
    }
    [old, new]
}

/// Removes a default that is written, and the mappings around it that have nothing else.
fn remove_default(item: &mut Mapping, place: &[&str], default: &Value) {
    let Some((name, inner)) = place.split_first() else {
        return;
    };
    let is_empty = match item.get_mut(*name) {
        Some(Value::Mapping(part)) if !inner.is_empty() => {
            remove_default(part, inner, default);
            part.is_empty()
        }
        Some(value) => inner.is_empty() && value == default,
        None => false,
    };
    if is_empty {
        item.shift_remove(*name);
    }
}
