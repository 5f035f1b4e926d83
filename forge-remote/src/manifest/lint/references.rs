//! The endpoints that modules name.

use std::collections::BTreeSet;

use forge_remote_schema::did_you_mean;
use forge_remote_schema::kinds::{RESOLVER, page_places};
use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::desired::Entry;
use crate::manifest::items::{endpoint_at, key, modules};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::list;

pub(super) const TOPIC: Topic = Topic {
    rules: &[&DANGLING_ENDPOINT, &REFUSED_CALLER],
    check: |findings| {
        dangling(findings);
        callers(findings);
    },
};

const DANGLING_ENDPOINT: Rule = Rule::lint(
    "dangling-endpoint",
    "A module names an endpoint that the manifest doesn't have, so its calls reach no handler; `forge deploy` rejects it.",
);

fn dangling(findings: &mut Findings<'_>) {
    let known: BTreeSet<&str> = list(findings.manifest(), &["modules", "endpoint"])
        .iter()
        .filter_map(key)
        .collect();
    let ours: BTreeSet<&str> = findings.wanted.endpoints.iter().map(Entry::key).collect();
    for (module_type, _, item) in modules(findings.manifest()) {
        if module_type == "endpoint" {
            continue;
        }
        let mut named = Vec::new();
        collect(item, &mut named);
        for name in named.into_iter().filter(|name| !known.contains(name)) {
            let message = format!(
                "{module_type} `{}` calls the endpoint `{name}`, which doesn't exist",
                key(item).unwrap_or_default()
            );
            let help = if ours.contains(name) {
                "its handler is in the code: `manifest --write` adds the endpoint".to_owned()
            } else {
                did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
                    format!(
                        "annotate a handler with `#[endpoint(key = \"{name}\")]`, or remove the module"
                    )
                })
            };
            let path = ManifestPath::of_module(module_type, item);
            findings.error(&DANGLING_ENDPOINT, &path, message, help);
        }
    }
}

/// Collects the endpoints that a module names at any depth.
fn collect<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    for (name, value) in value.as_mapping().into_iter().flatten() {
        match value {
            Value::String(endpoint) if name.as_str() == Some("endpoint") => into.push(endpoint),
            Value::Mapping(_) => collect(value, into),
            _ => {}
        }
    }
}

const REFUSED_CALLER: Rule = Rule::lint(
    "rejected-caller",
    "A hand-written module names an endpoint whose handler is for other calls: a page's resolver names a handler that \
    only the platform calls, or a macro's static export names a handler of another module. The handler would reject each \
    call with 401. Name another handler, or write an `#[endpoint]`.",
);

fn callers(findings: &mut Findings<'_>) {
    let wanted = findings.wanted;
    let ours: BTreeSet<&str> = wanted.endpoints.iter().map(Entry::key).collect();
    for (module_type, _, item) in modules(findings.manifest()) {
        for place in page_places() {
            let Some(endpoint) = endpoint_at(item, place) else {
                continue;
            };
            let (takes, help) = if place == RESOLVER {
                let help = "only an `#[endpoint]` accepts a page's calls";
                (&wanted.resolvers, help)
            } else {
                let help = "the handler has its own module: name an `#[endpoint]` here";
                (&wanted.pages, help)
            };
            if ours.contains(endpoint) && !takes.contains(endpoint) {
                let path = place
                    .iter()
                    .fold(ManifestPath::of_module(module_type, item), |path, name| {
                        path.name(name)
                    });
                let message =
                    format!("the handler of `{endpoint}` rejects calls of {path} with 401");
                findings.error(&REFUSED_CALLER, &path, message, help);
            }
        }
    }
}
