//! The proofs that an item of a manifest is of this code base's past.

use std::collections::BTreeSet;

use forge_remote_schema::{KindSpec, kinds};
use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::items::{endpoint_at, key, text};

/// A module of a generated type that the code does not declare.
pub(super) struct StaleModule<'a> {
    pub(super) kind: &'static KindSpec,
    pub(super) index: usize,
    pub(super) item: &'a Value,
    /// The endpoints that it names where its kind names them.
    pub(super) endpoints: Vec<&'a str>,
}

impl<'a> StaleModule<'a> {
    pub(super) fn new(kind: &'static KindSpec, index: usize, item: &'a Value) -> Self {
        Self {
            kind,
            index,
            item,
            endpoints: endpoints_of(item, kind),
        }
    }

    /// Returns the endpoint whose key the module's generated key was made from, if it names no other one.
    pub(super) fn generated_for(&self) -> Option<&'a str> {
        let [endpoint] = self.endpoints[..] else {
            return None;
        };
        has_generated_key(self.item, endpoint, self.kind).then_some(endpoint)
    }
}

/// The proofs that an item is of this code base's past. A key alone proves nothing if the code has it in another
/// list: the item must also call a handler of this code.
pub(super) struct Evidence<'a> {
    wanted: &'a DesiredManifest,
    /// The keys of the code's modules and endpoints.
    declared: BTreeSet<&'a str>,
    /// The keys of the code's endpoints.
    endpoints: BTreeSet<&'a str>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(wanted: &'a DesiredManifest, endpoints: BTreeSet<&'a str>) -> Self {
        let declared = wanted.modules.values().flatten().chain(&wanted.endpoints);
        Self {
            wanted,
            declared: declared.map(Entry::key).collect(),
            endpoints,
        }
    }

    /// Returns whether a module was one of this code's: its key is [`DesiredManifest::removable`], or a former key of
    /// its list ([`DesiredManifest::former_keys`]); a handler had it ([`DesiredManifest::former_modules`]); or its handler
    /// has become one of another kind, which has the key in another list, and the module calls endpoints of this code
    /// only.
    pub(super) fn of_module(&self, module: &StaleModule<'_>) -> bool {
        let key = key(module.item).unwrap_or_default();
        let calls_ours = || {
            let mut named = module.endpoints.iter();
            !module.endpoints.is_empty() && named.all(|one| self.endpoints.contains(one))
        };
        self.is_former(module.kind.module_type, key)
            || self.was_handlers(module)
            || (self.declared.contains(key) && calls_ours())
    }

    /// Returns whether an endpoint was one of this code's: its key is [`DesiredManifest::removable`], or a former key of
    /// an endpoint; a module that a handler had names it; or its handler has become one of a kind with a module, which
    /// has the key now, and is still called at the same path.
    pub(super) fn of_endpoint(&self, item: &Value, modules: &[StaleModule<'_>]) -> bool {
        let Some(key) = key(item) else { return false };
        let is_of_former_module = || {
            let mut modules = modules.iter().filter(|one| self.was_handlers(one));
            modules.any(|module| module.endpoints.contains(&key))
        };
        self.is_former("endpoint", key) || is_of_former_module() || self.is_served(key, item)
    }

    fn is_former(&self, list: &'static str, key: &str) -> bool {
        let former = self.wanted.former_keys.get(list);
        self.wanted.removable.contains(key) || former.is_some_and(|keys| keys.contains_key(key))
    }

    /// Returns the code's entry that had this key in its list. The user may want to remove the old one.
    pub(super) fn renamed(&self, list: &'static str, key: &str) -> Option<&'a Entry> {
        let former = self.wanted.former_keys.get(list)?;
        let new_key = former
            .get(key)
            .filter(|_| !self.wanted.removable.contains(key))?;
        let entries = match list {
            "endpoint" => &self.wanted.endpoints,
            _ => self.wanted.modules.get(list)?,
        };
        entries.iter().find(|entry| entry.key() == new_key)
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
