//! `manifest --write --prune`: the removal of entries by their keys.

use std::collections::BTreeSet;

use super::desired::DesiredManifest;
use super::differences::users;
use super::file::ManifestFile;
use super::filled::FilledManifest;
use super::items::key;
use super::ownership::stale_items;
use super::path::ManifestPath;

/// Returns why the entries with these keys cannot be removed, and the fix.
pub(crate) fn prune_problem(
    file: &ManifestFile,
    wanted: &DesiredManifest,
    prune: &BTreeSet<String>,
) -> Option<String> {
    let name = file.path().display();
    let joined = |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(",");
    let filled = FilledManifest::new(file.value());
    let stale = stale_items(&filled, wanted);
    let stale: BTreeSet<&str> = stale.iter().filter_map(|one| key(one.item)).collect();
    if let Some(key) = prune.iter().find(|key| !stale.contains(key.as_str())) {
        return Some(format!(
            "`--prune {key}`: {name} has no entry of this key without a handler; nothing was written"
        ));
    }
    let used = used_entries(&filled, wanted, prune);
    let (first, kept_by) = used.first()?;
    let users = users(&file.with_defaults(), kept_by);
    let fix = match with_users(&filled, wanted, prune, &stale) {
        Some(all) => format!(
            "change that, or remove both: `manifest --write --prune {}`",
            joined(&all)
        ),
        None => "change that first".to_owned(),
    };
    Some(format!(
        "`--prune {}`: `{first}` is still used: {users}; nothing was written: {fix}",
        joined(prune)
    ))
}

/// Returns the entries with these keys that other items name, with these items.
fn used_entries(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    prune: &BTreeSet<String>,
) -> Vec<(ManifestPath, Vec<ManifestPath>)> {
    let mut pruning = wanted.clone();
    pruning.removable.extend(prune.iter().cloned());
    let mut stale = stale_items(filled, &pruning);
    stale.retain(|one| {
        let is_named = key(one.item).is_some_and(|key| prune.contains(key));
        is_named && !one.kept_by.is_empty()
    });
    let used = stale.iter();
    used.map(|one| (one.manifest_path(), one.kept_by.clone()))
        .collect()
}

/// Returns the keys with those of the items that name their entries; `None` if one of these has a handler or is
/// hand-written.
fn with_users(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    prune: &BTreeSet<String>,
    stale: &BTreeSet<&str>,
) -> Option<BTreeSet<String>> {
    let mut all = prune.clone();
    loop {
        let used = used_entries(filled, wanted, &all);
        if used.is_empty() {
            return Some(all);
        }
        for user in used.iter().flat_map(|(_, users)| users) {
            let user = user.key().filter(|key| stale.contains(key))?;
            if !all.insert(user.to_owned()) {
                return None;
            }
        }
    }
}
