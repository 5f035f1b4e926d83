//! Hints for calls of older major versions of the app, which use the keys and paths of their
//! manifests.

use axum::http::HeaderMap;
use forge_remote_fit::__private::named_key;

use crate::fit::{TokenRejection, VerifyError};
use crate::registry::{Handler, Registry};

/// The names of the app's handlers, for hints. Hints name handlers, never what a request contains.
#[derive(Debug)]
pub(super) struct FormerCalls(Vec<FormerNames>);

#[derive(Debug)]
struct FormerNames {
    function: &'static str,
    path: String,
    /// The methods that its routes accept.
    methods: &'static str,
    key: String,
    endpoint: String,
    former_keys: Vec<String>,
    /// Whether its attribute has `also_key`.
    has_also_key: bool,
}

/// Returns whether a request's path is one of a handler's route, perhaps beneath the path of a base URL.
fn is_at(route: &str, path: &str) -> bool {
    let route: Vec<&str> = route.split('/').skip(1).collect();
    let path: Vec<&str> = path.split('/').skip(1).collect();
    let Some(beneath) = path.len().checked_sub(route.len()) else {
        return false;
    };
    let mut pairs = route.iter().zip(&path[beneath..]);
    pairs.all(|(part, called)| part == called || part.starts_with('{') && !called.is_empty())
}

/// Returns whether the handler's attribute accepts this option.
fn has_option(handler: &Handler, name: &str) -> bool {
    let spec = handler.registration().kind.spec();
    spec.option_names().any(|option| option == name)
}

impl FormerCalls {
    pub(super) fn new(registry: &Registry) -> Self {
        let names = |handler: &Handler| FormerNames {
            function: handler.registration().function,
            path: handler.path().to_owned(),
            methods: handler.methods(),
            key: handler.key().to_owned(),
            endpoint: handler.endpoint().to_owned(),
            former_keys: handler.former_keys().to_vec(),
            has_also_key: has_option(handler, "also_key"),
        };
        let handlers = registry.handlers().iter();
        Self(handlers.filter(|one| !one.is_cron()).map(names).collect())
    }

    /// Returns the hint at a path that differs from a handler's by a `/` at its end.
    pub(super) fn at_slash(&self, path: &str) -> Option<String> {
        let other = match path.strip_suffix('/') {
            Some(path) => path.to_owned(),
            None => format!("{path}/"),
        };
        let names = self.0.iter().find(|one| is_at(&one.path, &other))?;
        Some(format!(
            "`{}` has the path {}, and the request's differs from it by the `/` at the end",
            names.function, names.path
        ))
    }

    /// Returns the methods that handlers accept at a path.
    pub(super) fn methods_at(&self, path: &str) -> Vec<&'static str> {
        let names = self.0.iter().filter(|one| is_at(&one.path, path));
        let mut methods: Vec<&str> = names.map(|one| one.methods).collect();
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    /// Returns the hint at a path without a handler: the FIT, if there is one, names a handler.
    pub(super) fn at_unknown_path(&self, headers: &HeaderMap) -> Option<String> {
        let key = named_key(headers)?;
        let (names, is_former) = self.of_key(&key)?;
        let function = names.function;
        let what = if is_former { "former key" } else { "key" };
        Some(format!(
            "the FIT names the {what} of `{function}`, whose path is {}: an older major version of the app may call \
             the path that its own manifest has; if so, write `also_at = \"…\"` with that path at `{function}`",
            names.path
        ))
    }

    /// Returns the hint at a rejected FIT, if it names an endpoint other than the called one.
    pub(super) fn at_handler(
        &self,
        error: &VerifyError,
        headers: &HeaderMap,
        own: &str,
        is_former_path: bool,
    ) -> Option<String> {
        if !matches!(error, VerifyError::Rejected(TokenRejection::WrongEndpoint)) {
            return None;
        }
        let (called, _) = self.of_key(own)?;
        let function = called.function;
        let place = match is_former_path {
            true => format!("a former path of `{function}`"),
            false => format!("the path of `{function}`"),
        };
        let named = named_key(headers).and_then(|key| self.of_key(&key));
        Some(match named {
            Some((names, is_former)) => format!(
                "this is {place}, and the FIT names the {} of `{other}`: if an older major version of the app has \
                 `{other}` at this path, write `also_at` there, and give `{function}` another path",
                if is_former { "former key" } else { "key" },
                other = names.function
            ),
            None if !called.has_also_key => return None,
            None => format!(
                "this is {place}, and the FIT names a key that no handler has: if an older major version of the app \
                 has the endpoint under another key, write `also_key = \"…\"` with that key at `{function}`"
            ),
        })
    }

    /// Returns the handler with this key, and whether the key is a former one.
    fn of_key(&self, key: &str) -> Option<(&FormerNames, bool)> {
        let current = |one: &&FormerNames| one.key == key || one.endpoint == key;
        let former = |one: &&FormerNames| one.former_keys.iter().any(|former| former == key);
        let found = self.0.iter().find(current).map(|one| (one, false));
        found.or_else(|| self.0.iter().find(former).map(|one| (one, true)))
    }
}
