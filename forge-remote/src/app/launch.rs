//! The checks before an app serves, each with the rule it reports. They change nothing and report
//! all problems together.

use std::collections::BTreeSet;
use std::fmt;

use serde_yaml::Value;

use super::base_paths::BasePaths;
use super::builder::{App, NO_TOKENS, PendingState};
use super::config::AppSettings;
use crate::diagnostic::{CodeLocation, Diagnostic, Location, Rule, render};
use crate::manifest::{
    ForeignModules, MAX_PROPERTIES, Remote, TOO_MANY_PROPERTIES, included_paths, keys_of_endpoints,
};
use crate::registry::{Handler, Requirement};
use crate::token::Tokens;

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[
    &UNCONNECTED_STATE,
    &UNOPENED_TOKENS,
    &BAD_TOKENS,
    &MISSING_STATE,
    &FOREIGN_HANDLER,
    &NO_REMOTE,
    &BAD_REMOTE,
    &DUPLICATE_REMOTE,
    &UNKNOWN_REMOTE,
];

/// All problems that keep an app from starting, each with its code and fix. `explain CODE` prints
/// more about a code.
#[derive(Clone, PartialEq)]
pub struct LaunchError {
    problems: Vec<Diagnostic>,
}

impl LaunchError {
    pub(crate) fn new(problems: Vec<Diagnostic>) -> Self {
        Self { problems }
    }

    /// Returns the problems.
    pub fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(None, &self.problems, false))?;
        let count = self.problems.len();
        write!(
            f,
            "the app cannot start: {count} problem{}",
            if count == 1 { "" } else { "s" }
        )
    }
}

impl fmt::Debug for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LaunchError {}

impl App {
    /// Returns the problems of the declarations in the code that the manifest is made from.
    pub(crate) fn declaration_problems(&self) -> Vec<Diagnostic> {
        self.declaration_problems_with(&self.base_paths())
    }

    /// Returns the same, for base paths that were read before: a large manifest takes long to read.
    pub(crate) fn declaration_problems_with(&self, base_paths: &BasePaths) -> Vec<Diagnostic> {
        let mut problems = self.code_problems();
        problems.extend(self.path_problems(base_paths));
        problems
    }

    /// Returns the problems that do not depend on the manifest's file.
    pub(crate) fn code_problems(&self) -> Vec<Diagnostic> {
        let mut problems = self.problems.clone();
        problems.extend(self.registry.problems());
        self.check_remotes(&mut problems);
        self.check_foreign_keys(&mut problems);
        self.check_properties(&mut problems);
        problems.extend(self.fresh_token_problems());
        problems.extend(self.cron_problems());
        problems
    }

    /// Returns the problems of the paths that handlers and routes are served at.
    pub(crate) fn path_problems(&self, base_paths: &BasePaths) -> Vec<Diagnostic> {
        let mut problems = base_paths.problems(self.registry.handlers());
        problems.extend(self.own_route_problems(base_paths));
        problems
    }

    /// Checks the number of entity properties in all triggers' `property_paths`.
    fn check_properties(&self, problems: &mut Vec<Diagnostic>) {
        let mut paths = BTreeSet::new();
        let mut declared_at = Vec::new();
        let handlers = self.registry.handlers().iter();
        let is_trigger =
            |handler: &&Handler| handler.registration().kind.spec().module_type == "trigger";
        for handler in handlers.filter(is_trigger) {
            for module in handler.registration().kind.modules(handler.names()) {
                let item = Value::Mapping(module.item);
                if included_paths(&item).next().is_some() {
                    declared_at.push(CodeLocation::from(handler));
                }
                paths.extend(included_paths(&item).map(str::to_owned));
            }
        }
        if paths.len() > MAX_PROPERTIES {
            let message = format!(
                "the app's triggers have {} different `property_paths`, and Forge accepts at most {MAX_PROPERTIES} per app",
                paths.len()
            );
            let help = "list fewer, or fetch the properties when the event arrives";
            problems.push(Diagnostic::error(&TOO_MANY_PROPERTIES, message, help).at(declared_at));
        }
    }
}

const UNCONNECTED_STATE: Rule = Rule::launch(
    "unconnected-state",
    "The app was built before the future of `App::state_async` ran. `App::run()` runs it automatically; a program \
    that calls `App::build` must call `App::connect().await` first.",
);

const UNOPENED_TOKENS: Rule = Rule::launch(
    "unopened-tokens",
    "The store given to `App::token_store` is a database, and the app was built before it was connected. `App::run()` \
    connects it automatically; a program that calls `App::build` must call `App::connect().await` first.",
);

const BAD_TOKENS: Rule = Rule::launch(
    "bad-tokens",
    "The tokens given to `App::token_store` cannot be opened with their settings, for example because a setting was changed \
    after they had been opened. \
    Set everything before the tokens are given to the app.",
);

const MISSING_STATE: Rule = Rule::launch(
    "missing-state",
    "A handler or a background task takes `State<T>`, and the app holds no value of that type. Give it one with \
    `App::state`, or with `App::state_async` where making it takes time or can fail.",
);

impl App {
    /// Returns the problems that keep the app from starting, in addition to those of its declarations and its app ids.
    /// Nothing is connected or fetched.
    pub(crate) fn setup_problems(&self, settings: &AppSettings) -> Vec<Diagnostic> {
        let mut problems = self.missing_needs();
        problems.extend(self.key_problems(settings.jwks_url.as_deref()));
        problems
    }

    /// Returns a problem for each value that handlers and background tasks take and the app lacks.
    fn missing_needs(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        if let Some(Err(error)) = self.token_store.as_ref().map(Tokens::can_open_at_once) {
            let help = "correct the argument of `App::token_store`";
            problems.push(Diagnostic::error(&BAD_TOKENS, error.to_string(), help));
        }
        problems.extend(self.durable_problems());
        for handler in self.registry.handlers() {
            let record = handler.registration();
            for need in record.mount.needs() {
                let who = format!("`{}`", record.function);
                let problem = self.missing(&who, need);
                problems.extend(problem.map(|problem| problem.at([handler])));
            }
        }
        for job in self.registry.jobs() {
            for need in job.mount.needs() {
                let problem = self.missing(&format!("`{}`", job.function), need);
                problems.extend(problem.map(|problem| problem.at([job])));
            }
        }
        for (need, place) in self.fresh_token_needs() {
            let problem = self.missing("`App::keep_tokens_fresh_by`", &need);
            problems.extend(problem.map(|problem| problem.at([place])));
        }
        for task in &self.background {
            for need in &task.needs {
                let problem = self.missing("the background task", need);
                let place = Location::from(task.place);
                problems.extend(problem.map(|problem| problem.at([place])));
            }
        }
        problems
    }

    /// Returns a problem for each state or store that [`App::connect`] has to connect first.
    pub(crate) fn unconnected(&self) -> Vec<Diagnostic> {
        const HELP: &str = "call `App::connect().await` before `App::build()`; `App::run()` connects automatically";
        let mut problems = Vec::new();
        for PendingState { name, .. } in &self.pending_state {
            let message = format!("the state `{name}` is not connected");
            problems.push(Diagnostic::error(&UNCONNECTED_STATE, message, HELP));
        }
        if let Some(Ok(false)) = self.token_store.as_ref().map(Tokens::can_open_at_once) {
            let message = "the store given to `App::token_store` is not connected";
            problems.push(Diagnostic::error(&UNOPENED_TOKENS, message, HELP));
        }
        problems
    }

    /// Opens a token store that needs no connection, and returns the problem if it cannot be opened.
    /// Runs after the checks, which change nothing.
    pub(crate) fn open_tokens(&self) -> Option<Diagnostic> {
        let tokens = self.token_store.as_ref()?;
        tokens.use_clock(&self.clock);
        let error = tokens.open_at_once().err()?;
        let help = "correct the argument of `App::token_store`";
        Some(Diagnostic::error(&BAD_TOKENS, error.to_string(), help))
    }

    /// Returns the problem of a need that the app does not satisfy.
    fn missing(&self, who: &str, need: &Requirement) -> Option<Diagnostic> {
        match need {
            Requirement::Tokens if self.token_store.is_none() => Some(Diagnostic::error(
                &NO_TOKENS,
                format!("{who} takes `Tokens`, but the app has no token store"),
                "give the app a store: `.token_store(SqliteTokens::new(\"tokens.db\"))`; \
                 `forge_remote::token` lists them",
            )),
            Requirement::Jobs => self.missing_engine(who),
            Requirement::State { id, name } => {
                let (id, name) = (id(), name());
                let mut pending = self.pending_state.iter();
                if self.state.contains(id) || pending.any(|one| one.id == id) {
                    return None;
                }
                Some(Diagnostic::error(
                    &MISSING_STATE,
                    format!("{who} takes `State<{name}>`, but the app has no such value"),
                    "give it to the app: `.state(value)`, or `.state_async(async { … })`",
                ))
            }
            _ => None,
        }
    }
}

const FOREIGN_HANDLER: Rule = Rule::launch(
    "foreign-handler",
    "`App::foreign_endpoints` declares that another service serves an endpoint, or `App::foreign_modules` that a module is \
    another service's, and a handler of this app has that endpoint or module, or has it as a former key (`also_key`). \
    Remove one of the two.",
);

impl App {
    /// Returns the keys of other services: of the listed endpoints and modules, and of the modules of the manifest that
    /// name no other endpoints. Keys that are not known are logged, unless the app lists the modules.
    pub(super) fn keys_of_others(&self) -> BTreeSet<String> {
        let mut keys = self.foreign_endpoints.clone();
        keys.extend(self.foreign_modules.iter().flatten().cloned());
        if self.foreign_endpoints.is_empty() {
            return keys;
        }
        let mut handlers = self.registry.handlers().iter();
        let needs_modules = handlers.any(Handler::accepts_unknown_keys);
        if let Ok(file) = self.settings().read_manifest()
            && file.exists()
        {
            let listed = self.foreign_modules.as_ref();
            let modules = ForeignModules::of(file.value(), &self.foreign_endpoints, listed);
            if needs_modules && !modules.unlisted.is_empty() {
                tracing::warn!(
                    modules = ?modules.unlisted,
                    "the keys of these modules of other services have variables, whose deployed values are not known here: \
                     their calls are rejected only if `App::foreign_modules` lists these values"
                );
            }
            keys.extend(modules.into_keys());
            return keys;
        }
        // A file that cannot be read was reported by the comparison.
        if needs_modules && self.foreign_modules.is_none() {
            tracing::warn!(
                foreign_endpoints = ?self.foreign_endpoints,
                "the modules of other services are unknown, because there is no manifest: their calls are rejected only \
                 if `App::foreign_modules` lists their keys; an empty list means that there are none"
            );
        }
        keys
    }

    /// Returns the keys of the manifest's endpoints and of the modules that name them, whichever service has them, for an
    /// app with handlers of functions' calls: the FITs of these calls name none of them.
    pub(super) fn keys_of_endpoints(&self) -> BTreeSet<String> {
        let mut handlers = self.registry.handlers().iter();
        let is_for_functions =
            |one: &Handler| one.registration().kind.spec().is_called_by_functions();
        if !handlers.any(is_for_functions) {
            return BTreeSet::new();
        }
        match self.settings().read_manifest() {
            Ok(file) if file.exists() => keys_of_endpoints(file.value()),
            _ => BTreeSet::new(),
        }
    }

    fn check_foreign_keys(&self, problems: &mut Vec<Diagnostic>) {
        let mut reject = |handler: &Handler, method: &str, key: &str, fix: &str| {
            let message = format!(
                "`App::{method}` lists `{key}`, but `{}` serves it",
                handler.registration().function
            );
            let help = format!("remove the key from the list, or {fix}");
            problems.push(Diagnostic::error(&FOREIGN_HANDLER, message, help).at([handler]));
        };
        let no_modules = BTreeSet::new();
        let modules = self.foreign_modules.as_ref().unwrap_or(&no_modules);
        for handler in self.registry.handlers() {
            let endpoint = handler.endpoint();
            if self.foreign_endpoints.contains(endpoint) {
                let fix = "give the handler another endpoint";
                reject(handler, "foreign_endpoints", endpoint, fix);
            }
            if let Some(key) = handler.module_key().filter(|key| modules.contains(*key)) {
                reject(
                    handler,
                    "foreign_modules",
                    key,
                    "give the handler another key",
                );
            }
            // A key that is generated from a former one may be another service's: no handler accepts it then.
            for key in handler.registration().also_key {
                let lists = [
                    ("foreign_endpoints", &self.foreign_endpoints),
                    ("foreign_modules", modules),
                ];
                for (method, _) in lists.iter().filter(|(_, keys)| keys.contains(*key)) {
                    reject(handler, method, key, "from `also_key` of the handler");
                }
            }
        }
    }
}

const NO_REMOTE: Rule = Rule::launch(
    "no-remote",
    "The app has handlers but no remote, so Forge has no address to call. Add one with `App::remote`.",
);

const BAD_REMOTE: Rule = Rule::launch(
    "bad-remote",
    "Forge would not accept one of the app's remotes. The key is 1 to 23 letters, digits, `_` and `-`; a base URL is \
    `https://`, a host and perhaps a path, without a trailing slash; URLs for regions need a default; `operations` \
    with `Storage` need `in_scope_eud`.",
);

const DUPLICATE_REMOTE: Rule = Rule::launch(
    "duplicate-remote",
    "Two remotes given to the app have the same key. Forge would use the first without a warning. \
    Rename one of the two.",
);

const UNKNOWN_REMOTE: Rule = Rule::launch(
    "unknown-remote",
    "A handler's `remote = \"…\"` names a remote that the app does not have. Add it with `App::remote`, or correct the name.",
);

impl App {
    fn check_remotes(&self, problems: &mut Vec<Diagnostic>) {
        let mut keys = BTreeSet::new();
        for remote in &self.remotes {
            for problem in remote.problems() {
                let help = "correct the `Remote` given to the app";
                problems.push(Diagnostic::error(&BAD_REMOTE, problem, help));
            }
            if !keys.insert(remote.key()) {
                problems.push(Diagnostic::error(
                    &DUPLICATE_REMOTE,
                    format!("two remotes have the key `{}`", remote.key()),
                    "give each remote a different key; Forge would use the first without a warning",
                ));
            }
        }
        if self.remotes.is_empty() && !self.registry.handlers().is_empty() {
            problems.push(Diagnostic::error(
                &NO_REMOTE,
                "the app has no remote, so Forge would not know where to call",
                "add `.remote(Remote::new(\"backend\").base_url(\"https://backend.example.com\"))`",
            ));
        }
        let names: Vec<&str> = self.remotes.iter().map(Remote::key).collect();
        for handler in self.registry.handlers() {
            let Some(remote) = handler.registration().remote else {
                continue;
            };
            if !self.remotes.is_empty() && !names.contains(&remote) {
                problems.push(
                    Diagnostic::error(
                        &UNKNOWN_REMOTE,
                        format!(
                            "`{}` names the remote `{remote}`, which the app doesn't have",
                            handler.registration().function
                        ),
                        format!("the app's remotes are: {}", names.join(", ")),
                    )
                    .at([handler]),
                );
            }
        }
    }
}
