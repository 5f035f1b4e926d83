//! The functions that serve the manifest's endpoints: one for each path.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::kinds::ENDPOINT;
use forge_remote_schema::options::Presence;
use forge_remote_schema::{AllowedCaller, KindSpec, RouteScope, rules};
use serde_yaml::Value;

use super::calls::{Call, Calls, Hooks, auth};
use super::gap::Gap;
use super::literal::Setting;
use super::names::{self, FunctionNames, WantedNames};
use crate::manifest::items::{key, text};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};
use crate::manifest::variables::is_variable;

const TWICE: &str = "another entry has the same key";

/// A function with its attributes.
pub(super) struct Function {
    pub(super) name: String,
    /// The modules that call it, such as `trigger[on-event]`.
    pub(super) callers: Vec<String>,
    pub(super) attributes: Vec<Attribute>,
    path: String,
}

impl Function {
    /// Returns whether a doc comment would become a text that users see and that the manifest does not have.
    pub(super) fn has_texts_of_docs(&self) -> bool {
        self.attributes.iter().any(|attribute| {
            let mut options = attribute.kind.options.iter();
            options.any(|option| {
                let is_written = || attribute.settings.iter().any(|one| one.name == option.name);
                option.presence == Presence::DocsOrNone && !is_written()
            })
        })
    }

    /// Adds an attribute for each module that calls the endpoint; hand-written modules share one.
    fn add_calls(
        &mut self,
        endpoint: &Endpoint<'_>,
        path: Option<&str>,
        calls: Vec<Call>,
        tokens: &Option<Setting>,
    ) {
        let mut pages: BTreeSet<&str> = BTreeSet::new();
        for call in calls {
            let caller = caller(&call).filter(|caller| !self.callers.contains(caller));
            self.callers.extend(caller);
            if call.key.is_none() && !pages.insert(call.kind.attribute) {
                continue;
            }
            let wanted = WantedNames {
                key: call.key.as_deref(),
                endpoint: Some(endpoint.key),
                path,
                path_suffix: None,
            };
            let mut settings = call.settings;
            settings.extend(names::settings(call.kind, &self.name, &wanted));
            settings.extend(tokens.clone());
            self.attributes.push(Attribute {
                kind: call.kind,
                remote: endpoint.remote.to_owned(),
                settings,
                module: call.path,
            });
        }
    }
}

/// An attribute with its options.
pub(super) struct Attribute {
    pub(super) kind: &'static KindSpec,
    pub(super) remote: String,
    pub(super) settings: Vec<Setting>,
    module: ManifestPath,
}

/// The functions, and the keys of the remotes that they serve, the default first.
#[derive(Default)]
pub(super) struct Functions {
    pub(super) all: Vec<Function>,
    pub(super) remotes: Vec<String>,
    names: FunctionNames,
    /// The keys of the endpoints and modules so far.
    keys: BTreeMap<String, ManifestPath>,
}

/// An item of `modules.endpoint` that names a remote.
struct Endpoint<'a> {
    key: &'a str,
    remote: &'a str,
    item: &'a Value,
}

impl Endpoint<'_> {
    fn path(&self) -> ManifestPath {
        ManifestPath::of(&["modules", "endpoint"]).item(self.key)
    }

    fn requests(&self, token: &str) -> bool {
        let enabled = at(self.item, &["auth", token, "enabled"]);
        enabled.and_then(Value::as_bool) == Some(true)
    }

    /// Returns the path of its route, with the leading slash that it may lack.
    fn route(&self) -> Option<String> {
        let route = at(self.item, &["route", "path"]).and_then(Value::as_str)?;
        let has_slash = route.starts_with('/') || route.is_empty() || is_variable(route);
        Some(format!("{}{route}", if has_slash { "" } else { "/" }))
    }

    /// Checks that an attribute can have its key and its route.
    fn check(&self, route: Option<&str>) -> Result<(), Gap> {
        let unknown = "a variable without a default: its value is unknown here";
        if is_variable(self.key) {
            return Err(Gap::new(self.path(), format!("its key is {unknown}")));
        }
        rules::check_key("key", self.key, rules::MAX_MODULE_KEY, "")
            .map_err(|mistake| Gap::new(self.path(), mistake.message))?;
        let Some(route) = route else { return Ok(()) };
        if is_variable(route) {
            let path = self.path().name("route").name("path");
            return Err(Gap::new(path, format!("its path is {unknown}")));
        }
        rules::check_path(route).map_err(|mistake| {
            let reason = format!(
                "{}. No attribute takes such a path: another service must serve it (`App::foreign_endpoints`), or a new \
                 major version gives the endpoint another path",
                mistake.message
            );
            Gap::new(self.path(), reason)
        })
    }
}

/// Leaves out an endpoint, with the modules that call it.
fn leave_out(endpoint: &Endpoint<'_>, gap: Gap, calls: Vec<Call>, gaps: &mut Vec<Gap>) {
    gaps.push(gap);
    let reason = format!("its endpoint `{}` is left out", endpoint.key);
    let calls = calls
        .into_iter()
        .filter(|call| call.path != endpoint.path());
    gaps.extend(calls.map(|call| Gap::new(call.path, reason.as_str())));
}

/// Returns the functions for all endpoints and hooks.
pub(super) fn functions(manifest: &Value, mut calls: Calls) -> (Functions, Vec<Gap>) {
    let mut gaps = std::mem::take(&mut calls.gaps);
    let mut functions = Functions::default();
    let remotes = list(manifest, &["remotes"]).iter().filter_map(key);
    let remotes: BTreeSet<&str> = remotes.collect();
    let mut keys = BTreeSet::new();
    // Endpoints without a route get a path that no other has.
    let has_route = |item: &&Value| at(item, &["route", "path"]).is_some();
    let (routed, others): (Vec<&Value>, Vec<&Value>) = list(manifest, &["modules", "endpoint"])
        .iter()
        .partition(has_route);
    for item in routed.into_iter().chain(others) {
        let Some(key) = key(item) else { continue };
        let is_unserved = calls.without_attribute.contains(key);
        let calls = calls.of_endpoints.remove(key);
        if item.get("service").is_some() {
            // A container serves it.
            continue;
        }
        let remote = text(item, "remote").unwrap_or_default();
        let endpoint = Endpoint { key, remote, item };
        if remotes.contains(remote) {
            if !keys.insert(key) {
                gaps.push(Gap::new(endpoint.path(), TWICE));
                continue;
            }
            if calls.is_none() && is_unserved {
                let reason = "the module that calls it has no attribute";
                gaps.push(Gap::new(endpoint.path(), reason));
                continue;
            }
            functions.add_endpoint(&endpoint, calls.unwrap_or_default(), &mut gaps);
        } else {
            let reason = format!("`remotes` has no `{remote}`");
            let gap = Gap::new(endpoint.path().name("remote"), reason);
            leave_out(&endpoint, gap, calls.unwrap_or_default(), &mut gaps);
        }
    }
    for (endpoint, calls) in calls.of_endpoints {
        let reason = format!("`modules.endpoint` has no `{endpoint}`");
        gaps.extend(
            calls
                .into_iter()
                .map(|call| Gap::new(call.path, reason.as_str())),
        );
    }
    for hooks in calls.hooks {
        if remotes.contains(hooks.remote.as_str()) {
            functions.add_hooks(hooks, &mut gaps);
        } else {
            let reason = format!("`remotes` has no `{}`", hooks.remote);
            gaps.push(Gap::new(hooks.module.name("remote"), reason));
        }
    }
    functions.remove_incomplete_modules(&calls.parts, &mut gaps);
    (functions, gaps)
}

impl Functions {
    fn add_endpoint(&mut self, endpoint: &Endpoint<'_>, calls: Vec<Call>, gaps: &mut Vec<Gap>) {
        let route = endpoint.route();
        if let Err(gap) = endpoint.check(route.as_deref()) {
            leave_out(endpoint, gap, calls, gaps);
            return;
        }
        let calls = if calls.is_empty() {
            vec![Call {
                kind: &ENDPOINT,
                path: endpoint.path(),
                key: None,
                settings: Vec::new(),
            }]
        } else {
            compatible(endpoint.key, calls, gaps)
        };
        let Some(first) = calls.first().map(|call| call.kind) else {
            return;
        };
        if route.is_none() && !is_page(first) {
            let reason = "the platform calls it, so it needs a route; the code gives it one";
            gaps.push(Gap::new(endpoint.path(), reason));
        }
        let has_route = route.is_some();
        let path = route.unwrap_or_else(|| self.free_path(endpoint.key, first));
        let at = match self.function_at(&path, first) {
            Ok(at) => at,
            Err(reason) => {
                let gap = Gap::new(endpoint.path().name("route"), reason);
                leave_out(endpoint, gap, calls, gaps);
                return;
            }
        };
        let (calls, others): (Vec<Call>, Vec<Call>) = calls.into_iter().partition(|call| {
            call.key
                .as_ref()
                .is_none_or(|key| self.takes_key(key, &call.path))
        });
        gaps.extend(others.into_iter().map(|call| Gap::new(call.path, TWICE)));
        if !self.takes_key(endpoint.key, &endpoint.path()) {
            let gap = Gap::new(endpoint.path(), TWICE);
            leave_out(endpoint, gap, calls, gaps);
            return;
        }
        if calls.is_empty() {
            let reason = "the module that calls it has no attribute";
            gaps.push(Gap::new(endpoint.path(), reason));
            return;
        }
        self.serve_remote(endpoint.remote);
        let tokens = tokens(endpoint, &calls, gaps);
        let function = match at {
            Some(at) => at,
            None => self.add_function(endpoint.key, path.clone()),
        };
        // The default of a page's endpoint needs no option.
        let is_default = || is_page(first) && path == default_path(endpoint.key);
        let path = (has_route || !is_default()).then_some(path.as_str());
        if let Some(function) = self.all.get_mut(function) {
            function.add_calls(endpoint, path, calls, &tokens);
        }
    }

    fn add_hooks(&mut self, hooks: Hooks, gaps: &mut Vec<Gap>) {
        let Hooks {
            module,
            remote,
            prefix,
            calls,
        } = hooks;
        let keys = calls.iter().filter_map(|(_, call)| call.key.as_deref());
        if !keys.take(1).all(|key| self.takes_key(key, &module)) {
            gaps.push(Gap::new(module, TWICE));
            return;
        }
        let path_of = |hook: &str| format!("{prefix}/{hook}");
        // All of them or none: a launch rejects a module that lacks one.
        let taken = calls.iter().find_map(|(hook, call)| {
            let reason = self.function_at(&path_of(hook), call.kind).err()?;
            Some(Gap::new(call.path.clone(), reason))
        });
        if let Some(gap) = taken {
            gaps.push(gap);
            return;
        }
        self.serve_remote(&remote);
        for (hook, call) in calls {
            let at = self.add_function(&format!("residency-{hook}"), path_of(hook));
            let Some(function) = self.all.get_mut(at) else {
                return;
            };
            let wanted = WantedNames {
                key: call.key.as_deref(),
                endpoint: None,
                path: Some(&prefix),
                path_suffix: Some(hook),
            };
            function.callers.extend(caller(&call));
            let names = names::settings(call.kind, &function.name, &wanted);
            function.attributes.push(Attribute {
                kind: call.kind,
                remote: remote.clone(),
                settings: call.settings.into_iter().chain(names).collect(),
                module: call.path,
            });
        }
    }

    /// Removes the attributes of modules that lack one of their functions, which a launch rejects.
    fn remove_incomplete_modules(&mut self, parts: &[(ManifestPath, usize)], gaps: &mut Vec<Gap>) {
        for (module, count) in parts {
            let attributes = self.all.iter().flat_map(|function| &function.attributes);
            let found = attributes.filter(|one| one.module == *module).count();
            if found > 0 && found < *count {
                let reason = "the module has no attributes, because they need all of its endpoints";
                gaps.push(Gap::new(module.clone(), reason));
                for function in &mut self.all {
                    function.attributes.retain(|one| one.module != *module);
                }
            }
        }
        self.all.retain(|function| !function.attributes.is_empty());
    }

    /// Returns whether no other entry has this key so far.
    fn takes_key(&mut self, key: &str, path: &ManifestPath) -> bool {
        let owner = self.keys.entry(key.to_owned());
        owner.or_insert_with(|| path.clone()) == path
    }

    pub(super) fn serve_remote(&mut self, remote: &str) {
        if !self.remotes.iter().any(|one| one == remote) {
            self.remotes.push(remote.to_owned());
        }
    }

    fn add_function(&mut self, key: &str, path: String) -> usize {
        let name = self.names.name_for(key);
        self.all.push(Function {
            name,
            callers: Vec::new(),
            attributes: Vec::new(),
            path,
        });
        self.all.len() - 1
    }

    /// Returns a path for an endpoint without a route.
    fn free_path(&self, key: &str, kind: &KindSpec) -> String {
        let numbered = (2..100).map(|number| format!("{}-{number}", default_path(key)));
        let mut paths = std::iter::once(default_path(key)).chain(numbered);
        let free = paths.find(|path| {
            rules::check_path(path).is_ok() && self.function_at(path, kind) == Ok(None)
        });
        free.unwrap_or_else(|| default_path(key))
    }

    /// Returns the function at a path that takes another attribute of this kind; `None` for a new one.
    fn function_at(&self, path: &str, kind: &KindSpec) -> Result<Option<usize>, String> {
        let covers = |above: &str, below: &str| {
            let rest = below.strip_prefix(above.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        for (index, function) in self.all.iter().enumerate() {
            let kinds = || function.attributes.iter().map(|attribute| attribute.kind);
            if function.path == path {
                return match kinds().find(|other| !may_share(kind, other)) {
                    Some(other) => Err(format!(
                        "`{path}` is also the path of a `#[{}]`, which one function cannot serve with a `#[{}]`",
                        other.attribute, kind.attribute
                    )),
                    None => Ok(Some(index)),
                };
            }
            let is_above = |kind: &KindSpec| kind.routes == RouteScope::Subpath;
            if is_above(kind) && covers(path, &function.path)
                || kinds().any(is_above) && covers(&function.path, path)
            {
                return Err(format!(
                    "`{path}` and `{}`: a web trigger serves every path below its own",
                    function.path
                ));
            }
        }
        Ok(None)
    }
}

/// Returns the path that an `#[endpoint]` with this key has without `path`.
fn default_path(key: &str) -> String {
    format!("/{key}")
}

fn is_page(kind: &KindSpec) -> bool {
    kind.caller == AllowedCaller::Page
}

/// Returns whether one function can have attributes of both kinds.
fn may_share(one: &KindSpec, other: &KindSpec) -> bool {
    let has_own_path = |kind: &KindSpec| !kind.has_endpoint() || kind.routes != RouteScope::Exact;
    is_page(one) == is_page(other) && !has_own_path(one) && !has_own_path(other)
}

/// Returns the calls that one function can serve: pages' calls only if there are no others.
fn compatible(endpoint: &str, calls: Vec<Call>, gaps: &mut Vec<Gap>) -> Vec<Call> {
    let (mut kept, pages): (Vec<Call>, Vec<Call>) =
        calls.into_iter().partition(|call| !is_page(call.kind));
    if kept.is_empty() {
        return pages;
    }
    gaps.extend(pages.into_iter().map(|call| {
        let reason = format!(
            "Forge itself calls the endpoint `{endpoint}` too, and a page's user could make those calls: give the \
             page its own endpoint"
        );
        Gap::new(call.path, reason)
    }));
    let Some(first) = kept.first().map(|call| call.kind) else {
        return kept;
    };
    let mut index = 0;
    kept.retain(|call| {
        index += 1;
        let shares = index == 1 || may_share(first, call.kind);
        if !shares {
            let reason = format!(
                "a `#[{}]` needs a separate endpoint, and another module calls `{endpoint}`",
                first.attribute
            );
            gaps.push(Gap::new(call.path.clone(), reason));
        }
        shares
    });
    kept
}

/// Returns `auth` for an endpoint's tokens.
fn tokens(endpoint: &Endpoint<'_>, calls: &[Call], gaps: &mut Vec<Gap>) -> Option<Setting> {
    let (system, user) = (
        endpoint.requests("appSystemToken"),
        endpoint.requests("appUserToken"),
    );
    let without_user = calls.iter().find(|call| !call.kind.has_user);
    if let Some(call) = without_user.filter(|_| user) {
        let path = endpoint.path().name("auth").name("appUserToken");
        let reason = format!("there is no user {}", call.kind.when);
        gaps.push(Gap::new(path, reason));
    }
    auth(system, user && without_user.is_none())
}

/// Returns a module's name for the function's documentation.
fn caller(call: &Call) -> Option<String> {
    let path = call.path.to_string();
    let name = path.strip_prefix("modules.").unwrap_or(&path);
    (!name.starts_with("endpoint[")).then(|| name.to_owned())
}
