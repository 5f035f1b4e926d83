//! The proofs that an item of a manifest is of this code base's past.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::{KindSpec, kinds};
use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry, FormerKey};
use super::filled::FilledPart;
use super::items::{endpoint_at, key, text};

/// A module of a generated type that the code does not declare.
pub(super) struct StaleModule<'a> {
    pub(super) kind: &'static KindSpec,
    pub(super) index: usize,
    pub(super) part: FilledPart<'a>,
    /// The endpoints that it names where its kind names them, as they are written.
    pub(super) endpoints: Vec<&'a str>,
}

impl<'a> StaleModule<'a> {
    pub(super) fn new(kind: &'static KindSpec, index: usize, part: FilledPart<'a>) -> Self {
        Self {
            kind,
            index,
            part,
            endpoints: endpoints_of(part.written, kind),
        }
    }

    /// Returns the endpoint whose key the module's generated key was made from, if it names no other one.
    pub(super) fn generated_for(&self) -> Option<&'a str> {
        let [endpoint] = self.endpoints[..] else {
            return None;
        };
        has_generated_key(self.part.written, endpoint, self.kind).then_some(endpoint)
    }
}

/// The proofs that an item is of this code base's past. A key alone proves nothing if the code has it in another
/// list: the item must also call a handler of this code. The default of a variable proves nothing either, because
/// other environments may have another value.
pub(super) struct Evidence<'a> {
    wanted: &'a DesiredManifest,
    /// The code's modules and endpoints, by their lists and keys.
    entries: BTreeMap<(&'static str, &'a str), &'a Entry>,
    /// The keys of the code's modules and endpoints.
    declared: BTreeSet<&'a str>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(wanted: &'a DesiredManifest) -> Self {
        let modules = wanted.modules.iter();
        let modules = modules.map(|(module_type, entries)| (*module_type, entries));
        let lists = modules.chain([("endpoint", &wanted.endpoints)]);
        let entries = lists.flat_map(|(list, entries)| {
            let entries = entries.iter();
            entries.map(move |entry| ((list, entry.key()), entry))
        });
        let entries: BTreeMap<_, _> = entries.collect();
        Self {
            wanted,
            declared: entries.keys().map(|(_, key)| *key).collect(),
            entries,
        }
    }

    /// Returns whether `--prune` names an item ([`DesiredManifest::removable`]).
    pub(super) fn is_named(&self, part: FilledPart<'_>) -> bool {
        let key = part.key();
        key.is_some_and(|key| self.wanted.removable.contains(key))
    }

    /// Returns whether a module was one of this code's: `--prune` names it; its key is a former key of its list
    /// ([`DesiredManifest::former_keys`]); a handler had it ([`DesiredManifest::former_modules`]); or its handler
    /// has become one of another kind, which has the key in another list, and the module calls endpoints of this code
    /// only.
    pub(super) fn of_module(&self, module: &StaleModule<'_>) -> bool {
        let StaleModule {
            kind,
            part,
            endpoints,
            ..
        } = module;
        let key = key(part.written).unwrap_or_default();
        let calls_ours = || {
            let mut named = endpoints.iter();
            !endpoints.is_empty() && named.all(|one| self.has_endpoint(one))
        };
        self.is_named(*part)
            || self.former(kind.module_type, key, endpoints).is_some()
            || self.was_handlers(module)
            || (self.declared.contains(key) && calls_ours())
    }

    /// Returns whether an endpoint was one of this code's: `--prune` names it; its key is a former key of an endpoint;
    /// a module that a handler had names it, as these do; or its handler has become one of a kind with a module, which
    /// has the key now, and is still called at the same path.
    pub(super) fn of_endpoint(&self, part: FilledPart<'_>, of_former: &BTreeSet<&str>) -> bool {
        let key = key(part.written).unwrap_or_default();
        self.is_named(part)
            || self.former("endpoint", key, &[]).is_some()
            || of_former.contains(key)
            || self.is_served(key, part.written)
    }

    fn has_endpoint(&self, key: &str) -> bool {
        self.entries.contains_key(&("endpoint", key))
    }

    /// Returns the former key of a list's item that names these endpoints.
    fn former(&self, list: &str, key: &str, named: &[&str]) -> Option<&'a FormerKey> {
        let former = self.wanted.former_keys.get(list)?.get(key)?;
        let is_of_item = |endpoints: &[String; 2]| {
            let mut endpoints = endpoints.iter();
            endpoints.any(|one| named.contains(&one.as_str()))
        };
        let is_former = former.endpoints.as_ref().is_none_or(is_of_item);
        is_former.then_some(former)
    }

    /// Returns the code's entry that had an item's key in its list. The user may want to remove the old one.
    pub(super) fn successor(
        &self,
        list: &'static str,
        part: FilledPart<'_>,
        named: &[&str],
    ) -> Option<&'a Entry> {
        if self.is_named(part) {
            return None;
        }
        let former = self.former(list, key(part.written)?, named)?;
        self.entries.get(&(list, former.key.as_str())).copied()
    }

    /// Returns whether a handler had this module before the app's clock called it.
    pub(super) fn was_handlers(&self, module: &StaleModule<'_>) -> bool {
        let key = key(module.part.written).unwrap_or_default();
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
        if !self.declared.contains(of_key) {
            return false;
        }
        kinds::declared().any(|kind| {
            let Some(module) = self.entries.get(&(kind.module_type, of_key)) else {
                return false;
            };
            let module = Value::Mapping(module.item.clone());
            endpoints_of(&module, kind).into_iter().any(|named| {
                self.entries.get(&("endpoint", named)).is_some_and(|one| {
                    let item = Value::Mapping(one.item.clone());
                    address(&item).as_ref() == Some(&address_of_item)
                })
            })
        })
    }
}

/// Returns the endpoints that a module names where its kind names them.
pub(super) fn endpoints_of<'a>(item: &'a Value, kind: &KindSpec) -> Vec<&'a str> {
    let places = kind.endpoint_places.iter();
    places
        .filter_map(|place| endpoint_at(item, place))
        .collect()
}

/// Returns whether a module's key is the one that is generated from its endpoint's.
fn has_generated_key(item: &Value, endpoint: &str, kind: &KindSpec) -> bool {
    let rest = key(item).and_then(|key| key.strip_prefix(endpoint));
    let suffix = rest.and_then(|rest| rest.strip_prefix('-'));
    suffix.is_some() && suffix == kind.key_suffix
}

/// Returns whether a module of a generated type was generated, as opposed to hand-written.
pub(super) fn is_generated(
    item: &Value,
    kind: &KindSpec,
    remotes: &BTreeSet<&str>,
    endpoints: &BTreeSet<&str>,
    wanted: &DesiredManifest,
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
            let is_page = wanted.pages.contains(endpoint) || wanted.former_pages.contains(endpoint);
            endpoints.contains(endpoint) && (!is_page || has_generated_key(item, endpoint, kind))
        })
}
