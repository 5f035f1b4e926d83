//! Rules of single module types.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::{Findings, Topic, text_of};
use super::references::listed_actions;
use crate::diagnostic::{Rule, Severity};
use crate::manifest::tree::Node;

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &TOO_MANY_MODULES,
        &DUPLICATE_JQL_FUNCTION,
        &OUTPUTS_OF_RESPONSE,
        &TWO_CALLEES,
        &OUTPUTS_WITHOUT_CONTEXT,
        &UNREFERENCED_ACTION,
        &SERVICE_ENDPOINT,
        &OLD_AGENT_VERSION,
        &PROVIDER_WITHOUT_CONNECT,
        &DEPRECATED_MODULE,
    ],
    check: |findings| {
        data_residency(findings);
        jql_functions(findings);
        web_triggers(findings);
        actions(findings);
        agents(findings);
        security_providers(findings);
        deprecated(findings);
    },
};

/// Returns the modules of a type.
fn of_type<'a>(findings: &Findings<'a>, module_type: &str) -> &'a [Node] {
    findings.items(&["modules", module_type])
}

/// Returns the node to point at for a module.
fn place(item: &Node) -> &Node {
    item.get("key").unwrap_or(item)
}

const TOO_MANY_MODULES: Rule = Rule::lint(
    "too-many-modules",
    "An app can have one `migration:dataResidency`, and at most 20 actions in all its `automation:actionProvider` \
    modules; `forge deploy` rejects more. Remove the others, or merge them.",
);

fn data_residency(findings: &mut Findings<'_>) {
    if let Some(second) = of_type(findings, "migration:dataResidency").get(1) {
        let message = "an app can have only one `migration:dataResidency`";
        findings.error_at(
            &TOO_MANY_MODULES,
            place(second),
            message,
            "remove one of them",
        );
    }
    let providers = of_type(findings, "automation:actionProvider").iter();
    let mut actions = providers.flat_map(|item| listed_actions("automation:actionProvider", item));
    if let Some(action) = actions.nth(20) {
        let message = "the modules `automation:actionProvider` list more than 20 actions";
        findings.error_at(&TOO_MANY_MODULES, action, message, "remove some of them");
    }
}

const DUPLICATE_JQL_FUNCTION: Rule = Rule::lint(
    "duplicate-jql-function",
    "The names of an app's JQL functions must differ in more than their case; `forge deploy` rejects the manifest. \
    Rename one of them.",
);

fn jql_functions(findings: &mut Findings<'_>) {
    let mut lines = BTreeMap::new();
    for item in of_type(findings, "jira:jqlFunction") {
        let Some(node) = item.get("name") else {
            continue;
        };
        let name = node.scalar().unwrap_or_default();
        if let Some(first) = lines.insert(name.to_lowercase(), node.at.line) {
            let message = format!("a JQL function has the name `{name}` already, in line {first}");
            findings.error_at(
                &DUPLICATE_JQL_FUNCTION,
                node,
                message,
                "choose another name",
            );
        }
    }
}

const OUTPUTS_OF_RESPONSE: Rule = Rule::lint(
    "outputs-of-response",
    "A web trigger's response must have `outputs` if its type is `static`, and must not have them if it is \
    `dynamic`; `forge deploy` rejects the manifest otherwise. Change the type, or add or remove `outputs`.",
);

fn web_triggers(findings: &mut Findings<'_>) {
    for item in of_type(findings, "webtrigger") {
        let Some(response) = item.get("response") else {
            continue;
        };
        let outputs = response.entry("outputs");
        match (response.get("type").and_then(Node::scalar), outputs) {
            (Some("static"), None) => {
                let at = response.get("type").unwrap_or(response);
                let message = "a static response has no `outputs`";
                findings.error_at(&OUTPUTS_OF_RESPONSE, at, message, "add `outputs`");
            }
            (Some("dynamic"), Some(outputs)) => {
                let message = "a dynamic response has `outputs`";
                let help = "remove them, or write `type: static`";
                findings.error_at(&OUTPUTS_OF_RESPONSE, &outputs.key, message, help);
            }
            _ => {}
        }
    }
}

const TWO_CALLEES: Rule = Rule::lint(
    "two-callees",
    "An action names an `endpoint` and a `function`. Atlassian's validation accepts both, and no page states which of them \
    Forge calls. Remove one of them.",
);

const OUTPUTS_WITHOUT_CONTEXT: Rule = Rule::lint(
    "outputs-without-context",
    "An action of a function that has `outputs` needs `outputContext`; `forge deploy` rejects it otherwise. \
    Add `outputContext`, or remove `outputs`.",
);

const UNREFERENCED_ACTION: Rule = Rule::lint(
    "unreferenced-action",
    "No `rovo:agent`, `rovo:skill`, `rovo:mcp` or `automation:actionProvider` names the action, so nothing calls it. \
    Name it there, or remove the action.",
);

fn actions(findings: &mut Findings<'_>) {
    let modules = findings.modules();
    let listed = modules.flat_map(|(module_type, item)| listed_actions(module_type, item));
    let named: BTreeSet<&str> = listed.filter_map(Node::scalar).collect();
    for item in of_type(findings, "action") {
        if let (Some(function), Some(_)) = (item.entry("function"), item.get("endpoint")) {
            let message = "an action names both an `endpoint` and a `function`";
            let help = "remove the one that Forge should not call";
            findings.error_at(&TWO_CALLEES, &function.key, message, help);
        } else if let Some(outputs) = item.entry("outputs")
            && item.get("function").is_some()
            && item.get("outputContext").is_none()
        {
            let message = "an action with `outputs` has no `outputContext`";
            let help = "add `outputContext`, or remove `outputs`";
            findings.error_at(&OUTPUTS_WITHOUT_CONTEXT, &outputs.key, message, help);
        }
        let key = text_of(item, "key").unwrap_or_default();
        if !named.contains(key) {
            let message = format!("no module names the action `{key}`, so nothing calls it");
            let help = "list it in `actions` of a `rovo:agent` or an `automation:actionProvider`";
            findings.add_at(
                Severity::Warning,
                &UNREFERENCED_ACTION,
                place(item),
                message,
                help,
            );
        }
    }
}

const SERVICE_ENDPOINT: Rule = Rule::lint(
    "service-endpoint",
    "An agent connector's endpoint must name a remote; `forge deploy` rejects an endpoint of a container service. \
    Name a remote in the endpoint.",
);

const OLD_AGENT_VERSION: Rule = Rule::lint(
    "old-agent-version",
    "Since `rovo:agentConnector` is generally available (2026-09-28), agents are called by version 1.0 of the \
    Agent2Agent protocol. Atlassian's validation still accepts 0.3.",
);

fn agents(findings: &mut Findings<'_>) {
    let endpoints = of_type(findings, "endpoint").iter();
    let of_services: BTreeSet<&str> = endpoints
        .filter(|item| item.get("service").is_some())
        .filter_map(|item| text_of(item, "key"))
        .collect();
    for item in of_type(findings, "rovo:agentConnector") {
        let protocol = item
            .get("protocols")
            .and_then(|node| node.get("agent2Agent"));
        let transport = protocol.and_then(|node| node.get("jsonRpcTransport"));
        if let Some(endpoint) = transport.and_then(|node| node.get("endpoint"))
            && endpoint
                .scalar()
                .is_some_and(|name| of_services.contains(name))
        {
            let message = "an agent connector names the endpoint of a service";
            findings.error_at(
                &SERVICE_ENDPOINT,
                endpoint,
                message,
                "name an endpoint of a remote",
            );
        }
        if let Some(version) = protocol.and_then(|node| node.get("version"))
            && version.scalar() == Some("0.3")
        {
            let message = "agents are called by Agent2Agent 1.0";
            findings.add_at(
                Severity::Warning,
                &OLD_AGENT_VERSION,
                version,
                message,
                "write `version: \"1.0\"`",
            );
        }
    }
}

const PROVIDER_WITHOUT_CONNECT: Rule = Rule::lint(
    "provider-without-connect",
    "Jira lists a `devops:securityInfoProvider` only for apps that have `app.connect.key`, although the module is generally \
    available. Atlassian's issue: ECO-1602.",
);

fn security_providers(findings: &mut Findings<'_>) {
    if findings.node(&["app", "connect", "key"]).is_some() {
        return;
    }
    for item in of_type(findings, "devops:securityInfoProvider") {
        let message = "Jira does not list a security provider of an app without `app.connect.key`";
        let help = "add `app.connect.key`; see https://jira.atlassian.com/browse/ECO-1602";
        findings.add_at(
            Severity::Note,
            &PROVIDER_WITHOUT_CONNECT,
            place(item),
            message,
            help,
        );
    }
}

const DEPRECATED_MODULE: Rule = Rule::lint(
    "deprecated-module",
    "Atlassian has deprecated this module type. `jira:fullPage` and `confluence:fullPage` are replaced by \
    `global:fullPage`. Source: https://developer.atlassian.com/changelog/#CHANGE-3380",
);

/// Deprecated module types, each with its replacement.
const DEPRECATED: &[(&str, &str)] = &[
    ("confluence:fullPage", "global:fullPage"),
    ("jira:fullPage", "global:fullPage"),
];

fn deprecated(findings: &mut Findings<'_>) {
    for (module_type, replacement) in DEPRECATED {
        for item in of_type(findings, module_type) {
            let message = format!("`{module_type}` is deprecated");
            let help = format!("write `{replacement}` in its place");
            findings.add_at(
                Severity::Note,
                &DEPRECATED_MODULE,
                place(item),
                message,
                help,
            );
        }
    }
}
