//! Remotes: their keys, addresses, regions and data.

use std::collections::BTreeSet;

use forge_remote_schema::nearest;
use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::{Rule, Severity};
use crate::manifest::base_url;
use crate::manifest::desired::Entry;
use crate::manifest::items::{key, text};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};
use crate::manifest::variables::Variables;

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &DUPLICATE_REMOTE_KEY,
        &BASE_URL,
        &STORAGE_WITHOUT_EUD,
        &STORAGE_UNDECLARED,
        &NOT_FOR_FUNCTIONS,
        &REGIONS_DIFFER,
        &UNUSED_REMOTE,
        &AUTH_WITHOUT_COMPUTE,
        &NO_FUNCTION,
    ],
    check: |findings| {
        keys(findings);
        addresses(findings);
        storage(findings);
        undeclared_storage(findings);
        functions(findings);
        regions(findings);
        unused(findings);
        compute(findings);
        callers(findings);
    },
};

/// Returns the manifest's remotes with their paths.
fn remotes(manifest: &Value) -> impl Iterator<Item = (&Value, ManifestPath)> {
    list(manifest, &["remotes"]).iter().map(|remote| {
        let path = ManifestPath::of(&["remotes"]).item(key(remote).unwrap_or_default());
        (remote, path)
    })
}

const DUPLICATE_REMOTE_KEY: Rule = Rule::lint(
    "duplicate-remote-key",
    "Two remotes have the same key. Atlassian's validation accepts that, and which of them an endpoint calls is \
    undefined. Rename one of the two.",
);

fn keys(findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (remote, path) in remotes(findings.manifest()) {
        let key = key(remote).unwrap_or_default();
        if !seen.insert(key) {
            let message = format!("two remotes have the key `{key}`");
            let help = "give one of them a different key";
            findings.error(&DUPLICATE_REMOTE_KEY, &path, message, help);
        }
    }
}

const BASE_URL: Rule = Rule::lint(
    "base-url",
    "Atlassian's validation accepts any text as baseUrl. It must be `https://` and a host that Atlassian can reach, \
    without a trailing slash (the path of a call would begin with two). It may have a path: handlers are then served \
    at their own path and beneath it, because Atlassian's documentation is inconsistent on how the two are joined. \
    For different addresses in development and production, use a variable: `baseUrl: ${REMOTE_BASE_URL}`. The \
    variable's default and its current value must follow the same rules. A remote that only `permissions` name may \
    also use `wss://` and end with a slash, because pages connect to it and Forge does not call it.",
);

fn addresses(findings: &mut Findings<'_>) {
    let egress = only_permitted(findings);
    // Both the values of variables and their names are reported.
    let written = list(findings.written.value(), &["remotes"]);
    for ((remote, path), written) in remotes(findings.manifest()).zip(written) {
        let finding = match key(remote).is_some_and(|key| egress.contains(key)) {
            true => base_url::egress_finding,
            false => base_url::finding,
        };
        match written.get("baseUrl") {
            Some(Value::String(url)) => address(url, finding, &path.name("baseUrl"), findings),
            Some(Value::Mapping(urls)) => {
                for (region, url) in urls {
                    let region = region.as_str().unwrap_or_default();
                    let path = path.clone().name("baseUrl").name(region);
                    address(url.as_str().unwrap_or_default(), finding, &path, findings);
                }
            }
            _ => {}
        }
    }
}

/// Returns the remotes that only `permissions` name: no call by a remote's key goes there.
fn only_permitted<'a>(findings: &Findings<'a>) -> BTreeSet<&'a str> {
    let (mut permitted, mut called) = (BTreeSet::new(), BTreeSet::new());
    for (section, value) in findings.manifest().as_mapping().into_iter().flatten() {
        let is_permission = section.as_str() == Some("permissions");
        named(
            value,
            if is_permission {
                &mut permitted
            } else {
                &mut called
            },
        );
    }
    called.extend(findings.wanted.remotes.iter().map(Entry::key));
    // Functions call these.
    let computes = |remote: &&Value| list(remote, &["operations"]).contains(&"compute".into());
    let remotes = list(findings.manifest(), &["remotes"]).iter();
    called.extend(remotes.filter(computes).filter_map(key));
    permitted.difference(&called).copied().collect()
}

fn address(
    url: &str,
    finding: fn(&str) -> Option<(Severity, &'static str)>,
    path: &ManifestPath,
    findings: &mut Findings<'_>,
) {
    const HELP: &str =
        "write `https://`, a host and no trailing slash; or a variable, `${REMOTE_BASE_URL}`";
    let variables = Variables::of(findings.written.value());
    // The environment here, and where the variable is not set.
    let here = variables.resolve(url).ok();
    let default = variables.resolve_defaults(url).ok();
    let default = default.filter(|default| here.as_ref() != Some(default));
    for resolved in here.into_iter().chain(default) {
        let Some((severity, what)) = finding(&resolved) else {
            continue;
        };
        let message = if resolved == url {
            format!("the base URL `{url}` {what}")
        } else {
            format!("the base URL `{url}` is `{resolved}`, which {what}")
        };
        findings.add(severity, &BASE_URL, path, message, HELP);
    }
}

fn stores_user_data(remote: &Value) -> Option<bool> {
    at(remote, &["storage", "inScopeEUD"])?.as_bool()
}

const STORAGE_WITHOUT_EUD: Rule = Rule::lint(
    "storage-without-eud",
    "A remote with `operations: [storage]` must declare whether it stores end-user data: `storage: { inScopeEUD: true }` \
    or false. \
    Add the one that is true.",
);

fn storage(findings: &mut Findings<'_>) {
    for (remote, path) in remotes(findings.manifest()) {
        let stores = list(remote, &["operations"]).contains(&"storage".into());
        if stores && stores_user_data(remote).is_none() {
            let message = format!(
                "the remote `{}` stores data without declaring whether it is end-user data",
                key(remote).unwrap_or_default()
            );
            let help = "add `storage: { inScopeEUD: true }` (or false)";
            let path = path.name("operations");
            findings.error(&STORAGE_WITHOUT_EUD, &path, message, help);
        }
    }
}

const STORAGE_UNDECLARED: Rule = Rule::lint(
    "storage-undeclared",
    "A remote without `operations` counts as one that stores end-user data, and one with `compute` alone as one that does \
    not. `manifest --write` adds `compute` for the calls of the app's functions, and the remote also serves endpoints, \
    whose handlers may store such data. Declare what it does: `Remote::operations`, with `RemoteOperation::Compute` alone \
    if it stores none; otherwise also with `RemoteOperation::Storage`, and `Remote::in_scope_eud`.",
);

fn undeclared_storage(findings: &mut Findings<'_>) {
    let manifest = findings.manifest();
    let endpoints = list(manifest, &["modules", "endpoint"]).iter();
    let serving: BTreeSet<&str> = endpoints.filter_map(|one| text(one, "remote")).collect();
    for (remote, path) in remotes(manifest) {
        let key = key(remote).unwrap_or_default();
        let is_compute_alone = list(remote, &["operations"]) == [Value::from("compute")];
        if is_compute_alone
            && findings.wanted.with_added_operations.contains(key)
            && serving.contains(key)
            && stores_user_data(remote).is_none()
        {
            let message = format!(
                "the remote `{key}` counts as one that stores no end-user data, because its `operations` are `compute` \
                 alone, and it also serves endpoints"
            );
            let help = "declare what it does: `.operations([RemoteOperation::Compute])`, or also `Storage` with \
                        `.in_scope_eud(true)`";
            let path = path.name("operations");
            findings.warning(&STORAGE_UNDECLARED, &path, message, help);
        }
    }
}

const NOT_FOR_FUNCTIONS: Rule = Rule::lint(
    "not-for-functions",
    "A function can call a remote with `invokeRemote` only if the remote's `operations` list `compute`. This remote has \
    other `operations` alone, so each call of a function is rejected.",
);

/// Checks remotes that functions are meant to call.
/// Source: <https://developer.atlassian.com/platform/forge/runtime-reference/invoke-remote-api/>
fn functions(findings: &mut Findings<'_>) {
    let manifest = findings.manifest();
    if list(manifest, &["modules", "function"]).is_empty() {
        return;
    }
    // The comparison reports the `compute` that the code's remotes lack.
    let called = &findings.wanted.called_by_functions;
    for (remote, path) in remotes(manifest) {
        let operations = list(remote, &["operations"]);
        let key = key(remote).unwrap_or_default();
        if operations.is_empty() || operations.contains(&"compute".into()) || called.contains(key) {
            continue;
        }
        let message =
            format!("functions cannot call the remote `{key}`: its operations lack `compute`");
        let help = "add `compute` if a function calls it with `invokeRemote`";
        let path = path.name("operations");
        // Only a function's call gets the tokens of `remotes[].auth`.
        if remote.get("auth").is_some() {
            findings.error(&NOT_FOR_FUNCTIONS, &path, message, help);
        } else {
            findings.note(&NOT_FOR_FUNCTIONS, &path, message, help);
        }
    }
}

const REGIONS_DIFFER: Rule = Rule::lint(
    "regions-differ",
    "All remotes that store end-user data must have URLs for the same regions, because of data residency; `forge \
    deploy` rejects the manifest otherwise. Give each of these remotes a URL for the same regions.",
);

fn regions(findings: &mut Findings<'_>) {
    let regions_of = |remote: &Value| -> BTreeSet<String> {
        match remote.get("baseUrl") {
            Some(Value::Mapping(urls)) => {
                let names = urls.keys().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            }
            _ => ["default".to_owned()].into(),
        }
    };
    let manifest = findings.manifest();
    let with_url = || remotes(manifest).filter(|(remote, _)| remote.get("baseUrl").is_some());
    let all: BTreeSet<String> = with_url()
        .flat_map(|(remote, _)| regions_of(remote))
        .collect();
    for (remote, path) in with_url() {
        let own = regions_of(remote);
        let excused = own.len() == 1 && stores_user_data(remote) != Some(true);
        if own != all && !excused {
            let key = key(remote).unwrap_or_default();
            let missing: Vec<&str> = all.difference(&own).map(String::as_str).collect();
            let message = format!("the remote `{key}` has no URL for {}", missing.join(", "));
            let help = "give every remote the same regions";
            findings.error(&REGIONS_DIFFER, &path.name("baseUrl"), message, help);
        }
    }
}

const UNUSED_REMOTE: Rule = Rule::lint(
    "unused-remote",
    "Nothing in the manifest names the remote, and the app has no function or page that could call it. \
    Remove it, or name it in an endpoint.",
);

/// Collects the remotes that a part of the manifest names.
fn named<'a>(value: &'a Value, into: &mut BTreeSet<&'a str>) {
    match value {
        Value::Mapping(properties) => {
            for (name, value) in properties {
                match value {
                    Value::String(remote) if name.as_str() == Some("remote") => {
                        into.insert(remote);
                    }
                    Value::Sequence(remotes) if name.as_str() == Some("remotes") => {
                        into.extend(remotes.iter().filter_map(Value::as_str));
                        remotes.iter().for_each(|remote| named(remote, into));
                    }
                    _ => named(value, into),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| named(item, into)),
        _ => {}
    }
}

fn unused(findings: &mut Findings<'_>) {
    let manifest = findings.manifest();
    // Functions and pages can call any remote.
    let has = |path: &[&str]| !list(manifest, path).is_empty();
    if has(&["resources"])
        || has(&["modules", "function"])
        || manifest.get("connectModules").is_some()
    {
        return;
    }
    let mut used = BTreeSet::new();
    named(manifest, &mut used);
    let of_code: BTreeSet<&str> = findings.wanted.remotes.iter().map(Entry::key).collect();
    for (remote, path) in remotes(manifest) {
        let key = key(remote).unwrap_or_default();
        let is_misspelled = used.iter().any(|name| nearest(name, [key]).is_some());
        if !is_misspelled && !of_code.contains(key) {
            let message = format!("nothing names the remote `{key}`");
            let help = "name it in an endpoint, or remove it: each remote is a host that admins consent to";
            findings.warning(&UNUSED_REMOTE, &path, message, help);
        }
    }
}

const AUTH_WITHOUT_COMPUTE: Rule = Rule::lint(
    "auth-without-compute",
    "`auth` of a remote is for calls of the app's functions with `invokeRemote`, which need `operations: [compute]`. \
    Calls through an endpoint bring the tokens of the endpoint's own `auth`.",
);

fn compute(findings: &mut Findings<'_>) {
    // Atlassian's guide to remote agents requests their tokens in the remote.
    if !list(findings.manifest(), &["modules", "rovo:agentConnector"]).is_empty() {
        return;
    }
    let has_functions = !list(findings.manifest(), &["modules", "function"]).is_empty();
    let called = &findings.wanted.called_by_functions;
    for (remote, path) in remotes(findings.manifest()) {
        let operations = list(remote, &["operations"]);
        let is_reported = has_functions && !operations.is_empty()
            || key(remote).is_some_and(|key| called.contains(key));
        if remote.get("auth").is_some()
            && !operations.contains(&"compute".into())
            // Otherwise `not-for-functions` reports it.
            && !is_reported
        {
            let message = format!(
                "the remote `{}` has `auth`, which only counts for functions' calls, and these need `compute`",
                key(remote).unwrap_or_default()
            );
            let help = "add `compute` to `operations`, or write `auth` in the endpoint that needs the token";
            findings.note(&AUTH_WITHOUT_COMPUTE, &path.name("auth"), message, help);
        }
    }
}

const NO_FUNCTION: Rule = Rule::lint(
    "no-function",
    "A handler with `#[function_call]` serves the calls that the app's Forge functions make with `invokeRemote` of \
    `@forge/api`, and the manifest has no function. `invokeRemote` of `@forge/bridge` is a page's call, which such a \
    handler rejects: use `#[endpoint]` for it.",
);

/// Checks that the app has a function that can make the calls its handlers are for.
fn callers(findings: &mut Findings<'_>) {
    if !list(findings.manifest(), &["modules", "function"]).is_empty() {
        return;
    }
    for key in &findings.wanted.called_by_functions {
        let message = format!(
            "the code serves functions' calls of the remote `{key}`, but the manifest has no function"
        );
        let help = "add the function to `modules.function`; for pages' calls, write `#[endpoint]`";
        let path = ManifestPath::of(&["remotes"]).item(key);
        findings.warning(&NO_FUNCTION, &path, message, help);
    }
}
