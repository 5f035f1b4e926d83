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
    key: String,
    endpoint: String,
    former_keys: Vec<String>,
}

impl FormerCalls {
    pub(super) fn new(registry: &Registry) -> Self {
        let names = |handler: &Handler| FormerNames {
            function: handler.registration().function,
            path: handler.path().to_owned(),
            key: handler.key().to_owned(),
            endpoint: handler.endpoint().to_owned(),
            former_keys: handler.former_keys().to_vec(),
        };
        let handlers = registry.handlers().iter();
        Self(handlers.filter(|one| !one.is_cron()).map(names).collect())
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
        let function = self.of_key(own).map(|(names, _)| names.function)?;
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
