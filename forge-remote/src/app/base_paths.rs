//! The paths that handlers are served at: their own, and beneath the paths of their remote's base URLs.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::builder::App;
use crate::diagnostic::{Diagnostic, Rule};
use crate::manifest::{Remote, Variables, base_path};
use crate::registry::{Handler, RouteScope};

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&BASE_PATH_TAKEN, &OVERLAPPING_PATHS];

const BASE_PATH_TAKEN: Rule = Rule::launch(
    "base-path-taken",
    "A remote's base URL has a path, so its handlers are served beneath that path too, and another handler is served \
    there already. Give one of them another `path`.",
);

const OVERLAPPING_PATHS: Rule = Rule::launch(
    "overlapping-paths",
    "Two handlers have routes that match the same paths, such as `/items/{id}` and `/items/{name}`. Write one route for \
    both, or give one of them another `path`. A path without parameters may be among those of another route: it is \
    preferred.",
);

/// The paths of each remote's base URLs.
pub(crate) struct BasePaths {
    default_remote: String,
    /// Each remote's key and a path of its base URLs.
    paths: BTreeSet<(String, String)>,
}

impl App {
    /// Returns the paths of the base URLs in the code and in the manifest's file. A file that cannot be read is a problem
    /// of the launch.
    pub(crate) fn base_paths(&self) -> BasePaths {
        let manifest = self.settings().read_manifest().ok();
        self.base_paths_in(manifest.as_ref().map(|file| file.value()))
    }

    /// Returns the paths of the base URLs in the code and in this manifest.
    pub(crate) fn base_paths_in(&self, manifest: Option<&Value>) -> BasePaths {
        let mut paths: BTreeSet<(String, String)> = BTreeSet::new();
        for remote in &self.remotes {
            let declared = remote.base_paths();
            paths.extend(declared.map(|path| (remote.key().to_owned(), path.to_owned())));
        }
        paths.extend(manifest.map(paths_in).unwrap_or_default());
        BasePaths {
            default_remote: self
                .remotes
                .first()
                .map(Remote::key)
                .unwrap_or_default()
                .to_owned(),
            paths,
        }
    }
}

/// Returns the paths of the base URLs in a manifest, each with its remote's key.
fn paths_in(manifest: &Value) -> Vec<(String, String)> {
    let variables = Variables::of(manifest);
    let remotes = manifest.get("remotes").and_then(Value::as_sequence);
    let mut paths = Vec::new();
    for remote in remotes.into_iter().flatten() {
        let Some(key) = remote.get("key").and_then(Value::as_str) else {
            continue;
        };
        let url = remote.get("baseUrl");
        let regions = url.and_then(Value::as_mapping).into_iter().flatten();
        let urls = regions.map(|(_, url)| url).chain(url);
        for url in urls.filter_map(Value::as_str) {
            let resolved = variables.resolve(url).ok();
            let path = resolved.as_deref().and_then(base_path);
            paths.extend(path.map(|path| (key.to_owned(), path.to_owned())));
        }
    }
    paths
}

/// A path that a handler is served at; each of a handler's is unique.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServedPath {
    pub(crate) path: String,
    /// Whether only older major versions of the app call it.
    pub(crate) is_former: bool,
    is_beneath: bool,
}

impl BasePaths {
    /// Returns every path of a handler, each once: its own first, those of older major versions last.
    pub(crate) fn of(&self, handler: &Handler) -> Vec<ServedPath> {
        let remote = handler
            .registration()
            .remote
            .unwrap_or(&self.default_remote);
        let bases: Vec<&str> = self
            .paths
            .iter()
            .filter(|(key, _)| key == remote)
            .map(|(_, base)| base.as_str())
            .collect();
        let mut served: Vec<ServedPath> = Vec::new();
        for own in handler.paths() {
            for base in std::iter::once("").chain(bases.iter().copied()) {
                let path = format!("{base}{own}");
                // Two base paths, or a base path and a former path, may lead to the same one.
                if served.iter().all(|one| one.path != path) {
                    served.push(ServedPath {
                        path,
                        is_former: own != handler.path(),
                        is_beneath: !base.is_empty(),
                    });
                }
            }
        }
        served
    }

    /// Returns whether a handler receives every request of a path, or of a route's pattern.
    #[cfg(feature = "cli")]
    pub(crate) fn reaches(&self, handler: &Handler, route: &str) -> bool {
        let served = self.of(handler);
        served.iter().any(|one| one.reaches(handler, route))
    }

    /// Returns whether one of the app's own routes could never be called, because a handler receives its requests.
    pub(crate) fn hides(&self, handler: &Handler, own_route: &str) -> bool {
        let served = self.of(handler);
        let hides = |one: &ServedPath| {
            one.reaches(handler, own_route) || matches_route(&one.path, own_route)
        };
        served.iter().any(hides)
    }

    /// Returns whether the handlers of a remote are served beneath this path too; the empty one is their own.
    #[cfg(feature = "cli")]
    pub(crate) fn has(&self, remote: &str, base: &str) -> bool {
        let is_base = |(key, path): &(String, String)| key == remote && path == base;
        base.is_empty() || self.paths.iter().any(is_base)
    }

    /// Returns a problem for each path beneath a base URL's that another handler has.
    pub(crate) fn problems(&self, handlers: &[Handler]) -> Vec<Diagnostic> {
        let mut problems = self.overlaps(handlers);
        for handler in handlers {
            let beneath = self.of(handler).into_iter().filter(|one| one.is_beneath);
            for served in beneath {
                let overlaps = |other: &&Handler| {
                    let is_alike = other.path() == handler.path();
                    // Handlers beneath one base path are as distinct as their own paths, which are checked.
                    let theirs = self.of(other).into_iter();
                    let mut theirs = theirs.filter(|one| !(is_alike && one.is_beneath));
                    !std::ptr::eq(*other, handler)
                        && theirs.any(|theirs| {
                            theirs.reaches(other, &served.path)
                                || served.reaches(handler, &theirs.path)
                        })
                };
                if let Some(other) = handlers.iter().find(overlaps) {
                    let message = format!("`{}` is a path of two handlers", served.path);
                    let problem = Diagnostic::error(&BASE_PATH_TAKEN, message, OTHER_PATH);
                    problems.push(problem.at([handler, other]));
                }
            }
        }
        problems
    }
}

/// The help for handlers that are served at one path.
const OTHER_PATH: &str = "give one of them another path: `path = \"/…\"` in the attribute";

impl BasePaths {
    /// Returns a problem for each route with a parameter that overlaps with another handler's route, so that the router
    /// could not decide between them. Equal routes are reported elsewhere.
    fn overlaps(&self, handlers: &[Handler]) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut routes = matchit::Router::new();
        let mut known: BTreeMap<String, (bool, usize)> = BTreeMap::new();
        for (at, handler) in handlers.iter().enumerate() {
            for route in self.of(handler).iter().flat_map(|one| one.routes(handler)) {
                let has_parameter = route.contains('{') && !route.ends_with("/{*rest}");
                let mut report = |with: &str, other: usize| {
                    let message = format!("the route `{route}` overlaps with `{with}`");
                    let problem = Diagnostic::error(&OVERLAPPING_PATHS, message, OTHER_PATH);
                    problems.push(problem.at([handler, &handlers[other]]));
                };
                if let Some((_, other)) = known.get(&route) {
                    let ends_with_slash = |one: &Handler| {
                        one.paths()
                            .any(|path| path.len() > 1 && path.ends_with('/'))
                    };
                    let other = *other;
                    if ends_with_slash(handler) != ends_with_slash(&handlers[other]) {
                        report(&route, other);
                    }
                    continue;
                }
                if let Err(matchit::InsertError::Conflict { with }) =
                    routes.insert(route.as_str(), ())
                    && let Some((other_has_parameter, other)) = known.get(&with)
                    && (has_parameter || *other_has_parameter)
                {
                    report(&with, *other);
                }
                known.insert(route, (has_parameter, at));
            }
        }
        problems
    }
}

impl ServedPath {
    /// Returns the router's routes at this path.
    fn routes(&self, handler: &Handler) -> Vec<String> {
        let base = self.path.trim_end_matches('/');
        match handler.route_scope() {
            RouteScope::Subpath => vec![
                self.path.clone(),
                format!("{base}/"),
                format!("{base}/{{*rest}}"),
            ],
            RouteScope::Exact | RouteScope::AnyMethod => vec![self.path.clone()],
        }
    }

    /// Returns whether its handler receives every request of a path, or of a route's pattern, here.
    fn reaches(&self, handler: &Handler, route: &str) -> bool {
        let rest = route.strip_prefix(self.path.trim_end_matches('/'));
        let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        route == self.path || handler.route_scope() == RouteScope::Subpath && is_below
    }
}

/// Returns whether a path matches every request of a route: a parameter matches any one segment.
fn matches_route(path: &str, route: &str) -> bool {
    let (path, route) = (path.split('/'), route.split('/'));
    path.clone().count() == route.clone().count()
        && path.zip(route).all(|(part, other)| {
            let takes_any = part.starts_with('{') && part.ends_with('}');
            part == other || takes_any && !other.is_empty() && !other.starts_with("{*")
        })
}
