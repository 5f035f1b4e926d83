//! The manifest, and its differences from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use forge_remote_schema::options::ValueShape;
use forge_remote_schema::{AllowedCaller, Place};
use serde_yaml::Value;

use crate::sources::{Handler, Sources};

/// The end of a problem that an update may leave.
pub(crate) const NO_HANDLER: &str = "has no handler in src";

#[derive(Debug)]
pub(crate) struct Manifest(Value);

impl Manifest {
    /// Reads a file; `None` if it does not exist. An error is the reason why it cannot be compared.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| error.to_string())?,
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        if !value.is_mapping() && !value.is_null() {
            return Err("it is not a mapping".to_owned());
        }
        let mut manifest = Self(value);
        manifest.fill_keys();
        Ok(Some(manifest))
    }

    /// Replaces the variables in the keys of modules, and of their remotes, by their declared defaults.
    fn fill_keys(&mut self) {
        let declared = self
            .0
            .get("environment")
            .and_then(|one| one.get("variables"));
        // As for Forge, the first declaration of a name counts.
        let mut defaults: BTreeMap<String, Option<String>> = BTreeMap::new();
        for one in declared.and_then(Value::as_sequence).into_iter().flatten() {
            if let Some(name) = one.as_str().or_else(|| text(one, "key")) {
                let default = one.get("default").and_then(scalar_text);
                defaults.entry(name.to_owned()).or_insert(default);
            }
        }
        let modules = self.0.get_mut("modules").and_then(Value::as_mapping_mut);
        let lists = modules.into_iter().flat_map(|modules| modules.values_mut());
        for item in lists.filter_map(Value::as_sequence_mut).flatten() {
            for name in ["key", "remote"] {
                if let Some(Value::String(key)) = item.get_mut(name) {
                    *key = with_defaults(key, &defaults);
                }
            }
        }
    }

    fn modules(&self, module_type: &str) -> &[Value] {
        self.0
            .get("modules")
            .and_then(|modules| modules.get(module_type)?.as_sequence())
            .map_or(&[], Vec::as_slice)
    }

    fn module(&self, module_type: &str, key: &str) -> Option<&Value> {
        self.modules(module_type)
            .iter()
            .find(|item| text(item, "key") == Some(key))
    }

    /// Returns one line for each difference from the sources.
    pub(crate) fn problems(&self, sources: &Sources) -> Vec<String> {
        let mut problems = Vec::new();
        let mut missing = BTreeSet::new();
        for handler in sources.handlers.iter().filter(|one| !one.conditional) {
            self.check_module(handler, &mut problems);
            if !handler.has_endpoint() {
                continue;
            }
            let endpoint = handler.names.endpoint.as_str();
            match self.module("endpoint", endpoint) {
                Some(found) => check_route(handler, found, sources, &mut problems),
                None if missing.insert(endpoint) => {
                    let place = &handler.place;
                    problems.push(format!("modules.endpoint lacks `{endpoint}` of {place}"));
                }
                None => {}
            }
        }
        for (endpoint, adds) in &sources.built_in {
            if self.module("endpoint", endpoint).is_none() {
                problems.push(format!("modules.endpoint lacks `{endpoint}` of {adds}"));
            }
        }
        if !sources.more {
            self.check_gone(sources, &mut problems);
        }
        problems
    }

    fn check_module(&self, handler: &Handler, problems: &mut Vec<String>) {
        let (kind, module_type) = (handler.kind, handler.kind.module_type);
        if !handler.has_module() {
            return;
        }
        let (key, place) = (&handler.names.key, &handler.place);
        let Some(found) = self.module(module_type, key) else {
            problems.push(format!("modules.{module_type} lacks `{key}` of {place}"));
            return;
        };
        let mut check = |path: &[&str], code: &str| {
            let value = path.iter().try_fold(found, |value, name| value.get(name));
            // A translated text is preserved.
            let is_translated = value.is_some_and(|value| value.get("i18n").is_some());
            let agrees = value
                .and_then(Value::as_str)
                .is_some_and(|text| may_be(text, code));
            if !agrees && !is_translated {
                let path = path.join(".");
                problems.push(format!(
                    "modules.{module_type}[{key}].{path} is not `{code}`, which {place} declares"
                ));
            }
        };
        for option in kind.options {
            let is_text = matches!(
                option.shape,
                ValueShape::Text { .. } | ValueShape::Choice(_) | ValueShape::Variant(_)
            );
            if let Some(code) = handler.option(option.name)
                && is_text
                && !option.place.is_empty()
            {
                check(option.place, code);
            }
        }
        if let Some(path) = place_of_endpoint(handler) {
            check(path, &handler.names.endpoint);
        }
    }

    /// Reports endpoints of the app's remotes that no handler has.
    fn check_gone(&self, sources: &Sources, problems: &mut Vec<String>) {
        for item in self.modules("endpoint") {
            let (Some(key), Some(remote)) = (text(item, "key"), text(item, "remote")) else {
                continue;
            };
            let ours = sources.remotes.contains(remote);
            let is_foreign = sources.foreign_endpoints.contains(key);
            let mut served = sources.handlers.iter().filter(|one| one.has_endpoint());
            let has_handler =
                served.any(|one| one.names.endpoint == key) || sources.may_be_built_in(key);
            if ours && !is_foreign && !has_handler {
                problems.push(format!("modules.endpoint[{key}] {NO_HANDLER}"));
            }
        }
    }
}

/// Returns the place where the module's item names the handler's endpoint: its only place, or the place
/// of the handler's part.
fn place_of_endpoint(handler: &Handler) -> Option<Place> {
    let part = handler.kind.part_option;
    let part = part.map(|option| handler.option(option));
    let mut places = handler.kind.endpoint_places.iter().copied();
    places.find(|place| part.is_none_or(|part| place.first().copied() == part))
}

/// Checks an endpoint's route. An endpoint with several paths has no route, and a page's needs none.
fn check_route(handler: &Handler, found: &Value, sources: &Sources, problems: &mut Vec<String>) {
    let names = &handler.names;
    let has_one_path = sources
        .handlers
        .iter()
        .all(|one| one.names.endpoint != names.endpoint || one.names.path == names.path);
    let route = found.get("route").and_then(|route| text(route, "path"));
    let is_page = handler.kind.caller == AllowedCaller::Page;
    let may_lack_it = route.is_none() && (sources.more || is_page);
    // A route may lack its leading slash.
    let is_path = |route: &str| {
        let path = names.path.as_str();
        may_be(route, path) || path.strip_prefix('/') == Some(route)
    };
    if has_one_path && !may_lack_it && !route.is_some_and(is_path) {
        problems.push(format!(
            "modules.endpoint[{}].route.path is not `{}`, which {} declares",
            names.endpoint, names.path, handler.place
        ));
    }
}

/// Returns whether a text of the manifest may be the code's: `manifest --check` compares the defaults of
/// variables.
fn may_be(text: &str, code: &str) -> bool {
    text == code || text.contains("${")
}

fn text<'v>(item: &'v Value, name: &str) -> Option<&'v str> {
    item.get(name)?.as_str()
}

/// Returns a text with each variable replaced by its default, as `manifest --check` reads it: a variable without a
/// default stays, and a default is not read again.
fn with_defaults(text: &str, defaults: &BTreeMap<String, Option<String>>) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let variable = part.split_once('}');
        let default = variable.and_then(|(name, rest)| Some((defaults.get(name)?.as_ref()?, rest)));
        if let Some((default, rest)) = default {
            filled.extend([default.as_str(), rest]);
        } else {
            filled.extend(["${", part]);
        }
    }
    filled
}

/// Returns a scalar as text.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
