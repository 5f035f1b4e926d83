//! The addresses that Forge calls: the base URLs of remotes, and the paths of endpoints and hooks beneath them.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds;
use serde_yaml::Value;

use super::changes::FormerPath;
use crate::manifest::base_url;
use crate::manifest::items::{key, text};
use crate::manifest::values::{at, list};

/// Returns a remote's base URLs by region. A plain one is the default.
pub(super) fn urls(remote: &Value) -> BTreeMap<&str, &str> {
    match remote.get("baseUrl") {
        Some(Value::String(url)) => BTreeMap::from([("default", url.as_str())]),
        Some(Value::Mapping(urls)) => urls
            .iter()
            .filter_map(|(region, url)| Some((region.as_str()?, url.as_str()?)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Returns the remote with this key. If several have it, the first counts.
pub(super) fn remote<'a>(manifest: &'a Value, name: &str) -> Option<&'a Value> {
    let remotes = list(manifest, &["remotes"]);
    remotes.iter().find(|one| key(one) == Some(name))
}

/// Returns the hook whose path Forge appends to that of each item of this type; it is empty for endpoints, and
/// `None` for modules that Forge calls at an endpoint.
pub(super) fn hook(module_type: &str) -> Option<&'static str> {
    if module_type == "endpoint" {
        return Some("");
    }
    let kind = kinds::declared().find(|kind| kind.module_type == module_type)?;
    kind.path_option?;
    kind.shared_parts.first().copied()
}

/// Returns the path of an endpoint's route, or the common path of a module's hooks.
pub(super) fn route(item: &Value) -> Option<&str> {
    let route = at(item, &["route", "path"]).or_else(|| item.get("path"));
    route?.as_str()
}

/// Returns whether Forge calls an item at another path or at another remote than before.
pub(super) fn has_moved(old: &Value, new: &Value) -> bool {
    route(old) != route(new) || text(old, "remote") != text(new, "remote")
}

/// Returns the paths at which Forge calls an item: its route, beneath the path of each base URL of its remote.
pub(super) fn called_paths(manifest: &Value, item: &Value, hook: &'static str) -> Vec<FormerPath> {
    let name = text(item, "remote").unwrap_or_default();
    let urls = remote(manifest, name).map(urls).unwrap_or_default();
    let mut bases: BTreeSet<&str> = urls.into_values().map(base_path).collect();
    if bases.is_empty() {
        bases.insert("");
    }
    let called = bases.into_iter();
    called
        .filter_map(|base| called_path(item, base, hook))
        .collect()
}

/// Returns the path at which Forge calls an item beneath this one; `None` for an item without a route. A route may lack
/// its leading slash.
pub(super) fn called_path(item: &Value, base: &str, hook: &'static str) -> Option<FormerPath> {
    let route = route(item)?;
    Some(FormerPath {
        item: key(item)?.to_owned(),
        remote: text(item, "remote")?.to_owned(),
        base: base.to_owned(),
        route: format!("/{}", route.strip_prefix('/').unwrap_or(route)),
        hook,
    })
}

/// Returns the path of a base URL; empty if it has none.
pub(super) fn base_path(url: &str) -> &str {
    base_url::path(url).unwrap_or_default()
}

/// Returns the scheme and the host of a base URL; `None` if they are not known.
pub(super) fn origin(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://")?;
    let host = host.split('/').next().unwrap_or_default();
    let is_known = !host.contains("${");
    is_known.then(|| &url[.."https://".len() + host.len()])
}
