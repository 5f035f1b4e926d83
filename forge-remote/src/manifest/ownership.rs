//! The distinction between generated and hand-written items of a manifest. It depends only on the
//! file: there is no record of earlier edits.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds;
use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::evidence::{Evidence, StaleModule, is_generated};
use super::filled::FilledManifest;
use super::items::{key, modules, text};
use super::path::ManifestPath;
use super::stale::Stale;
use super::uses::keep_used;
use super::values::list;

/// A key that both the code and a hand-written item declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) path: ManifestPath,
    pub(super) key: String,
    /// Whether `--prune` can name the item.
    pub(super) is_stale: bool,
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
                is_stale: stale.is_some(),
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
/// code base. Such a proof is no proof of the items that name it: these stay, and so does what they name.
pub(super) fn stale_items<'a>(
    filled: &'a FilledManifest<'_>,
    wanted: &DesiredManifest,
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
    let mut stale: Vec<Stale<'a>> = Vec::new();
    for module in &modules {
        let is_proven = evidence.of_module(module);
        let goes_with = module.generated_for().filter(|_| !is_proven);
        stale.push(Stale {
            path: ["modules", module.kind.module_type],
            index: module.index,
            item: module.item,
            removable: is_proven || goes_with.is_some_and(|endpoint| removed.contains(endpoint)),
            kept_by: Vec::new(),
            goes_with,
        });
    }
    stale.extend(gone.into_iter().map(|(index, item)| Stale {
        path: ["modules", "endpoint"],
        index,
        item,
        removable: proven[&index],
        kept_by: Vec::new(),
        goes_with: None,
    }));
    keep_used(filled, wanted, &mut stale);
    stale
}
