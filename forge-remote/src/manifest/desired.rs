//! The items and scopes that the code declares for the manifest, as values.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::events::{self, ScopeSet};
use serde_yaml::{Mapping, Value};

#[cfg(feature = "cli")]
use super::emit::to_yaml;
use super::owned::OwnedProperties;
use super::values::{mapping, scope_options};
use crate::diagnostic::Location;

/// The scopes of the system token and of the user token.
pub(crate) const TOKEN_SCOPES: [&str; 2] = ["read:app-system-token", "read:app-user-token"];

/// An item that the code declares, and the positions of its handlers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The item; its first property is `key`.
    pub(crate) item: Mapping,
    /// The properties the code decides.
    pub owned: OwnedProperties,
    /// The handlers' positions; empty for an item that the app itself declares.
    pub origins: Vec<Location>,
}

impl Entry {
    /// Creates an entry of this item, for tests; `None` if it is not a mapping.
    #[doc(hidden)]
    pub fn from_yaml(item: &str, owned: OwnedProperties, origin: Location) -> Option<Self> {
        Some(Self {
            item: serde_yaml::from_str(item).ok()?,
            owned,
            origins: vec![origin],
        })
    }

    /// Returns the item as JSON.
    #[doc(hidden)]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.item).unwrap_or_default()
    }

    /// Returns the item's key; empty if it has none.
    pub fn key(&self) -> &str {
        self.item
            .get("key")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// A scope that the code needs, and the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The name.
    pub name: String,
    /// The reasons, one line each.
    pub reasons: Vec<String>,
    /// Whether the app uses it to act for users who are not in session: `allowImpersonation: true`.
    pub impersonation: bool,
}

impl Scope {
    /// Creates a scope for calls as the app, or as the user in session.
    pub fn new(name: impl Into<String>, reasons: Vec<String>) -> Self {
        Self {
            name: name.into(),
            reasons,
            impersonation: false,
        }
    }
}

/// Alternative sets of scopes, any one of which is enough, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeAlternatives {
    /// The sets: Atlassian's classic one first, the granular one last.
    pub sets: &'static [&'static [&'static str]],
    /// The reason, in one line.
    pub reason: String,
}

/// A key that a handler's entry has in an older major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormerKey {
    /// The handler's key in the same list.
    pub(crate) key: String,
    /// The handler's former endpoint and its current one, for a module's key that was generated from the former one.
    /// Another service's module may have this key, so it is a former key only of a module that names one of the two.
    pub(crate) endpoints: Option<[String; 2]>,
}

/// All items and scopes that the code declares for the manifest.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DesiredManifest {
    /// The configured app ids; empty if the manifest's `app.id` is used.
    pub app_ids: Vec<String>,
    /// The modules by type, without `endpoint`.
    pub modules: BTreeMap<&'static str, Vec<Entry>>,
    /// The items of `modules.endpoint`.
    pub endpoints: Vec<Entry>,
    /// The items of `remotes`.
    pub remotes: Vec<Entry>,
    /// The remotes that handlers of functions' calls are for.
    pub(crate) called_by_functions: BTreeSet<String>,
    /// The remotes whose `operations` the code only adds to.
    pub(crate) with_added_operations: BTreeSet<String>,
    /// The scopes of `permissions.scopes`, without the scopes that have alternatives.
    pub scopes: Vec<Scope>,
    /// The scopes of modules for which any one of several sets is enough.
    pub alternatives: Vec<ScopeAlternatives>,
    /// The events that call handlers, each with the reasons for its scopes.
    pub events: BTreeMap<&'static str, Vec<String>>,
    /// The events of `unknown_events`.
    pub unknown_events: BTreeSet<&'static str>,
    /// The endpoints of handlers without a generated module: hand-written modules name them.
    pub pages: BTreeSet<String>,
    /// The endpoints among `pages` that receive a page's calls (`resolver.endpoint`).
    pub resolvers: BTreeSet<String>,
    /// The pages that may call an endpoint; an empty set allows any page.
    pub allowed_pages: BTreeMap<String, BTreeSet<String>>,
    /// The endpoints of this app's remotes that other services serve.
    pub foreign: BTreeSet<String>,
    /// The modules of other services; `None` if the app does not list them.
    pub foreign_modules: Option<BTreeSet<String>>,
    /// The keys (of `--prune`) whose undeclared entries an update may remove.
    pub removable: BTreeSet<String>,
    /// The keys that handlers' modules and endpoints have in older major versions (`also_key`), by the list that they are
    /// in. An update gives such an entry the new key, or removes it if there is another entry of the new key.
    pub(crate) former_keys: BTreeMap<&'static str, BTreeMap<String, FormerKey>>,
    /// The former keys of `pages`.
    pub former_pages: BTreeSet<String>,
    /// The modules that handlers had before the app's clock called them: each key with its endpoint's. An update
    /// may remove them, with these endpoints.
    pub former_modules: BTreeMap<String, String>,
    /// Whether the app acts when it is uninstalled: in callbacks of [`Tokens::on_removed`](crate::Tokens::on_removed), or
    /// because its job engine ends the waiting jobs.
    pub needs_pre_uninstall: bool,
    /// The functions of such an app that Forge calls before an uninstallation, with their places, if none of them can remove
    /// the installation's token.
    pub(crate) uninstallations_without_tokens: Vec<(&'static str, Location)>,
    /// Whether the granular sets of scopes are preferred.
    pub granular: bool,
    /// Whether tokens are requested without the scopes that are named after them:
    /// [`App::without_token_scopes`](crate::App::without_token_scopes).
    pub without_token_scopes: bool,
    /// Whether the app manages missing permissions itself:
    /// [`App::app_managed_permissions`](crate::App::app_managed_permissions).
    pub app_managed: bool,
}

impl DesiredManifest {
    /// Returns the scopes that the code needs, given the granted ones.
    ///
    /// Any one of an event's or a module's alternative sets satisfies it. If none is granted, the
    /// preferred set is needed: Atlassian's classic one, or the granular one.
    pub fn scopes_given(&self, granted: &BTreeSet<&str>) -> Vec<Scope> {
        let mut scopes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut need = |set: ScopeSet, reasons: &[String]| {
            for scope in set {
                let all = scopes.entry(scope).or_default();
                all.extend_from_slice(reasons);
            }
        };
        for (event, reasons) in &self.events {
            let sets = events::find(event).map_or(&[][..], |event| event.scopes);
            need(self.set_of(sets, granted), reasons);
        }
        for ScopeAlternatives { sets, reason } in &self.alternatives {
            need(self.set_of(sets, granted), std::slice::from_ref(reason));
        }
        let mut all = self.scopes.clone();
        for (name, reasons) in scopes {
            match all.iter_mut().find(|scope| scope.name == name) {
                Some(scope) => scope.reasons.extend(reasons),
                None => all.push(Scope::new(name, reasons)),
            }
        }
        all
    }

    /// Returns every scope that the code may need, each alternative among them.
    #[cfg(feature = "dev")]
    pub(crate) fn possible_scopes(&self) -> impl Iterator<Item = &str> {
        let events = self.events.keys().filter_map(|event| events::find(event));
        let events = events.flat_map(|event| event.scopes);
        let alternatives = self.alternatives.iter().flat_map(|one| one.sets);
        let alternatives = events.chain(alternatives).copied().flatten().copied();
        let fixed = self.scopes.iter().map(|scope| scope.name.as_str());
        fixed.chain(alternatives)
    }

    /// Returns a granted one of these sets, else the preferred one.
    fn set_of(&self, sets: &'static [ScopeSet], granted: &BTreeSet<&str>) -> ScopeSet {
        let has = |set: &&ScopeSet| set.iter().all(|scope| granted.contains(scope));
        let preferred = if self.granular {
            sets.last()
        } else {
            sets.first()
        };
        let chosen = sets.iter().find(has).or(preferred);
        chosen.copied().unwrap_or_default()
    }

    /// Adds the scopes that the app lists in addition to its handlers' scopes.
    pub(crate) fn add_scopes(&mut self, scopes: &BTreeMap<String, String>) {
        for (name, at) in scopes {
            let reason = format!("{at} lists it");
            self.scope(name).reasons.push(reason);
        }
    }

    /// Adds the scopes that the app uses to act for users.
    pub(crate) fn impersonate(&mut self, scopes: &BTreeMap<String, String>) {
        if scopes.is_empty() {
            return;
        }
        if !self.without_token_scopes {
            let at = scopes.values().next().cloned().unwrap_or_default();
            let exchanged = format!("{at} exchanges the app's token for users' tokens");
            self.scope(TOKEN_SCOPES[0]).reasons.push(exchanged);
        }
        for (name, at) in scopes {
            let scope = self.scope(name);
            scope.impersonation = true;
            scope
                .reasons
                .push(format!("{at} lists it to act for users"));
        }
    }

    fn scope(&mut self, name: &str) -> &mut Scope {
        let at = self.scopes.iter().position(|scope| scope.name == name);
        let at = at.unwrap_or_else(|| {
            self.scopes.push(Scope::new(name, Vec::new()));
            self.scopes.len() - 1
        });
        &mut self.scopes[at]
    }

    /// Returns the declared sections as a document.
    pub(crate) fn to_value(&self) -> Value {
        let list = |entries: &[Entry]| {
            Value::Sequence(
                entries
                    .iter()
                    .map(|entry| Value::Mapping(entry.item.clone()))
                    .collect(),
            )
        };
        let mut modules = Mapping::new();
        for (module_type, entries) in &self.modules {
            modules.insert((*module_type).into(), list(entries));
        }
        if !self.endpoints.is_empty() {
            modules.insert("endpoint".into(), list(&self.endpoints));
        }
        let mut document = Mapping::new();
        if !modules.is_empty() {
            document.insert("modules".into(), Value::Mapping(modules));
        }
        let scopes = self.scopes_given(&BTreeSet::new());
        if !scopes.is_empty() {
            document.insert(
                "permissions".into(),
                mapping("scopes", scopes_value(&scopes)),
            );
        }
        if !self.remotes.is_empty() {
            document.insert("remotes".into(), list(&self.remotes));
        }
        Value::Mapping(document)
    }

    /// Returns the sections as YAML.
    #[cfg(feature = "cli")]
    #[doc(hidden)]
    pub fn to_yaml(&self) -> String {
        to_yaml(&self.to_value())
    }

    /// Returns the sections as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self.to_value()).unwrap_or_default()
    }
}

/// Returns the value of `permissions.scopes`: a list, or a mapping if a scope has an option.
pub(super) fn scopes_value(scopes: &[Scope]) -> Value {
    let names = scopes.iter().map(|scope| Value::from(scope.name.as_str()));
    if scopes.iter().any(|scope| scope.impersonation) {
        let options = scopes
            .iter()
            .map(|scope| scope_options(scope.impersonation));
        Value::Mapping(names.zip(options).collect())
    } else {
        Value::Sequence(names.collect())
    }
}
