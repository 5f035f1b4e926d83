//! The base URLs of remotes.

use std::collections::BTreeMap;

use serde_yaml::Value;

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
