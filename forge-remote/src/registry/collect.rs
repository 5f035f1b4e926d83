//! The handlers of an app: every record found, its names resolved, sorted, and checked together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use forge_remote_schema::names::{Names, WrittenNames};

use super::{Location, Method, Reach, Registration, Submission};

/// One handler with its names resolved.
#[derive(Clone, Debug)]
pub struct Handler {
    registration: Registration,
    names: Names,
    method: Method,
}

impl Handler {
    fn new(registration: Registration) -> Self {
        let written = WrittenNames {
            function: registration.function,
            key: registration.key,
            endpoint: registration.endpoint,
            path: registration.path,
        };
        let kind = registration.kind;
        let names = Names::new(kind.spec(), written, kind.below());
        let method = kind.method().unwrap_or(registration.method);
        Self {
            registration,
            names,
            method,
        }
    }

    /// The record its macro wrote.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// The module's key; the endpoint's for a kind without a module of its own.
    pub fn key(&self) -> &str {
        &self.names.key
    }

    /// The endpoint's key.
    pub fn endpoint(&self) -> &str {
        &self.names.endpoint
    }

    /// The path it is mounted at.
    pub fn path(&self) -> &str {
        &self.names.path
    }

    /// The method it is called with; it may answer others too, see [`reach`](Self::reach).
    pub fn method(&self) -> Method {
        self.method
    }

    /// Which requests it answers.
    pub fn reach(&self) -> Reach {
        self.registration.kind.reach()
    }

    /// The methods it answers, for people: `POST`, `any`.
    pub fn methods(&self) -> &'static str {
        match self.reach() {
            Reach::Exact => self.method.as_str(),
            Reach::AnyMethod | Reach::Below => "any",
        }
    }

    /// Whether it answers this method.
    pub fn answers(&self, method: Method) -> bool {
        self.reach() != Reach::Exact || self.method == method
    }

    /// Whether a path is below this handler's own, and so this handler's.
    fn covers(&self, path: &str) -> bool {
        let base = self.path().trim_end_matches('/');
        self.reach() == Reach::Below
            && path
                .strip_prefix(base)
                .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
    }

    /// The module's key, when it has a module of its own.
    pub fn module_key(&self) -> Option<&str> {
        self.registration.kind.module_suffix().map(|_| self.key())
    }
}

/// The handlers of an app, sorted by key.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    handlers: Vec<Handler>,
}

impl Registry {
    /// Every annotated function that is linked into this binary.
    ///
    /// A crate that the binary never names is not linked: name it with
    /// [`link!`](crate::link) in `main.rs`.
    pub fn linked() -> Self {
        Self::of(inventory::iter::<Submission>().map(|submission| submission.0()))
    }

    /// These handlers alone.
    pub fn of(registrations: impl IntoIterator<Item = Registration>) -> Self {
        let mut handlers: Vec<Handler> = registrations.into_iter().map(Handler::new).collect();
        // The linker's order differs between builds; one function named twice is still one.
        handlers.sort_by(|a, b| order(a).cmp(&order(b)));
        let function = |handler: &Handler| handler.registration.mount.function();
        handlers.dedup_by(|a, b| function(a) == function(b));
        Self { handlers }
    }

    /// The handlers, sorted by key.
    pub fn handlers(&self) -> &[Handler] {
        &self.handlers
    }

    /// The handlers whose module or endpoint has this key.
    pub fn find<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Handler> {
        self.handlers
            .iter()
            .filter(move |handler| handler.key() == key || handler.endpoint() == key)
    }

    /// A name for each handler, in their order, that tells it from the others: its key, or its
    /// endpoint's where several make one module, or what it answers too where several share both.
    pub(crate) fn labels(&self) -> Vec<String> {
        let all = &self.handlers;
        let once = |key: &str, of: fn(&Handler) -> &str| {
            all.iter().filter(|one| of(one) == key).count() == 1
        };
        let label = |one: &Handler| {
            if once(one.key(), Handler::key) {
                one.key().to_owned()
            } else if once(one.endpoint(), Handler::endpoint) {
                one.endpoint().to_owned()
            } else {
                format!("{} ({} {})", one.key(), one.methods(), one.path())
            }
        };
        all.iter().map(label).collect()
    }

    /// The keys of all their modules and endpoints.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        let all = self.handlers.iter();
        all.flat_map(|one| [one.key().to_owned(), one.endpoint().to_owned()])
            .collect()
    }

    /// What is wrong with the handlers taken together.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.handlers.is_empty() {
            problems.push(Problem::new(
                "no-handlers",
                "there are no handlers",
                "annotate an async function, for example with `#[scheduled_trigger(interval = \"hour\")]`; \
                 if the handlers are in another crate, name it: `forge_remote::link!(that_crate);`",
            ));
        }
        for handler in &self.handlers {
            let wrong = handler.registration.kind.wrong_options();
            let wrong = wrong.into_iter();
            problems.extend(wrong.map(|mistake| {
                Problem::new("bad-option", mistake.message, mistake.help).at([&handler])
            }));
        }
        self.check_keys(&mut problems);
        self.check_names(&mut problems);
        self.check_shared_modules(&mut problems);
        self.check_routes(&mut problems);
        problems
    }

    /// Modules that several functions make: each part once, none missing, none told twice.
    fn check_shared_modules(&self, problems: &mut Vec<Problem>) {
        let mut modules: BTreeMap<(&str, &str), Vec<&Handler>> = BTreeMap::new();
        for handler in &self.handlers {
            let kind = handler.registration.kind;
            if kind.shared_key().is_some() {
                let key = (kind.name(), handler.key());
                modules.entry(key).or_default().push(handler);
            }
        }
        let mut alone: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handlers in modules.values() {
            let kind = handlers[0].registration.kind;
            if kind.alone() {
                alone.entry(kind.name()).or_default().push(handlers[0]);
            }
        }
        for (name, handlers) in alone.iter().filter(|(_, all)| all.len() > 1) {
            problems.push(
                Problem::new(
                    "several-modules",
                    format!("Forge takes one {name}, and these are {}", handlers.len()),
                    "write the same `key` at all of them, or none",
                )
                .at(handlers),
            );
        }
        for ((name, key), handlers) in modules {
            let mut whole = serde_yaml::Mapping::new();
            for handler in &handlers {
                let parts = handler.registration.kind.modules(handler);
                for (part, value) in parts.into_iter().flat_map(|module| module.item) {
                    let part_name = part.as_str().unwrap_or_default().to_owned();
                    match whole.insert(part, value.clone()) {
                        Some(other) if other != value => problems.push(
                            Problem::new(
                                "conflicting-parts",
                                format!("the functions of {name} `{key}` say different things of `{part_name}`"),
                                "write it at one of them, or give one function another `key`",
                            )
                            .at(&handlers),
                        ),
                        _ => {}
                    }
                }
            }
            // It names a remote itself, so there is one for all.
            let remote = handlers[0].registration.remote;
            let other = handlers
                .iter()
                .find(|one| one.registration.remote != remote);
            if let Some(other) = other.filter(|one| !one.registration.kind.has_endpoint()) {
                problems.push(
                    Problem::new(
                        "conflicting-parts",
                        format!("the functions of {name} `{key}` say different things of `remote`"),
                        "write the same `remote` at all of them, or none",
                    )
                    .at([&handlers[0], other]),
                );
            }
            let parts = handlers[0].registration.kind.shared_parts();
            let missing: Vec<&str> = parts
                .iter()
                .copied()
                .filter(|part| !whole.contains_key(*part))
                .filter(|part| {
                    let mut below = handlers.iter().map(|one| one.registration.kind.below());
                    below.all(|below| below != Some(part))
                })
                .collect();
            if !missing.is_empty() {
                problems.push(
                    Problem::new(
                        "missing-parts",
                        format!("{name} `{key}` lacks {}", missing.join(", ")),
                        "annotate a function for each (`function = \"…\"`, `hook = \"…\"`); what is the whole module's \
                         (`name`, `home_url`) is written at one of them",
                    )
                    .at(&handlers),
                );
            }
        }
    }

    fn check_keys(&self, problems: &mut Vec<Problem>) {
        let mut modules: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        let mut endpoints: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handler in &self.handlers {
            if let Some(key) = handler.module_key() {
                modules.entry(key).or_default().push(handler);
            }
            if handler.registration.kind.has_endpoint() {
                endpoints
                    .entry(handler.endpoint())
                    .or_default()
                    .push(handler);
            }
        }
        for (key, handlers) in &modules {
            let together = |one: &&Handler| {
                one.registration.kind.shared_key().is_some()
                    && one.registration.kind.name() == handlers[0].registration.kind.name()
            };
            if handlers.len() > 1 && !handlers.iter().all(together) {
                problems.push(
                    Problem::new(
                        "duplicate-key",
                        format!("{} modules have the key `{key}`", handlers.len()),
                        "give all but one a key of its own: `key = \"…\"` in the attribute",
                    )
                    .at(handlers),
                );
            }
            if let Some(others) = endpoints.get(key) {
                let all: Vec<&Handler> = handlers.iter().chain(others).copied().collect();
                problems.push(
                    Problem::new(
                        "key-in-both",
                        format!("`{key}` is the key of a module and of an endpoint"),
                        "Forge keeps the keys of modules and endpoints in one name space: change one of them",
                    )
                    .at(&all),
                );
            }
        }
        for (key, handlers) in &endpoints {
            // Several paths of one page may share an endpoint: its resolver names just one.
            let Some((first, rest)) = handlers.split_first() else {
                continue;
            };
            let shareable = |one: &&Handler| {
                let (a, b) = (&first.registration, &one.registration);
                b.kind.caller() == crate::fit::Caller::Page
                    && a.auth == b.auth
                    && a.remote == b.remote
            };
            if !rest.is_empty() && !handlers.iter().all(shareable) {
                problems.push(
                    Problem::new(
                        "duplicate-key",
                        format!("{} endpoints have the key `{key}`", handlers.len()),
                        "give all but one a key of its own (`endpoint = \"…\"` on a trigger, `key = \"…\"` on an \
                         endpoint); only `#[endpoint]`s with the same `auth` and `remote` may share one",
                    )
                    .at(handlers),
                );
            }
        }
    }

    /// Names that Forge wants once in an app, whatever their case.
    fn check_names(&self, problems: &mut Vec<Problem>) {
        let mut names: BTreeMap<(&str, String), Vec<&Handler>> = BTreeMap::new();
        for handler in &self.handlers {
            let kind = handler.registration.kind;
            if let Some(name) = kind.unique_name() {
                let same = (kind.name(), name.to_lowercase());
                names.entry(same).or_default().push(handler);
            }
        }
        for ((kind, _), handlers) in names.iter().filter(|(_, all)| all.len() > 1) {
            let written = handlers
                .iter()
                .filter_map(|one| one.registration.kind.unique_name());
            let written: BTreeSet<String> = written.map(|name| format!("`{name}`")).collect();
            let written: Vec<String> = written.into_iter().collect();
            problems.push(
                Problem::new(
                    "duplicate-name",
                    format!("{} {kind} have the name {}", handlers.len(), written.join(", ")),
                    "give all but one a name of its own: `name = \"…\"` in the attribute; upper and lower case are the same to Forge",
                )
                .at(handlers),
            );
        }
    }

    fn check_routes(&self, problems: &mut Vec<Problem>) {
        const HELP: &str = "give all but one a path of its own: `path = \"/…\"` in the attribute";
        let mut paths: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
        for handler in &self.handlers {
            paths.entry(handler.path()).or_default().push(handler);
        }
        for (path, handlers) in &paths {
            let mut methods: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
            // One that answers any method leaves none to others.
            let any = handlers.iter().any(|one| one.reach() != Reach::Exact);
            for handler in handlers {
                let method = if any { "any" } else { handler.methods() };
                methods.entry(method).or_default().push(handler);
            }
            for (method, handlers) in methods.iter().filter(|(_, all)| all.len() > 1) {
                let message = match *method {
                    "any" => format!(
                        "{} handlers answer `{path}`, one of them with any method",
                        handlers.len()
                    ),
                    method => format!("{} handlers answer `{method} {path}`", handlers.len()),
                };
                problems.push(Problem::new("duplicate-path", message, HELP).at(handlers));
            }
        }
        for above in self
            .handlers
            .iter()
            .filter(|one| one.reach() == Reach::Below)
        {
            let below = paths.iter().filter(|(path, _)| above.covers(path));
            for (path, handlers) in below {
                let all: Vec<&Handler> = [above]
                    .into_iter()
                    .chain(handlers.iter().copied())
                    .collect();
                let message = format!(
                    "`{path}` is below `{}`, where a {} answers every path",
                    above.path(),
                    above.registration.kind.name()
                );
                problems.push(Problem::new("covered-path", message, HELP).at(&all));
            }
        }
    }
}

fn order(handler: &Handler) -> (&str, &str, &str, Location) {
    let record = &handler.registration;
    (
        record.kind.name(),
        handler.key(),
        handler.path(),
        record.location,
    )
}

/// Something that keeps an app from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// A short, stable name.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where in the source: `file:line:column`.
    pub locations: Vec<String>,
    /// What to do.
    pub help: String,
}

impl Problem {
    /// A problem that no single place of the source has.
    pub fn new(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            locations: Vec::new(),
            help: help.into(),
        }
    }

    /// The same, with the places of these handlers.
    #[must_use]
    pub fn at<'a>(mut self, handlers: impl IntoIterator<Item = &'a &'a Handler>) -> Self {
        self.locations = handlers
            .into_iter()
            .map(|one| {
                format!(
                    "{} ({})",
                    one.registration.location, one.registration.function
                )
            })
            .collect();
        self
    }

    /// The same, with a place of the source.
    #[must_use]
    pub(crate) fn at_place(mut self, place: &std::panic::Location<'_>) -> Self {
        self.locations.push(place.to_string());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        for location in &self.locations {
            write!(f, "\n  --> {location}")?;
        }
        write!(f, "\n  help: {}", self.help)
    }
}
