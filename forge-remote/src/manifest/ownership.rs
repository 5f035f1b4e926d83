//! The distinction between generated and hand-written items of a manifest. It depends only on the
//! file: there is no record of earlier edits.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::{KindSpec, kinds};
use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::items::{endpoint_at, key, modules, text};
use super::owned::OwnedProperties;
use super::path::ManifestPath;
use super::values::list;

/// A key that both the code and a hand-written item declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) path: ManifestPath,
    pub(super) key: String,
}

/// An item that calls this app's remotes and that the code does not declare.
pub(super) struct Stale<'a> {
    pub(super) path: Vec<&'a str>,
    pub(super) index: usize,
    pub(super) item: &'a Value,
    /// Whether it is proven to be of this code base, so that an update removes it.
    pub(super) removable: bool,
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

    // A stale item is removed, so its key is free: a handler may have become one of another kind.
    let removed: BTreeSet<(&str, usize)> = stale
        .iter()
        .filter(|stale| stale.removable)
        .filter_map(|stale| Some((*stale.path.last()?, stale.index)))
        .collect();
    for (module_type, index, item) in modules(manifest) {
        let Some(key) = key(item).filter(|_| !removed.contains(&(module_type, index))) else {
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
            });
        }
    }
    Ok(())
}

/// Returns the items that call this app's remotes and that the code does not declare: endpoints of its
/// remotes that are not foreign, and modules of a generated type that name such endpoints and no others.
///
/// Such an item may be another service's, because a remote's key does not show who serves an endpoint.
/// It is proven to be of this code base, and so removable, if
///
/// - its key is one of [`DesiredManifest::removable`];
/// - the code declares its key in another list: the handler has become one of another kind;
/// - it is a module and the endpoint that it names is removed.
pub(super) fn stale_items<'a>(manifest: &'a Value, wanted: &DesiredManifest) -> Vec<Stale<'a>> {
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
        .into_iter()
        .chain(gone.values().filter_map(|item| key(item)))
        .collect();

    let declared = wanted.modules.values().flatten().chain(&wanted.endpoints);
    let declared: BTreeSet<&str> = declared.map(Entry::key).collect();
    let removable = |key: &str| wanted.removable.contains(key) || declared.contains(key);
    let mut stale = Vec::new();
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
            if not_wanted && is_generated(item, kind, &remotes, &endpoints, &wanted.pages) {
                let mut named = kind.endpoint_places.iter();
                stale.push(Stale {
                    path: vec!["modules", kind.module_type],
                    index,
                    item,
                    removable: key(item).is_some_and(removable)
                        || named.any(|path| {
                            endpoint_at(item, path).is_some_and(|endpoint| {
                                wanted.removable.contains(endpoint)
                                    && !wanted.endpoints.iter().any(|one| one.key() == endpoint)
                            })
                        }),
                });
            }
        }
    }
    stale.extend(gone.into_iter().map(|(index, item)| Stale {
        path: vec!["modules", "endpoint"],
        index,
        item,
        removable: key(item).is_some_and(removable),
    }));
    stale
}

/// Returns whether a module of a generated type was generated, as opposed to hand-written.
fn is_generated(
    item: &Value,
    kind: &KindSpec,
    remotes: &BTreeSet<&str>,
    endpoints: &BTreeSet<&str>,
    pages: &BTreeSet<String>,
) -> bool {
    if !kind.has_endpoint() {
        // It names only a remote, as a hand-written module may, so its key decides.
        return text(item, "remote").is_some_and(|remote| remotes.contains(remote))
            && key(item) == kind.shared_key;
    }
    let mut named = kind
        .endpoint_places
        .iter()
        .filter_map(|path| endpoint_at(item, path))
        .peekable();
    let names_one = named.peek().is_some();
    // A provider names several endpoints; if one of them is not the app's, it is hand-written.
    names_one
        && named.all(|endpoint| {
            // A module, such as an action, that names an `#[endpoint]` is hand-written, unless it has
            // a generated key.
            let has_generated_key = || {
                let rest = key(item).and_then(|key| key.strip_prefix(endpoint));
                rest.and_then(|rest| rest.strip_prefix('-')) == kind.key_suffix
            };
            endpoints.contains(endpoint) && (!pages.contains(endpoint) || has_generated_key())
        })
}

impl OwnedProperties {
    /// Returns whether the code decides a property even if it declares no value for it.
    pub(crate) fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&name),
            Self::Parts(parts) => parts.iter().any(|(part, _)| *part == name),
            Self::Present => false,
        }
    }

    /// Returns the properties inside a property that the code decides.
    pub(crate) fn inside(self, name: &str) -> Self {
        match self {
            Self::Parts(parts) => {
                let found = parts.iter().find(|(part, _)| *part == name);
                found.map_or(Self::All, |(_, inside)| *inside)
            }
            _ => Self::All,
        }
    }
}
