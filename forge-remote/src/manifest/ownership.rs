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
    pub(super) path: [&'static str; 2],
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
        .map(|stale| (stale.path[1], stale.index))
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
/// The manifest has the defaults of its variables.
///
/// Such an item may be another service's, because a remote's key does not show who serves an endpoint, and a
/// service may use a key that this code uses in another list. [`Evidence`] has the proofs that an item is of this
/// code base, and so removable.
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
            if not_wanted && is_generated(item, kind, &remotes, &endpoints, &wanted.pages) {
                modules.push(StaleModule {
                    kind,
                    index,
                    item,
                    endpoints: endpoints_of(item, kind),
                });
            }
        }
    }
    let evidence = Evidence::new(wanted, kept);
    let removed: BTreeSet<&str> = gone
        .values()
        .filter(|item| evidence.of_endpoint(item, &modules))
        .filter_map(|item| key(item))
        .collect();
    let mut stale = Vec::new();
    for module in modules {
        let names_removed = module.endpoints.iter().any(|one| removed.contains(one));
        stale.push(Stale {
            path: ["modules", module.kind.module_type],
            index: module.index,
            item: module.item,
            removable: names_removed || evidence.of_module(&module),
        });
    }
    stale.extend(gone.into_iter().map(|(index, item)| Stale {
        path: ["modules", "endpoint"],
        index,
        item,
        removable: key(item).is_some_and(|key| removed.contains(key)),
    }));
    stale
}

/// A module of a generated type that the code does not declare.
struct StaleModule<'a> {
    kind: &'static KindSpec,
    index: usize,
    item: &'a Value,
    endpoints: Vec<&'a str>,
}

/// The proofs that an item is of this code base's past. A key alone proves nothing if the code has it in another
/// list: the item must also call a handler of this code.
struct Evidence<'a> {
    wanted: &'a DesiredManifest,
    /// The keys of the code's modules and endpoints.
    declared: BTreeSet<&'a str>,
    /// The keys of the code's endpoints.
    endpoints: BTreeSet<&'a str>,
}

impl<'a> Evidence<'a> {
    fn new(wanted: &'a DesiredManifest, endpoints: BTreeSet<&'a str>) -> Self {
        let declared = wanted.modules.values().flatten().chain(&wanted.endpoints);
        Self {
            wanted,
            declared: declared.map(Entry::key).collect(),
            endpoints,
        }
    }

    /// Returns whether a module was one of this code's: its key is [`DesiredManifest::removable`]; a handler had
    /// it ([`DesiredManifest::former_modules`]); or its handler has become one of another kind, which has the key
    /// in another list, and the module calls endpoints of this code only.
    fn of_module(&self, module: &StaleModule<'_>) -> bool {
        let key = key(module.item).unwrap_or_default();
        let calls_ours = || {
            let mut named = module.endpoints.iter();
            !module.endpoints.is_empty() && named.all(|one| self.endpoints.contains(one))
        };
        self.wanted.removable.contains(key)
            || self.was_handlers(module)
            || (self.declared.contains(key) && calls_ours())
    }

    /// Returns whether an endpoint was one of this code's: its key is [`DesiredManifest::removable`]; a module that
    /// a handler had names it; or its handler has become one of a kind with a module, which has the key now, and
    /// is still called at the same path.
    fn of_endpoint(&self, item: &Value, modules: &[StaleModule<'_>]) -> bool {
        let Some(key) = key(item) else { return false };
        let is_of_former_module = || {
            let mut modules = modules.iter().filter(|one| self.was_handlers(one));
            modules.any(|module| module.endpoints.contains(&key))
        };
        self.wanted.removable.contains(key) || is_of_former_module() || self.is_served(key, item)
    }

    fn was_handlers(&self, module: &StaleModule<'_>) -> bool {
        let key = key(module.item).unwrap_or_default();
        let endpoint = self.wanted.former_modules.get(key);
        endpoint.is_some_and(|endpoint| module.endpoints == [endpoint.as_str()])
    }

    /// Returns whether a module of the code with this key is called at the endpoint's path and remote.
    fn is_served(&self, of_key: &str, item: &Value) -> bool {
        let address = |item: &Value| {
            let path = endpoint_at(item, &["route", "path"]).map(str::to_owned);
            text(item, "remote").map(str::to_owned).zip(path)
        };
        let Some(address_of_item) = address(item) else {
            return false;
        };
        kinds::declared().any(|kind| {
            let entries = self.wanted.modules.get(kind.module_type);
            let mut entries = entries.into_iter().flatten();
            let Some(module) = entries.find(|entry| entry.key() == of_key) else {
                return false;
            };
            let module = Value::Mapping(module.item.clone());
            let named = endpoints_of(&module, kind);
            let mut endpoints = self.wanted.endpoints.iter();
            endpoints.any(|endpoint| {
                let item = Value::Mapping(endpoint.item.clone());
                named.contains(&endpoint.key()) && address(&item).as_ref() == Some(&address_of_item)
            })
        })
    }
}

/// Returns the endpoints that a module names where its kind names them.
fn endpoints_of<'a>(item: &'a Value, kind: &KindSpec) -> Vec<&'a str> {
    let places = kind.endpoint_places.iter();
    places
        .filter_map(|place| endpoint_at(item, place))
        .collect()
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
    let named = endpoints_of(item, kind);
    // A provider names several endpoints; if one of them is not the app's, it is hand-written.
    !named.is_empty()
        && named.into_iter().all(|endpoint| {
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
