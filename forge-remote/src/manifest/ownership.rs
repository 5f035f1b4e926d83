//! The distinction between generated and hand-written items of a manifest. It depends only on the
//! file: there is no record of earlier edits.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds;
use serde_yaml::{Mapping, Value};

use super::desired::{DesiredManifest, Entry};
use super::evidence::{Evidence, StaleModule, is_generated};
use super::filled::FilledManifest;
use super::items::{key, modules, text};
use super::owned::OwnedProperties;
use super::path::ManifestPath;
use super::stale::Stale;
use super::uses::keep_used;
use super::values::list;
use super::variables::is_variable;

/// A key that both the code and a hand-written item declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) path: ManifestPath,
    pub(super) key: String,
    /// The keys with which `--prune` removes the item; empty if it does not.
    pub(super) prune: BTreeSet<String>,
    /// The items that name the item and stay.
    pub(super) kept_by: Vec<ManifestPath>,
}

/// Rejects a generated key that a hand-written item has: an edit would overwrite that item.
pub(super) fn check_taken(
    manifest: &Value,
    wanted: &DesiredManifest,
    stale: &[Stale<'_>],
) -> Result<(), Taken> {
    let remotes: BTreeSet<&str> = wanted.remotes.iter().map(Entry::key).collect();
    let declared: BTreeSet<&str> = list(manifest, &["remotes"])
        .iter()
        .filter_map(key)
        .collect();
    // The type of each wanted key.
    let mut wanted_keys: BTreeMap<&str, &str> = BTreeMap::new();
    for (module_type, entries) in &wanted.modules {
        wanted_keys.extend(entries.iter().map(|entry| (entry.key(), *module_type)));
    }
    wanted_keys.extend(
        wanted
            .endpoints
            .iter()
            .map(|entry| (entry.key(), "endpoint")),
    );

    let stale: BTreeMap<(&str, usize), &Stale<'_>> = stale
        .iter()
        .map(|stale| ((stale.path[1], stale.index), stale))
        .collect();
    for (module_type, index, item) in modules(manifest) {
        let stale = stale.get(&(module_type, index));
        // A removed item's key is free: a handler may have become one of another kind.
        let is_removed = stale.is_some_and(|stale| stale.removable);
        let Some(key) = key(item).filter(|_| !is_removed) else {
            continue;
        };
        let Some(wanted_type) = wanted_keys.get(key) else {
            continue;
        };
        let ours = *wanted_type == module_type
            && item.get("function").is_none()
            && item.get("service").is_none()
            && text(item, "remote").is_none_or(|remote| {
                !matches!(module_type, "endpoint" | "migration:dataResidency")
                    || remotes.contains(remote)
                    || !declared.contains(remote)
            });
        if !ours {
            return Err(Taken {
                path: ManifestPath::of(&["modules", module_type]).item(key),
                key: key.to_owned(),
                prune: stale.map_or_else(BTreeSet::new, |stale| stale.prune.clone()),
                kept_by: stale.map_or_else(Vec::new, |stale| stale.kept_by.clone()),
            });
        }
    }
    Ok(())
}

/// Returns the items that call this app's remotes and that the code does not declare: endpoints of its
/// remotes that are not foreign, and modules of a generated type that name such endpoints and no others.
///
/// Such an item may be another service's, because a remote's key does not show who serves an endpoint, and a
/// service may use a key that this code uses in another list. [`Evidence`] has the proofs that an item is of this
/// code base. Such a proof is no proof of the items that name it: these stay, and so does what they name. An item with a
/// former key becomes the code's entry, so that its hand-written parts and comments stay; if that entry is there already,
/// an item with hand-written parts stays too.
pub(super) fn stale_items<'a>(
    filled: &'a FilledManifest<'_>,
    wanted: &'a DesiredManifest,
) -> Vec<Stale<'a>> {
    let manifest: &'a Value = &filled.value;
    let remotes: BTreeSet<&str> = wanted.remotes.iter().map(Entry::key).collect();
    let kept: BTreeSet<&str> = wanted.endpoints.iter().map(Entry::key).collect();
    let gone: BTreeMap<usize, &Value> = list(manifest, &["modules", "endpoint"])
        .iter()
        .enumerate()
        .filter(|(_, item)| {
            text(item, "remote").is_some_and(|remote| remotes.contains(remote))
                && key(item).is_some_and(|key| !kept.contains(key) && !wanted.foreign.contains(key))
        })
        .collect();
    let endpoints: BTreeSet<&str> = kept
        .iter()
        .copied()
        .chain(gone.values().filter_map(|item| key(item)))
        .collect();

    let mut modules = Vec::new();
    for kind in kinds::declared() {
        let wanted_keys: BTreeSet<&str> = wanted
            .modules
            .get(kind.module_type)
            .into_iter()
            .flatten()
            .map(Entry::key)
            .collect();
        for (index, item) in list(manifest, &["modules", kind.module_type])
            .iter()
            .enumerate()
        {
            let not_wanted = key(item).is_some_and(|key| !wanted_keys.contains(key));
            if not_wanted && is_generated(item, kind, &remotes, &endpoints, wanted) {
                modules.push(StaleModule::new(kind, index, item));
            }
        }
    }
    let evidence = Evidence::new(wanted, kept);
    let is_ours = |item: &Value| evidence.of_endpoint(item, &modules);
    let proven: BTreeMap<usize, bool> = gone
        .iter()
        .map(|(index, item)| (*index, is_ours(item)))
        .collect();
    let removed = gone.iter().filter(|(index, _)| proven[index]);
    let removed: BTreeSet<&str> = removed.filter_map(|(_, item)| key(item)).collect();
    let mut renames = Renames {
        filled,
        evidence: &evidence,
        renamed: BTreeSet::new(),
    };
    let mut stale: Vec<Stale<'a>> = Vec::new();
    for module in &modules {
        let path = ["modules", module.kind.module_type];
        let becomes = renames.entry_of(path, module.index, module.item);
        let is_proven = evidence.of_module(module);
        let goes_with = module.generated_for().filter(|_| !is_proven);
        let is_removed = is_proven || goes_with.is_some_and(|endpoint| removed.contains(endpoint));
        let would_be_lost = becomes.is_none() && renames.has_parts_of_user(path[1], module.item);
        stale.push(Stale {
            path,
            index: module.index,
            item: module.item,
            removable: is_removed && !would_be_lost,
            becomes,
            kept_by: Vec::new(),
            prune: BTreeSet::new(),
            goes_with,
        });
    }
    for (index, item) in gone {
        let path = ["modules", "endpoint"];
        stale.push(Stale {
            path,
            index,
            item,
            removable: proven[&index],
            becomes: renames.entry_of(path, index, item),
            kept_by: Vec::new(),
            prune: BTreeSet::new(),
            goes_with: None,
        });
    }
    keep_used(filled, wanted, &mut stale);
    stale
}

/// The items that get the key of the code's entry that they became.
struct Renames<'a, 'e> {
    filled: &'a FilledManifest<'a>,
    evidence: &'e Evidence<'a>,
    /// The lists and keys of the entries that an item has become.
    renamed: BTreeSet<(&'static str, &'a str)>,
}

impl<'a> Renames<'a, '_> {
    /// Returns the code's entry of which an item has a former key, if the list has no item of this entry yet. A key with
    /// a variable is not replaced.
    fn entry_of(
        &mut self,
        path: [&'static str; 2],
        index: usize,
        item: &Value,
    ) -> Option<&'a Entry> {
        let entry = self.evidence.renamed(path[1], key(item)?)?;
        let written = list(self.filled.written, &path).get(index).and_then(key);
        let mut others = list(&self.filled.value, &path).iter();
        let is_possible = !written.is_some_and(is_variable)
            && others.all(|other| key(other) != Some(entry.key()))
            && self.renamed.insert((path[1], entry.key()));
        is_possible.then_some(entry)
    }

    /// Returns whether a module with a former key has properties that the code does not decide.
    fn has_parts_of_user(&self, list: &'static str, item: &Value) -> bool {
        let entry = key(item).and_then(|key| self.evidence.renamed(list, key));
        entry
            .zip(item.as_mapping())
            .is_some_and(|(entry, found)| has_other_properties(found, &entry.item, entry.owned))
    }
}

/// Returns whether an item has properties that the code does not decide.
fn has_other_properties(found: &Mapping, code: &Mapping, owned: OwnedProperties) -> bool {
    found.iter().any(|(name, found)| {
        let text = name.as_str().unwrap_or_default();
        match (found, code.get(name)) {
            (_, None) => !owned.has(text),
            (Value::Mapping(found), Some(Value::Mapping(code))) => {
                has_other_properties(found, code, owned.inside(text))
            }
            _ => false,
        }
    })
}
