//! Changes of `modules`.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds;
use serde_yaml::Value;

use super::addresses::{called_paths, has_moved, hook};
use super::changes::{Changes, Former, Pair, changed_properties, paired};
use super::normal_form;
use super::rules::{
    DYNAMIC_WEB_TRIGGER, ENDPOINT_ADDED, ENDPOINT_CHANGED, ENDPOINT_REMOVED, MODULE_ADDED,
    MODULE_CHANGED, MODULE_REMOVED,
};
use crate::manifest::items::{endpoint_at, modules, text};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

/// The items of one type, by key.
type Pairs<'a> = BTreeMap<String, Pair<'a>>;

pub(super) fn compare(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    let pairs_of = |name: &str| {
        let place = ["modules", name];
        paired(list(before, &place), list(after, &place))
    };
    let endpoints = pairs_of("endpoint");
    let lists = modules(before).chain(modules(after));
    let names: BTreeSet<&str> = lists.map(|(name, ..)| name).collect();
    for name in names {
        let pairs = pairs_of(name);
        let replaced = replaced(name, &pairs, &endpoints);
        for (key, pair) in &pairs {
            let path = ManifestPath::of(&["modules", name]).item(key);
            if name == "endpoint" {
                endpoint(changes, key, path, *pair);
            } else {
                let is_replaced = replaced.contains(key);
                module(changes, name, key, path, *pair, is_replaced);
            }
        }
    }
}

/// Returns the keys of removed modules that an added one replaces: both name one endpoint, or the endpoint was
/// replaced as well. The former key of an endpoint stands for the module key that was generated from it. Of
/// modules that name a remote, both name the same one.
fn replaced(module_type: &str, pairs: &Pairs<'_>, endpoints: &Pairs<'_>) -> BTreeSet<String> {
    let Some(kind) = kinds::declared().find(|kind| kind.module_type == module_type) else {
        return BTreeSet::new();
    };
    let named = |module: &Value| -> Vec<String> {
        if hook(module_type).is_some() {
            return text(module, "remote")
                .into_iter()
                .map(str::to_owned)
                .collect();
        }
        let places = kind.endpoint_places.iter();
        let named = places.filter_map(|place| endpoint_at(module, place));
        named.map(str::to_owned).collect()
    };
    let is = |endpoint: &String, wanted: (bool, bool)| {
        let pair = endpoints.get(endpoint);
        pair.is_some_and(|(old, new)| (old.is_some(), new.is_some()) == wanted)
    };
    let added = pairs.values().filter_map(|pair| match pair {
        (None, Some(new)) => Some(named(new)),
        _ => None,
    });
    let added: BTreeSet<String> = added.flatten().collect();
    let adds_endpoint = added.iter().any(|one| is(one, (false, true)));
    let removed = pairs.iter().filter_map(|(key, pair)| match pair {
        (Some(old), None) => Some((key, named(old))),
        _ => None,
    });
    let replaced = removed.filter(|(key, named)| {
        let gone = named.iter().filter(|one| is(one, (true, false)));
        let gone: Vec<&String> = gone.collect();
        let is_generated = |one: &&String| {
            let suffix = kind.key_suffix.unwrap_or_default();
            **key == format!("{one}-{suffix}")
        };
        named.iter().any(|one| added.contains(one))
            || adds_endpoint && !gone.is_empty() && !gone.iter().any(is_generated)
    });
    replaced.map(|(key, _)| key.clone()).collect()
}

fn endpoint(changes: &mut Changes<'_>, key: &str, path: ManifestPath, pair: Pair<'_>) {
    let before = changes.before;
    match pair {
        (None, Some(_)) => {
            changes.add(&ENDPOINT_ADDED, path, format!("endpoint `{key}` was added"));
        }
        (Some(old), None) => {
            let message = format!("endpoint `{key}` was removed");
            changes.add(&ENDPOINT_REMOVED, path, message).former = Former::Item {
                key: Some(key.to_owned()),
                paths: called_paths(before, old, ""),
            };
        }
        (Some(old), Some(new)) => {
            let Some(names) = changed_properties(old, new, &[]) else {
                return;
            };
            let message = format!("endpoint `{key}`: {names} changed");
            let change = changes.add(&ENDPOINT_CHANGED, path, message);
            if has_moved(old, new) {
                let paths = called_paths(before, old, "");
                change.former = Former::Item { key: None, paths };
            }
        }
        (None, None) => {}
    }
}

fn module(
    changes: &mut Changes<'_>,
    name: &str,
    key: &str,
    path: ManifestPath,
    pair: Pair<'_>,
    is_replaced: bool,
) {
    let before = changes.before;
    let former_paths = |old: &Value| match hook(name) {
        Some(hook) => called_paths(before, old, hook),
        None => Vec::new(),
    };
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
        (Some(old), None) => {
            let message = format!("{name} `{key}` was removed");
            let change = changes.add(&MODULE_REMOVED, path, message);
            if is_replaced {
                // The tokens of hooks may name any key: there is no option.
                let has_option = hook(name).is_none();
                change.former = Former::Item {
                    key: has_option.then(|| key.to_owned()),
                    paths: former_paths(old),
                };
            }
        }
        // Most modules stay as they are.
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => {
            let [old, new] = normal_form::of_modules(name, old, new);
            let Some(names) = changed_properties(&old, &new, &[]) else {
                return;
            };
            let rule = match is_dynamic(&new) && !is_dynamic(&old) {
                true => &DYNAMIC_WEB_TRIGGER,
                false => &MODULE_CHANGED,
            };
            let change = changes.add(rule, path, format!("{name} `{key}`: {names} changed"));
            if has_moved(&old, &new) {
                let paths = former_paths(&old);
                change.former = Former::Item { key: None, paths };
            }
        }
        (None, None) => {}
    }
}
