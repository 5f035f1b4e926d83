//! Calls of the remotes that no endpoint and no hook of the manifest lists: those of functions and of Connect.

use serde_yaml::Value;

use super::calls::auth;
use super::gap::Gap;
use super::literal::{Setting, string};
use crate::manifest::items::key;
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

/// Returns the keys of the remotes that the app's functions may call.
pub(super) fn called_by_functions(manifest: &Value) -> Vec<&str> {
    if list(manifest, &["modules", "function"]).is_empty() {
        return Vec::new();
    }
    let remotes = list(manifest, &["remotes"]).iter();
    let called = remotes.filter(|one| list(one, &["operations"]).contains(&"compute".into()));
    called.filter_map(key).collect()
}

/// Returns the handlers to write for these remotes: the paths are only in the functions' code.
pub(super) fn of_functions(manifest: &Value, called: &[&str], default_remote: &str) -> Vec<Gap> {
    let remotes = list(manifest, &["remotes"]).iter();
    let items = remotes.filter_map(|item| Some((key(item)?, item)));
    let items = items.filter(|(key, _)| called.contains(key));
    let gaps = items.map(|(key, item)| {
        let requests = |token: &str| {
            let enabled = at(item, &["auth", token, "enabled"]);
            enabled.and_then(Value::as_bool) == Some(true)
        };
        let mut settings = vec![Setting::text("method", "…"), Setting::text("path", "/…")];
        settings.extend(auth(requests("appSystemToken"), requests("appUserToken")));
        if key != default_remote {
            settings.push(Setting::text("remote", key));
        }
        let settings: Vec<String> = settings.iter().map(|one| one.rust(0)).collect();
        let reason = format!(
            "search the functions for `invokeRemote({}, …)` (a `GET`, unless it names a method), and serve each path by a handler \
             with `#[function_call({})]`",
            string(key),
            settings.join(", ")
        );
        let path = ManifestPath::of(&["remotes"]).item(key).name("operations");
        Gap::new(path, reason)
    });
    gaps.collect()
}

/// Returns the modules of Connect whose paths are at one of these remotes.
pub(super) fn of_connect(manifest: &Value, remotes: &[String]) -> Vec<Gap> {
    let remote = at(manifest, &["app", "connect", "remote"]).and_then(Value::as_str);
    let Some(remote) = remote.filter(|remote| remotes.iter().any(|one| one == remote)) else {
        return Vec::new();
    };
    let lists = manifest.get("connectModules").and_then(Value::as_mapping);
    let mut found = Vec::new();
    for (module_type, items) in lists.into_iter().flatten() {
        let list =
            ManifestPath::of(&["connectModules"]).name(module_type.as_str().unwrap_or_default());
        let items = match items {
            Value::Sequence(items) => items.as_slice(),
            item => std::slice::from_ref(item),
        };
        for item in items {
            let mut paths = Vec::new();
            add_paths(item, &mut paths);
            if !paths.is_empty() {
                let path = match key(item) {
                    Some(key) => list.clone().item(key),
                    None => list.clone(),
                };
                let reason = format!("{} at `{remote}`", paths.join(", "));
                found.push(Gap::new(path, reason));
            }
        }
    }
    found
}

/// Adds the texts of a module that are paths, in backquotes.
fn add_paths(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('/') => paths.push(format!("`{text}`")),
        Value::Sequence(items) => items.iter().for_each(|item| add_paths(item, paths)),
        Value::Mapping(items) => items.iter().for_each(|(_, item)| add_paths(item, paths)),
        _ => {}
    }
}
