//! Reading a manifest's items: keys, modules, scopes, and when two values mean the same to Forge.

use std::collections::BTreeSet;

use serde_yaml::{Mapping, Value};

use super::values::{ALLOW_IMPERSONATION, at};

/// Returns an item's key.
pub(super) fn key(item: &Value) -> Option<&str> {
    item.get("key")?.as_str()
}

/// Returns the key of an item that is a mapping.
pub(super) fn key_of(item: &Mapping) -> Option<&str> {
    item.get("key")?.as_str()
}

/// Returns the text of an item's property.
pub(super) fn text<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    item.get(name)?.as_str()
}

/// Returns the text at a path of an item, where modules name their endpoints.
pub(super) fn endpoint_at<'a>(item: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(item, path)?.as_str()
}

/// Returns every module of the manifest, `endpoint` among them: its type, its index in the list of
/// that type, and the module.
pub(super) fn modules(manifest: &Value) -> impl Iterator<Item = (&str, usize, &Value)> {
    let lists = manifest.get("modules").and_then(Value::as_mapping);
    lists.into_iter().flatten().flat_map(|(name, items)| {
        let name = name.as_str().unwrap_or_default();
        let items = items.as_sequence().into_iter().flatten().enumerate();
        items.map(move |(index, item)| (name, index, item))
    })
}

/// Returns the scopes of `permissions.scopes`, which is a list or a mapping.
pub(super) fn granted(manifest: &Value) -> impl Iterator<Item = &str> {
    let scopes = at(manifest, &["permissions", "scopes"]);
    let listed = scopes.and_then(Value::as_sequence).into_iter().flatten();
    let mapped = scopes.and_then(Value::as_mapping).into_iter().flatten();
    listed
        .chain(mapped.map(|(name, _)| name))
        .filter_map(Value::as_str)
}

/// Returns whether a granted scope may be used for users who are not in session.
pub(super) fn allows_impersonation(manifest: &Value, scope: &str) -> bool {
    let path = ["permissions", "scopes", scope, ALLOW_IMPERSONATION];
    at(manifest, &path).and_then(Value::as_bool) == Some(true)
}

/// Returns whether two values mean the same to Forge: a token that is not enabled equals an absent
/// one, and `2.0` equals `2`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    fn enabled(value: &Value) -> Option<BTreeSet<&str>> {
        let mut names = BTreeSet::new();
        for (name, token) in value.as_mapping()? {
            let name = name.as_str()?;
            if !matches!(name, "appSystemToken" | "appUserToken") {
                return None;
            }
            if token.as_mapping()?.get("enabled")?.as_bool()? {
                names.insert(name);
            }
        }
        Some(names)
    }
    a == b
        || matches!((enabled(a), enabled(b)), (Some(a), Some(b)) if a == b)
        || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// Returns whether a property is an `auth` without an enabled token, which means the same as no
/// `auth`.
pub(super) fn is_empty_auth(name: &Value, value: &Value) -> bool {
    name.as_str() == Some("auth") && same(value, &Value::Mapping(Mapping::new()))
}
