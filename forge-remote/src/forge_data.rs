//! Atlassian's names: scopes, events and the scopes they need, modules of pages. Data only, which
//! any room may read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What `.ci/forge-data.mjs` makes of Atlassian's npm package, and what only their pages say.
#[derive(Default, serde::Deserialize)]
pub(crate) struct ForgeData {
    pub(crate) scopes: BTreeSet<String>,
    /// Each event with the sets of scopes of which one suffices.
    pub(crate) events: BTreeMap<String, Vec<Vec<String>>>,
    /// The events whose scopes only a page names: Atlassian's validation asks for none.
    #[serde(skip)]
    pub(crate) only_documented: BTreeSet<&'static str>,
    /// The modules of pages: those that take `resolver.endpoint`.
    pub(crate) pages: BTreeSet<String>,
}

pub(crate) static DATA: LazyLock<ForgeData> = LazyLock::new(|| {
    let package = include_str!("manifest/forge-data.json");
    let mut data: ForgeData = serde_json::from_str(package).unwrap_or_default();
    for (event, scopes) in documented() {
        let scopes: Vec<String> = scopes.map(str::to_owned).collect();
        if !scopes.is_empty() {
            data.only_documented.insert(event);
            data.events.insert(event.to_owned(), vec![scopes]);
        }
    }
    data
});

/// The events of `events.txt`, each with what stands after its `=`.
fn documented() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    let lines = include_str!("kinds/events.txt").lines();
    let events = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    events.map(|line| {
        let (event, scopes) = line.split_once(" = ").unwrap_or((line, ""));
        (event, scopes.split_whitespace())
    })
}

/// Whether a FIT's `app.module.type` is a page's. Atlassian's example has `xen:` before the
/// module's name; whether all have it isn't said.
pub(crate) fn is_page(module_type: &str) -> bool {
    module_type.starts_with("xen:") || DATA.pages.contains(module_type)
}

/// The modules of pages: those that take `resolver.endpoint`.
pub(crate) fn page_modules() -> impl Iterator<Item = &'static str> {
    DATA.pages.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_events_has_the_packages_and_the_pages_each_once() {
        let package: ForgeData =
            serde_json::from_str(include_str!("manifest/forge-data.json")).unwrap();
        let mut listed = BTreeSet::new();
        for (event, scopes) in documented() {
            assert!(listed.insert(event), "{event} is there twice");
            for scope in scopes {
                assert!(package.scopes.contains(scope), "{event} = {scope}");
                assert!(
                    !package.events.contains_key(event),
                    "the package has {event} by now: its scopes are those"
                );
            }
        }
        for event in package.events.keys() {
            assert!(
                listed.contains(event.as_str()),
                "{event} isn't in events.txt"
            );
        }
        assert!(DATA.only_documented.len() > 20);
    }
}
