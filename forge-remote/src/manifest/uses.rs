//! The items that other items name, and that an update therefore keeps.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_yaml::{Mapping, Value};

use super::desired::{DesiredManifest, Entry};
use super::equivalent::{KeptVariables, wanted_of};
use super::filled::{FilledManifest, FilledPart};
use super::items::{key, listed_actions, modules, named_endpoints};
use super::path::ManifestPath;
use super::reconciled::reconcile;
use super::stale::{Becomes, Prune, Stale, User};
use super::variables::{Variables, has_reference, is_variable};

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
    keep_with_endpoints(stale);
    keep_used_removable(filled, wanted, stale);
    for (one, if_removable) in stale.iter_mut().zip(all) {
        if !one.removable && one.kept_by.is_empty() {
            one.kept_by = if_removable.kept_by;
        }
    }
    add_keys_to_prune(stale);
}

/// Keeps the modules that would be removed with endpoints that stay.
fn keep_with_endpoints(stale: &mut [Stale<'_>]) {
    let endpoints = stale.iter().filter(|one| one.path[1] == "endpoint");
    let staying = endpoints.filter(|one| !one.removable);
    let staying: BTreeSet<&str> = staying.map(Stale::key).collect();
    for one in stale.iter_mut() {
        let is_staying = |endpoint: &str| staying.contains(endpoint);
        one.removable &= !one.goes_with.is_some_and(is_staying);
    }
}

/// Sets the keys with which `--prune` removes each item. A module that goes with an endpoint needs none, if it has no
/// hand-written parts.
fn add_keys_to_prune(stale: &mut [Stale<'_>]) {
    let mut users: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (at, one) in stale.iter().enumerate().filter(|(_, one)| !one.removable) {
        let mut names = BTreeSet::new();
        add_names(one.path[1], one.part.value, &mut names);
        for name in names {
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
            let (list, key) = (stale[at].path[1], stale[at].key());
            let users = users.get(&(list, key.to_owned())).into_iter().flatten();
            next.extend(users.filter(|user| {
                let user = &stale[**user];
                user.goes_with != Some(key) || !user.parts.is_empty()
            }));
        }
        let mut prune = Prune::default();
        for one in seen.iter().map(|at| &stale[*at]) {
            if let Some(key) = one.part.key() {
                prune.add(key, &one.parts);
            }
        }
        stale[first].prune = prune;
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
    let mut by_list: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut going_with: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, one) in stale.iter().enumerate().filter(|(_, one)| one.removable) {
        let name = (one.path[1], one.key().to_owned());
        by_key.entry(name).or_default().push(at);
        by_list.entry(one.path[1]).or_default().push(at);
        if let Some(endpoint) = one.goes_with {
            going_with.entry(endpoint.to_owned()).or_default().push(at);
        }
    }
    // The items that stay and whose names are not looked at yet, the next one last.
    let mut staying = items_that_stay(filled, wanted, stale);
    staying.reverse();
    while let Some((path, names)) = staying.pop() {
        let certain = names.certain.into_iter().map(|name| (name, false));
        let possible = names.possible.into_iter().map(|name| (name, true));
        for ((list, name), by_variable) in certain.chain(possible) {
            let Some(used) = by_key.get(&(list, name.clone())) else {
                continue;
            };
            let user = Arc::new(User {
                path: path.clone(),
                by_variable,
                without_default: BTreeSet::new(),
            });
            for at in used {
                stale[*at].kept_by.push(Arc::clone(&user));
                keep(&mut stale[*at], &filled.variables, &mut staying);
            }
            if list == "endpoint" {
                let before = staying.len();
                for at in going_with.get(&name).into_iter().flatten() {
                    keep(&mut stale[*at], &filled.variables, &mut staying);
                }
                // They stay because the endpoint does, so they are not the reason.
                for (_, names) in &mut staying[before..] {
                    names.certain.remove(&(list, name.clone()));
                }
            }
        }
        for ((list, text), without_default) in names.unknown {
            let user = Arc::new(User {
                path: path.clone(),
                by_variable: true,
                without_default,
            });
            for at in by_list.get(list).into_iter().flatten() {
                let part = stale[*at].part;
                // A key with a variable may have any value too.
                let is_certain = key(part.written) == key(part.value);
                if is_certain && !Variables::may_name(&text, stale[*at].key()) {
                    continue;
                }
                stale[*at].kept_by.push(Arc::clone(&user));
                keep(&mut stale[*at], &filled.variables, &mut staying);
            }
        }
    }
}

/// The lists and keys of the items that an item names.
#[derive(Default)]
struct Names {
    /// With the declared defaults of variables.
    certain: BTreeSet<(&'static str, String)>,
    /// The other values that variables may have.
    possible: BTreeSet<(&'static str, String)>,
    /// The lists, and the texts with variables without a default, which may name several items, with these variables.
    unknown: BTreeMap<(&'static str, String), BTreeSet<String>>,
}

/// An item, and what it names.
type Named = (ManifestPath, Names);

fn keep(stale: &mut Stale<'_>, variables: &Variables<'_>, staying: &mut Vec<Named>) {
    if std::mem::take(&mut stale.removable) {
        let names = names_of(stale.path[1], stale.part, variables);
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
    let mut changed: BTreeMap<(&str, usize), Option<&Entry>> = BTreeMap::new();
    for one in removed {
        let becomes = one.renamed();
        changed.insert((one.path[1], one.index), becomes.map(|one| one.entry));
        if let Some(Becomes {
            replaces: Some(at), ..
        }) = becomes
        {
            changed.insert((one.path[1], at), None);
        }
    }
    let entries = wanted.modules.iter().flat_map(|(module_type, entries)| {
        let entries = entries.iter();
        entries.map(move |entry| ((*module_type, entry.key()), entry))
    });
    let entries: BTreeMap<(&str, &str), &Entry> = entries.collect();
    let mut updated: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut named = Vec::new();
    for (module_type, index, value) in modules(&filled.value) {
        // An endpoint names no module.
        let change = changed.get(&(module_type, index)).copied();
        if module_type == "endpoint" || matches!(change, Some(None)) {
            continue;
        }
        let renamed = change.flatten().map(Entry::key);
        let own_key = renamed.unwrap_or_else(|| key(value).unwrap_or_default());
        let entry = entries.get(&(module_type, own_key)).copied();
        let written = filled.item(&["modules", module_type], index);
        let part = written.unwrap_or(FilledPart {
            written: value,
            value,
        });
        // If several items have the same key, an update changes the first.
        let names = match entry.filter(|_| updated.insert((module_type, own_key))) {
            Some(entry) => {
                let written = updated_item(module_type, part, entry, filled, wanted);
                let written = Value::Mapping(written);
                let value = match has_reference(&written) {
                    true => Cow::Owned(filled.variables.with_defaults(&written)),
                    false => Cow::Borrowed(&written),
                };
                let part = FilledPart {
                    written: &written,
                    value: &value,
                };
                names_of(module_type, part, &filled.variables)
            }
            None => names_of(module_type, part, &filled.variables),
        };
        if !names.is_empty() {
            named.push((ManifestPath::of_module(module_type, value), names));
        }
    }
    named
}

/// Returns an item as an update leaves it.
pub(super) fn updated_item(
    module_type: &str,
    part: FilledPart<'_>,
    entry: &Entry,
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
) -> Mapping {
    let variables = KeptVariables::All(&filled.variables);
    let path = ["modules", module_type];
    let code = wanted_of(&path, part, &entry.item, wanted, variables);
    let mut item = part.written.as_mapping().cloned().unwrap_or_default();
    reconcile(&mut item, &code, entry.owned);
    item
}

impl Names {
    fn is_empty(&self) -> bool {
        self.certain.is_empty() && self.possible.is_empty() && self.unknown.is_empty()
    }
}

/// Returns the lists and keys of the items that a module names.
fn names_of(module_type: &str, part: FilledPart<'_>, variables: &Variables<'_>) -> Names {
    let mut names = Names::default();
    add_names(module_type, part.value, &mut names.certain);
    if std::ptr::eq(part.written, part.value) {
        return names;
    }
    let mut written = BTreeSet::new();
    add_names(module_type, part.written, &mut written);
    for (list, text) in written.into_iter().filter(|(_, text)| is_variable(text)) {
        let without_default = variables.without_default(&text).map(str::to_owned);
        let without_default: BTreeSet<String> = without_default.collect();
        if !without_default.is_empty() {
            names.unknown.insert((list, text), without_default);
        } else if let Ok(here) = variables.resolve(&text) {
            let name = (list, here.into_owned());
            if !names.certain.contains(&name) {
                names.possible.insert(name);
            }
        }
    }
    names
}

/// Adds the lists and keys of the items that a module names.
fn add_names(module_type: &str, item: &Value, names: &mut BTreeSet<(&'static str, String)>) {
    named_endpoints(item, &mut Vec::new(), &mut |_, endpoint| {
        names.insert(("endpoint", endpoint.to_owned()));
    });
    let actions = listed_actions(module_type, item).iter();
    let actions = actions.filter_map(Value::as_str);
    names.extend(actions.map(|action| ("action", action.to_owned())));
}
