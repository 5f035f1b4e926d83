//! Pages, and the handlers they may call.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds::RESOLVER;
use forge_remote_schema::pages::{is_for_administrators, is_module_type};
use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::items::{PageEndpoint, key, modules, page_endpoints};
use crate::manifest::path::ManifestPath;

pub(super) const TOPIC: Topic = Topic {
    rules: &[&UNKNOWN_PAGE, &OPEN_ADMIN_PAGE],
    check: |findings| {
        let pages = pages(findings.manifest());
        unknown(&pages, findings);
        open_admin_pages(&pages, findings);
    },
};

/// Returns the type of each page's module, by the module's key.
fn pages(manifest: &Value) -> BTreeMap<&str, &str> {
    modules(manifest)
        .filter(|(module_type, ..)| is_module_type(module_type))
        .filter_map(|(module_type, _, item)| Some((key(item)?, module_type)))
        .collect()
}

const UNKNOWN_PAGE: Rule = Rule::lint(
    "unknown-page",
    "`#[endpoint(pages = […])]` names a page that the manifest does not have. Correct the key, or add the module.",
);

fn unknown(pages: &BTreeMap<&str, &str>, findings: &mut Findings<'_>) {
    for (endpoint, allowed) in &findings.wanted.allowed_pages {
        for page in allowed {
            if pages.contains_key(page.as_str()) {
                continue;
            }
            let path = ManifestPath::of(&["modules", "endpoint"]).item(endpoint);
            let message =
                format!("`{page}`, a page that may call `{endpoint}`, is not a page's module");
            let known: Vec<&str> = pages.keys().copied().collect();
            let help = format!("the manifest's pages are: {}", known.join(", "));
            findings.warning(&UNKNOWN_PAGE, &path, message, help);
        }
    }
}

const OPEN_ADMIN_PAGE: Rule = Rule::lint(
    "open-admin-page",
    "A page that only administrators see names a handler, and other pages of the app can call it too: a page's call \
    can name any path, regardless of `resolver`. List the pages that may call it: `#[endpoint(pages = \
    [\"admin-page\"])]`.",
);

fn open_admin_pages(pages: &BTreeMap<&str, &str>, findings: &mut Findings<'_>) {
    let mut others = pages
        .iter()
        .filter(|(_, module_type)| !is_for_administrators(module_type));
    let Some((other, _)) = others.next() else {
        return;
    };
    let allowed_pages = &findings.wanted.allowed_pages;
    for (module_type, _, item) in modules(findings.manifest()) {
        let resolvers = page_endpoints(module_type, item)
            .into_iter()
            .filter(|one| one.place.ends_with(RESOLVER) && is_for_administrators(module_type));
        for PageEndpoint {
            place, endpoint, ..
        } in resolvers
        {
            if allowed_pages.get(endpoint).is_some_and(BTreeSet::is_empty) {
                let path = ManifestPath::of_module(module_type, item);
                let path = place.iter().fold(path, |path, name| path.name(name));
                let page = key(item).unwrap_or_default();
                let message = format!(
                    "`{other}`, which is not for administrators, can call `{endpoint}` too"
                );
                let help = format!("restrict the handler: `#[endpoint(pages = [\"{page}\"])]`");
                findings.warning(&OPEN_ADMIN_PAGE, &path, message, help);
            }
        }
    }
}
