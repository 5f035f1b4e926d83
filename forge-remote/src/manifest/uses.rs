//! The items that other items name, and that an update therefore keeps.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::equivalent::{KeptVariables, wanted_of};
use super::filled::{FilledManifest, FilledPart};
use super::items::{key, listed_actions, modules, named_endpoints};
use super::path::ManifestPath;
use super::reconciled::reconcile;
use super::stale::Stale;
use super::values::list;

/// Keeps the stale items that an item of the updated manifest names, and the ones that those name. Every stale item gets
/// the paths of the items that keep it.
pub(super) fn keep_used(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    stale: &mut [Stale<'_>],
) {
    // An entry without a proof may be named too: `--prune` does not remove it.
    let mut all = stale.to_vec();
    for one in &mut all {
        one.removable = true;
    }
    keep_used_removable(filled, wanted, &mut all);
    keep_used_removable(filled, wanted, stale);
    for (one, if_removable) in stale.iter_mut().zip(all) {
        if !one.removable && one.kept_by.is_empty() {
            one.kept_by = if_removable.kept_by;
        }
    }
    add_keys_to_prune(stale);
}

/// Sets the keys with which `--prune` removes each item. A module that goes with an endpoint needs none.
fn add_keys_to_prune(stale: &mut [Stale<'_>]) {
    let mut users: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (at, one) in stale.iter().enumerate().filter(|(_, one)| !one.removable) {
        for name in names_of(one.path[1], one.item) {
            users.entry(name).or_default().push(at);
        }
    }
    for first in 0..stale.len() {
        let mut seen = BTreeSet::new();
        let mut next = vec![first];
        while let Some(at) = next.pop() {
            if !seen.insert(at) {
                continue;
            }
            let (list, key) = (stale[at].path[1], key(stale[at].item).unwrap_or_default());
            let users = users.get(&(list, key.to_owned())).into_iter().flatten();
            next.extend(users.filter(|user| stale[**user].goes_with != Some(key)));
        }
        let keys = seen.iter().filter_map(|at| key(stale[*at].item));
        stale[first].prune = keys.map(str::to_owned).collect();
    }
}

/// Keeps the removable items that an item of the updated manifest names.
fn keep_used_removable(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    stale: &mut [Stale<'_>],
) {
    if !stale.iter().any(|one| one.removable) {
        return;
    }
    // The indices of the removable items, by list and key: two may have the same.
    let mut by_key: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    let mut going_with: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, one) in stale.iter().enumerate().filter(|(_, one)| one.removable) {
        let name = (one.path[1], key(one.item).unwrap_or_default().to_owned());
        by_key.entry(name).or_default().push(at);
        if let Some(endpoint) = one.goes_with {
            going_with.entry(endpoint.to_owned()).or_default().push(at);
        }
    }
    // The items that stay and whose names are not looked at yet.
    let mut staying = items_that_stay(filled, wanted, stale);
    while let Some((path, names)) = staying.pop() {
        for (list, name) in names {
            let Some(used) = by_key.get(&(list, name.clone())) else {
                continue;
            };
            for at in used {
                stale[*at].kept_by.push(path.clone());
                keep(&mut stale[*at], &mut staying);
            }
            if list == "endpoint" {
                let before = staying.len();
                for at in going_with.get(&name).into_iter().flatten() {
                    keep(&mut stale[*at], &mut staying);
                }
                // They stay because the endpoint does, so they are not the reason.
                for (_, names) in &mut staying[before..] {
                    names.remove(&(list, name.clone()));
                }
            }
        }
    }
}

/// An item, and the lists and keys of the items that it names.
type Named = (ManifestPath, BTreeSet<(&'static str, String)>);

fn keep(stale: &mut Stale<'_>, staying: &mut Vec<Named>) {
    if std::mem::take(&mut stale.removable) {
        let names = names_of(stale.path[1], stale.item);
        staying.push((stale.manifest_path(), names));
    }
}

/// Returns the items that an update leaves in the manifest, with the values that it gives them.
fn items_that_stay(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    stale: &[Stale<'_>],
) -> Vec<Named> {
    // Each with the entry that it becomes, if it is not removed.
    let removed = stale.iter().filter(|one| one.removable);
    let removed = removed.map(|one| ((one.path[1], one.index), one.renamed()));
    let removed: BTreeMap<(&str, usize), Option<&Entry>> = removed.collect();
    let mut updated: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut named = Vec::new();
    for (module_type, index, value) in modules(&filled.value) {
        // An endpoint names no module.
        let change = removed.get(&(module_type, index)).copied();
        if module_type == "endpoint" || matches!(change, Some(None)) {
            continue;
        }
        let renamed = change.flatten().map(Entry::key);
        let own_key = renamed.unwrap_or_else(|| key(value).unwrap_or_default());
        let entries = wanted.modules.get(module_type).into_iter().flatten();
        let mut entries = entries.filter(|entry| entry.key() == own_key);
        let written = list(filled.written, &["modules", module_type]).get(index);
        let names = match (entries.next(), written) {
            // If several items have the same key, an update changes the first.
            (Some(entry), Some(written)) if updated.insert((module_type, own_key)) => {
                let part = FilledPart { written, value };
                let value = updated_item(module_type, part, entry, filled, wanted);
                names_of(module_type, &value)
            }
            _ => names_of(module_type, value),
        };
        if !names.is_empty() {
            named.push((ManifestPath::of_module(module_type, value), names));
        }
    }
    named
}

/// Returns an item as an update leaves it, with the defaults of its variables.
fn updated_item(
    module_type: &str,
    part: FilledPart<'_>,
    entry: &Entry,
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
) -> Value {
    let variables = KeptVariables::All(&filled.variables);
    let path = ["modules", module_type];
    let code = wanted_of(&path, part, &entry.item, wanted, variables);
    let mut item = part.written.as_mapping().cloned().unwrap_or_default();
    reconcile(&mut item, &code, entry.owned);
    filled.variables.with_defaults(&Value::Mapping(item))
}

/// Returns the lists and keys of the items that a module names.
fn names_of(module_type: &str, item: &Value) -> BTreeSet<(&'static str, String)> {
    let mut names = BTreeSet::new();
    named_endpoints(item, &mut Vec::new(), &mut |_, endpoint| {
        names.insert(("endpoint", endpoint.to_owned()));
    });
    let actions = listed_actions(module_type, item).iter();
    let actions = actions.filter_map(Value::as_str);
    names.extend(actions.map(|action| ("action", action.to_owned())));
    names
}
