//! What Atlassian's own validation lets pass and the platform then doesn't forgive.
//!
//! Each rule has a stable code and an explanation, in [`RULES`]. A rule looks at the file as it
//! is, hand-written parts included.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds::{RESOLVER, is_called_without_user, page_places};
use forge_remote_schema::rules::MAX_ENDPOINT_KEY;
use forge_remote_schema::{did_you_mean, events, scopes as forge_scopes};
use serde_yaml::Value;

use super::compare::{Place, allows_impersonation};
use super::diagnostic::{Diagnostic, Level};
use super::file::ManifestFile;
use super::merge::{key, list};
use super::model::{Entry, Scope, Sections};
use super::{bindings, triggers};
use crate::kinds::endpoint_at;

/// A rule's name and what it is about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its stable name.
    pub code: &'static str,
    /// Why it is a rule, and what to do.
    pub explanation: &'static str,
}

/// Every code that a check can report.
pub const RULES: &[Rule] = &[
    Rule {
        code: "missing",
        explanation: "The code declares a module, an endpoint, a remote or a property that the manifest lacks. Forge would \
        never call the handler, or call it differently. `manifest --write` adds it.",
    },
    Rule {
        code: "different",
        explanation: "The manifest and the code say different things. The deployed app follows the manifest, your server \
        follows the code. `manifest --write` makes the manifest follow.",
    },
    Rule {
        code: "stale",
        explanation: "The manifest has an endpoint of one of this app's remotes, or a module that names one, and no handler in \
        this binary wants it: Forge would call into a 404. It was renamed or removed, or its crate is not linked (name it with \
        `forge_remote::link!`). `manifest --write` removes it.",
    },
    Rule {
        code: "missing-scope",
        explanation: "A handler needs a scope that `permissions.scopes` lacks: the token it gets would be refused, or \
        there would be none. `manifest --write` adds it; adding a scope asks each site's admin for consent.",
    },
    Rule {
        code: "impersonation-not-allowed",
        explanation: "`App::impersonation` says that the app acts with this scope for users who aren't in session, and the \
        manifest doesn't allow it: Atlassian would refuse the exchange of the app's token for theirs. As soon as one scope is written \
        as `NAME: { allowImpersonation: true }`, the others are `NAME: {}`. `manifest --write` rewrites them all.",
    },
    Rule {
        code: "unneeded-impersonation",
        explanation: "The manifest allows to act for users who aren't in session with this scope, and `App::impersonation` \
        doesn't list it: whoever gets hold of the system token could act as any user. Remove `allowImpersonation`, or list the scope.",
    },
    Rule {
        code: "unneeded-scope",
        explanation: "No handler needs this scope. Something else may: a function, a page, a call that the code makes \
        without listing its scope. Scopes are never removed by themselves, as consent hangs on them.",
    },
    Rule {
        code: "schedules-reset",
        explanation: "Any change to any scheduledTrigger makes Forge start all of them anew, about five minutes after \
        the deployment, whatever their intervals had left.",
    },
    Rule {
        code: "duplicate-remote-key",
        explanation: "Two remotes have the same key. Atlassian's validation passes that, and which of them an \
        endpoint gets is undefined.",
    },
    Rule {
        code: "base-url",
        explanation: "Atlassian's validation takes any text as baseUrl. What works is `https://` and a host that Atlassian \
        can reach, without a trailing slash (it would double up with the path) and without a path (the pages disagree on how the two are \
        joined). For one address while developing and another in production, use a variable: `baseUrl: ${REMOTE_BASE_URL}`.",
    },
    Rule {
        code: "undeclared-variable",
        explanation: "`${NAME}` is only replaced when `environment.variables` lists NAME; else it stays as it is, \
        without a word.",
    },
    Rule {
        code: "missing-route",
        explanation: "An endpoint that the platform calls by itself (a schedule, an event, a queue, …) needs \
        `route.path`. Atlassian's validation asks for it only where a trigger or a merge check is concerned.",
    },
    Rule {
        code: "malformed-route",
        explanation: "`route.path` is appended to baseUrl: it starts with one `/` and has no query.",
    },
    Rule {
        code: "unknown-property",
        explanation: "Endpoint items are open to Atlassian's validation: a misspelt property passes, and has no \
        effect. A misspelt `appSystemToken` means that no token ever comes.",
    },
    Rule {
        code: "user-token-without-user",
        explanation: "There is no user in session when the platform calls by itself, so a user token never \
        comes there. Use the system token; to act for a user, exchange it for theirs (offline user impersonation).",
    },
    Rule {
        code: "token-without-scope",
        explanation: "If no additional scopes (in addition to read:app-user-token, read:app-system-token) are \
        requested, a valid token will not be created. List a scope that the calls you make with the token need.",
    },
    Rule {
        code: "unknown-scope",
        explanation: "Forge has no scope of this name; `forge deploy` refuses it.",
    },
    Rule {
        code: "event-without-scope",
        explanation: "An event needs all scopes of one of its sets to be delivered. Atlassian's validation \
        doesn't look at events in object form.",
    },
    Rule {
        code: "known-event",
        explanation: "An event stands in `unknown_events` that this version knows. It is called for all the same, and its scopes \
        don't follow by themselves: move it to `events`, and they do.",
    },
    Rule {
        code: "ignore-self",
        explanation: "Atlassian's validation takes `ignoreSelf` only where every event of the trigger is one of Jira's, though \
        a page of theirs shows it with one of Confluence's. Elsewhere the payload says it: `selfGenerated`.",
    },
    Rule {
        code: "on-error-alone",
        explanation: "`filter.onError` says what becomes of an event when `filter.expression` fails; without an expression \
        it says nothing, and Atlassian's page wants both.",
    },
    Rule {
        code: "too-many-properties",
        explanation: "All triggers of an app together name five different entity properties at most, in their filters \
        (`event.runtime.…`) and in `payload.include.propertyPaths`. The validation doesn't count.",
    },
    Rule {
        code: "regions-differ",
        explanation: "All remotes that hold user data must have a URL for the same regions, or residency can't be \
        promised; `forge deploy` refuses it.",
    },
    Rule {
        code: "storage-without-eud",
        explanation: "A remote with `operations: [storage]` must say whether it stores end-user data: \
        `storage: { inScopeEUD: true }` or false.",
    },
    Rule {
        code: "key-too-long",
        explanation: "Forge takes 23 characters at most for the keys of endpoints, functions and remotes. For endpoints \
        the validation doesn't look, the platform does.",
    },
    Rule {
        code: "too-many-schedules",
        explanation: "Forge publishes a limit of five scheduled triggers an app, one of them every five minutes. \
        The validation doesn't count. Do several jobs in one handler, or let one trigger fan out.",
    },
    Rule {
        code: "token-gap",
        explanation: "Avoid relying on the day or week intervals as your only mechanism for refreshing tokens: a system \
        token lives four hours at most, so it expires well before the next invocation, and the remote is left without a valid token in \
        between. `hour` is a good default.",
    },
    Rule {
        code: "dangling-endpoint",
        explanation: "A module names an endpoint that the manifest doesn't have, so its calls go nowhere; \
        `forge deploy` refuses it.",
    },
    Rule {
        code: "refused-caller",
        explanation: "A hand-written module names an endpoint whose handler is for other calls: a page's resolver names a handler \
        that only the platform calls, or a macro's static export names one that belongs to another module. The handler would refuse each \
        call with 401. Name the handler that is meant, or write an `#[endpoint]`.",
    },
    Rule {
        code: "unknown-page",
        explanation: "`#[endpoint(pages = […])]` names a page that the manifest does not have: no call comes from it. Correct the \
        key, or add the module.",
    },
    Rule {
        code: "open-admin-page",
        explanation: "A page that only administrators see names a handler, and other pages of the app can call it too: a page's call \
        names any path, whatever `resolver` says. List the pages that may call it: `#[endpoint(pages = [\"admin-page\"])]`.",
    },
    Rule {
        code: "crashes-validator",
        explanation: "Atlassian's validator crashes on this shape and then reports nothing at all, not even the \
        faults elsewhere in the file.",
    },
];

/// The rule of this code.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code == code)
}

/// Forge's published limits.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
const MAX_SCHEDULES: usize = 5;

/// Everything the rules find in a file.
pub(super) fn lint(file: &ManifestFile, wanted: &Sections) -> Vec<Diagnostic> {
    let manifest = file.value();
    let mut found = Findings {
        file,
        found: Vec::new(),
    };
    remotes(manifest, &mut found);
    variables(manifest, &mut found);
    endpoints(manifest, &mut found);
    scopes(manifest, wanted, &mut found);
    schedules(manifest, &mut found);
    references(manifest, &mut found);
    triggers::lint(manifest, wanted, &mut found);
    nulls(manifest, &mut found);
    callers(manifest, wanted, &mut found);
    bindings::lint(manifest, wanted, &mut found);
    found.found
}

pub(super) struct Findings<'a> {
    file: &'a ManifestFile,
    found: Vec<Diagnostic>,
}

impl Findings<'_> {
    pub(super) fn add(
        &mut self,
        level: Level,
        code: &'static str,
        place: &Place,
        message: String,
        help: impl Into<String>,
    ) {
        let at = self.file.locate(place);
        self.found
            .push(Diagnostic::new(code, level, message).at(at).help(help));
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        place: &Place,
        message: String,
        help: impl Into<String>,
    ) {
        self.add(Level::Error, code, place, message, help);
    }

    pub(super) fn warning(
        &mut self,
        code: &'static str,
        place: &Place,
        message: String,
        help: impl Into<String>,
    ) {
        self.add(Level::Warning, code, place, message, help);
    }
}

fn text<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    item.get(name)?.as_str()
}

/// The modules by type, with their items.
pub(super) fn modules(manifest: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let modules = manifest.get("modules").and_then(Value::as_mapping);
    modules.into_iter().flatten().flat_map(|(name, items)| {
        let name = name.as_str().unwrap_or_default();
        items
            .as_sequence()
            .into_iter()
            .flatten()
            .map(move |item| (name, item))
    })
}

/// Modules that name a handler which isn't for their calls.
fn callers(manifest: &Value, wanted: &Sections, found: &mut Findings<'_>) {
    for (module_type, item) in modules(manifest) {
        for path in page_places() {
            let Some(endpoint) = endpoint_at(item, path) else {
                continue;
            };
            let (takes, help) = if path == RESOLVER {
                (
                    &wanted.resolvers,
                    "only an `#[endpoint]` takes a page's calls",
                )
            } else {
                (&wanted.pages, "it belongs to a module of its own")
            };
            let is_ours = wanted.endpoints.iter().any(|entry| entry.key() == endpoint);
            if is_ours && !takes.contains(endpoint) {
                let place = path
                    .iter()
                    .fold(of_module(module_type, item), |place, name| place.name(name));
                let message = format!("the handler of `{endpoint}` answers 401 to {place}");
                found.error("refused-caller", &place, message, help);
            }
        }
    }
}

pub(super) fn of_module(module_type: &str, item: &Value) -> Place {
    Place::of(&["modules", module_type]).item(key(item).unwrap_or_default())
}

fn remotes(manifest: &Value, found: &mut Findings<'_>) {
    let remotes = list(manifest, &["remotes"]);
    let mut seen = BTreeSet::new();
    let regions = |remote: &Value| -> BTreeSet<String> {
        match remote.get("baseUrl") {
            Some(Value::Mapping(map)) => map
                .keys()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => ["default".to_owned()].into(),
        }
    };
    let with_url = || {
        remotes
            .iter()
            .filter(|remote| remote.get("baseUrl").is_some())
    };
    let all: BTreeSet<String> = with_url().flat_map(regions).collect();
    for remote in remotes {
        let key = key(remote).unwrap_or_default();
        let place = Place::of(&["remotes"]).item(key);
        if !seen.insert(key) {
            found.error(
                "duplicate-remote-key",
                &place,
                format!("two remotes have the key `{key}`"),
                "give one of them another key",
            );
        }
        if key.len() > MAX_ENDPOINT_KEY {
            found.error(
                "key-too-long",
                &place,
                too_long("remote", key),
                "shorten it",
            );
        }
        match remote.get("baseUrl") {
            Some(Value::String(url)) => base_url(url, &place.clone().name("baseUrl"), found),
            Some(Value::Mapping(urls)) => {
                for (region, url) in urls {
                    let place = place
                        .clone()
                        .name("baseUrl")
                        .name(region.as_str().unwrap_or_default());
                    base_url(url.as_str().unwrap_or_default(), &place, found);
                }
            }
            _ => {}
        }
        let stores = remote
            .get("operations")
            .and_then(Value::as_sequence)
            .is_some_and(|all| all.contains(&"storage".into()));
        let eud = remote
            .get("storage")
            .and_then(|storage| storage.get("inScopeEUD"))
            .and_then(Value::as_bool);
        if stores && eud.is_none() {
            let message = format!(
                "the remote `{key}` stores data without saying whether that is end-user data"
            );
            found.error(
                "storage-without-eud",
                &place.clone().name("operations"),
                message,
                "add `storage: { inScopeEUD: true }` (or false)",
            );
        }
        let own = regions(remote);
        let excused = own.len() == 1 && eud != Some(true);
        if remote.get("baseUrl").is_some() && own != all && !excused {
            let lacking: Vec<&str> = all.difference(&own).map(String::as_str).collect();
            let message = format!("the remote `{key}` has no URL for {}", lacking.join(", "));
            found.error(
                "regions-differ",
                &place.clone().name("baseUrl"),
                message,
                "give every remote the same regions",
            );
        }
    }
}

fn too_long(what: &str, key: &str) -> String {
    format!(
        "the {what} key `{key}` has {} characters, and Forge takes {MAX_ENDPOINT_KEY}",
        key.len()
    )
}

fn base_url(url: &str, place: &Place, found: &mut Findings<'_>) {
    const HELP: &str = "write `https://` and a host, without path and trailing slash; or a variable, `${REMOTE_BASE_URL}`";
    if url.contains("${") {
        return;
    }
    let mut wrong = |level, what: &str| {
        found.add(
            level,
            "base-url",
            place,
            format!("the base URL `{url}` {what}"),
            HELP,
        )
    };
    let Some(rest) = url.strip_prefix("https://") else {
        let what = match url {
            "" => "is empty",
            _ if url.starts_with("http://") => "is not https, and Forge sends tokens there",
            _ => "doesn't start with `https://`",
        };
        return wrong(Level::Error, what);
    };
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, None), |(host, path)| (host, Some(path)));
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let local = name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    if name.is_empty() {
        wrong(Level::Error, "has no host");
    } else if local {
        wrong(Level::Error, "is this machine, which Atlassian can't reach");
    } else if path == Some("") {
        wrong(
            Level::Error,
            "ends with a slash, which doubles up with the path",
        );
    } else if path.is_some() {
        wrong(
            Level::Warning,
            "has a path: it may be dropped or doubled when a route is appended",
        );
    } else if url.contains(['?', '#', ' ']) {
        wrong(Level::Error, "has more than a scheme and a host");
    }
}

fn variables(manifest: &Value, found: &mut Findings<'_>) {
    let declared: BTreeSet<&str> = list(manifest, &["environment", "variables"])
        .iter()
        .filter_map(|one| one.as_str().or_else(|| key(one)))
        .collect();
    for remote in list(manifest, &["remotes"]) {
        let place = Place::of(&["remotes"])
            .item(key(remote).unwrap_or_default())
            .name("baseUrl");
        let urls: Vec<&str> = match remote.get("baseUrl") {
            Some(Value::String(url)) => vec![url],
            Some(Value::Mapping(urls)) => urls.values().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for url in urls {
            for name in url
                .split("${")
                .skip(1)
                .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
            {
                if !declared.contains(name) {
                    let message = format!("`${{{name}}}` is not declared, so it stays as it is");
                    found.error(
                        "undeclared-variable",
                        &place,
                        message,
                        format!("add `{name}` to `environment.variables`"),
                    );
                }
            }
        }
    }
}

fn endpoints(manifest: &Value, found: &mut Findings<'_>) {
    // Who calls an endpoint by itself: its module's type and key.
    let mut callers: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (module_type, item) in modules(manifest) {
        if let (true, Some(endpoint)) =
            (is_called_without_user(module_type), text(item, "endpoint"))
        {
            callers.insert(endpoint, (module_type, key(item).unwrap_or_default()));
        }
    }
    let mut any_token = None;
    for item in list(manifest, &["modules", "endpoint"]) {
        let name = key(item).unwrap_or_default();
        let place = of_module("endpoint", item);
        if name.len() > MAX_ENDPOINT_KEY {
            found.error(
                "key-too-long",
                &place,
                too_long("endpoint", name),
                "shorten it",
            );
        }
        unknown(
            item,
            &place,
            &["key", "remote", "service", "route", "auth"],
            found,
        );
        if let Some(auth) = item.get("auth") {
            unknown(
                auth,
                &place.clone().name("auth"),
                &["appSystemToken", "appUserToken"],
                found,
            );
        }
        if let Some(route) = item.get("route") {
            unknown(route, &place.clone().name("route"), &["path"], found);
        }
        let caller = callers.get(name);
        match (
            item.get("route").and_then(|route| text(route, "path")),
            caller,
        ) {
            (None, Some((module_type, module))) => found.error(
                "missing-route",
                &place,
                format!(
                    "the endpoint `{name}` has no route, but {module_type} `{module}` calls it"
                ),
                "add `route: { path: /… }`",
            ),
            (Some(path), _)
                if !path.starts_with('/')
                    || path.starts_with("//")
                    || path.contains(['?', '#', ' ']) =>
            {
                found.error(
                    "malformed-route",
                    &place.clone().name("route").name("path"),
                    format!("`{path}` can't be appended to a base URL"),
                    "start it with one `/`, without a query",
                )
            }
            _ => {}
        }
        let enabled = |token: &str| {
            item.get("auth")
                .and_then(|auth| auth.get(token)?.get("enabled")?.as_bool())
                .unwrap_or_default()
        };
        if let (true, Some((module_type, module))) = (enabled("appUserToken"), caller) {
            found.error(
                "user-token-without-user",
                &place.clone().name("auth").name("appUserToken"),
                format!("{module_type} `{module}` has no user in session, so no user token ever comes to `{name}`"),
                "remove `appUserToken`, and use `appSystemToken`",
            );
        }
        if enabled("appSystemToken") || enabled("appUserToken") {
            any_token = any_token.or(Some(place.clone().name("auth")));
        }
    }
    let ours = ["read:app-system-token", "read:app-user-token"];
    if let (Some(place), true) = (
        any_token,
        granted(manifest).iter().all(|scope| ours.contains(scope)),
    ) {
        found.error(
            "token-without-scope",
            &place,
            "tokens are asked for, but no scope besides the token scopes, so Forge creates no valid token".to_owned(),
            "list a scope that the calls need: `scopes = [\"read:jira-work\"]` in the attribute",
        );
    }
    for item in list(manifest, &["modules", "function"]) {
        let name = key(item).unwrap_or_default();
        if name.len() > MAX_ENDPOINT_KEY {
            found.error(
                "key-too-long",
                &of_module("function", item),
                too_long("function", name),
                "shorten it",
            );
        }
    }
}

fn unknown(item: &Value, place: &Place, known: &[&str], found: &mut Findings<'_>) {
    for name in item
        .as_mapping()
        .into_iter()
        .flat_map(|item| item.keys())
        .filter_map(Value::as_str)
    {
        if !known.contains(&name) {
            let help = did_you_mean(name, known.iter().copied())
                .unwrap_or_else(|| format!("it may have: {}", known.join(", ")));
            let message = format!("`{name}` is no property of {place}, and has no effect");
            found.error("unknown-property", &place.clone().name(name), message, help);
        }
    }
}

pub(super) fn granted(manifest: &Value) -> Vec<&str> {
    match manifest
        .get("permissions")
        .and_then(|permissions| permissions.get("scopes"))
    {
        Some(Value::Sequence(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::Mapping(names)) => names.keys().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn scopes(manifest: &Value, wanted: &Sections, found: &mut Findings<'_>) {
    let only_ours = modules(manifest)
        .all(|(module_type, item)| module_type == "endpoint" || item.get("endpoint").is_some());
    // What would do as well: a manifest may have more than one of the sets.
    let of_events = triggers::named_events(manifest)
        .filter_map(|(_, event)| events::find(event))
        .flat_map(|event| event.scopes.iter().copied().flatten().copied());
    let of_modules = wanted.alternatives.iter().flat_map(|one| one.sets);
    let useful: BTreeSet<&str> = of_events
        .chain(of_modules.copied().flatten().copied())
        .collect();
    let needed = wanted.scopes_given(&granted(manifest).into_iter().collect());
    for scope in granted(manifest) {
        let place = Place::of(&["permissions", "scopes"]).value(scope);
        if !forge_scopes::is_known(scope) {
            let message = format!("Forge has no scope `{scope}`");
            match did_you_mean(scope, forge_scopes::all()) {
                Some(help) => {
                    found.error("unknown-scope", &place, message, help);
                }
                // Our list ages: Atlassian may have added it since.
                None => {
                    let message = format!("{message}, as far as this version knows");
                    let help = "see Atlassian's list of scopes; allow this if it is there";
                    found.warning("unknown-scope", &place, message, help);
                }
            }
        }
        let acts = |one: &&Scope| one.name == scope && one.impersonation;
        if only_ours
            && allows_impersonation(manifest, scope)
            && !needed.iter().any(|one| acts(&one))
        {
            let message = format!("nothing in the code acts for users with the scope `{scope}`");
            let help = "remove `allowImpersonation`, or list the scope in `App::impersonation`";
            found.add(Level::Note, "unneeded-impersonation", &place, message, help);
        }
        if forge_scopes::is_known(scope)
            && only_ours
            && !needed.iter().any(|one| one.name == scope)
            && !useful.contains(scope)
        {
            // A function or a page may need it: then nothing is said.
            let message = format!("no handler needs the scope `{scope}`");
            found.add(
                Level::Note,
                "unneeded-scope",
                &place,
                message,
                "list it in the attribute of the handler that does, or remove it",
            );
        }
    }
}

fn schedules(manifest: &Value, found: &mut Findings<'_>) {
    let schedules = list(manifest, &["modules", "scheduledTrigger"]);
    let place = Place::of(&["modules", "scheduledTrigger"]);
    let often = schedules
        .iter()
        .filter(|item| text(item, "interval") == Some("fiveMinute"))
        .count();
    if schedules.len() > MAX_SCHEDULES {
        let message = format!(
            "there are {} scheduled triggers, and Forge's limit is {MAX_SCHEDULES}",
            schedules.len()
        );
        found.warning(
            "too-many-schedules",
            &place,
            message,
            "do several jobs in one handler",
        );
    } else if often > 1 {
        let message =
            format!("{often} scheduled triggers fire every five minutes, and Forge's limit is one");
        found.warning(
            "too-many-schedules",
            &place,
            message,
            "do several jobs in one handler",
        );
    }

    let tokens: BTreeSet<&str> = list(manifest, &["modules", "endpoint"])
        .iter()
        .filter(|endpoint| {
            let enabled = |auth: &Value| auth.get("appSystemToken")?.get("enabled")?.as_bool();
            endpoint.get("auth").and_then(enabled).unwrap_or_default()
        })
        .filter_map(key)
        .collect();
    let system_token =
        |item: &&Value| text(item, "endpoint").is_some_and(|endpoint| tokens.contains(endpoint));
    let mut with_token = schedules.iter().filter(system_token).peekable();
    if let Some(first) = with_token.peek().copied()
        && with_token.all(|item| matches!(text(item, "interval"), Some("day" | "week")))
    {
        found.warning(
            "token-gap",
            &of_module("scheduledTrigger", first).name("interval"),
            "only day or week triggers ask for the system token: it will expire well before the next invocation, and \
             your remote will be left without a valid token in between"
                .to_owned(),
            "the `hour` interval is a good default; if nothing needs a token between two calls, allow this",
        );
    }
}

/// Endpoint references, at every depth that Forge knows.
fn references(manifest: &Value, found: &mut Findings<'_>) {
    fn collect<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        for (name, value) in value.as_mapping().into_iter().flatten() {
            match value {
                Value::String(endpoint) if name.as_str() == Some("endpoint") => into.push(endpoint),
                Value::Mapping(_) => collect(value, into),
                _ => {}
            }
        }
    }
    let known: BTreeSet<&str> = list(manifest, &["modules", "endpoint"])
        .iter()
        .filter_map(key)
        .collect();
    for (module_type, item) in
        modules(manifest).filter(|(module_type, _)| *module_type != "endpoint")
    {
        let mut names = Vec::new();
        collect(item, &mut names);
        for name in names.into_iter().filter(|name| !known.contains(name)) {
            let message = format!(
                "{module_type} `{}` calls the endpoint `{name}`, which doesn't exist",
                key(item).unwrap_or_default()
            );
            let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
                format!(
                    "annotate a handler with `#[endpoint(key = \"{name}\")]`, or remove the module"
                )
            });
            found.error(
                "dangling-endpoint",
                &of_module(module_type, item),
                message,
                help,
            );
        }
    }
}

/// Properties without a value.
fn nulls(manifest: &Value, found: &mut Findings<'_>) {
    for (module_type, item) in modules(manifest) {
        let null = item
            .as_mapping()
            .into_iter()
            .flatten()
            .find(|(_, value)| value.is_null());
        if let Some((name, _)) = null {
            let name = name.as_str().unwrap_or_default();
            let message = format!(
                "`{name}` has no value, which crashes Atlassian's validator on several modules"
            );
            found.warning(
                "crashes-validator",
                &of_module(module_type, item).name(name),
                message,
                "give it a value, or remove it",
            );
        }
    }
}

/// Whether the schedules differ between the file and the code: then all of them start anew.
pub(super) fn schedules_reset(file: &ManifestFile, wanted: &Sections) -> Option<Diagnostic> {
    let found = list(file.value(), &["modules", "scheduledTrigger"]);
    let wanted = wanted
        .modules
        .get("scheduledTrigger")
        .map(Vec::as_slice)
        .unwrap_or_default();
    let differ = |entry: &Entry| {
        !found
            .iter()
            .any(|item| item.as_mapping() == Some(&entry.item))
    };
    if found.is_empty() || !wanted.iter().any(differ) {
        return None;
    }
    let place = Place::of(&["modules", "scheduledTrigger"]);
    let message =
        "this changes the scheduled triggers, so all of them start anew with the next deployment";
    Some(Diagnostic::new("schedules-reset", Level::Note, message).at(file.locate(&place)))
}
