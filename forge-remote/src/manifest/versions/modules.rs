//! Changes of `modules`.

use std::collections::BTreeSet;

use serde_yaml::Value;

use super::changes::{Changes, Former, changed_properties, paired};
use super::rules::{
    DYNAMIC_WEB_TRIGGER, ENDPOINT_ADDED, ENDPOINT_CHANGED, ENDPOINT_REMOVED, MODULE_ADDED,
    MODULE_CHANGED, MODULE_REMOVED,
};
use crate::manifest::items::modules;
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

pub(super) fn compare(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    let lists = modules(before).chain(modules(after));
    let names: BTreeSet<&str> = lists.map(|(name, ..)| name).collect();
    for name in names {
        let place = ["modules", name];
        for (key, pair) in paired(list(before, &place), list(after, &place)) {
            let path = ManifestPath::of(&place).item(&key);
            if name == "endpoint" {
                endpoint(changes, &key, path, pair);
            } else {
                module(changes, name, &key, path, pair);
            }
        }
    }
}

type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

fn route(endpoint: &Value) -> Option<String> {
    Some(at(endpoint, &["route", "path"])?.as_str()?.to_owned())
}

fn endpoint(changes: &mut Changes<'_>, key: &str, path: ManifestPath, pair: Pair<'_>) {
    match pair {
        (None, Some(_)) => {
            changes.add(&ENDPOINT_ADDED, path, format!("endpoint `{key}` was added"));
        }
        (Some(old), None) => {
            let message = format!("endpoint `{key}` was removed");
            let change = changes.add(&ENDPOINT_REMOVED, path, message);
            change.former = Former {
                key: Some(key.to_owned()),
                path: route(old),
            };
        }
        (Some(old), Some(new)) => {
            let Some(names) = changed_properties(old, new, &[]) else {
                return;
            };
            let message = format!("endpoint `{key}`: {names} changed");
            let change = changes.add(&ENDPOINT_CHANGED, path, message);
            change.former.path = route(old).filter(|_| route(old) != route(new));
        }
        (None, None) => {}
    }
}

fn module(changes: &mut Changes<'_>, name: &str, key: &str, path: ManifestPath, pair: Pair<'_>) {
    // Source of the default: https://developer.atlassian.com/platform/forge/manifest-reference/modules/web-trigger/
    let is_dynamic = |item: &Value| {
        let response = at(item, &["response", "type"]).and_then(Value::as_str);
        name == "webtrigger" && response != Some("static")
    };
    match pair {
        (None, Some(new)) => {
            let rule = match is_dynamic(new) {
                true => &DYNAMIC_WEB_TRIGGER,
                false => &MODULE_ADDED,
            };
            changes.add(rule, path, format!("{name} `{key}` was added"));
        }
        (Some(_), None) => {
            changes.add(&MODULE_REMOVED, path, format!("{name} `{key}` was removed"));
        }
        // Most modules stay as they are.
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => {
            let [old, new] = [old, new].map(|item| normalized(name, item));
            let Some(names) = changed_properties(&old, &new, &[]) else {
                return;
            };
            let rule = match is_dynamic(&new) && !is_dynamic(&old) {
                true => &DYNAMIC_WEB_TRIGGER,
                false => &MODULE_CHANGED,
            };
            changes.add(rule, path, format!("{name} `{key}`: {names} changed"));
        }
        (None, None) => {}
    }
}

/// Returns a module with its lists of names in order, and without a default that is written.
fn normalized(name: &str, item: &Value) -> Value {
    let mut item = item.clone();
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
    let response = properties.get("response").and_then(Value::as_mapping);
    let is_default = response.is_some_and(|response| {
        response.len() == 1 && response.get("type").and_then(Value::as_str) == Some("dynamic")
    });
    if name == "webtrigger" && is_default {
        properties.shift_remove("response");
    }
    item
}
