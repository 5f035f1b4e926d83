//! The remotes, as calls of `Remote`'s builder.

use serde_yaml::Value;

use super::chain::Link;
use super::gap::Gap;
use super::literal::string;
use crate::manifest::items::key;
use crate::manifest::path::ManifestPath;
use crate::manifest::remote::{Remote, RemoteOperation, RemoteRegion};
use crate::manifest::values::{at, list};

/// A remote as Rust.
pub(super) struct RemoteCalls {
    /// The calls after `Remote::new`.
    pub(super) links: Vec<Link>,
    pub(super) uses_operations: bool,
    pub(super) uses_regions: bool,
}

/// Returns the calls that declare a remote of the manifest. Its base URLs keep their variables, as they are
/// written.
pub(super) fn calls(
    manifest: &Value,
    written: &Value,
    remote: &str,
    gaps: &mut Vec<Gap>,
) -> RemoteCalls {
    let mut calls = RemoteCalls {
        links: Vec::new(),
        uses_operations: false,
        uses_regions: false,
    };
    let items = list(manifest, &["remotes"]).iter();
    let mut items = items.zip(list(written, &["remotes"]));
    let Some((item, written)) = items.find(|(item, _)| key(item) == Some(remote)) else {
        return calls;
    };
    let path = ManifestPath::of(&["remotes"]).item(remote);
    let mut built = Remote::new(remote);
    let default = match written.get("baseUrl") {
        Some(Value::String(url)) => Some(url.as_str()),
        Some(urls) => urls.get("default").and_then(Value::as_str),
        None => None,
    };
    if let Some(url) = default {
        built = built.base_url(url);
        calls.links.push(Link::new("base_url", string(url)));
    }
    match regions(written) {
        Ok(regions) => {
            for (region, url) in regions {
                built = built.region_url(region, url);
                calls.uses_regions = true;
                let arguments = format!("RemoteRegion::{region:?}, {}", string(url));
                calls.links.push(Link::new("region_url", arguments));
            }
        }
        Err(region) => {
            let path = path.clone().name("baseUrl").name(&region);
            let reason = "this version does not know the region; the URLs of all regions are left to the file";
            gaps.push(Gap::new(path, reason));
        }
    }
    match operations(item) {
        Ok(operations) if operations.is_empty() => {}
        Ok(operations) => {
            built = built.operations(operations.iter().copied());
            calls.uses_operations = true;
            let names = operations.iter();
            let names = names.map(|one| format!("RemoteOperation::{one:?}"));
            calls.links.push(Link::list("operations", names.collect()));
        }
        Err(name) => {
            let path = path.clone().name("operations");
            let reason =
                format!("this version does not know `{name}`; the operations are left to the file");
            gaps.push(Gap::new(path, reason));
        }
    }
    if let Some(stores) = at(item, &["storage", "inScopeEUD"]).and_then(Value::as_bool) {
        built = built.in_scope_eud(stores);
        calls
            .links
            .push(Link::new("in_scope_eud", stores.to_string()));
    }
    let problems = built.problems();
    if !problems.is_empty() {
        // With the key alone, the other properties are left to the file.
        calls.links.clear();
        (calls.uses_operations, calls.uses_regions) = (false, false);
        gaps.extend(
            problems
                .into_iter()
                .map(|problem| Gap::new(path.clone(), problem)),
        );
    }
    calls
}

/// Returns the URLs of regions, or a region that is not known.
fn regions(item: &Value) -> Result<Vec<(RemoteRegion, &str)>, String> {
    let urls = item
        .get("baseUrl")
        .and_then(Value::as_mapping)
        .into_iter()
        .flatten();
    let urls = urls.filter_map(|(region, url)| Some((region.as_str()?, url.as_str()?)));
    let urls = urls.filter(|(region, _)| *region != "default");
    urls.map(|(name, url)| {
        let known = RemoteRegion::ALL
            .into_iter()
            .find(|one| one.as_str() == name);
        known
            .map(|region| (region, url))
            .ok_or_else(|| name.to_owned())
    })
    .collect()
}

/// Returns the operations, or one that is not known.
fn operations(item: &Value) -> Result<Vec<RemoteOperation>, String> {
    let names = list(item, &["operations"]).iter().filter_map(Value::as_str);
    names
        .map(|name| {
            let known = RemoteOperation::ALL
                .into_iter()
                .find(|one| one.as_str() == name);
            known.ok_or_else(|| name.to_owned())
        })
        .collect()
}
