//! What the rules say of triggers and of their events, hand-written ones included.

use std::collections::BTreeSet;

use forge_remote_schema::events;
use serde_yaml::Value;

use super::compare::Place;
use super::diagnostic::Level;
use super::lint::{Findings, granted, of_module};
use super::merge::list;
use super::model::Sections;

/// So many entity properties can the triggers of an app name.
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/product_events/>
pub(crate) const MAX_PROPERTIES: usize = 5;

pub(super) fn lint(manifest: &Value, wanted: &Sections, found: &mut Findings<'_>) {
    scopes(manifest, found);
    known(manifest, wanted, found);
    properties(manifest, found);
    for item in list(manifest, &["modules", "trigger"]) {
        crash(item, found);
        filters(item, found);
    }
}

/// The events of a manifest's triggers, in both forms.
pub(super) fn named_events(manifest: &Value) -> impl Iterator<Item = (&Value, &str)> {
    list(manifest, &["modules", "trigger"])
        .iter()
        .flat_map(|item| {
            let events = item.get("events").and_then(Value::as_sequence);
            events.into_iter().flatten().filter_map(move |event| {
                Some((
                    item,
                    event
                        .as_str()
                        .or_else(|| event.get("eventType")?.as_str())?,
                ))
            })
        })
}

/// Events that aren't delivered.
fn scopes(manifest: &Value, found: &mut Findings<'_>) {
    let scopes: BTreeSet<&str> = granted(manifest).into_iter().collect();
    for (item, event) in named_events(manifest) {
        let Some(known) = events::find(event).filter(|event| !event.scopes.is_empty()) else {
            continue;
        };
        let sets = known.scopes;
        if sets
            .iter()
            .any(|set| set.iter().all(|scope| scopes.contains(scope)))
        {
            continue;
        }
        let missing: Vec<&str> = sets
            .first()
            .into_iter()
            .copied()
            .flatten()
            .copied()
            .filter(|scope| !scopes.contains(scope))
            .collect();
        let message = format!(
            "the event `{event}` is not delivered without the scope {}",
            missing.join(" and ")
        );
        // What a page alone says may not be the whole: a granular set may do as well.
        let level = if known.documented_only {
            Level::Warning
        } else {
            Level::Error
        };
        found.add(
            level,
            "event-without-scope",
            &of_module("trigger", item).name("events"),
            message,
            "add it to `permissions.scopes`",
        );
    }
}

/// Events that the code calls unknown, and that aren't any more.
fn known(manifest: &Value, wanted: &Sections, found: &mut Findings<'_>) {
    for (item, event) in named_events(manifest) {
        if wanted.unknown_events.contains(event) && events::is_known(event) {
            found.warning(
                "known-event",
                &of_module("trigger", item).name("events"),
                format!("`{event}` is a known event by now"),
                "move it from `unknown_events` to `events`, so that its scopes follow",
            );
        }
    }
}

/// More entity properties than an app may name.
fn properties(manifest: &Value, found: &mut Findings<'_>) {
    let triggers = list(manifest, &["modules", "trigger"]);
    let all: BTreeSet<String> = triggers.iter().flat_map(property_paths).collect();
    if all.len() > MAX_PROPERTIES {
        let message = format!(
            "the triggers name {} entity properties, and Forge's limit is {MAX_PROPERTIES} for all of them together: {}",
            all.len(),
            Vec::from_iter(all).join(", ")
        );
        found.warning(
            "too-many-properties",
            &Place::of(&["modules", "trigger"]),
            message,
            "name fewer, or read them when the event is there",
        );
    }
}

/// The entity properties that a trigger names, in its filters and for the payload.
fn property_paths(trigger: &Value) -> Vec<String> {
    let mut paths: Vec<String> = included_paths(trigger).map(str::to_owned).collect();
    for part in parts(trigger) {
        let expression = filter(part, "expression").and_then(Value::as_str);
        let expression = expression.unwrap_or_default();
        paths.extend(expression.split("event.runtime.").skip(1).map(leading_path));
    }
    paths
}

/// The entity properties that come along with a trigger's events.
pub(crate) fn included_paths(trigger: &Value) -> impl Iterator<Item = &str> {
    let lists = parts(trigger).filter_map(|part| {
        let include = part.get("payload")?.get("include")?;
        include.get("propertyPaths")?.as_sequence()
    });
    lists.flatten().filter_map(Value::as_str)
}

/// What of an expression belongs to the path that it begins with.
fn leading_path(expression: &str) -> String {
    let mut quote = None;
    let end = expression.find(|c: char| match quote {
        Some(mark) => {
            if c == mark {
                quote = None;
            }
            false
        }
        None if c == '\'' || c == '"' => {
            quote = Some(c);
            false
        }
        None => !(c.is_alphanumeric() || "._-[]?".contains(c)),
    });
    let path = &expression[..end.unwrap_or(expression.len())];
    path.replace("?.", ".").trim_end_matches('.').to_owned()
}

/// The trigger itself and its events in object form: what can have a filter and a payload.
fn parts(trigger: &Value) -> impl Iterator<Item = &Value> {
    let events = trigger.get("events").and_then(Value::as_sequence);
    let objects = events
        .into_iter()
        .flatten()
        .filter(|event| event.is_mapping());
    std::iter::once(trigger).chain(objects)
}

/// What Atlassian's validator doesn't survive.
fn crash(trigger: &Value, found: &mut Findings<'_>) {
    let events = trigger.get("events").and_then(Value::as_sequence);
    let ignore_self = filter(trigger, "ignoreSelf").is_some();
    let shape = match events {
        Some(events) if events.is_empty() => "an empty list of events",
        Some(events) if ignore_self && events.iter().any(Value::is_mapping) => {
            "`filter.ignoreSelf` beside events in object form"
        }
        _ => return,
    };
    found.error(
        "crashes-validator",
        &of_module("trigger", trigger).name("events"),
        format!("{shape} crashes Atlassian's validator, which then reports nothing"),
        "write the filter into each event, or the events as plain names",
    );
}

fn filter<'a>(part: &'a Value, name: &str) -> Option<&'a Value> {
    part.get("filter")?.get(name)
}

/// Filters that Atlassian's validation refuses, or that say nothing.
fn filters(trigger: &Value, found: &mut Findings<'_>) {
    let place = of_module("trigger", trigger);
    for part in parts(trigger) {
        if filter(part, "onError").is_some() && filter(part, "expression").is_none() {
            found.warning(
                "on-error-alone",
                &place.clone().name("filter"),
                "`onError` has no `expression` beside it".to_owned(),
                "write `expression`, or remove `onError`",
            );
        }
        if filter(part, "ignoreSelf").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let own = part.get("eventType").into_iter();
        let listed = part.get("events").and_then(Value::as_sequence);
        let mut names = own
            .chain(listed.into_iter().flatten())
            .filter_map(Value::as_str);
        if let Some(other) = names.find(|event| !event.contains("jira")) {
            found.error(
                "ignore-self",
                &place.clone().name("events"),
                format!("Atlassian's validation refuses `ignoreSelf` with `{other}`: it is for Jira's events only"),
                "remove it, and look at the payload's `selfGenerated`; or give Jira's events a trigger of their own",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_ends_where_its_path_ends() {
        for (expression, path) in [
            (
                "issue.properties['my key'].a.b == 'x' && true",
                "issue.properties['my key'].a.b",
            ),
            ("issue.properties['a']?.b > 1", "issue.properties['a'].b"),
            (
                "project.properties[\"it's\"].strings).length",
                "project.properties[\"it's\"].strings",
            ),
            ("user.properties['open", "user.properties['open"),
            ("", ""),
        ] {
            assert_eq!(leading_path(expression), path);
        }
    }
}
