//! Endpoints: their routes, properties and tokens.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds::is_called_without_user;
use forge_remote_schema::rules;
use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::items::{ForeignModules, granted, key, modules, text};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};
use crate::manifest::variables::{Variables, has_reference};

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &MISSING_ROUTE,
        &MALFORMED_ROUTE,
        &ROUTE_WITHOUT_SLASH,
        &USER_TOKEN_WITHOUT_USER,
        &TOKEN_WITHOUT_SCOPE,
        &FOREIGN_MODULES,
    ],
    check: |findings| {
        let callers = platform_callers(findings.manifest());
        for endpoint in list(findings.manifest(), &["modules", "endpoint"]) {
            let path = ManifestPath::of_module("endpoint", endpoint);
            let caller = callers.get(key(endpoint).unwrap_or_default());
            route(endpoint, &path, caller, findings);
            user_token(endpoint, &path, caller, findings);
        }
        for module in list(findings.manifest(), &["modules", "migration:dataResidency"]) {
            if let Some(appended) = text(module, "path") {
                let path = ManifestPath::of_module("migration:dataResidency", module);
                appended_path(appended, &path.name("path"), findings);
            }
        }
        token_scope(findings);
        foreign_modules(findings);
    },
};

/// A module that the platform calls without a user in session: its type and key.
type PlatformCaller<'a> = (&'a str, &'a str);

/// Returns the caller of each endpoint that the platform calls without a user in session.
fn platform_callers(manifest: &Value) -> BTreeMap<&str, PlatformCaller<'_>> {
    modules(manifest)
        .filter(|(module_type, ..)| is_called_without_user(module_type))
        .filter_map(|(module_type, _, item)| {
            let endpoint = text(item, "endpoint")?;
            Some((endpoint, (module_type, key(item).unwrap_or_default())))
        })
        .collect()
}

/// Returns whether an endpoint requests a token.
fn requests(endpoint: &Value, token: &str) -> bool {
    at(endpoint, &["auth", token, "enabled"])
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

const MISSING_ROUTE: Rule = Rule::lint(
    "missing-route",
    "An endpoint that the platform calls (for a schedule, an event, a queue, …) needs `route.path`. Atlassian's \
    validation requires it only for triggers and merge checks.",
);

const MALFORMED_ROUTE: Rule = Rule::lint(
    "malformed-route",
    "Forge appends `route.path` of an endpoint and `path` of `migration:dataResidency` to baseUrl: they must start with one \
    `/` and have no query. Correct the path, or remove `route` where pages alone call the endpoint.",
);

const ROUTE_WITHOUT_SLASH: Rule = Rule::lint(
    "route-without-slash",
    "Forge accepts a `route.path` without a leading `/`, and Atlassian's pages about Rovo show one. It is compared and \
    served as if it had the slash. Write it in a new endpoint. In a deployed app, leave it as it is: an edited endpoint \
    needs a new major version.",
);

fn route(
    endpoint: &Value,
    path: &ManifestPath,
    caller: Option<&PlatformCaller<'_>>,
    findings: &mut Findings<'_>,
) {
    let name = key(endpoint).unwrap_or_default();
    let route = at(endpoint, &["route", "path"]);
    if route.is_some_and(has_reference) {
        // Only `forge deploy` knows the path.
        return;
    }
    match (route.and_then(Value::as_str), caller) {
        (None, Some((module_type, module))) => {
            let message = format!(
                "the endpoint `{name}` has no route, but {module_type} `{module}` calls it"
            );
            findings.error(&MISSING_ROUTE, path, message, "add `route: { path: /… }`");
        }
        (Some(route), _)
            if !route.starts_with('/') && rules::check_path(&format!("/{route}")).is_ok() =>
        {
            let message = format!("`{route}` has no leading `/`: it is served as `/{route}`");
            let help = "leave it if the app is deployed with it; otherwise start it with `/`";
            let path = path.clone().name("route").name("path");
            findings.warning(&ROUTE_WITHOUT_SLASH, &path, message, help);
        }
        (Some(route), _) => {
            appended_path(route, &path.clone().name("route").name("path"), findings);
        }
        _ => {}
    }
}

/// Checks a text that Forge appends to a base URL.
fn appended_path(appended: &str, path: &ManifestPath, findings: &mut Findings<'_>) {
    let is_path = appended.starts_with('/') && !appended.starts_with("//");
    if !is_path || appended.contains(['?', '#', ' ']) {
        let message = format!("`{appended}` cannot be appended to a base URL");
        let help = "start it with one `/`, without a query";
        findings.error(&MALFORMED_ROUTE, path, message, help);
    }
}

const USER_TOKEN_WITHOUT_USER: Rule = Rule::lint(
    "user-token-without-user",
    "There is no user in session when the platform calls, so no user token arrives. Use the system token; to act for a \
    user, exchange it for theirs (offline user impersonation).",
);

fn user_token(
    endpoint: &Value,
    path: &ManifestPath,
    caller: Option<&PlatformCaller<'_>>,
    findings: &mut Findings<'_>,
) {
    if let (true, Some((module_type, module))) = (requests(endpoint, "appUserToken"), caller) {
        let message = format!(
            "{module_type} `{module}` has no user in session, so no user token arrives at `{}`",
            key(endpoint).unwrap_or_default()
        );
        let help = "remove `appUserToken`, and use `appSystemToken`";
        let path = path.clone().name("auth").name("appUserToken");
        findings.error(&USER_TOKEN_WITHOUT_USER, &path, message, help);
    }
}

const TOKEN_WITHOUT_SCOPE: Rule = Rule::lint(
    "token-without-scope",
    "Atlassian creates no valid token if the only scopes are `read:app-user-token` and `read:app-system-token`. List \
    a scope for the calls that use the token.",
);

fn token_scope(findings: &mut Findings<'_>) {
    let manifest = findings.manifest();
    let requests_one =
        |one: &Value| requests(one, "appSystemToken") || requests(one, "appUserToken");
    let endpoints = list(manifest, &["modules", "endpoint"]).iter();
    let remotes = list(manifest, &["remotes"]).iter();
    let endpoints =
        endpoints.map(|one| ("an endpoint", ManifestPath::of_module("endpoint", one), one));
    // Functions' calls bring these.
    let remotes = remotes.map(|one| {
        let path = ManifestPath::of(&["remotes"]).item(key(one).unwrap_or_default());
        ("a remote", path, one)
    });
    let with_token = endpoints.chain(remotes).find(|(.., one)| requests_one(one));
    let token_scopes = ["read:app-system-token", "read:app-user-token"];
    let has_no_other = || granted(manifest).all(|scope| token_scopes.contains(&scope));
    if let Some((what, path, _)) = with_token.filter(|_| has_no_other()) {
        findings.error(
            &TOKEN_WITHOUT_SCOPE,
            &path.name("auth"),
            format!(
                "{what} requests a token, but the only scopes are the token scopes, so Forge creates no valid token"
            ),
            "list a scope that the calls need: `scopes = [\"read:jira-work\"]` in the attribute",
        );
    }
}

const FOREIGN_MODULES: Rule = Rule::lint(
    "foreign-modules",
    "`App::foreign_modules` is the list of other services' modules for an app that runs without its manifest. A module of \
    `App::foreign_endpoints` that it lacks would be served there: an `#[endpoint]` handler and a `#[function_call]` accept the \
    FITs of every module that they do not know. Add the key to the list, or remove one that no module has. For each key with \
    a variable, list its deployed values, which only `forge deploy` knows.",
);

/// Checks the app's list of other services' modules against the modules that name their endpoints. Only handlers of
/// hand-written modules and of functions' calls need the list.
fn foreign_modules(findings: &mut Findings<'_>) {
    let wanted = findings.wanted;
    let Some(listed) = &wanted.foreign_modules else {
        return;
    };
    let accepts_unknown_keys = !wanted.pages.is_empty() || !wanted.called_by_functions.is_empty();
    if wanted.foreign.is_empty() || !accepts_unknown_keys {
        return;
    }
    let manifest = findings.written.value();
    let found = ForeignModules::of(manifest, &wanted.foreign, Some(listed));
    let keys = modules(manifest).filter_map(|(.., item)| key(item));
    let keys: BTreeSet<&str> = keys.collect();
    let help = foreign_modules_help(&found, listed, &keys);
    let path_of_all = ManifestPath::of(&["modules"]);
    let report = |path: &ManifestPath, key: &str, lack: &str, findings: &mut Findings<'_>| {
        let message = format!(
            "`{key}` names only endpoints of other services, and `App::foreign_modules` {lack}"
        );
        findings.error(&FOREIGN_MODULES, path, message, &help);
    };
    for (module_type, key) in &found.modules {
        if !listed.contains(key) {
            let path = ManifestPath::of(&["modules", module_type]).item(key);
            report(&path, key, "does not list it", findings);
        }
    }
    for key in &found.unlisted {
        report(&path_of_all, key, "may lack its deployed values", findings);
    }
    let may_be_key = |listed: &str| keys.iter().any(|key| Variables::may_name(key, listed));
    for key in listed.iter().filter(|key| !may_be_key(key)) {
        let message =
            format!("`App::foreign_modules` lists `{key}`, which is the key of no module");
        let help = "remove it from the list, or correct the key";
        findings.warning(&FOREIGN_MODULES, &path_of_all, message, help);
    }
}

/// Returns the fix of an incomplete list, given the keys of all modules. A listed key that may only be the value of an
/// unknown one is left out, because it may also be misspelt; and so are the values that variables have here.
fn foreign_modules_help(
    found: &ForeignModules,
    listed: &BTreeSet<String>,
    keys: &BTreeSet<&str>,
) -> String {
    let known = keys.iter().filter(|key| !found.unknown.contains(**key));
    let known = Vec::from_iter(known);
    let is_known = |listed: &&String| known.iter().any(|key| Variables::may_name(key, listed));
    let all = found.modules.iter().map(|(_, key)| key);
    let all: BTreeSet<&String> = all.chain(listed.iter().filter(is_known)).collect();
    let all = Vec::from_iter(all.into_iter().map(|key| format!("\"{key}\"")));
    let list = format!("list all of them: `.foreign_modules([{}])`", all.join(", "));
    let unknown = Vec::from_iter(found.unknown.iter().map(|key| format!("`{key}`")));
    if unknown.is_empty() {
        return list;
    }
    let values = format!("the deployed values of {}", unknown.join(", "));
    match all.is_empty() {
        true => format!("list {values} in `App::foreign_modules`"),
        false => format!("{list}, with {values}"),
    }
}
