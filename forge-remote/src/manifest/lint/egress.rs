//! The addresses of `permissions.external` that Atlassian's validation warns of.

use forge_remote_schema::structure::{ANY_ADDRESS, has_path};

use super::findings::{Findings, Topic};
use crate::diagnostic::{Rule, Severity};
use crate::manifest::tree::Node;

pub(super) const TOPIC: Topic = Topic {
    rules: &[&ANY_ADDRESS_ALLOWED, &IGNORED_PATH],
    check: |findings| {
        for (list, is_backend) in lists(findings) {
            for item in list.items() {
                let address = item.get("address").unwrap_or(item);
                if let Some(text) = address.scalar() {
                    check(address, text, is_backend, findings);
                }
            }
        }
    },
};

/// Returns the lists of addresses, each with whether functions call what it has.
fn lists<'a>(findings: &Findings<'a>) -> Vec<(&'a Node, bool)> {
    let external = findings.node(&["permissions", "external"]);
    let entries = external.map(Node::entries).unwrap_or_default().iter();
    let mut lists = Vec::new();
    for entry in entries {
        match entry.key.scalar() {
            Some("fetch") => {
                let fetch = |name: &str| entry.value.get(name);
                lists.extend(fetch("backend").map(|list| (list, true)));
                lists.extend(fetch("client").map(|list| (list, false)));
            }
            _ => lists.push((&entry.value, false)),
        }
    }
    lists
}

fn check(node: &Node, address: &str, is_backend: bool, findings: &mut Findings<'_>) {
    if address == ANY_ADDRESS {
        let message = "`*` lets the app reach every address";
        let help = "list the addresses that it needs";
        findings.add_at(Severity::Warning, &ANY_ADDRESS_ALLOWED, node, message, help);
    }
    // Only the environment knows a variable's value.
    if is_backend && !address.contains("${") && has_path(address) {
        let message =
            format!("Forge ignores the path of `{address}`: functions may call the whole host");
        findings.add_at(
            Severity::Warning,
            &IGNORED_PATH,
            node,
            message,
            "write the host alone",
        );
    }
}

const ANY_ADDRESS_ALLOWED: Rule = Rule::lint(
    "any-address",
    "`permissions.external` lists `*`, so data may leave for any address, which each site's administrator is asked to \
    accept. Atlassian's validation warns of it. List the addresses that the app needs.",
);

const IGNORED_PATH: Rule = Rule::lint(
    "ignored-path",
    "An address of `permissions.external.fetch.backend` has a path. Forge compares only the host, as Atlassian's validation \
    warns. Write the host alone.",
);
