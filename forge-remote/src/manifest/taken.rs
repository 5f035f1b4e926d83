//! Keys of the code that other items of the manifest have.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::differences::{users, way_out};
use super::error::ManifestError;
use super::file::ManifestFile;
use super::items::{key, modules, text};
use super::path::ManifestPath;
use super::stale::{Fate, Stale};
use super::values::list;

/// A key that both the code and a hand-written item declare.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taken {
    path: ManifestPath,
    key: String,
    /// The fate of the item; `None` if it is not a stale one.
    fate: Option<Fate>,
}

impl Taken {
    /// Returns the error with the fix.
    pub(super) fn error(self, file: &ManifestFile) -> ManifestError {
        let filled = file.with_defaults();
        let removal = match self.fate {
            Some(Fate::KeptBy { users: kept_by, .. }) => {
                let users = users(&filled, &kept_by);
                format!("; {users}: {}", way_out(&kept_by, "change that first"))
            }
            Some(Fate::HasParts { parts, prune }) => format!(
                ". It has parts that the code does not declare ({}): move them, then `manifest --write --prune {}` \
                 removes it",
                parts.join(", "),
                prune.keys()
            ),
            Some(Fate::Unproven { prune, .. }) if !prune.is_empty() => {
                let (keys, deleted) = (prune.keys(), prune.deleted());
                format!(
                    ". If it was this code's, `manifest --write --prune {keys}` removes it{deleted}"
                )
            }
            Some(Fate::KeptWith { endpoint }) => {
                format!(". `manifest --write` removes it with its endpoint `{endpoint}`")
            }
            _ => String::new(),
        };
        ManifestError::Taken {
            path: file.path().to_owned(),
            at: filled.position(&self.path),
            key: self.key,
            place: self.path.to_string(),
            removal,
        }
    }
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
                fate: stale.map(|stale| stale.fate()),
            });
        }
    }
    Ok(())
}
