//! Shapes that crash Atlassian's validator.

use forge_remote_schema::structure;
use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::items::modules;
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

pub(super) const TOPIC: Topic = Topic {
    rules: &[&CRASHES_VALIDATOR],
    check: |findings| {
        absent_values(findings);
        triggers(findings);
    },
};

const CRASHES_VALIDATOR: Rule = Rule::lint(
    "crashes-validator",
    "Atlassian's validator crashes on this shape and then reports nothing, not even the faults elsewhere in the file. \
    Write a value, or remove the property.",
);

/// Finds properties without a value.
fn absent_values(findings: &mut Findings<'_>) {
    for (module_type, _, item) in modules(findings.manifest()) {
        // The table of properties reports the ones that it has.
        let shape = structure::module(module_type);
        let is_listed = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            shape.is_some_and(|shape| !shape.open || shape.property(name).is_some())
        };
        let mut properties = item.as_mapping().into_iter().flatten();
        let absent = properties.find(|(name, value)| value.is_null() && !is_listed(name));
        if let Some((name, _)) = absent {
            let name = name.as_str().unwrap_or_default();
            findings.warning(
                &CRASHES_VALIDATOR,
                &ManifestPath::of_module(module_type, item).name(name),
                format!(
                    "`{name}` has no value, which crashes Atlassian's validator on several modules"
                ),
                "give it a value, or remove it",
            );
        }
    }
}

fn triggers(findings: &mut Findings<'_>) {
    for trigger in list(findings.manifest(), &["modules", "trigger"]) {
        let events = trigger.get("events").and_then(Value::as_sequence);
        let ignores_self = at(trigger, &["filter", "ignoreSelf"]).is_some();
        let shape = match events {
            Some(events) if events.is_empty() => "an empty list of events",
            Some(events) if ignores_self && events.iter().any(Value::is_mapping) => {
                "`filter.ignoreSelf` together with events in object form"
            }
            _ => continue,
        };
        findings.error(
            &CRASHES_VALIDATOR,
            &ManifestPath::of_module("trigger", trigger).name("events"),
            format!("{shape} crashes Atlassian's validator, which then reports nothing"),
            "write the filter into each event, or the events as plain names",
        );
    }
}
