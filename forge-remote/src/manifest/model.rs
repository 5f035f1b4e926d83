//! What the code wants in the manifest, as values: no text, no file.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::events::{self, ScopeSet};
use serde_yaml::{Mapping, Value};

use crate::fit::Caller;
use crate::registry::{Auth, Handler, Module, Owned, Registry};

/// A remote: a backend of yours that Forge calls, as `remotes` in the manifest names it.
///
/// ```
/// use forge_remote::Remote;
///
/// let remote = Remote::new("backend").base_url("https://backend.example.com");
/// assert_eq!(remote.key(), "backend");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    key: String,
    base_url: Option<String>,
}

impl Remote {
    /// A remote with this key: at most 23 of `a-z A-Z 0-9 _ -`.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            base_url: None,
        }
    }

    /// Where Forge reaches it: scheme and host, without a path and without a trailing slash.
    ///
    /// Left out, `baseUrl` stays whatever stands in the manifest, a `${VARIABLE}` for example.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where Forge reaches it, when the code says so.
    pub fn url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    /// What is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let key = &self.key;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if key.is_empty() || key.len() > 23 || !key.chars().all(allowed) {
            return Some(format!(
                "`{key}` can't be a remote's key: 1 to 23 letters, digits, `_` and `-`"
            ));
        }
        let url = self.base_url.as_deref()?;
        let host = url.strip_prefix("https://").unwrap_or_default();
        if url.contains("${") {
            // A manifest variable: only `forge deploy` knows its value.
            return None;
        }
        if host.is_empty() || host.contains(['/', '?', '#', ' ', '@']) {
            return Some(format!(
                "`{url}` can't be the base URL of `{key}`: write `https://` and a host, with neither \
                 path nor trailing slash"
            ));
        }
        None
    }
}

/// An item the code wants, and the handlers that want it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The item; `key` comes first.
    pub item: Mapping,
    /// The properties that the code decides.
    pub owned: Owned,
    /// `file:line:column` of the handlers; empty for what the app itself declares.
    pub origins: Vec<String>,
}

impl Entry {
    /// The item's key.
    pub fn key(&self) -> &str {
        self.item
            .get("key")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// A scope the code needs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// One line a reason.
    pub reasons: Vec<String>,
    /// Whether the app acts with it for users who aren't in session: `allowImpersonation: true`.
    pub impersonation: bool,
}

impl Scope {
    /// A scope for calls as the app, or as the user in session.
    pub fn new(name: impl Into<String>, reasons: Vec<String>) -> Self {
        Self {
            name: name.into(),
            reasons,
            impersonation: false,
        }
    }
}

/// Sets of scopes of which one is enough, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternatives {
    /// The sets: Atlassian's current one first, the granular one last.
    pub sets: &'static [&'static [&'static str]],
    /// One line.
    pub reason: String,
}

/// Where an item is, by its list and key.
type Places = BTreeMap<(&'static str, String), usize>;

/// Everything the code wants in the manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sections {
    /// Modules by type, `endpoint` not among them.
    pub modules: BTreeMap<&'static str, Vec<Entry>>,
    /// `modules.endpoint`.
    pub endpoints: Vec<Entry>,
    /// `remotes`.
    pub remotes: Vec<Entry>,
    /// `permissions.scopes`, those aside of which there is more than one set.
    pub scopes: Vec<Scope>,
    /// The scopes of modules that are content with any of several sets.
    pub alternatives: Vec<Alternatives>,
    /// The events that handlers are called for, and the handlers.
    pub events: BTreeMap<&'static str, Vec<String>>,
    /// The events that the code calls unknown.
    pub unknown_events: BTreeSet<&'static str>,
    /// The endpoints of handlers without a module of their own: hand-written modules name them.
    pub pages: BTreeSet<String>,
    /// Those of them that take the calls of pages themselves (`resolver.endpoint`).
    pub resolvers: BTreeSet<String>,
    /// The pages that may call these endpoints; the others take the calls of any page.
    pub allowed_pages: BTreeMap<String, BTreeSet<String>>,
    /// Whether the sets of scopes are to be the granular ones.
    pub granular: bool,
}

impl Sections {
    /// What these handlers, calling these remotes, want. The first remote is the default.
    pub fn new(registry: &Registry, remotes: &[Remote]) -> Self {
        let default = remotes.first().map_or("", Remote::key);
        let mut sections = Self::default();
        let mut places = Places::new();
        for handler in registry.handlers() {
            let record = handler.registration();
            for mut module in record.kind.modules(handler) {
                if !record.kind.has_endpoint() {
                    let remote = record.remote.unwrap_or(default);
                    module.item.insert("remote".into(), remote.into());
                }
                sections.add_module(module, origin(handler), &mut places);
            }
            if record.kind.module_suffix().is_none() {
                sections.pages.insert(handler.endpoint().to_owned());
            }
            if record.kind.caller() == Caller::Page {
                sections.resolvers.insert(handler.endpoint().to_owned());
                sections.allow_pages(handler);
            }
            if record.kind.has_endpoint() {
                sections.add_endpoint(handler, default, &mut places);
            }
            sections.unknown_events.extend(record.kind.unknown_events());
            for event in record.kind.events() {
                let at = format!(
                    "`{}` ({}) is called for `{event}`",
                    record.function, record.location
                );
                sections.events.entry(event).or_default().push(at);
            }
        }
        sections.endpoints.sort_by(|a, b| a.key().cmp(b.key()));
        for remote in remotes {
            let mut item = Mapping::new();
            item.insert("key".into(), remote.key().into());
            if let Some(url) = remote.url() {
                item.insert("baseUrl".into(), url.into());
            }
            sections.remotes.push(Entry {
                item,
                owned: Owned::Present,
                origins: Vec::new(),
            });
        }
        sections.scopes = scopes(registry);
        sections.alternatives = alternatives(registry);
        sections
    }

    /// Notes the pages that may call a handler; those of one endpoint together.
    fn allow_pages(&mut self, handler: &Handler) {
        let pages = handler.registration().kind.pages();
        let pages = pages.iter().map(|&page| page.to_owned());
        let endpoint = handler.endpoint().to_owned();
        self.allowed_pages
            .entry(endpoint)
            .or_default()
            .extend(pages);
    }

    /// Adds a module, or a function's part of one that several make.
    fn add_module(&mut self, module: Module, origin: String, places: &mut Places) {
        let entries = self.modules.entry(module.module_type).or_default();
        let key = module.item.get("key").and_then(Value::as_str);
        let place = (module.module_type, key.unwrap_or_default().to_owned());
        let at = *places.entry(place).or_insert(entries.len());
        if let Some(shared) = entries.get_mut(at) {
            for (name, value) in module.item {
                shared.item.entry(name).or_insert(value);
            }
            shared.origins.push(origin);
        } else {
            entries.push(Entry {
                item: module.item,
                owned: module.owned,
                origins: vec![origin],
            });
        }
    }

    /// The scopes the code needs, of a manifest that has these: an event or a module is content
    /// with any of its sets, and where it has none it wants Atlassian's current one, or the
    /// granular.
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
        for Alternatives { sets, reason } in &self.alternatives {
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

    /// The one of these sets that the manifest has, or else is to have.
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

    /// Adds scopes that the app lists beside its handlers'.
    pub(crate) fn add_scopes(&mut self, scopes: &BTreeMap<String, String>) {
        for (name, at) in scopes {
            let reason = format!("{at} lists it");
            self.scope(name).reasons.push(reason);
        }
    }

    /// Adds that the app acts for users with these scopes.
    pub(crate) fn impersonate(&mut self, scopes: &BTreeMap<String, String>) {
        if scopes.is_empty() {
            return;
        }
        let at = scopes.values().next().cloned().unwrap_or_default();
        let exchanged = format!("{at} has its token exchanged for users'");
        self.scope("read:app-system-token").reasons.push(exchanged);
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

    fn add_endpoint(&mut self, handler: &Handler, default_remote: &str, places: &mut Places) {
        let place = ("endpoint", handler.endpoint().to_owned());
        let at = *places.entry(place).or_insert(self.endpoints.len());
        if let Some(shared) = self.endpoints.get_mut(at) {
            shared.origins.push(origin(handler));
            // Several paths of one page: the page's call names the path, so there is no route.
            if shared.item.get("route") != Some(&mapping("path", handler.path().into())) {
                shared.item.shift_remove("route");
            }
            return;
        }
        let record = handler.registration();
        let mut item = Mapping::new();
        item.insert("key".into(), handler.endpoint().into());
        item.insert(
            "remote".into(),
            record.remote.unwrap_or(default_remote).into(),
        );
        item.insert("route".into(), mapping("path", handler.path().into()));
        if record.auth.any() {
            item.insert("auth".into(), auth(record.auth));
        }
        self.endpoints.push(Entry {
            item,
            owned: Owned::All,
            origins: vec![origin(handler)],
        });
    }

    /// The sections alone, as a document.
    pub fn to_value(&self) -> Value {
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
            document.insert("permissions".into(), mapping("scopes", listed(&scopes)));
        }
        if !self.remotes.is_empty() {
            document.insert("remotes".into(), list(&self.remotes));
        }
        Value::Mapping(document)
    }
}

/// `permissions.scopes`: a list, or a mapping where one of them needs it.
pub(super) fn listed(scopes: &[Scope]) -> Value {
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

/// What stands at a scope's name in a mapping of them.
pub(super) fn scope_options(impersonation: bool) -> Value {
    let mut options = Mapping::new();
    if impersonation {
        options.insert(ALLOW_IMPERSONATION.into(), true.into());
    }
    Value::Mapping(options)
}

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/permissions/>
pub(super) const ALLOW_IMPERSONATION: &str = "allowImpersonation";

fn origin(handler: &Handler) -> String {
    handler.registration().location.to_string()
}

fn mapping(key: &str, value: Value) -> Value {
    let mut mapping = Mapping::new();
    mapping.insert(key.into(), value);
    Value::Mapping(mapping)
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

/// Forge's own two first, the rest by name; each once, with every reason.
fn scopes(registry: &Registry) -> Vec<Scope> {
    let mut system = Vec::new();
    let mut user = Vec::new();
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for handler in registry.handlers() {
        let record = handler.registration();
        let at = format!("`{}` ({})", record.function, record.location);
        if record.auth.system {
            system.push(format!("{at} asks for the system token"));
        }
        if record.auth.user {
            user.push(format!("{at} asks for the user token"));
        }
        for scope in record.scopes {
            others
                .entry(scope)
                .or_default()
                .push(format!("{at} lists it"));
        }
        // Several sets of which one is enough depend on what the manifest has.
        if let [only] = record.kind.scopes() {
            for scope in *only {
                others.entry(scope).or_default().push(needed_by(handler));
            }
        }
    }
    let mut scopes = Vec::new();
    for (name, reasons) in [
        ("read:app-system-token", system),
        ("read:app-user-token", user),
    ] {
        let mut reasons = reasons;
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

/// The scopes of which there are several sets.
fn alternatives(registry: &Registry) -> Vec<Alternatives> {
    let several = |handler: &Handler| {
        let sets = handler.registration().kind.scopes();
        let reason = needed_by(handler);
        (sets.len() > 1).then_some(Alternatives { sets, reason })
    };
    registry.handlers().iter().filter_map(several).collect()
}

fn needed_by(handler: &Handler) -> String {
    let record = handler.registration();
    let (function, location) = (record.function, record.location);
    format!(
        "`{function}` ({location}) is a {}, which needs it",
        record.kind.name()
    )
}
