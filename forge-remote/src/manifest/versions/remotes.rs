//! Changes of `remotes`.

use std::collections::BTreeSet;

use serde_yaml::Value;

use super::addresses::{base_path, called_path, has_moved, hook, origin, urls};
use super::changes::{Changes, Former, changed_properties, paired};
use super::permissions::backend_addresses;
use super::rules::{
    BASE_URL_CHANGED, BASE_URL_FORM, OTHER_CHANGE, REGION_ADDED, REGION_REMOVED, REMOTE_ADDED,
    REMOTE_CUSTOMER_MANAGED, REMOTE_DECLARED, REMOTE_EXTENDED, REMOTE_REDUCED, REMOTE_REMOVED,
    REMOTE_STORES_USER_DATA, REMOTE_WITHOUT_URL,
};
use crate::manifest::items::{modules, text};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

pub(super) fn compare(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    let before_backend = backend_addresses(before);
    for (key, pair) in paired(list(before, &["remotes"]), list(after, &["remotes"])) {
        let path = ManifestPath::of(&["remotes"]).item(&key);
        match pair {
            (None, Some(new)) => {
                let urls = urls(new);
                let was_reached = urls.values().all(|url| before_backend.contains(*url));
                let rule = match urls.is_empty() {
                    true if new.get("configurable").is_some() => &REMOTE_WITHOUT_URL,
                    false if was_reached => &REMOTE_DECLARED,
                    _ => &REMOTE_ADDED,
                };
                changes.add(rule, path, format!("the remote `{key}` was added"));
            }
            (Some(old), None) => {
                let former = former(changes, &key, urls(old).into_values());
                let message = format!("the remote `{key}` was removed");
                changes.add(&REMOTE_REMOVED, path, message).former = former;
            }
            (Some(old), Some(new)) => {
                addresses(changes, &key, &path, old, new);
                configurable(changes, &key, &path, old, new);
                purposes(changes, &key, &path, old, new);
                tokens(changes, &key, &path, old, new);
                let judged = ["baseUrl", "configurable", "operations", "storage", "auth"];
                if let Some(names) = changed_properties(old, new, &judged) {
                    let message = format!("the remote `{key}`: {names} changed");
                    changes.add(&OTHER_CHANGE, path, message);
                }
            }
            (None, None) => {}
        }
    }
}

fn addresses(changes: &mut Changes<'_>, key: &str, path: &ManifestPath, old: &Value, new: &Value) {
    let (before, after) = (urls(old), urls(new));
    let path = path.clone().name("baseUrl");
    if before.is_empty() != after.is_empty() {
        let verb = match after.is_empty() {
            true => "removed",
            false => "added",
        };
        let message = format!("the remote `{key}`: `baseUrl` was {verb}");
        let former = former(changes, key, before.into_values());
        changes.add(&BASE_URL_CHANGED, path, message).former = former;
        return;
    }
    let regions: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for region in regions {
        let name = match region {
            "default" => "the base URL".to_owned(),
            region => format!("the base URL of {region}"),
        };
        let (rule, what) = match (before.get(region), after.get(region)) {
            (Some(old), Some(new)) if old != new => (
                &BASE_URL_CHANGED,
                format!("changed from `{old}` to `{new}`"),
            ),
            (None, Some(new)) => (&REGION_ADDED, format!("was added: `{new}`")),
            (Some(old), None) => (&REGION_REMOVED, format!("was removed: `{old}`")),
            _ => continue,
        };
        let former = former(changes, key, before.get(region).copied());
        let message = format!("the remote `{key}`: {name} {what}");
        changes.add(rule, path.clone(), message).former = former;
    }
    if before == after && old.get("baseUrl") != new.get("baseUrl") {
        let message = format!("the remote `{key}`: the form of `baseUrl` changed");
        changes.add(&BASE_URL_FORM, path, message);
    }
}

/// Returns what installations on the older version call at base URLs of a remote that changed or were removed.
/// Endpoints and modules that moved too are not included: their own changes have their paths.
fn former<'a>(
    changes: &Changes<'_>,
    remote: &str,
    base_urls: impl IntoIterator<Item = &'a str>,
) -> Former {
    let types: BTreeSet<&str> = modules(changes.before).map(|(name, ..)| name).collect();
    let mut kept: Vec<(&Value, &'static str)> = Vec::new();
    for (name, hook) in types.iter().filter_map(|name| Some((*name, hook(name)?))) {
        let place = ["modules", name];
        let pairs = paired(list(changes.before, &place), list(changes.after, &place));
        kept.extend(pairs.into_values().filter_map(|pair| {
            let (old, new) = (pair.0?, pair.1?);
            let is_kept = text(old, "remote") == Some(remote) && !has_moved(old, new);
            is_kept.then_some((old, hook))
        }));
    }
    let remotes = list(changes.after, &["remotes"]).iter();
    let current = remotes.flat_map(|one| urls(one).into_values().filter_map(origin));
    let current: BTreeSet<&str> = current.collect();
    let (mut paths, mut origins) = (Vec::new(), Vec::new());
    for url in base_urls {
        let called = kept.iter();
        paths.extend(called.filter_map(|(old, hook)| called_path(old, base_path(url), hook)));
        let gone = origin(url).filter(|origin| !current.contains(origin));
        origins.extend(gone.map(str::to_owned));
    }
    Former::BaseUrls { paths, origins }
}

fn configurable(
    changes: &mut Changes<'_>,
    key: &str,
    path: &ManifestPath,
    old: &Value,
    new: &Value,
) {
    let patterns = |remote: &Value| -> BTreeSet<String> {
        let patterns = list(remote, &["configurable", "supportedPatterns"]).iter();
        patterns
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let (rule, what) = match (old.get("configurable"), new.get("configurable")) {
        (None, Some(_)) => (&REMOTE_CUSTOMER_MANAGED, "`configurable` was added"),
        (Some(_), None) => (&REMOTE_REDUCED, "`configurable` was removed"),
        (Some(before), Some(after)) if before != after => {
            let (before, after) = (patterns(old), patterns(new));
            // Without a pattern every address is allowed.
            let is_wider = before != after
                && (after.is_empty() || !(before.is_empty() || after.is_subset(&before)));
            match is_wider {
                true => (&REMOTE_EXTENDED, "`configurable` allows more addresses"),
                false => (&REMOTE_REDUCED, "`configurable` changed"),
            }
        }
        _ => return,
    };
    let path = path.clone().name("configurable");
    changes.add(rule, path, format!("the remote `{key}`: {what}"));
}

/// Returns a remote's purposes; `None` if it declares none.
fn operations(remote: &Value) -> Option<BTreeSet<&str>> {
    let listed = remote.get("operations")?.as_sequence()?;
    Some(listed.iter().filter_map(Value::as_str).collect())
}

/// Returns whether Forge regards a remote as one that stores in-scope end-user data: so it does
/// without `operations`.
/// Source: <https://developer.atlassian.com/platform/forge/remote/remote-realm-pinning/>
fn stores_user_data(remote: &Value) -> bool {
    let stores = operations(remote).is_none_or(|all| all.contains("storage"));
    let in_scope = at(remote, &["storage", "inScopeEUD"]).and_then(Value::as_bool);
    stores && in_scope != Some(false)
}

fn purposes(changes: &mut Changes<'_>, key: &str, path: &ManifestPath, old: &Value, new: &Value) {
    match (stores_user_data(old), stores_user_data(new)) {
        (false, true) => {
            let message = format!("the remote `{key}` now stores in-scope end-user data");
            changes.add(&REMOTE_STORES_USER_DATA, path.clone(), message);
        }
        (true, false) => {
            let message = format!("the remote `{key}` no longer stores in-scope end-user data");
            changes.add(&REMOTE_REDUCED, path.clone(), message);
        }
        _ => {}
    }
    let path = path.clone().name("operations");
    let (before, after) = (operations(old), operations(new));
    let (rule, what) = match (&before, &after) {
        (Some(before), Some(after)) if before == after => return,
        (Some(before), Some(after)) => match after.is_subset(before) {
            true => (&REMOTE_REDUCED, "has fewer operations"),
            false => (&REMOTE_EXTENDED, "has another operation"),
        },
        (None, Some(_)) => (&REMOTE_REDUCED, "now lists its `operations`"),
        (Some(_), None) => (&REMOTE_EXTENDED, "no longer lists its `operations`"),
        (None, None) => return,
    };
    changes.add(rule, path, format!("the remote `{key}` {what}"));
}

fn tokens(changes: &mut Changes<'_>, key: &str, path: &ManifestPath, old: &Value, new: &Value) {
    for token in ["appSystemToken", "appUserToken"] {
        let enabled = |remote: &Value| {
            at(remote, &["auth", token, "enabled"]).and_then(Value::as_bool) == Some(true)
        };
        let (rule, what) = match (enabled(old), enabled(new)) {
            (false, true) => (&REMOTE_EXTENDED, "gets"),
            (true, false) => (&REMOTE_REDUCED, "no longer gets"),
            _ => continue,
        };
        let message = format!("the remote `{key}` {what} `{token}` with the calls of functions");
        changes.add(rule, path.clone().name("auth"), message);
    }
}
