//! The addresses that Forge calls: the base URLs of remotes, and the paths of endpoints beneath them.

use std::collections::{BTreeMap, BTreeSet};

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

/// Returns the path of an endpoint's route.
pub(super) fn route(endpoint: &Value) -> Option<&str> {
    at(endpoint, &["route", "path"])?.as_str()
}

/// Returns the paths at which Forge calls an endpoint: its route, beneath the path of each base URL of its
/// remote.
pub(super) fn called_paths(manifest: &Value, endpoint: &Value) -> Vec<FormerPath> {
    let name = text(endpoint, "remote").unwrap_or_default();
    let urls = remote(manifest, name).map(urls).unwrap_or_default();
    let mut bases: BTreeSet<&str> = urls.into_values().map(base_path).collect();
    if bases.is_empty() {
        bases.insert("");
    }
    let called = bases.into_iter();
    called
        .filter_map(|base| called_path(endpoint, base))
        .collect()
}

/// Returns the path at which Forge calls an endpoint beneath this one; `None` for an endpoint without a route.
pub(super) fn called_path(endpoint: &Value, base: &str) -> Option<FormerPath> {
    Some(FormerPath {
        endpoint: key(endpoint)?.to_owned(),
        remote: text(endpoint, "remote")?.to_owned(),
        base: base.to_owned(),
        route: route(endpoint)?.to_owned(),
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
