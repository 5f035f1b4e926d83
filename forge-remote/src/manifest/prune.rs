//! `manifest --write --prune`: the removal of entries by their keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::desired::DesiredManifest;
use super::differences::{users, way_out};
use super::file::ManifestFile;
use super::filled::FilledManifest;
use super::ownership::stale_items;
use super::path::ManifestPath;
use super::stale::{Prune, Stale, User};

/// Returns why the entries with these keys cannot be removed, and the fix.
pub(crate) fn prune_problem(
    file: &ManifestFile,
    wanted: &DesiredManifest,
    prune: &BTreeSet<String>,
) -> Option<String> {
    let name = file.path().display();
    let joined = |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(",");
    let filled = FilledManifest::of(file);
    let stale = stale_items(&filled, wanted);
    let keys: BTreeSet<&str> = stale.iter().filter_map(|one| one.part.key()).collect();
    if let Some(key) = prune.iter().find(|key| !keys.contains(key.as_str())) {
        return Some(format!(
            "`--prune {key}`: {name} has no entry of this key without a handler; nothing was written"
        ));
    }
    let used = used_entries(&filled, wanted, prune);
    let (first, kept_by) = used.first()?;
    let file = file.with_defaults();
    let deleted = |keys: &BTreeSet<String>| {
        let mut prune = Prune::default();
        for one in stale.iter().filter(|one| keys.contains(one.key())) {
            prune.add(one.key(), &one.parts);
        }
        prune.deleted()
    };
    let paths: Vec<ManifestPath> = stale.iter().map(Stale::manifest_path).collect();
    let mut reason = format!("`{first}` is still used: {}", users(&file, kept_by));
    let fix = match with_users(&filled, wanted, prune, &paths) {
        Ok(all) => {
            let whole = if all.len() > 2 { "all" } else { "both" };
            let (deleted, all) = (deleted(&all), joined(&all));
            format!("change that, or remove {whole}: `manifest --write --prune {all}`{deleted}")
        }
        Err((used, kept_by)) => {
            if used != *first {
                let users = users(&file, &kept_by);
                reason.push_str(&format!("; `{used}` is still used: {users}"));
            }
            way_out(&kept_by, "change that first")
        }
    };
    Some(format!(
        "`--prune {}`: {reason}; nothing was written: {fix}",
        joined(prune)
    ))
}

/// An entry with the items that name it.
type UsedEntry = (ManifestPath, Vec<Arc<User>>);

/// Returns the entries with these keys that other items name, with these items.
fn used_entries(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    prune: &BTreeSet<String>,
) -> Vec<UsedEntry> {
    let mut pruning = wanted.clone();
    pruning.removable.extend(prune.iter().cloned());
    let mut stale = stale_items(filled, &pruning);
    stale.retain(|one| {
        let is_named = one.part.key().is_some_and(|key| prune.contains(key));
        is_named && !one.kept_by.is_empty()
    });
    let used = stale.iter();
    used.map(|one| (one.manifest_path(), one.kept_by.clone()))
        .collect()
}

/// Returns the keys with those of the items that name their entries. The error is an entry whose users have a handler or
/// are hand-written, with these users.
fn with_users(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    prune: &BTreeSet<String>,
    stale: &[ManifestPath],
) -> Result<BTreeSet<String>, UsedEntry> {
    let mut all = prune.clone();
    loop {
        let mut used = used_entries(filled, wanted, &all);
        if used.is_empty() {
            return Ok(all);
        }
        let is_fixed = |user: &Arc<User>| !stale.contains(&user.path);
        let blocked = used
            .iter()
            .position(|(_, users)| users.iter().any(is_fixed));
        if let Some(at) = blocked {
            return Err(used.swap_remove(at));
        }
        let before = all.len();
        let users = used.iter().flat_map(|(_, users)| users);
        all.extend(users.filter_map(|user| user.path.key()).map(str::to_owned));
        if all.len() == before {
            return Err(used.swap_remove(0));
        }
    }
}
