//! The manifest, and what in it is stale.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_yaml::Value;

use crate::sources::{Handler, Sources};

#[derive(Debug)]
pub(crate) struct Manifest(Value);

impl Manifest {
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let value: Value = serde_yaml::from_str(text).ok()?;
        (value.is_mapping() || value.is_null()).then_some(Self(value))
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

    /// One line for each thing that isn't as the sources say.
    pub(crate) fn problems(&self, sources: &Sources) -> Vec<String> {
        let mut problems = Vec::new();
        let mut missing = BTreeSet::new();
        for handler in sources.handlers.iter().filter(|one| !one.conditional) {
            self.check_module(handler, &mut problems);
            if handler.kind.below.is_some() {
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
        if !sources.more {
            self.check_gone(sources, &mut problems);
        }
        problems
    }

    fn check_module(&self, handler: &Handler, problems: &mut Vec<String>) {
        let Some((module_type, _)) = handler.kind.module else {
            return;
        };
        let (key, place) = (&handler.names.key, &handler.place);
        let Some(found) = self.module(module_type, key) else {
            problems.push(format!("modules.{module_type} lacks `{key}` of {place}"));
            return;
        };
        let written = handler.kind.properties.iter().filter_map(|(option, name)| {
            let code = handler.option(option)?;
            Some((*name, code))
        });
        let endpoint = ("endpoint", handler.names.endpoint.as_str());
        if let Some(part) = handler.kind.part.and_then(|option| handler.option(option)) {
            let (name, code) = endpoint;
            if found.get(part).and_then(|part| text(part, name)) != Some(code) {
                problems.push(format!(
                    "modules.{module_type}[{key}].{part}.{name} is not `{code}`, as {place} says"
                ));
            }
        }
        let endpoint = handler.kind.names_endpoint.then_some(endpoint);
        for (name, code) in written.chain(endpoint) {
            if text(found, name) != Some(code) {
                problems.push(format!(
                    "modules.{module_type}[{key}].{name} is not `{code}`, as {place} says"
                ));
            }
        }
    }

    /// An endpoint of our remote that no handler has.
    fn check_gone(&self, sources: &Sources, problems: &mut Vec<String>) {
        for item in self.modules("endpoint") {
            let (Some(key), Some(remote)) = (text(item, "key"), text(item, "remote")) else {
                continue;
            };
            let ours = sources.remotes.contains(remote);
            if ours && sources.handlers.iter().all(|one| one.names.endpoint != key) {
                problems.push(format!("modules.endpoint[{key}] has no handler in src"));
            }
        }
    }
}

/// An endpoint of several paths has no route.
fn check_route(handler: &Handler, found: &Value, sources: &Sources, problems: &mut Vec<String>) {
    let names = &handler.names;
    let alone = sources
        .handlers
        .iter()
        .all(|one| one.names.endpoint != names.endpoint || one.names.path == names.path);
    let route = found.get("route").and_then(|route| text(route, "path"));
    let unsure = route.is_none() && sources.more;
    if alone && !unsure && route != Some(names.path.as_str()) {
        problems.push(format!(
            "modules.endpoint[{}].route.path is not `{}`, as {} says",
            names.endpoint, names.path, handler.place
        ));
    }
}

fn text<'v>(item: &'v Value, name: &str) -> Option<&'v str> {
    item.get(name)?.as_str()
}
