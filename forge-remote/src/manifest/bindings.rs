//! Which hand-written modules of pages call which handlers.

use std::fmt::Write as _;

use serde_yaml::Value;

use super::compare::Place;
use super::file::ManifestFile;
use super::merge::key;
use super::model::Sections;
use crate::forge_data::DATA;
use crate::kinds::{PAGE_PLACES, endpoint_at};

/// One line for each module that can name an endpoint, and one for each handler that waits for a
/// page and is named by none.
pub(crate) fn bindings(file: &ManifestFile, wanted: &Sections) -> String {
    let mut lines = String::new();
    let mut named = Vec::new();
    let modules = file.value().get("modules").and_then(Value::as_mapping);
    for (module_type, items) in modules.into_iter().flatten() {
        let module_type = module_type.as_str().unwrap_or_default();
        for item in items.as_sequence().into_iter().flatten() {
            let endpoints = PAGE_PLACES
                .iter()
                .filter_map(|path| endpoint_at(item, path));
            let endpoints: Vec<&str> = endpoints.collect();
            // An action's or a post function's own endpoint is no page's.
            let is_page = DATA.pages.contains(module_type) && item.get("endpoint").is_none();
            if endpoints.is_empty() && !is_page {
                continue;
            }
            let name = key(item).unwrap_or_default();
            let at = file.position(&Place::of(&["modules", module_type]).item(name));
            let at = format!("{}:{}:{}", file.path().display(), at.line, at.column);
            let _ = write!(lines, "  {module_type} `{name}` ({at}) calls ");
            let _ = match endpoints.as_slice() {
                [] => writeln!(lines, "no handler"),
                some => writeln!(lines, "{}", handlers(some, wanted)),
            };
            named.extend(endpoints);
        }
    }
    for endpoint in wanted
        .pages
        .iter()
        .filter(|key| !named.contains(&key.as_str()))
    {
        let _ = writeln!(
            lines,
            "  {} is called by no module of a page (`requestRemote` needs none)",
            handlers(&[endpoint], wanted)
        );
    }
    if lines.is_empty() {
        return lines;
    }
    format!("pages:\n{lines}")
}

fn handlers(endpoints: &[&str], wanted: &Sections) -> String {
    let one = |endpoint: &&str| {
        let entry = wanted
            .endpoints
            .iter()
            .find(|entry| entry.key() == *endpoint);
        match entry {
            Some(entry) => format!("`{endpoint}` ({})", entry.origins.join(", ")),
            None => format!("`{endpoint}`, which isn't a handler of this binary"),
        }
    };
    endpoints.iter().map(one).collect::<Vec<_>>().join(" and ")
}
