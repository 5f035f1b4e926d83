//! Triggers and their events: scopes, filters and payloads.

use std::collections::BTreeSet;

use forge_remote_schema::{did_you_mean, events, kinds};
use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::{Diagnostic, Rule, Severity};
use crate::manifest::items::granted;
use crate::manifest::path::ManifestPath;
use crate::manifest::properties::{MAX_PROPERTIES, TOO_MANY_PROPERTIES, included_paths, parts};
use crate::manifest::values::list;

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &EVENT_WITHOUT_SCOPE,
        &KNOWN_EVENT,
        &UNKNOWN_EVENT,
        &UNINSTALLED_EVENT,
        &NO_PRE_UNINSTALL,
        &TOO_MANY_PROPERTIES,
        &ON_ERROR_ALONE,
        &IGNORE_SELF,
    ],
    check: |findings| {
        scopes(findings);
        known(findings);
        unknown(findings);
        uninstallation(findings);
        properties(findings);
        filters(findings);
    },
};

fn triggers(manifest: &Value) -> &[Value] {
    list(manifest, &["modules", "trigger"])
}

/// Returns the events of a manifest's triggers, in both forms, each with its trigger.
pub(super) fn named_events(manifest: &Value) -> impl Iterator<Item = (&Value, &str)> {
    triggers(manifest).iter().flat_map(|trigger| {
        list(trigger, &["events"]).iter().filter_map(move |event| {
            let name = event
                .as_str()
                .or_else(|| event.get("eventType")?.as_str())?;
            Some((trigger, name))
        })
    })
}

fn path_of_event(trigger: &Value, event: &str) -> ManifestPath {
    ManifestPath::of_module("trigger", trigger)
        .name("events")
        .value(event)
}

fn filter<'a>(part: &'a Value, name: &str) -> Option<&'a Value> {
    part.get("filter")?.get(name)
}

const EVENT_WITHOUT_SCOPE: Rule = Rule::lint(
    "event-without-scope",
    "Forge delivers an event only if all scopes of one of its sets are granted. Atlassian's validation doesn't check \
    events in object form.",
);

fn scopes(findings: &mut Findings<'_>) {
    let manifest = findings.manifest();
    let granted: BTreeSet<&str> = granted(manifest).collect();
    for (trigger, event) in named_events(manifest) {
        let Some(known) = events::find(event).filter(|event| !event.scopes.is_empty()) else {
            continue;
        };
        let sets = known.scopes;
        let mut sets_granted = sets
            .iter()
            .map(|set| set.iter().all(|scope| granted.contains(scope)));
        if sets_granted.any(|granted| granted) {
            continue;
        }
        let first = sets.first().copied().into_iter().flatten().copied();
        let missing: Vec<&str> = first.filter(|scope| !granted.contains(scope)).collect();
        let missing = missing.join(" and ");
        let message = format!("the event `{event}` is not delivered without the scope {missing}");
        // A page may not list every set: a granular set may be enough too.
        let severity = if known.documented_only {
            Severity::Warning
        } else {
            Severity::Error
        };
        let help = "add it to `permissions.scopes`";
        let path = path_of_event(trigger, event);
        findings.add(severity, &EVENT_WITHOUT_SCOPE, &path, message, help);
    }
}

const KNOWN_EVENT: Rule = Rule::lint(
    "known-event",
    "This version knows an event that is listed in `unknown_events`. Forge delivers it, but its scopes are not added \
    automatically: move it to `events`.",
);

fn known(findings: &mut Findings<'_>) {
    let unknown = &findings.wanted.unknown_events;
    for (trigger, event) in named_events(findings.manifest()) {
        if unknown.contains(event) && events::is_known(event) {
            let message = format!("`{event}` is a known event in this version");
            let help = "move it from `unknown_events` to `events`, so that its scopes are added";
            findings.warning(&KNOWN_EVENT, &path_of_event(trigger, event), message, help);
        }
    }
}

const UNKNOWN_EVENT: Rule = Rule::lint(
    "unknown-event",
    "Forge's packages and documentation have no event of this name. `forge deploy` accepts any text, and never calls \
    the trigger. If Atlassian added the event after this version, allow it.",
);

const UNINSTALLED_EVENT: Rule = Rule::lint(
    "uninstalled-event",
    "Forge sends no event when an app is uninstalled: a trigger that waits for one is never called, and the data stays. \
    Use the module `preUninstall`: `#[pre_uninstall]` on a handler.",
);

fn unknown(findings: &mut Findings<'_>) {
    for (trigger, event) in named_events(findings.manifest()) {
        let is_declared = findings.wanted.unknown_events.contains(event);
        let path = path_of_event(trigger, event);
        if events::is_uninstalled(event) {
            let message = format!("Forge never sends `{event}`");
            let help = "use the module `preUninstall`: annotate a handler with `#[pre_uninstall]`";
            findings.warning(&UNINSTALLED_EVENT, &path, message, help);
        } else if !events::is_known(event) && !is_declared && !event.contains("${") {
            let message = format!("Forge has no event `{event}` that this version knows");
            let known = events::all().map(|event| event.name);
            let help = did_you_mean(event, known).unwrap_or_else(|| {
                "see https://developer.atlassian.com/platform/forge/events-reference/".to_owned()
            });
            findings.warning(&UNKNOWN_EVENT, &path, message, help);
        }
    }
}

const NO_PRE_UNINSTALL: Rule = Rule::lint(
    "no-pre-uninstall",
    "The app acts when it is uninstalled, in callbacks of `Tokens::on_removed` or by ending the waiting jobs, but Forge \
    announces an uninstallation only to a module `preUninstall`, which the manifest lacks: the installation's data and jobs stay. \
    Add `App::keep_tokens_fresh`, or a `#[pre_uninstall]` handler that calls `Tokens::remove`. A handler that does not take `Tokens` \
    cannot call it, so this rule names it as well.",
);

fn uninstallation(findings: &mut Findings<'_>) {
    let module_type = kinds::PRE_UNINSTALL.module_type;
    let wanted = findings.wanted;
    let mut modules = findings.modules();
    let has_module =
        wanted.modules.contains_key(module_type) || modules.any(|(name, _)| name == module_type);
    if wanted.needs_pre_uninstall && !has_module {
        let message = "the app is not called when it is uninstalled, so the callbacks of `Tokens::on_removed` never run, \
                       and waiting jobs are not ended";
        let help = "add `App::keep_tokens_fresh`, or a `#[pre_uninstall]` handler that calls `Tokens::remove`";
        let path = ManifestPath::of(&["modules"]);
        findings.warning(&NO_PRE_UNINSTALL, &path, message, help);
    }
    for (function, place) in &wanted.uninstallations_without_tokens {
        let message = format!(
            "`{function}` is called before an uninstallation and does not take `Tokens`, so it removes no token: the callbacks \
             of `Tokens::on_removed` never run, and waiting jobs are not ended"
        );
        let help = "take `tokens: Tokens`, and call `tokens.remove(call.installation_id())`";
        let finding = Diagnostic::new(&NO_PRE_UNINSTALL, Severity::Warning, message);
        findings.found.push(finding.at([*place]).help(help));
    }
}

fn properties(findings: &mut Findings<'_>) {
    let triggers = triggers(findings.manifest()).iter();
    let all: BTreeSet<String> = triggers.flat_map(property_paths).collect();
    if all.len() > MAX_PROPERTIES {
        let message = format!(
            "the triggers name {} entity properties, and Forge's limit is {MAX_PROPERTIES} for all of them together: {}",
            all.len(),
            Vec::from_iter(all).join(", ")
        );
        let path = ManifestPath::of(&["modules", "trigger"]);
        let help = "list fewer, or fetch the properties when the event arrives";
        findings.warning(&TOO_MANY_PROPERTIES, &path, message, help);
    }
}

/// Returns the entity properties that a trigger names, in its filters and for the payload.
fn property_paths(trigger: &Value) -> Vec<String> {
    let mut paths: Vec<String> = included_paths(trigger).map(str::to_owned).collect();
    for part in parts(trigger) {
        let expression = filter(part, "expression").and_then(Value::as_str);
        let expression = expression.unwrap_or_default();
        paths.extend(expression.split("event.runtime.").skip(1).map(leading_path));
    }
    paths
}

/// Returns the path that an expression begins with.
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

const ON_ERROR_ALONE: Rule = Rule::lint(
    "on-error-alone",
    "`filter.onError` decides what happens to an event when `filter.expression` fails; without an expression it has \
    no effect, and Atlassian's documentation requires both. Add an expression, or remove `onError`.",
);

const IGNORE_SELF: Rule = Rule::lint(
    "ignore-self",
    "Atlassian's validation accepts `ignoreSelf` only if every event of the trigger is Jira's, although a page of its \
    documentation shows it with an event of Confluence. For other events, check the payload's `selfGenerated`.",
);

fn filters(findings: &mut Findings<'_>) {
    for trigger in triggers(findings.manifest()) {
        for part in parts(trigger) {
            if filter(part, "onError").is_some() && filter(part, "expression").is_none() {
                let path = ManifestPath::of_module("trigger", trigger).name("filter");
                let message = "`onError` has no effect without `expression`";
                let help = "write `expression`, or remove `onError`";
                findings.warning(&ON_ERROR_ALONE, &path, message, help);
            }
            if filter(part, "ignoreSelf").and_then(Value::as_bool) != Some(true) {
                continue;
            }
            let own = part.get("eventType").into_iter();
            let listed = list(part, &["events"]);
            let mut names = own.chain(listed).filter_map(Value::as_str);
            if let Some(other) = names.find(|event| !event.contains("jira")) {
                findings.error(
                    &IGNORE_SELF,
                    &path_of_event(trigger, other),
                    format!("Atlassian's validation rejects `ignoreSelf` with `{other}`: it is for Jira's events only"),
                    "remove it, and check the payload's `selfGenerated`; or move Jira's events to a separate trigger",
                );
            }
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
