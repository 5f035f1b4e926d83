//! Changes of `permissions`: scopes, content, egress.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::addresses::{remote, urls};
use super::changes::{Changes, changed_properties};
use super::rules::{
    CONTENT_ADDED, CUSTOMER_MANAGED_EGRESS, EGRESS_ADDED, EGRESS_CATEGORY, EGRESS_USER_DATA,
    EGRESS_USER_DATA_AGAIN, OTHER_CHANGE, PERMISSION_REDUCED, SCOPE_ADDED, SCOPE_IMPERSONATION,
    SCOPE_REMOVED,
};
use crate::manifest::items::{allows_impersonation, granted};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

pub(super) fn compare(changes: &mut Changes<'_>) {
    scopes(changes);
    content(changes);
    egress(changes);
    let permissions = |manifest: &Value| manifest.get("permissions").cloned().unwrap_or_default();
    let (before, after) = (permissions(changes.before), permissions(changes.after));
    let judged = ["scopes", "content", "external"];
    if let Some(names) = changed_properties(&before, &after, &judged) {
        let path = ManifestPath::of(&["permissions"]);
        changes.add(&OTHER_CHANGE, path, format!("permissions: {names} changed"));
    }
}

fn scopes(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    let all = ManifestPath::of(&["permissions", "scopes"]);
    let old: BTreeSet<&str> = granted(before).collect();
    let new: BTreeSet<&str> = granted(after).collect();
    for scope in new.difference(&old) {
        let message = format!("the scope `{scope}` was added");
        changes.add(&SCOPE_ADDED, all.clone().value(scope), message);
    }
    for scope in old.difference(&new) {
        let message = format!("the scope `{scope}` was removed");
        changes.add(&SCOPE_REMOVED, all.clone(), message);
    }
    for scope in old.intersection(&new) {
        let impersonates = [before, after].map(|one| allows_impersonation(one, scope));
        let what = match impersonates {
            [false, true] => "may now be used for absent users",
            [true, false] => "may no longer be used for absent users",
            _ => continue,
        };
        let message = format!("the scope `{scope}` {what}");
        changes.add(&SCOPE_IMPERSONATION, all.clone().value(scope), message);
    }
}

fn content(changes: &mut Changes<'_>) {
    let options = |manifest: &Value| -> BTreeSet<(String, String)> {
        let lists = at(manifest, &["permissions", "content"]).and_then(Value::as_mapping);
        let lists = lists.into_iter().flatten();
        let pairs = lists.flat_map(|(name, options)| {
            let name = name.as_str().unwrap_or_default().to_owned();
            let options = options.as_sequence().into_iter().flatten();
            options.filter_map(move |option| Some((name.clone(), option.as_str()?.to_owned())))
        });
        pairs.collect()
    };
    let (old, new) = (options(changes.before), options(changes.after));
    let path = |name: &str| ManifestPath::of(&["permissions", "content"]).name(name);
    for (name, option) in new.difference(&old) {
        let message = format!("permissions.content.{name}: `{option}` was added");
        changes.add(&CONTENT_ADDED, path(name).value(option), message);
    }
    for (name, option) in old.difference(&new) {
        let message = format!("permissions.content.{name}: `{option}` was removed");
        changes.add(&PERMISSION_REDUCED, path(name), message);
    }
}

/// An entry of an external permission.
#[derive(Clone, Copy, PartialEq)]
struct Egress<'a> {
    category: Option<&'a str>,
    /// Whether in-scope end-user data leaves the app there; `None` for an entry that cannot declare it.
    in_scope: Option<bool>,
}

/// The external permissions: each list's name with each address.
type Egresses<'a> = BTreeMap<(String, &'a str), Egress<'a>>;

fn egresses(manifest: &Value) -> Egresses<'_> {
    let mut found = Egresses::new();
    if let Some(external) = at(manifest, &["permissions", "external"]) {
        collect("", external, manifest, &mut found);
    }
    found
}

/// Adds the addresses of every list below a value, by the list's name: `fetch.backend`, `images`.
fn collect<'a>(name: &str, value: &'a Value, manifest: &'a Value, found: &mut Egresses<'a>) {
    for (part, value) in value.as_mapping().into_iter().flatten() {
        let part = part.as_str().unwrap_or_default();
        let part = format!("{name}{}{part}", if name.is_empty() { "" } else { "." });
        collect(&part, value, manifest, found);
        for entry in value.as_sequence().into_iter().flatten() {
            let in_scope = entry.get("inScopeEUD").and_then(Value::as_bool);
            // Source of the default: https://developer.atlassian.com/platform/forge/manifest-reference/permissions/
            let default = part.starts_with("fetch.") && entry.get("address").is_some();
            let egress = Egress {
                category: entry.get("category").and_then(Value::as_str),
                in_scope: in_scope.or(default.then_some(true)),
            };
            for address in reached(entry, manifest) {
                found.insert((part.clone(), address), egress);
            }
        }
    }
}

/// Returns the addresses of an entry: its own, or those of the remote that it names.
fn reached<'a>(entry: &'a Value, manifest: &'a Value) -> Vec<&'a str> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    if let Some(key) = text("remote") {
        let urls = remote(manifest, key).map(urls).unwrap_or_default();
        return match urls.is_empty() {
            true => vec![key],
            false => urls.into_values().collect(),
        };
    }
    entry
        .as_str()
        .or_else(|| text("address"))
        .into_iter()
        .collect()
}

/// Returns the addresses that functions may call.
pub(super) fn backend_addresses(manifest: &Value) -> BTreeSet<&str> {
    let all = egresses(manifest).into_keys();
    let backend = all.filter(|(list, _)| list == "fetch.backend");
    backend.map(|(_, address)| address).collect()
}

fn remote_urls(manifest: &Value) -> BTreeSet<&str> {
    let remotes = list(manifest, &["remotes"]).iter();
    remotes.flat_map(|one| urls(one).into_values()).collect()
}

fn egress(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    let (old, new) = (egresses(before), egresses(after));
    let path = |name: &str| {
        let path = ManifestPath::of(&["permissions", "external"]);
        name.split('.').fold(path, |path, part| path.name(part))
    };
    // The address of a remote that is new is judged with the remote.
    let (old_remotes, new_remotes) = (remote_urls(before), remote_urls(after));
    let is_of_new_remote =
        |address: &str| new_remotes.contains(address) && !old_remotes.contains(address);
    for ((name, address), egress) in &new {
        let shown = format!("permissions.external.{name}: `{address}`");
        let Some(was) = old.get(&(name.clone(), *address)) else {
            let path = path(name).value(address);
            changes.add(&EGRESS_ADDED, path, format!("{shown} was added"));
            continue;
        };
        if was.category != egress.category {
            let rule = match egress.category {
                Some(_) => &EGRESS_CATEGORY,
                None => &PERMISSION_REDUCED,
            };
            changes.add(rule, path(name), format!("{shown}: the category changed"));
        }
        match (was.in_scope, egress.in_scope) {
            (Some(false), Some(true) | None) => {
                let already = old.values().any(|one| one.in_scope == Some(true));
                let rule = match already {
                    true => &EGRESS_USER_DATA_AGAIN,
                    false => &EGRESS_USER_DATA,
                };
                let message = format!("{shown}: `inScopeEUD` is now true");
                changes.add(rule, path(name), message);
            }
            (Some(true) | None, Some(false)) => {
                let message = format!("{shown}: `inScopeEUD` is now false");
                changes.add(&PERMISSION_REDUCED, path(name), message);
            }
            _ => {}
        }
    }
    for (name, address) in old.keys() {
        if !new.contains_key(&(name.clone(), *address)) && !is_of_new_remote(address) {
            let message = format!("permissions.external.{name}: `{address}` was removed");
            changes.add(&PERMISSION_REDUCED, path(name), message);
        }
    }
    let enabled = |manifest: &Value| {
        let path = ["permissions", "external", "configurable", "enabled"];
        at(manifest, &path).and_then(Value::as_bool) == Some(true)
    };
    match (enabled(before), enabled(after)) {
        (false, true) => {
            let message = "customer-managed egress was enabled";
            changes.add(&CUSTOMER_MANAGED_EGRESS, path("configurable"), message);
        }
        (true, false) => {
            let message = "customer-managed egress was disabled";
            let change = changes.add(&PERMISSION_REDUCED, path("configurable"), message);
            // Source: https://developer.atlassian.com/platform/forge/manifest-reference/permissions/
            change.help = Some("Forge does not allow its removal in production".to_owned());
        }
        _ => {}
    }
}
