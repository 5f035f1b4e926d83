//! Changes of `app`, `providers` and every other section.

use serde_yaml::Value;

use super::changes::{Changes, changed_properties, paired};
use super::rules::{LICENSING_ENABLED, OTHER_CHANGE, PROVIDER_CHANGED};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

pub(super) fn compare(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    licensing(changes);
    providers(changes);
    // The id is the same, or a variable.
    let app = |manifest: &Value| manifest.get("app").cloned().unwrap_or_default();
    if let Some(names) = changed_properties(&app(before), &app(after), &["id", "licensing"]) {
        let path = ManifestPath::of(&["app"]);
        changes.add(&OTHER_CHANGE, path, format!("app: {names} changed"));
    }
    let judged = ["app", "modules", "permissions", "providers", "remotes"];
    if let Some(names) = changed_properties(before, after, &judged) {
        let path = ManifestPath::default();
        changes.add(&OTHER_CHANGE, path, format!("{names} changed"));
    }
}

fn licensing(changes: &mut Changes<'_>) {
    let enabled = |manifest: &Value| {
        let enabled = at(manifest, &["app", "licensing", "enabled"]);
        enabled.and_then(Value::as_bool) == Some(true)
    };
    let path = ManifestPath::of(&["app", "licensing"]);
    match (enabled(changes.before), enabled(changes.after)) {
        (false, true) => {
            changes.add(&LICENSING_ENABLED, path, "licensing was enabled");
        }
        (true, false) => {
            changes.add(&OTHER_CHANGE, path, "licensing was disabled");
        }
        _ => {}
    }
}

fn providers(changes: &mut Changes<'_>) {
    let (before, after) = (changes.before, changes.after);
    let place = ["providers", "auth"];
    for (key, pair) in paired(list(before, &place), list(after, &place)) {
        let (rule, what) = match pair {
            (None, Some(_)) => (&PROVIDER_CHANGED, "was added".to_owned()),
            (Some(_), None) => (&PROVIDER_CHANGED, "was removed".to_owned()),
            (Some(old), Some(new)) => {
                let Some(names) = changed_properties(old, new, &[]) else {
                    continue;
                };
                let rule = match old.get("clientId") == new.get("clientId") {
                    true => &OTHER_CHANGE,
                    false => &PROVIDER_CHANGED,
                };
                (rule, format!("changed: {names}"))
            }
            (None, None) => continue,
        };
        let path = ManifestPath::of(&place);
        changes.add(rule, path, format!("the provider `{key}` {what}"));
    }
}
