//! The endpoints, remotes, functions, resources and actions that the manifest's parts name.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::did_you_mean;
use forge_remote_schema::kinds::ENDPOINT;

use super::findings::{Findings, Topic, text_of};
use crate::diagnostic::Rule;
use crate::manifest::desired::Entry;
use crate::manifest::items::{
    ACTION_LISTS, PageEndpoint, key, modules, named_endpoints, page_endpoints,
};
use crate::manifest::path::ManifestPath;
use crate::manifest::tree::Node;
use crate::manifest::values::list;
use crate::manifest::variables::is_variable;

pub(super) const TOPIC: Topic = Topic {
    rules: &[&DANGLING_ENDPOINT, &DANGLING_REFERENCE, &REJECTED_CALLER],
    check: |findings| {
        dangling(findings);
        references(findings);
        callers(findings);
    },
};

const DANGLING_ENDPOINT: Rule = Rule::lint(
    "dangling-endpoint",
    "A module names an endpoint that the manifest doesn't have, so its calls reach no handler; `forge deploy` rejects it. \
    Correct the key, or add the endpoint: `manifest --write` adds those of the code.",
);

fn dangling(findings: &mut Findings<'_>) {
    let known: BTreeSet<&str> = list(findings.manifest(), &["modules", "endpoint"])
        .iter()
        .filter_map(key)
        .collect();
    let misplaced = findings.node(&["endpoint"]);
    let ours: BTreeSet<&str> = findings.wanted.endpoints.iter().map(Entry::key).collect();
    for (module_type, _, item) in modules(findings.manifest()) {
        if module_type == "endpoint" {
            continue;
        }
        let mut named = Vec::new();
        named_endpoints(item, &mut Vec::new(), &mut |_, endpoint| {
            named.push(endpoint)
        });
        // A variable without a default has an unknown value.
        let is_unknown = |name: &&str| !is_variable(name) && !known.contains(name);
        for name in named.into_iter().filter(is_unknown) {
            let message = format!(
                "{module_type} `{}` calls the endpoint `{name}`, which doesn't exist",
                key(item).unwrap_or_default()
            );
            let at_root = misplaced.map(Node::items).unwrap_or_default();
            let help = if at_root
                .iter()
                .any(|item| text_of(item, "key") == Some(name))
            {
                "`endpoint` is at the root of the manifest: move it under `modules`".to_owned()
            } else if ours.contains(name) {
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

const DANGLING_REFERENCE: Rule = Rule::lint(
    "dangling-reference",
    "A part of the manifest names a remote, function, resource, service or action that the manifest doesn't have; \
    `forge deploy` rejects it. Correct the key, or add the part.",
);

/// Returns the actions that a module lists, as nodes.
pub(super) fn listed_actions<'a>(module_type: &str, item: &'a Node) -> &'a [Node] {
    let mut lists = ACTION_LISTS.iter().filter(|(name, _)| *name == module_type);
    let path = lists.next().map_or(&[][..], |(_, path)| path);
    let list = path.iter().try_fold(item, |node, name| node.get(name));
    list.filter(|_| !path.is_empty())
        .map(Node::items)
        .unwrap_or_default()
}

/// Reports the names that are not keys of the list they refer to.
fn references(findings: &mut Findings<'_>) {
    let mut named: Vec<(&str, &str, &Node)> = Vec::new();
    for (module_type, item) in findings.modules() {
        // Atlassian's validation looks at the properties of a module and of the mappings in it.
        let nested = item
            .entries()
            .iter()
            .flat_map(|entry| entry.value.entries());
        for entry in item.entries().iter().chain(nested) {
            match entry.key.scalar() {
                Some("function") => named.push((module_type, "function", &entry.value)),
                Some("resource") => named.push((module_type, "resource", &entry.value)),
                Some("remote") if matches!(module_type, "endpoint" | "migration:dataResidency") => {
                    named.push((module_type, "remote", &entry.value));
                }
                Some("service") if module_type == "endpoint" => {
                    named.push((module_type, "service", &entry.value));
                }
                _ => {}
            }
        }
        let actions = listed_actions(module_type, item).iter();
        named.extend(actions.map(|action| (module_type, "action", action)));
    }
    for side in ["backend", "client"] {
        let addresses = findings.items(&["permissions", "external", "fetch", side]);
        let remotes = addresses.iter().filter_map(|address| address.get("remote"));
        named.extend(remotes.map(|remote| ("permissions.external.fetch", "remote", remote)));
    }
    let connect = findings.node(&["app", "connect", "remote"]);
    named.extend(connect.map(|remote| ("app.connect", "remote", remote)));

    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (owner, what, node) in named {
        // A mapping is reported by the table of properties, a variable's value is unknown.
        let Some(name) = node
            .scalar()
            .filter(|name| !name.is_empty() && !name.contains("${"))
        else {
            continue;
        };
        let key = if what == "resource" {
            name.split('/').next().unwrap_or(name)
        } else {
            name
        };
        let list: &[&str] = match what {
            "remote" => &["remotes"],
            "resource" => &["resources"],
            "service" => &["services"],
            "function" => &["modules", "function"],
            _ => &["modules", "action"],
        };
        let known = keys.entry(what).or_insert_with(|| {
            let items = findings.items(list).iter();
            items.filter_map(|item| text_of(item, "key")).collect()
        });
        if !known.contains(key) {
            let message = format!("{owner} names the {what} `{key}`, which doesn't exist");
            let help = did_you_mean(key, known.iter().copied())
                .unwrap_or_else(|| format!("add it to `{}`, or correct the name", list.join(".")));
            findings.error_at(&DANGLING_REFERENCE, node, message, help);
        }
    }
}

const REJECTED_CALLER: Rule = Rule::lint(
    "rejected-caller",
    "A hand-written module names an endpoint whose handler is for other calls: a page's resolver names a handler that \
    only the platform calls, or a macro's static export names a handler of another module. The handler would reject each \
    call with 401. Name another handler, or write an `#[endpoint]`.",
);

fn callers(findings: &mut Findings<'_>) {
    let wanted = findings.wanted;
    let ours: BTreeSet<&str> = wanted.endpoints.iter().map(Entry::key).collect();
    for (module_type, _, item) in modules(findings.manifest()) {
        for PageEndpoint {
            kind,
            place,
            endpoint,
        } in page_endpoints(module_type, item)
        {
            let (takes, help) = if kind.attribute == ENDPOINT.attribute {
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
                findings.error(&REJECTED_CALLER, &path, message, help);
            }
        }
    }
}
