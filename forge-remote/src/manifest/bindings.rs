//! Which hand-written modules of pages call which handlers, and whether that is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use forge_remote_schema::kinds::{RESOLVER, page_places};
use forge_remote_schema::pages;
use serde_yaml::Value;

use super::compare::Place;
use super::file::ManifestFile;
use super::lint::{Findings, modules, of_module};
use super::merge::key;
use super::model::Sections;
use crate::kinds::endpoint_at;

/// One line for each module that can name an endpoint, and one for each handler that waits for a
/// page and is named by none.
pub(crate) fn bindings(file: &ManifestFile, wanted: &Sections) -> String {
    let mut lines = String::new();
    let mut named = Vec::new();
    let modules = file.value().get("modules").and_then(Value::as_mapping);
    for (module_type, items) in modules.into_iter().flatten() {
        let module_type = module_type.as_str().unwrap_or_default();
        for item in items.as_sequence().into_iter().flatten() {
            let endpoints = page_places().filter_map(|path| endpoint_at(item, path));
            let endpoints: Vec<&str> = endpoints.collect();
            // An action's or a post function's own endpoint is no page's.
            let is_page = pages::is_module_type(module_type) && item.get("endpoint").is_none();
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

/// Checks the pages that the code names, and those that it should name.
pub(super) fn lint(manifest: &Value, wanted: &Sections, found: &mut Findings<'_>) {
    let all_pages: BTreeMap<&str, &str> = modules(manifest)
        .filter(|(module_type, _)| pages::is_module_type(module_type))
        .filter_map(|(module_type, item)| Some((key(item)?, module_type)))
        .collect();
    for (endpoint, allowed) in &wanted.allowed_pages {
        for page in allowed
            .iter()
            .filter(|page| !all_pages.contains_key(page.as_str()))
        {
            let place = Place::of(&["modules", "endpoint"]).item(endpoint);
            let message =
                format!("`{page}`, a page that may call `{endpoint}`, is no page's module");
            let known: Vec<&str> = all_pages.keys().copied().collect();
            let help = format!("the manifest's pages are: {}", known.join(", "));
            found.warning("unknown-page", &place, message, help);
        }
    }
    let others: BTreeSet<&str> = all_pages
        .iter()
        .filter(|(_, module_type)| !pages::is_for_administrators(module_type))
        .map(|(page, _)| *page)
        .collect();
    let Some(other) = others.first() else {
        return;
    };
    for (module_type, item) in
        modules(manifest).filter(|(module_type, _)| pages::is_for_administrators(module_type))
    {
        let Some(endpoint) = endpoint_at(item, RESOLVER) else {
            continue;
        };
        let is_open = wanted
            .allowed_pages
            .get(endpoint)
            .is_some_and(BTreeSet::is_empty);
        if is_open {
            let place = RESOLVER
                .iter()
                .fold(of_module(module_type, item), |place, name| place.name(name));
            let page = key(item).unwrap_or_default();
            let message =
                format!("`{other}`, which is not for administrators, can call `{endpoint}` too");
            let help = format!("restrict the handler: `#[endpoint(pages = [\"{page}\"])]`");
            found.warning("open-admin-page", &place, message, help);
        }
    }
}
