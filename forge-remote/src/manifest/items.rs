//! Reading a manifest's items: keys, modules, scopes, and when two values mean the same to Forge.

use std::borrow::Cow;
use std::collections::BTreeSet;

use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::{ENDPOINT, KINDS, RESOLVER};
use serde_yaml::{Mapping, Value};

use super::values::{ALLOW_IMPERSONATION, at, list};
use super::variables::{Variables, is_variable};

/// Returns an item's key.
pub(super) fn key(item: &Value) -> Option<&str> {
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

/// An endpoint that a hand-written module names: a page's resolver, a macro's static export.
pub(super) struct PageEndpoint<'a> {
    /// The kind of the handlers that the module can call.
    pub(super) kind: &'static KindSpec,
    /// The place in the module, such as `edit.resolver.endpoint`.
    pub(super) place: Vec<&'a str>,
    pub(super) endpoint: &'a str,
}

/// Returns the endpoints that a hand-written module names. A resolver can be at any depth: the views of a
/// custom field and the configuration of a macro have their own.
pub(super) fn page_endpoints<'a>(module_type: &str, item: &'a Value) -> Vec<PageEndpoint<'a>> {
    let kinds = KINDS.iter().filter(|kind| !kind.has_module());
    let others = kinds.filter(|kind| kind.module_type == module_type);
    let places =
        others.flat_map(|kind| kind.endpoint_places.iter().map(move |place| (kind, place)));
    let mut found: Vec<PageEndpoint<'a>> = places
        .filter_map(|(kind, place)| {
            Some(PageEndpoint {
                kind,
                place: place.to_vec(),
                endpoint: endpoint_at(item, place)?,
            })
        })
        .collect();
    named_endpoints(item, &mut Vec::new(), &mut |place, endpoint| {
        if place.ends_with(RESOLVER) {
            found.push(PageEndpoint {
                kind: &ENDPOINT,
                place: place.to_vec(),
                endpoint,
            });
        }
    });
    found
}

/// The lists of actions of modules, by the module type.
pub(super) const ACTION_LISTS: [(&str, &[&str]); 4] = [
    ("rovo:agent", &["actions"]),
    ("rovo:skill", &["dependencies", "tools"]),
    ("rovo:mcp", &["tools"]),
    ("automation:actionProvider", &["actions"]),
];

/// Returns the keys of the actions that a module lists.
pub(super) fn listed_actions<'a>(module_type: &str, item: &'a Value) -> &'a [Value] {
    let mut lists = ACTION_LISTS.iter().filter(|(name, _)| *name == module_type);
    let found = lists.next().and_then(|(_, path)| at(item, path));
    found
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

/// Calls `visit` with the place and the value of each `endpoint` of a module, at any depth.
pub(super) fn named_endpoints<'a>(
    value: &'a Value,
    place: &mut Vec<&'a str>,
    visit: &mut impl FnMut(&[&'a str], &'a str),
) {
    for item in value.as_sequence().into_iter().flatten() {
        named_endpoints(item, place, visit);
    }
    for (name, value) in value.as_mapping().into_iter().flatten() {
        place.push(name.as_str().unwrap_or_default());
        match value {
            Value::String(endpoint) if name.as_str() == Some("endpoint") => visit(place, endpoint),
            _ => named_endpoints(value, place, visit),
        }
        place.pop();
    }
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

/// The keys of the modules that name only endpoints of other services.
pub(crate) struct ForeignModules {
    /// Each module's type, and its key without a variable.
    pub(crate) modules: BTreeSet<(String, String)>,
    /// The values that the keys with variables have in this environment, and by default.
    pub(crate) values: BTreeSet<String>,
    /// The keys with variables, as they are written. Only `forge deploy` knows their values.
    pub(crate) unknown: BTreeSet<String>,
    /// The ones of which the app's list may have no value.
    pub(crate) unlisted: BTreeSet<String>,
}

impl ForeignModules {
    /// Returns the modules that name some of these endpoints and no others. The names of endpoints are read as they are
    /// written: a variable's default does not prove which endpoint the deployed module names. `listed` are the modules
    /// that the app lists.
    pub(crate) fn of(
        manifest: &Value,
        endpoints: &BTreeSet<String>,
        listed: Option<&BTreeSet<String>>,
    ) -> Self {
        let variables = Variables::of(manifest);
        let mut found = Self {
            modules: BTreeSet::new(),
            values: BTreeSet::new(),
            unknown: BTreeSet::new(),
            unlisted: BTreeSet::new(),
        };
        let mut keys: BTreeSet<&str> = BTreeSet::new();
        for (module_type, _, item) in modules(manifest) {
            let Some(text) = key(item) else {
                continue;
            };
            keys.insert(text);
            let mut named = Vec::new();
            named_endpoints(item, &mut Vec::new(), &mut |_, endpoint| {
                named.push(endpoint)
            });
            if named.is_empty() || !named.into_iter().all(|one| endpoints.contains(one)) {
                continue;
            }
            if is_variable(text) {
                found.unknown.insert(text.to_owned());
                let values = [variables.resolve(text), variables.resolve_defaults(text)];
                let values = values.into_iter().flatten();
                found.values.extend(values.map(Cow::into_owned));
            } else {
                let module = (module_type.to_owned(), text.to_owned());
                found.modules.insert(module);
            }
        }
        let listed = listed.into_iter().flatten().map(String::as_str);
        let spare = Vec::from_iter(listed.filter(|key| !keys.contains(key)));
        let lacks_value = |text: &&String| found.lacks_value(text, &spare);
        let unlisted = found.unknown.iter().filter(lacks_value);
        found.unlisted = unlisted.cloned().collect();
        found
    }

    /// Returns whether listed keys may lack the value of a key with a variable. Each of them is the value of one such
    /// key.
    fn lacks_value(&self, text: &str, listed: &[&str]) -> bool {
        let may_be_values = listed.iter().filter(|key| Variables::may_name(text, key));
        let may_be_values = Vec::from_iter(may_be_values);
        let may_have_them = self.unknown.iter().filter(|other| {
            let mut values = may_be_values.iter();
            values.any(|key| Variables::may_name(other, key))
        });
        may_be_values.is_empty() || may_be_values.len() < may_have_them.count()
    }

    /// Returns the keys as far as they are known here.
    pub(crate) fn into_keys(self) -> impl Iterator<Item = String> {
        let keys = self.modules.into_iter().map(|(_, key)| key);
        keys.chain(self.values)
    }
}

/// Returns the keys of the manifest's endpoints, and of the modules that name endpoints.
pub(crate) fn keys_of_endpoints(manifest: &Value) -> BTreeSet<String> {
    let variables = Variables::of(manifest);
    let mut keys = BTreeSet::new();
    let mut add = |text: &str| {
        if is_variable(text) {
            let values = [variables.resolve(text), variables.resolve_defaults(text)];
            keys.extend(values.into_iter().flatten().map(Cow::into_owned));
        } else {
            keys.insert(text.to_owned());
        }
    };
    for endpoint in list(manifest, &["modules", "endpoint"]) {
        key(endpoint).into_iter().for_each(&mut add);
    }
    for (.., item) in modules(manifest) {
        let mut names_one = false;
        named_endpoints(item, &mut Vec::new(), &mut |_, _| names_one = true);
        key(item)
            .filter(|_| names_one)
            .into_iter()
            .for_each(&mut add);
    }
    keys
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
