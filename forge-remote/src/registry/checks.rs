//! The checks of all handlers of an app together, each with the rule it reports.

use std::collections::{BTreeMap, BTreeSet};

use super::{Handler, Kind, Location, Registration, Registry, RouteScope};
use crate::diagnostic::{CodeLocation, Diagnostic, Rule};
use crate::fit::AllowedCaller;

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[
    &NO_HANDLERS,
    &BAD_OPTION,
    &SEVERAL_MODULES,
    &CONFLICTING_PARTS,
    &MISSING_PARTS,
    &DUPLICATE_KEY,
    &KEY_IN_BOTH,
    &FORMER_KEY,
    &DUPLICATE_NAME,
    &DUPLICATE_PATH,
    &COVERED_PATH,
];

impl From<&Handler> for CodeLocation {
    fn from(handler: &Handler) -> Self {
        let record = handler.registration();
        Self::of_function(record.location, record.function)
    }
}

const NO_HANDLERS: Rule = Rule::launch(
    "no-handlers",
    "The app has no handler, so Forge has nothing to call. Annotate an async function. A handler in another crate \
    is linked only if the binary names that crate: write `forge_remote::link!(that_crate);` in `main.rs`.",
);

const BAD_OPTION: Rule = Rule::launch(
    "bad-option",
    "An option of a handler's attribute has a value that Forge would reject. Literals are checked at compile time; the \
    values of constants are checked when the app starts.",
);

impl Registry {
    /// Returns the problems of all handlers together.
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        if self.handlers().is_empty() {
            problems.push(Diagnostic::error(&NO_HANDLERS,
                "there are no handlers",
                "annotate an async function, for example with `#[scheduled_trigger(interval = \"hour\")]`; \
                 if the handlers are in another crate, name it: `forge_remote::link!(that_crate);`",
            ));
        }
        for handler in self.handlers() {
            let mistakes = handler.registration().kind.validate();
            let mistakes = mistakes.into_iter();
            problems.extend(mistakes.map(|mistake| {
                Diagnostic::error(&BAD_OPTION, mistake.message, mistake.help).at([handler])
            }));
        }
        self.check_keys(&mut problems);
        self.check_former_keys(&mut problems);
        self.check_names(&mut problems);
        self.check_shared_modules(&mut problems);
        self.check_routes(&mut problems);
        problems
    }
}

const SEVERAL_MODULES: Rule = Rule::launch(
    "several-modules",
    "Forge accepts one module of this type in an app, but the handlers declare several, because their `key`s differ. \
    Give all of them the same `key`, or remove `key` from all.",
);

const CONFLICTING_PARTS: Rule = Rule::launch(
    "conflicting-parts",
    "Several handlers declare one module together, and two of them set one of its properties to different values. Set \
    the property at one of them, or give one handler another `key`, so that it declares a separate module.",
);

const MISSING_PARTS: Rule = Rule::launch(
    "missing-parts",
    "Several handlers declare one module together, and a part that Forge requires is missing. Annotate a handler for \
    each part, and set the module's shared properties at one of them.",
);

impl Registry {
    /// Checks the modules that several handlers declare: each part must be there exactly once.
    fn check_shared_modules(&self, problems: &mut Vec<Diagnostic>) {
        let mut modules: BTreeMap<(&str, &str), Vec<&Handler>> = BTreeMap::new();
        for handler in self.handlers() {
            let kind = handler.registration().kind;
            if kind.shared_key().is_some() {
                let key = (kind.module_type(), handler.key());
                modules.entry(key).or_default().push(handler);
            }
        }
        let mut alone: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handlers in modules.values() {
            let kind = handlers[0].registration().kind;
            if kind.singleton() {
                alone
                    .entry(kind.module_type())
                    .or_default()
                    .push(handlers[0]);
            }
        }
        for (name, handlers) in alone.iter().filter(|(_, all)| all.len() > 1) {
            problems.push(
                Diagnostic::error(
                    &SEVERAL_MODULES,
                    format!(
                        "Forge accepts one {name} in an app, but there are {}",
                        handlers.len()
                    ),
                    "give all of them the same `key`, or remove it from all",
                )
                .at(handlers.iter().copied()),
            );
        }
        for ((name, key), handlers) in modules {
            let module = format!("{name} `{key}`");
            let whole = joined_parts(&module, &handlers, problems);
            problems.extend(conflicting_remote(&module, &handlers));
            problems.extend(missing_parts(&module, &handlers, &whole));
        }
    }
}

/// Returns the properties that a module's handlers set together.
fn joined_parts(
    module: &str,
    handlers: &[&Handler],
    problems: &mut Vec<Diagnostic>,
) -> serde_yaml::Mapping {
    let mut whole = serde_yaml::Mapping::new();
    for handler in handlers {
        let parts = handler.registration().kind.modules(handler.names());
        for (part, value) in parts.into_iter().flat_map(|module| module.item) {
            let part_name = part.as_str().unwrap_or_default().to_owned();
            let before = whole.insert(part, value.clone());
            if before.is_some_and(|before| before != value) {
                problems.push(
                    Diagnostic::error(
                        &CONFLICTING_PARTS,
                        format!("the functions of {module} disagree on `{part_name}`"),
                        "set it at one of them, or give one function another `key`",
                    )
                    .at(handlers.iter().copied()),
                );
            }
        }
    }
    whole
}

/// Returns the problem of a module without an endpoint, which names its remote itself, if its handlers
/// disagree on it.
fn conflicting_remote(module: &str, handlers: &[&Handler]) -> Option<Diagnostic> {
    let first = *handlers.first()?;
    let remote = first.registration().remote;
    let mut handlers = handlers.iter();
    let other = *handlers.find(|one| one.registration().remote != remote)?;
    let problem = || {
        Diagnostic::error(
            &CONFLICTING_PARTS,
            format!("the functions of {module} disagree on `remote`"),
            "give all of them the same `remote`, or remove it from all",
        )
        .at([first, other])
    };
    (!other.registration().kind.has_endpoint()).then(problem)
}

fn missing_parts(
    module: &str,
    handlers: &[&Handler],
    whole: &serde_yaml::Mapping,
) -> Option<Diagnostic> {
    let has_function = |part: &str| {
        let mut kinds = handlers.iter().map(|one| one.registration().kind);
        kinds.any(|kind| kind.path_suffix() == Some(part))
    };
    let parts = handlers.first()?.registration().kind.shared_parts();
    let missing: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !whole.contains_key(*part) && !has_function(part))
        .collect();
    let problem = || {
        Diagnostic::error(
            &MISSING_PARTS,
            format!("{module} lacks {}", missing.join(", ")),
            "annotate a function for each (`function = \"…\"`, `hook = \"…\"`); set the module's shared properties \
             (`name`, `home_url`) at one of them",
        )
        .at(handlers.iter().copied())
    };
    (!missing.is_empty()).then(problem)
}

const DUPLICATE_KEY: Rule = Rule::launch(
    "duplicate-key",
    "Two handlers have the same key, so the manifest can hold only one of them. Keys are derived from the functions' \
    names. Set another key of one handler with `key = \"…\"`, or with `endpoint = \"…\"` for the key of an endpoint. \
    Two cases may share an endpoint: several `#[endpoint]` functions (the paths of one page) with the same `key`, \
    `auth` and `remote`, and several attributes of one function with the same `path`, `auth` and `remote`.",
);

const KEY_IN_BOTH: Rule = Rule::launch(
    "key-in-both",
    "A module and an endpoint have the same key, but share one namespace. Change one of them.",
);

impl Registry {
    fn check_keys(&self, problems: &mut Vec<Diagnostic>) {
        let mut modules: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        let mut endpoints: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handler in self.handlers() {
            if let Some(key) = handler.module_key() {
                modules.entry(key).or_default().push(handler);
            }
            if handler.registration().kind.has_endpoint() && !handler.is_cron() {
                endpoints
                    .entry(handler.endpoint())
                    .or_default()
                    .push(handler);
            }
        }
        for (key, handlers) in &modules {
            problems.extend(shared_module_key(key, handlers));
            if let Some(others) = endpoints.get(key) {
                let all = handlers.iter().chain(others).copied();
                problems.push(
                    Diagnostic::error(
                        &KEY_IN_BOTH,
                        format!("`{key}` is the key of a module and of an endpoint"),
                        "modules and endpoints share one namespace of keys: change one of them",
                    )
                    .at(all),
                );
            }
        }
        for (key, handlers) in &endpoints {
            problems.extend(shared_endpoint_key(key, handlers));
        }
    }
}

/// Returns the problem of modules with one key, unless the manifest has one module for them.
fn shared_module_key(key: &str, handlers: &[&Handler]) -> Option<Diagnostic> {
    let (first, rest) = handlers.split_first()?;
    let together = |one: &&Handler| {
        let (first, one) = (first.registration().kind, one.registration().kind);
        one.shared_key().is_some() && one.module_type() == first.module_type()
    };
    if rest.is_empty() || handlers.iter().all(together) {
        return None;
    }
    let message = format!("{} modules have the key `{key}`", handlers.len());
    let help = "give all but one another key: `key = \"…\"` in the attribute";
    let problem = Diagnostic::error(&DUPLICATE_KEY, message, help);
    Some(problem.at(handlers.iter().copied()))
}

/// Returns the problem of endpoints with one key, unless they may share it.
fn shared_endpoint_key(key: &str, handlers: &[&Handler]) -> Option<Diagnostic> {
    // Several paths of one page may share an endpoint, because its resolver names only one.
    // So may several attributes of one function: whichever module is meant, it is called.
    let (first, rest) = handlers.split_first()?;
    let shareable = |one: &&Handler| {
        let (a, b) = (first.registration(), one.registration());
        let is_page = |kind: &dyn Kind| kind.caller() == AllowedCaller::Page;
        // Functions that only have the same name do not share deliberately.
        let has_key = |record: &Registration| record.key.is_some() || record.endpoint.is_some();
        let is_written = has_key(a) || has_key(b) || first.is_same_function(one);
        (is_page(a.kind) && is_page(b.kind) && is_written || first.shares_route_with(one))
            && a.auth == b.auth
            && a.remote == b.remote
    };
    if rest.is_empty() || handlers.iter().all(shareable) {
        return None;
    }
    let message = format!("{} endpoints have the key `{key}`", handlers.len());
    let help = "give all but one another key (`endpoint = \"…\"` on a trigger, `key = \"…\"` on an \
                endpoint); only attributes of one function with the same `path`, `auth` and `remote`, or \
                `#[endpoint]`s with the same `key`, `auth` and `remote`, may share one";
    let problem = Diagnostic::error(&DUPLICATE_KEY, message, help);
    Some(problem.at(handlers.iter().copied()))
}

const FORMER_KEY: Rule = Rule::launch(
    "former-key",
    "A key in `also_key` belongs to another handler too, so that one token would be accepted by both. List a former \
    key only at the handler that replaces the old endpoint.",
);

impl Registry {
    /// Checks that a FIT of an older version names one handler.
    fn check_former_keys(&self, problems: &mut Vec<Diagnostic>) {
        let mut owners: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handler in self.handlers() {
            for key in handler.former_keys() {
                owners.entry(key).or_default().push(handler);
            }
        }
        // A written key and the module key generated from it often collide together.
        let mut reported: BTreeSet<Vec<Location>> = BTreeSet::new();
        for (key, mut handlers) in owners {
            let is_own = |one: &&Handler| one.key() == key || one.endpoint() == key;
            handlers.extend(self.handlers().iter().filter(is_own));
            // A handler may be listed twice, and attributes of one function serve the same calls.
            let is_shared = handlers
                .iter()
                .all(|one| one.shares_route_with(handlers[0]));
            let places = handlers.iter().map(|one| one.registration().location);
            if !is_shared && reported.insert(places.collect()) {
                problems.push(
                    Diagnostic::error(
                        &FORMER_KEY,
                        format!("the former key `{key}` is also a key of another handler"),
                        "remove it from `also_key`, or give the other handler another key",
                    )
                    .at(handlers),
                );
            }
        }
    }
}

const DUPLICATE_NAME: Rule = Rule::launch(
    "duplicate-name",
    "Forge requires this name to be unique in the app, ignoring case. Give one handler another `name`.",
);

impl Registry {
    /// Checks the names that Forge requires to be unique, ignoring case.
    fn check_names(&self, problems: &mut Vec<Diagnostic>) {
        let mut names: BTreeMap<(&str, String), Vec<&Handler>> = BTreeMap::new();
        for handler in self.handlers() {
            let kind = handler.registration().kind;
            if let Some(name) = kind.unique_name() {
                let same = (kind.module_type(), name.to_lowercase());
                names.entry(same).or_default().push(handler);
            }
        }
        for ((kind, _), handlers) in names.iter().filter(|(_, all)| all.len() > 1) {
            let written = handlers
                .iter()
                .filter_map(|one| one.registration().kind.unique_name());
            let written: BTreeSet<String> = written.map(|name| format!("`{name}`")).collect();
            let written: Vec<String> = written.into_iter().collect();
            problems.push(
                Diagnostic::error(&DUPLICATE_NAME,
                    format!("{} {kind} have the name {}", handlers.len(), written.join(", ")),
                    "give all but one another name: `name = \"…\"` in the attribute; Forge ignores case",
                )
                .at(handlers.iter().copied()),
            );
        }
    }
}

const DUPLICATE_PATH: Rule = Rule::launch(
    "duplicate-path",
    "Two handlers have the same method and path, so one of them would never be called. Give one another `path`, or \
    write both attributes above one function. A handler of any method must be the only one on its path.",
);

const COVERED_PATH: Rule = Rule::launch(
    "covered-path",
    "A handler serves every path below its own, and another handler's path is one of them. Give one of them another \
    `path`.",
);

impl Registry {
    fn check_routes(&self, problems: &mut Vec<Diagnostic>) {
        const HELP: &str = "give all but one another path: `path = \"/…\"` in the attribute";
        let mut paths: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handler in self.handlers() {
            for path in handler.paths() {
                paths.entry(path).or_default().push(handler);
            }
        }
        for (path, handlers) in &paths {
            let mut methods: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
            // A handler of any method must be the only one on its path.
            let any = handlers
                .iter()
                .any(|one| one.route_scope() != RouteScope::Exact);
            for handler in handlers {
                let method = if any { "any" } else { handler.methods() };
                methods.entry(method).or_default().push(handler);
            }
            let is_one_function =
                |all: &[&Handler]| !any && all.iter().all(|one| one.shares_route_with(all[0]));
            let conflicts = methods
                .iter()
                .filter(|(_, all)| all.len() > 1 && !is_one_function(all));
            for (method, handlers) in conflicts {
                let message = match *method {
                    "any" => format!(
                        "{} handlers have the path `{path}`, one of them with any method",
                        handlers.len()
                    ),
                    method => format!(
                        "{} handlers have the route `{method} {path}`",
                        handlers.len()
                    ),
                };
                problems.push(
                    Diagnostic::error(&DUPLICATE_PATH, message, HELP).at(handlers.iter().copied()),
                );
            }
        }
        for above in self
            .handlers()
            .iter()
            .filter(|one| one.route_scope() == RouteScope::Subpath)
        {
            let below = paths.iter().filter(|(path, _)| above.covers(path));
            for (path, handlers) in below {
                let all: Vec<&Handler> = [above]
                    .into_iter()
                    .chain(handlers.iter().copied())
                    .collect();
                let message = format!(
                    "`{path}` is below `{}`, where a {} serves every path",
                    above.path(),
                    above.registration().kind.module_type()
                );
                problems.push(Diagnostic::error(&COVERED_PATH, message, HELP).at(all));
            }
        }
    }
}
