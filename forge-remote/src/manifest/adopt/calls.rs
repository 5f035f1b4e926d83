//! The modules that call the endpoints of remotes, as attributes.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds;
use forge_remote_schema::{KindSpec, pages, rules};
use serde_yaml::Value;

use super::gap::Gap;
use super::literal::{Literal, Setting};
use super::options::{self, Reading};
use crate::manifest::items::{endpoint_at, key, modules, page_endpoints, text};
use crate::manifest::path::ManifestPath;

/// One attribute: a module that calls an endpoint or a remote.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) kind: &'static KindSpec,
    pub(super) path: ManifestPath,
    /// The module's key; `None` if the module is hand-written.
    pub(super) key: Option<String>,
    /// The options besides names, tokens and the remote.
    pub(super) settings: Vec<Setting>,
}

/// The hooks of a module that names a remote and the prefix of their paths.
pub(super) struct Hooks {
    pub(super) module: ManifestPath,
    pub(super) remote: String,
    pub(super) prefix: String,
    /// Each hook's name, with its attribute.
    pub(super) calls: Vec<(&'static str, Call)>,
}

/// The calls of a manifest's modules.
#[derive(Default)]
pub(super) struct Calls {
    /// The calls by the endpoint's key, in the file's order.
    pub(super) of_endpoints: BTreeMap<String, Vec<Call>>,
    pub(super) hooks: Vec<Hooks>,
    /// The endpoints that a module without an attribute names.
    pub(super) without_attribute: BTreeSet<String>,
    /// The number of attributes of each module that several functions declare.
    pub(super) parts: Vec<(ManifestPath, usize)>,
    pub(super) gaps: Vec<Gap>,
}

/// Returns the calls of all modules.
pub(super) fn read(manifest: &Value) -> Calls {
    let mut calls = Calls::default();
    for (module_type, _, item) in modules(manifest).filter(|(name, ..)| *name != "endpoint") {
        calls.read_pages_module(module_type, item);
        let kind = kinds::declared().find(|kind| kind.module_type == module_type);
        match kind {
            Some(kind) if !kind.has_endpoint() => calls.read_hooks(kind, item),
            Some(kind) => calls.read_module(kind, item),
            None => calls.read_unknown_module(module_type, item),
        }
    }
    calls
}

impl Calls {
    fn push(&mut self, endpoint: &str, call: Call) {
        let calls = self.of_endpoints.entry(endpoint.to_owned()).or_default();
        calls.push(call);
    }

    /// Reads the endpoints that a hand-written module names.
    fn read_pages_module(&mut self, module_type: &str, item: &Value) {
        for page in page_endpoints(module_type, item) {
            let call = Call {
                kind: page.kind,
                path: ManifestPath::of_module(module_type, item),
                key: None,
                settings: Vec::new(),
            };
            self.push(page.endpoint, call);
        }
    }

    /// Reads a module of a type without an attribute, which has an `endpoint`.
    fn read_unknown_module(&mut self, module_type: &str, item: &Value) {
        if text(item, "endpoint").is_some() {
            let path = ManifestPath::of_module(module_type, item);
            let reason = if pages::is_module_type(module_type) {
                "Forge does not call it there: a page names its endpoint in `resolver.endpoint`"
            } else {
                "this version has no attribute for the module; its endpoint accepts only pages' calls"
            };
            self.gaps.push(Gap::new(path.name("endpoint"), reason));
        }
    }

    /// Reads a module that the code declares: one attribute for each endpoint that it names.
    fn read_module(&mut self, kind: &'static KindSpec, item: &Value) {
        let places = kind.endpoint_places.iter().copied();
        let named: Vec<_> = places
            .filter_map(|place| Some((place, endpoint_at(item, place)?)))
            .collect();
        if named.is_empty() {
            // A function serves it.
            return;
        }
        let Some((key, mut settings)) = self.read_item(kind, item) else {
            let endpoints = named.iter().map(|(_, endpoint)| (*endpoint).to_owned());
            self.without_attribute.extend(endpoints);
            return;
        };
        if kind.part_option.is_some() {
            let path = ManifestPath::of_module(kind.module_type, item);
            self.parts.push((path, named.len()));
        }
        for (place, endpoint) in named {
            let part = kind.part_option.zip(place.first());
            let part = part.map(|(option, part)| Setting::text(option, part));
            // The options of the module are written once.
            let options = std::mem::take(&mut settings);
            let call = Call {
                kind,
                path: ManifestPath::of_module(kind.module_type, item),
                key: Some(key.clone()),
                settings: part.into_iter().chain(options).collect(),
            };
            self.push(endpoint, call);
        }
    }

    fn read_hooks(&mut self, kind: &'static KindSpec, item: &Value) {
        let Some(remote) = text(item, "remote") else {
            return;
        };
        let path = || ManifestPath::of_module(kind.module_type, item);
        let Some(prefix) = text(item, "path") else {
            let reason = "`path` is missing, and the attribute writes one";
            self.gaps.push(Gap::new(path(), reason));
            return;
        };
        if let Err(mistake) = rules::check_hook_path(prefix) {
            self.gaps
                .push(Gap::new(path().name("path"), mistake.message));
            return;
        }
        let Some((key, mut settings)) = self.read_item(kind, item) else {
            return;
        };
        let calls = kind.path_option.into_iter().flat_map(|option| {
            let hooks = kind.shared_parts.iter();
            hooks.map(move |hook| (*hook, Setting::text(option, hook)))
        });
        let calls = calls.map(|(hook, setting)| {
            let options = std::mem::take(&mut settings);
            let call = Call {
                kind,
                path: path(),
                key: Some(key.clone()),
                settings: std::iter::once(setting).chain(options).collect(),
            };
            (hook, call)
        });
        let hooks = Hooks {
            module: path(),
            remote: remote.to_owned(),
            prefix: prefix.to_owned(),
            calls: calls.collect(),
        };
        self.hooks.push(hooks);
    }

    /// Returns a module's key and options; `None` if its attribute would not compile.
    fn read_item(&mut self, kind: &KindSpec, item: &Value) -> Option<(String, Vec<Setting>)> {
        let path = ManifestPath::of_module(kind.module_type, item);
        let reading = options::read(kind.option_set(), item.clone());
        let gaps_before = self.gaps.len();
        for error in &reading.errors {
            let place = error.place.iter();
            let path = place.fold(path.clone(), |path, name| path.name(name));
            let reason = format!("{}: the module has no attribute", error.text);
            self.gaps.push(Gap::new(path, reason));
        }
        let Some(key) = key(item) else {
            self.gaps.push(Gap::new(path, "the module has no key"));
            return None;
        };
        if let Err(mistake) = rules::check_key("key", key, rules::MAX_MODULE_KEY, "") {
            self.gaps.push(Gap::new(path.clone(), mistake.message));
        }
        // A launch needs every part of a module that several functions declare.
        let parts = kind
            .shared_parts
            .iter()
            .filter(|_| kind.path_option.is_none());
        for part in parts.filter(|part| item.get(**part).is_none()) {
            let reason = format!("`{part}` is missing: the module has no attributes");
            self.gaps.push(Gap::new(path.clone(), reason));
        }
        if self.gaps.len() > gaps_before {
            return None;
        }
        let settings = reading.settings.clone();
        self.add_rest(kind, &path, reading);
        Some((key.to_owned(), settings))
    }

    /// Adds the properties that the code decides and that no option has.
    fn add_rest(&mut self, kind: &KindSpec, path: &ManifestPath, mut reading: Reading) {
        let own = [&["key"][..], &["remote"], &["path"]];
        let own = own.iter().take(if kind.has_endpoint() { 1 } else { 3 });
        let places = kind.endpoint_places.iter();
        let places = places
            .chain(kind.derived_places)
            .chain(kind.preserved_places);
        let known: Vec<&[&str]> = own.chain(places).copied().collect();
        for place in known {
            reading.remove(place);
        }
        let set = kind.option_set();
        let nested = set.nested.map_or(&[][..], |(_, nested)| nested.options);
        let options = set.options.iter().chain(nested).map(|option| option.place);
        let places = options.chain(kind.endpoint_places.iter().copied());
        let decided: Vec<&str> = places.filter_map(|place| place.first().copied()).collect();
        let rest = reading.rest.as_mapping().into_iter().flatten();
        for (name, value) in rest {
            let name = name.as_str().unwrap_or_default();
            if !kind.owns_item && !decided.contains(&name) {
                // An update preserves it.
                continue;
            }
            let place = deepest(name, value);
            let reason = reading
                .reasons
                .iter()
                .find(|one| place.starts_with(&one.place));
            let reason = reason.map_or("no option has it", |one| one.text.as_str());
            let path = place
                .iter()
                .fold(path.clone(), |path, name| path.name(name));
            self.gaps.push(Gap::new(path, reason));
        }
    }
}

/// Returns the place of a property's only part.
fn deepest(name: &str, value: &Value) -> Vec<String> {
    let mut place = vec![name.to_owned()];
    let mut value = value;
    while let Some(mapping) = value.as_mapping().filter(|mapping| mapping.len() == 1)
        && let Some((Value::String(name), inner)) = mapping.iter().next()
    {
        place.push(name.clone());
        value = inner;
    }
    place
}

/// Returns `auth = …` for these tokens.
pub(super) fn auth(system: bool, user: bool) -> Option<Setting> {
    let word = |word: &str| Literal::Word(word.to_owned());
    let value = match (system, user) {
        (false, false) => return None,
        (true, false) => word("system"),
        (false, true) => word("user"),
        (true, true) => Literal::List(vec![word("system"), word("user")]),
    };
    Some(Setting::new("auth", value))
}
