//! The manifest that an app's handlers need.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::{Auth, Handler, Module, Registry};
use crate::fit::AllowedCaller;
use crate::manifest::{
    DesiredManifest, Entry, FormerKey, OwnedProperties, Remote, RemoteOperation, Scope,
    ScopeAlternatives, TOKEN_SCOPES, mapping,
};

impl Registry {
    /// Returns the manifest that these handlers need. The first remote is the default.
    ///
    /// ```
    /// use forge_remote::registry::Registry;
    /// use forge_remote::Remote;
    ///
    /// let remote = Remote::new("backend").base_url("https://backend.example.com");
    /// let desired = Registry::default().desired_manifest(&[remote]);
    /// assert_eq!(
    ///     desired.to_yaml(),
    ///     "remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n"
    /// );
    /// ```
    pub fn desired_manifest(&self, remotes: &[Remote]) -> DesiredManifest {
        let mut declared = Declared {
            desired: DesiredManifest::default(),
            default_remote: remotes.first().map_or("", Remote::key),
            indices: BTreeMap::new(),
        };
        for handler in self.handlers() {
            declared.add(handler);
        }
        let mut desired = declared.desired;
        // The entries that a handler had when Forge called it.
        let cron = self.handlers().iter().filter(|handler| handler.is_cron());
        let former = cron.map(|one| (one.key().to_owned(), one.endpoint().to_owned()));
        desired.former_modules = former.collect();
        for handler in self.handlers() {
            add_former_keys(&mut desired, handler);
        }
        desired.endpoints.sort_by(|a, b| a.key().cmp(b.key()));
        for remote in remotes {
            let calls = self.function_calls(remote, &remotes[0]);
            if !calls.is_empty() {
                let key = remote.key();
                desired.called_by_functions.insert(key.to_owned());
                if remote.declared_operations().is_none() {
                    desired.with_added_operations.insert(key.to_owned());
                }
            }
            desired.remotes.push(remote_entry(remote, &calls));
        }
        desired.scopes = scopes(self);
        desired.alternatives = alternatives(self);
        desired
    }
}

impl Registry {
    /// Returns the handlers of functions' calls to a remote.
    fn function_calls(&self, remote: &Remote, default: &Remote) -> Vec<&Handler> {
        let handlers = self.handlers().iter().filter(|handler| {
            let record = handler.registration();
            let key = record.remote.unwrap_or(default.key());
            record.kind.spec().is_called_by_functions() && key == remote.key()
        });
        handlers.collect()
    }
}

/// Adds the keys of a handler's `also_key`, which proves that their entries are of this code's past. Such a key is the
/// endpoint's or the module's, and the module's may have been generated from it.
fn add_former_keys(desired: &mut DesiredManifest, handler: &Handler) {
    let record = handler.registration();
    let former = &mut desired.former_keys;
    let mut add = |list: &'static str, key: String, new_key: &str, endpoints| {
        let keys = former.entry(list).or_default();
        let key = keys.entry(key);
        key.or_insert_with(|| FormerKey {
            key: new_key.to_owned(),
            endpoints,
        });
    };
    let spec = record.kind.spec();
    let suffix = record.kind.module_suffix();
    for key in record.also_key {
        add("endpoint", (*key).to_owned(), handler.endpoint(), None);
        match suffix {
            Some(_) if !record.dynamic => {
                add(spec.module_type, (*key).to_owned(), handler.key(), None);
            }
            Some(_) => {}
            None => {
                desired.former_pages.insert((*key).to_owned());
            }
        }
    }
    // A written key precedes an equal one that is generated.
    if let Some(suffix) = suffix.filter(|_| !record.dynamic) {
        for key in record.also_key {
            let endpoints = [(*key).to_owned(), handler.endpoint().to_owned()];
            let generated = format!("{key}-{suffix}");
            add(spec.module_type, generated, handler.key(), Some(endpoints));
        }
    }
}

/// A desired manifest while handlers are added to it.
struct Declared<'a> {
    desired: DesiredManifest,
    default_remote: &'a str,
    /// The index of each item in its list, by the list's name and the item's key.
    indices: BTreeMap<(&'static str, String), usize>,
}

impl Declared<'_> {
    fn add(&mut self, handler: &Handler) {
        let record = handler.registration();
        let modules = record.kind.modules(handler.names()).into_iter();
        for mut module in modules.filter(|_| !record.dynamic) {
            if !record.kind.has_endpoint() {
                let remote = record.remote.unwrap_or(self.default_remote);
                module.item.insert("remote".into(), remote.into());
            }
            self.add_module(module, handler);
        }
        if record.kind.module_suffix().is_none() && record.kind.has_endpoint() {
            self.desired.pages.insert(handler.endpoint().to_owned());
        }
        if record.kind.caller() == AllowedCaller::Page {
            let endpoint = handler.endpoint().to_owned();
            self.desired.resolvers.insert(endpoint.clone());
            // The allowed pages of an endpoint's handlers are merged.
            let allowed = self.desired.allowed_pages.entry(endpoint).or_default();
            let pages = record.kind.pages().iter();
            allowed.extend(pages.map(|&page| page.to_owned()));
        }
        if record.kind.has_endpoint() && !handler.is_cron() {
            self.add_endpoint(handler);
        }
        let unknown = record.kind.unknown_events();
        self.desired.unknown_events.extend(unknown);
        for event in record.kind.events() {
            let reason = format!("{} is called for `{event}`", named(handler));
            self.desired.events.entry(event).or_default().push(reason);
        }
    }

    /// Adds a module, or a handler's part of a module that several handlers share.
    fn add_module(&mut self, module: Module, handler: &Handler) {
        let location = handler.registration().location;
        let entries = self.desired.modules.entry(module.module_type).or_default();
        let key = module.item.get("key").and_then(Value::as_str);
        let name = (module.module_type, key.unwrap_or_default().to_owned());
        let at = *self.indices.entry(name).or_insert(entries.len());
        if let Some(shared) = entries.get_mut(at) {
            for (name, value) in module.item {
                shared.item.entry(name).or_insert(value);
            }
            shared.origins.push(location);
        } else {
            entries.push(Entry {
                item: module.item,
                owned: module.owned,
                origins: vec![location],
            });
        }
    }

    fn add_endpoint(&mut self, handler: &Handler) {
        let record = handler.registration();
        let name = ("endpoint", handler.endpoint().to_owned());
        let endpoints = &mut self.desired.endpoints;
        let at = *self.indices.entry(name).or_insert(endpoints.len());
        if let Some(shared) = endpoints.get_mut(at) {
            if !shared.origins.contains(&record.location) {
                shared.origins.push(record.location);
            }
            // With several paths, the page's call names the path, so the endpoint has no route.
            if shared.item.get("route") != Some(&mapping("path", handler.path().into())) {
                shared.item.shift_remove("route");
            }
            return;
        }
        let mut item = Mapping::new();
        item.insert("key".into(), handler.endpoint().into());
        let remote = record.remote.unwrap_or(self.default_remote);
        item.insert("remote".into(), remote.into());
        item.insert("route".into(), mapping("path", handler.path().into()));
        if record.auth.any() {
            item.insert("auth".into(), auth(record.auth));
        }
        endpoints.push(Entry {
            item,
            owned: OwnedProperties::All,
            origins: vec![record.location],
        });
    }
}

fn remote_entry(remote: &Remote, calls: &[&Handler]) -> Entry {
    let mut item = Mapping::new();
    item.insert("key".into(), remote.key().into());
    if let Some(url) = remote.url() {
        item.insert("baseUrl".into(), base_url(url, remote));
    }
    let mut operations = remote.declared_operations().cloned();
    if !calls.is_empty() {
        let operations = operations.get_or_insert_default();
        operations.insert(RemoteOperation::Compute);
    }
    if let Some(operations) = operations {
        let names = operations.iter().map(|one| Value::from(one.as_str()));
        item.insert("operations".into(), Value::Sequence(names.collect()));
    }
    if let Some(stores) = remote.stores_in_scope_eud() {
        item.insert("storage".into(), mapping("inScopeEUD", stores.into()));
    }
    let records = || calls.iter().map(|handler| handler.registration());
    let tokens = Auth {
        system: records().any(|record| record.auth.system),
        user: records().any(|record| record.auth.user),
    };
    if tokens.any() {
        item.insert("auth".into(), auth(tokens));
    }
    Entry {
        item,
        owned: OwnedProperties::Present,
        origins: records().map(|record| record.location).collect(),
    }
}

/// Returns the value of `baseUrl`: a text, or a mapping of regions.
fn base_url(default: &str, remote: &Remote) -> Value {
    if remote.region_urls().is_empty() {
        return default.into();
    }
    let mut urls = Mapping::new();
    urls.insert("default".into(), default.into());
    for (region, url) in remote.region_urls() {
        urls.insert(region.as_str().into(), url.as_str().into());
    }
    Value::Mapping(urls)
}

fn auth(auth: Auth) -> Value {
    let mut item = Mapping::new();
    if auth.system {
        item.insert("appSystemToken".into(), mapping("enabled", true.into()));
    }
    if auth.user {
        item.insert("appUserToken".into(), mapping("enabled", true.into()));
    }
    Value::Mapping(item)
}

/// Returns the scopes without alternatives: Forge's two token scopes first, the others by name, each
/// once with every reason.
fn scopes(registry: &Registry) -> Vec<Scope> {
    let mut system = Vec::new();
    let mut user = Vec::new();
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for handler in registry.handlers() {
        let record = handler.registration();
        let at = named(handler);
        if record.auth.system {
            system.push(format!("{at} requests the system token"));
        }
        if record.auth.user {
            user.push(format!("{at} requests the user token"));
        }
        for scope in record.scopes {
            let reasons = others.entry(scope).or_default();
            reasons.push(format!("{at} lists it"));
        }
        // The choice among several sets depends on the manifest.
        if let [only] = record.kind.scopes() {
            for scope in *only {
                others.entry(scope).or_default().push(needed_by(handler));
            }
        }
    }
    let mut scopes = Vec::new();
    for (name, mut reasons) in [(TOKEN_SCOPES[0], system), (TOKEN_SCOPES[1], user)] {
        reasons.extend(others.remove(name).unwrap_or_default());
        if !reasons.is_empty() {
            scopes.push(Scope::new(name, reasons));
        }
    }
    scopes.extend(
        others
            .into_iter()
            .map(|(name, reasons)| Scope::new(name, reasons)),
    );
    scopes
}

/// Returns the alternative sets of scopes of each handler whose kind has several.
fn alternatives(registry: &Registry) -> Vec<ScopeAlternatives> {
    let several = |handler: &Handler| {
        let sets = handler.registration().kind.scopes();
        let reason = needed_by(handler);
        (sets.len() > 1).then_some(ScopeAlternatives { sets, reason })
    };
    registry.handlers().iter().filter_map(several).collect()
}

fn needed_by(handler: &Handler) -> String {
    let kind = handler.registration().kind.module_type();
    format!("{} is a {kind}, which needs it", named(handler))
}

/// Returns a handler's name and position: `` `tick` (src/main.rs:3:1) ``.
fn named(handler: &Handler) -> String {
    let record = handler.registration();
    format!("`{}` ({})", record.function, record.location)
}
