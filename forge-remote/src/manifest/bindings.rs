//! The handlers that hand-written page modules call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use forge_remote_schema::pages;
use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::file::ManifestFile;
use super::items::{key, page_endpoints};
use super::path::ManifestPath;

/// Returns one line for each module that can name an endpoint, and one for each handler for pages
/// that no module names.
pub(crate) fn bindings(file: &ManifestFile, wanted: &DesiredManifest) -> String {
    let file = file.with_defaults();
    let mut lines = String::new();
    let mut named = BTreeSet::new();
    let entries: BTreeMap<&str, &Entry> = wanted
        .endpoints
        .iter()
        .map(|entry| (entry.key(), entry))
        .collect();
    let modules = file.value().get("modules").and_then(Value::as_mapping);
    for (module_type, items) in modules.into_iter().flatten() {
        let module_type = module_type.as_str().unwrap_or_default();
        for item in items.as_sequence().into_iter().flatten() {
            let endpoints = page_endpoints(module_type, item);
            let endpoints: Vec<&str> = endpoints.iter().map(|one| one.endpoint).collect();
            // The `endpoint` of an action or a post function is not called by a page.
            let is_page = pages::is_module_type(module_type) && item.get("endpoint").is_none();
            // A remote cannot serve the calls that a function serves.
            let has_function = item.get("function").is_some()
                || item
                    .get("resolver")
                    .is_some_and(|one| one.get("function").is_some());
            if endpoints.is_empty() && (!is_page || has_function) {
                continue;
            }
            let name = key(item).unwrap_or_default();
            let at = file.position(&ManifestPath::of(&["modules", module_type]).item(name));
            let at = format!("{}:{}:{}", file.path().display(), at.line, at.column);
            let _ = write!(lines, "  {module_type} `{name}` ({at}) calls ");
            let _ = match endpoints.as_slice() {
                [] => writeln!(lines, "no handler"),
                some => writeln!(lines, "{}", handlers(some, &entries)),
            };
            named.extend(endpoints);
        }
    }
    for endpoint in wanted
        .pages
        .iter()
        .filter(|key| !named.contains(key.as_str()))
    {
        let _ = writeln!(
            lines,
            "  {} is not named by a page's module (`requestRemote` does not need that)",
            handlers(&[endpoint], &entries)
        );
    }
    if lines.is_empty() {
        return lines;
    }
    format!("pages:\n{lines}")
}

fn handlers(endpoints: &[&str], entries: &BTreeMap<&str, &Entry>) -> String {
    let one = |endpoint: &&str| match entries.get(endpoint) {
        Some(entry) => format!("`{endpoint}` ({})", locations(entry)),
        None => format!("`{endpoint}`, which isn't a handler of this binary"),
    };
    endpoints.iter().map(one).collect::<Vec<_>>().join(" and ")
}

fn locations(entry: &Entry) -> String {
    let origins: Vec<String> = entry.origins.iter().map(ToString::to_string).collect();
    origins.join(", ")
}
