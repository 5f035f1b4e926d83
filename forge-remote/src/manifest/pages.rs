//! Which pages reach which handlers, and whether that is meant.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::compare::Place;
use super::lint::{Findings, modules, of_module};
use super::merge::key;
use super::model::Sections;
use crate::forge_data::DATA;
use crate::kinds::{RESOLVER, endpoint_at};

/// The modules of pages that the product shows to administrators alone: of a site, a project, a
/// space, a repository or a workspace.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/>
const ADMIN_PAGES: [&str; 8] = [
    "bitbucket:projectSettingsMenuPage",
    "bitbucket:repoSettingsMenuPage",
    "bitbucket:workspaceSettingsMenuPage",
    "compass:adminPage",
    "confluence:globalSettings",
    "confluence:spaceSettings",
    "jira:adminPage",
    "jira:projectSettingsPage",
];

/// Checks the pages that the code names, and those that it should name.
pub(super) fn lint(manifest: &Value, wanted: &Sections, found: &mut Findings<'_>) {
    let pages: BTreeMap<&str, &str> = modules(manifest)
        .filter(|(module_type, _)| DATA.pages.contains(*module_type))
        .filter_map(|(module_type, item)| Some((key(item)?, module_type)))
        .collect();
    for (endpoint, allowed) in &wanted.allowed_pages {
        for page in allowed
            .iter()
            .filter(|page| !pages.contains_key(page.as_str()))
        {
            let place = Place::of(&["modules", "endpoint"]).item(endpoint);
            let message =
                format!("`{page}`, a page that may call `{endpoint}`, is no page's module");
            let known: Vec<&str> = pages.keys().copied().collect();
            let help = format!("the manifest's pages are: {}", known.join(", "));
            found.warning("unknown-page", &place, message, help);
        }
    }
    let is_admins = |module_type: &str| ADMIN_PAGES.contains(&module_type);
    let others: BTreeSet<&str> = pages
        .iter()
        .filter(|(_, module_type)| !is_admins(module_type))
        .map(|(page, _)| *page)
        .collect();
    let Some(other) = others.first() else {
        return;
    };
    for (module_type, item) in modules(manifest).filter(|(module_type, _)| is_admins(module_type)) {
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
