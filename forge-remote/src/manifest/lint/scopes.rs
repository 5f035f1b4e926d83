//! Scopes: unknown ones and unneeded ones.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::{did_you_mean, events, scopes as forge_scopes};

use super::findings::{Findings, Topic, text_of};
use super::triggers::named_events;
use crate::diagnostic::{Rule, Severity};
use crate::manifest::desired::Scope;
use crate::manifest::items::{allows_impersonation, granted, modules};
use crate::manifest::path::ManifestPath;
use crate::manifest::tree::Node;
use crate::manifest::variables::is_variable;

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &UNKNOWN_SCOPE,
        &DUPLICATE_SCOPE,
        &MODULE_WITHOUT_SCOPE,
        &UNNEEDED_SCOPE,
        &UNNEEDED_IMPERSONATION,
        &UNMANAGED_PERMISSIONS,
    ],
    check: |findings| {
        unknown(findings);
        duplicates(findings);
        of_modules(findings);
        unneeded(findings);
        enforcement(findings);
    },
};

fn path_of(scope: &str) -> ManifestPath {
    ManifestPath::of(&["permissions", "scopes"]).value(scope)
}

const UNKNOWN_SCOPE: Rule = Rule::lint(
    "unknown-scope",
    "Forge has no scope of this name; `forge deploy` rejects it. Correct the name, or remove it.",
);

fn unknown(findings: &mut Findings<'_>) {
    let is_unknown = |scope: &&str| !forge_scopes::is_known(scope) && !is_variable(scope);
    for scope in granted(findings.manifest()).filter(is_unknown) {
        let message = format!("Forge has no scope `{scope}`");
        let path = path_of(scope);
        match did_you_mean(scope, forge_scopes::all()) {
            Some(help) => {
                findings.error(&UNKNOWN_SCOPE, &path, message, help);
            }
            // Atlassian may have added it after this version's list was made.
            None => {
                let message = format!("{message} that this version knows");
                let help = "check Atlassian's list of scopes; if the scope is in it, allow this";
                findings.warning(&UNKNOWN_SCOPE, &path, message, help);
            }
        }
    }
}

const DUPLICATE_SCOPE: Rule = Rule::lint(
    "duplicate-scope",
    "`permissions.scopes` lists the scope twice. Atlassian's validation accepts this; the duplicate has no effect. \
    Remove one.",
);

fn duplicates(findings: &mut Findings<'_>) {
    let mut lines = BTreeMap::new();
    for scope in findings.items(&["permissions", "scopes"]) {
        let name = scope.scalar().unwrap_or_default();
        if let Some(first) = lines.insert(name, scope.at.line) {
            let message = format!("the scope `{name}` stands twice, first in line {first}");
            findings.add_at(
                Severity::Warning,
                &DUPLICATE_SCOPE,
                scope,
                message,
                "remove one of the two",
            );
        }
    }
}

const MODULE_WITHOUT_SCOPE: Rule = Rule::lint(
    "module-without-scope",
    "Atlassian's validation requires this scope for the module: a merge check needs read:pullrequest:bitbucket, an agent \
    connector needs a scope for each of its product contexts. Add it to `permissions.scopes`.",
);

fn of_modules(findings: &mut Findings<'_>) {
    let granted: BTreeSet<&str> = granted(findings.manifest()).collect();
    let declared = findings.wanted.modules.iter();
    let declared = declared.flat_map(|(module_type, entries)| {
        entries.iter().map(move |entry| (*module_type, entry.key()))
    });
    let declared: BTreeSet<(&str, &str)> = declared.collect();
    for (module_type, item) in findings.modules() {
        let needed: Vec<&str> = match module_type {
            "bitbucket:mergeCheck" => vec!["read:pullrequest:bitbucket"],
            "rovo:agentConnector" => {
                let contexts = item
                    .get("productContexts")
                    .map(Node::items)
                    .unwrap_or_default();
                let scopes = contexts
                    .iter()
                    .filter_map(|context| match context.scalar()? {
                        "jira" => Some("read:jira-work"),
                        "confluence" => Some("read:confluence-content.all"),
                        _ => None,
                    });
                scopes.collect()
            }
            _ => continue,
        };
        let key = text_of(item, "key").unwrap_or_default();
        // The comparison reports the scopes of the code's modules.
        if declared.contains(&(module_type, key)) {
            continue;
        }
        let at = item.get("key").unwrap_or(item);
        for scope in needed.into_iter().filter(|scope| !granted.contains(scope)) {
            let message = format!("{module_type} `{key}` needs the scope {scope}");
            findings.error_at(
                &MODULE_WITHOUT_SCOPE,
                at,
                message,
                "add it to `permissions.scopes`",
            );
        }
    }
}

const UNNEEDED_SCOPE: Rule = Rule::lint(
    "unneeded-scope",
    "No handler needs this scope. Something else may: a function, a page, a call that the code makes without listing its \
    scope. Scopes are never removed automatically, because the admins' consent depends on them.",
);

const UNNEEDED_IMPERSONATION: Rule = Rule::lint(
    "unneeded-impersonation",
    "The manifest allows this scope to be used for users who are not in session, and `App::impersonation_scopes` doesn't list \
    it: a leaked system token could act as any user. Remove `allowImpersonation`, or list the scope.",
);

fn unneeded(findings: &mut Findings<'_>) {
    let (manifest, wanted) = (findings.manifest(), findings.wanted);
    // A function or a page may need a scope that the code does not list.
    let only_endpoints = modules(manifest)
        .all(|(module_type, _, item)| module_type == "endpoint" || item.get("endpoint").is_some());
    if !only_endpoints {
        return;
    }
    // A manifest may grant more than one of the alternative sets.
    let of_events = named_events(manifest)
        .filter_map(|(_, event)| events::find(event))
        .flat_map(|event| event.scopes.iter().copied().flatten().copied());
    let of_modules = wanted.alternatives.iter().flat_map(|one| one.sets);
    let useful: BTreeSet<&str> = of_events
        .chain(of_modules.copied().flatten().copied())
        .collect();
    let needed = wanted.scopes_given(&granted(manifest).collect());
    let names = |of: &dyn Fn(&&Scope) -> bool| -> BTreeSet<&str> {
        let scopes = needed.iter().filter(|scope| of(scope));
        scopes.map(|scope| scope.name.as_str()).collect()
    };
    let impersonating = names(&|scope| scope.impersonation);
    let needed = names(&|_| true);
    for scope in granted(manifest) {
        let path = path_of(scope);
        if allows_impersonation(manifest, scope) && !impersonating.contains(scope) {
            let message = format!("nothing in the code acts for users with the scope `{scope}`");
            let help =
                "remove `allowImpersonation`, or list the scope in `App::impersonation_scopes`";
            findings.note(&UNNEEDED_IMPERSONATION, &path, message, help);
        }
        if forge_scopes::is_known(scope) && !needed.contains(scope) && !useful.contains(scope) {
            let message = format!("no handler needs the scope `{scope}`");
            let help = "list it in the attribute of the handler that needs it, or remove it";
            findings.note(&UNNEEDED_SCOPE, &path, message, help);
        }
    }
}

const UNMANAGED_PERMISSIONS: Rule = Rule::lint(
    "unmanaged-permissions",
    "With `permissions.enforcement: app-managed`, Forge runs the newest version of the app on installations whose \
    admins have not approved its scopes yet (rolling releases). `App::app_managed_permissions` makes the app check \
    the handlers' scopes before their calls. The manifest and the code must agree: set both, or neither. See \
    https://developer.atlassian.com/platform/forge/rolling-releases/",
);

/// Checks that the file and the code agree on rolling releases.
fn enforcement(findings: &mut Findings<'_>) {
    let node = findings.node(&["permissions", "enforcement"]);
    let is_managed = node.and_then(Node::scalar) == Some("app-managed");
    match (node.filter(|_| is_managed), findings.wanted.app_managed) {
        // The code may check scopes itself, or only Forge functions use them.
        (Some(node), false) => findings.add_at(
            Severity::Note,
            &UNMANAGED_PERMISSIONS,
            node,
            "the app may run before its scopes are approved, and calls are not checked for that",
            "call `App::app_managed_permissions`, or check scopes with `GrantedPermissions::has_scope`",
        ),
        (None, true) => findings.warning(
            &UNMANAGED_PERMISSIONS,
            &ManifestPath::of(&["permissions"]),
            "the code manages missing permissions, but Forge waits for the admins' approval before it runs a new version",
            "write `enforcement: app-managed` under `permissions`, or remove `App::app_managed_permissions`",
        ),
        _ => {}
    }
}
