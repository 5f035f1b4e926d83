//! The handlers of an app: every registration with its names resolved, sorted by key.

use std::collections::BTreeSet;

use forge_remote_schema::names::{Names, WrittenNames};

use super::{
    JobRegistration, JobSubmission, Location, Method, Registered, Registration, RouteScope,
    Submission,
};

/// The path above those of handlers with `cron`, which only a local platform calls.
const CRON_PATH: &str = "/forge-remote/cron";

/// One handler with its names resolved.
#[derive(Clone, Debug)]
pub struct Handler {
    registration: Registration,
    names: Names,
    former_paths: Vec<String>,
    former_keys: Vec<String>,
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
        let mut names = Names::new(kind.spec(), written, kind.path_suffix());
        if registration.dynamic {
            names.key.clone_from(&names.endpoint);
        }
        if kind.cron().is_some() {
            // Only a local platform calls it, so its path is out of the way of all others.
            names.path = format!("{CRON_PATH}/{}", names.key);
        }
        let former_paths = registration
            .also_at
            .iter()
            .map(|path| match kind.path_suffix() {
                Some(suffix) => format!("{path}/{suffix}"),
                None => (*path).to_owned(),
            });
        // A former key also stands for the module key that was generated from it.
        let former_keys = registration.also_key.iter().flat_map(|key| {
            let module = kind.module_suffix().filter(|_| !registration.dynamic);
            let module = module.map(|suffix| format!("{key}-{suffix}"));
            [Some((*key).to_owned()), module].into_iter().flatten()
        });
        let method = kind.method().unwrap_or(registration.method);
        Self {
            former_paths: former_paths.collect(),
            former_keys: former_keys.collect(),
            registration,
            names,
            method,
        }
    }

    /// Returns the keys and the path.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the registration that its macro wrote.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Returns the module's key; the endpoint's for a kind without a generated module.
    pub fn key(&self) -> &str {
        &self.names.key
    }

    /// Returns the endpoint's key.
    pub fn endpoint(&self) -> &str {
        &self.names.endpoint
    }

    /// Returns the path of its route.
    pub fn path(&self) -> &str {
        &self.names.path
    }

    /// Returns every path of its routes: the one in the manifest, then the paths that older major
    /// versions of the app call.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.path()).chain(self.former_paths.iter().map(String::as_str))
    }

    /// Returns the keys that its endpoint and its module have in older major versions of the app.
    pub fn former_keys(&self) -> &[String] {
        &self.former_keys
    }

    /// Returns the HTTP method of its calls. With some [`RouteScope`]s it accepts other methods
    /// too.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns whether the app's clock calls it (by a cron expression) instead of Forge.
    pub fn is_cron(&self) -> bool {
        self.registration.kind.cron().is_some()
    }

    /// Returns the requests that are routed to it.
    pub fn route_scope(&self) -> RouteScope {
        self.registration.kind.route_scope()
    }

    /// Returns the methods that it accepts, as text: `POST`, `any`.
    pub fn methods(&self) -> &'static str {
        match self.route_scope() {
            RouteScope::Exact => self.method.as_str(),
            RouteScope::AnyMethod | RouteScope::Subpath => "any",
        }
    }

    /// Returns whether it accepts this method.
    pub fn accepts(&self, method: Method) -> bool {
        self.route_scope() != RouteScope::Exact || self.method == method
    }

    /// Returns whether a path is below this handler's own, and so is routed to it.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let is_below = |base: &str| {
            let rest = path.strip_prefix(base.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        self.route_scope() == RouteScope::Subpath && self.paths().any(is_below)
    }

    /// Returns whether both are attributes of one function.
    pub(super) fn is_same_function(&self, other: &Self) -> bool {
        let function = |handler: &Self| handler.registration.mount.function();
        function(self) == function(other)
    }

    fn is_same_attribute(&self, other: &Self) -> bool {
        self.is_same_function(other) && self.registration.attribute == other.registration.attribute
    }

    /// Returns whether both are attributes of one function, on one path.
    pub(super) fn shares_route_with(&self, other: &Self) -> bool {
        self.is_same_function(other) && self.path() == other.path()
    }

    /// Returns the module's key, if the manifest has a generated module for it.
    pub fn module_key(&self) -> Option<&str> {
        let has_module = self.registration.kind.module_suffix().is_some();
        (has_module && !self.registration.dynamic).then(|| self.key())
    }

    /// Returns whether its module is hand-written in the manifest, so that the code does not know the module's key.
    pub(crate) fn has_hand_written_module(&self) -> bool {
        let is_generated = self.registration.dynamic || self.module_key().is_some();
        self.registration.kind.has_endpoint() && !is_generated
    }

    /// Returns whether it accepts FITs with keys that the code does not know.
    pub(crate) fn accepts_unknown_keys(&self) -> bool {
        self.has_hand_written_module() || self.registration.kind.spec().is_called_by_functions()
    }
}

/// The handlers and the jobs of an app, sorted by key.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    handlers: Vec<Handler>,
    jobs: Vec<JobRegistration>,
}

impl Registry {
    /// Returns every annotated function that is linked into this binary.
    ///
    /// A crate that the binary never names is not linked: name it with
    /// [`link!`](crate::link) in `main.rs`.
    pub fn linked() -> Self {
        let mut registry = Self::from_registrations(
            inventory::iter::<Submission>().map(|submission| submission.0()),
        );
        for submission in inventory::iter::<JobSubmission>() {
            registry.add(submission.0().into());
        }
        registry
    }

    /// Adds a handler or a job; one that is there already has no effect.
    pub(crate) fn add(&mut self, registered: Registered) {
        match registered {
            Registered::Handler(added) => {
                for handler in all_attributes([added]) {
                    insert(&mut self.handlers, handler);
                }
            }
            Registered::Job(added) => {
                self.jobs.push(added);
                self.jobs
                    .sort_by(|a, b| (a.key, a.location).cmp(&(b.key, b.location)));
                self.jobs
                    .dedup_by(|a, b| a.mount.function() == b.mount.function());
            }
        }
    }

    /// Adds a handler instead of the one with the same function.
    pub(crate) fn replace(&mut self, added: Registration) {
        self.remove(&added);
        self.add(added.into());
    }

    /// Removes the handlers with the same function.
    pub(crate) fn remove(&mut self, removed: &Registration) {
        let function = removed.mount.function();
        self.handlers
            .retain(|one| one.registration.mount.function() != function);
    }

    /// Returns a registry of these handlers only, each with all attributes of its function.
    pub fn from_registrations(registrations: impl IntoIterator<Item = Registration>) -> Self {
        let mut handlers: Vec<Handler> = all_attributes(registrations).collect();
        // The linker's order differs between builds, and an attribute may be registered twice.
        handlers.sort_by(|a, b| order(a).cmp(&order(b)));
        handlers.dedup_by(|a, b| a.is_same_attribute(b));
        Self {
            handlers,
            jobs: Vec::new(),
        }
    }

    /// Returns the jobs, sorted by key.
    pub fn jobs(&self) -> &[JobRegistration] {
        &self.jobs
    }

    /// Returns the handlers, sorted by key.
    pub fn handlers(&self) -> &[Handler] {
        &self.handlers
    }

    /// Returns the handlers whose module or endpoint has this key.
    pub fn find<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Handler> {
        self.handlers
            .iter()
            .filter(move |handler| handler.key() == key || handler.endpoint() == key)
    }

    /// Returns a unique name for each handler, in their order: its key; its endpoint's key if several
    /// handlers declare one module; with its method and path if several share both.
    #[cfg(feature = "dev")]
    pub(crate) fn labels(&self) -> Vec<String> {
        self.handlers.iter().map(|one| self.label(one)).collect()
    }

    /// Returns the unique name of a handler.
    #[cfg(feature = "dev")]
    pub(crate) fn label(&self, handler: &Handler) -> String {
        let once = |key: &str, of: fn(&Handler) -> &str| {
            self.handlers.iter().filter(|one| of(one) == key).count() == 1
        };
        if once(handler.key(), Handler::key) {
            handler.key().to_owned()
        } else if once(handler.endpoint(), Handler::endpoint) {
            handler.endpoint().to_owned()
        } else {
            format!(
                "{} ({} {})",
                handler.key(),
                handler.methods(),
                handler.path()
            )
        }
    }

    /// Returns the handler with this unique name; otherwise the first one with this module or endpoint key that
    /// accepts the method.
    #[cfg(feature = "dev")]
    pub(crate) fn find_named(&self, name: &str, method: Option<Method>) -> Option<&Handler> {
        let all = self.handlers.iter();
        let mut accepting = all.filter(|one| method.is_none_or(|method| one.accepts(method)));
        let named = accepting.clone().find(|one| self.label(one) == name);
        named.or_else(|| accepting.find(|one| one.key() == name || one.endpoint() == name))
    }

    /// Returns the keys of all modules and endpoints.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        let all = self.handlers.iter();
        // The key of a function's call is in no manifest.
        let in_manifest = all.filter(|one| !one.registration.kind.spec().is_called_by_functions());
        in_manifest
            .flat_map(|one| {
                let own = [one.key().to_owned(), one.endpoint().to_owned()];
                own.into_iter().chain(one.former_keys.iter().cloned())
            })
            .collect()
    }
}

/// Returns the handlers of these registrations, with all attributes of their functions.
fn all_attributes(
    registrations: impl IntoIterator<Item = Registration>,
) -> impl Iterator<Item = Handler> {
    let attributes = registrations
        .into_iter()
        .flat_map(|first| std::iter::successors(Some(first), |one| one.next.map(|next| next())));
    attributes.map(Handler::new)
}

/// Inserts a handler at its place, unless it is there.
fn insert(handlers: &mut Vec<Handler>, added: Handler) {
    let start = handlers.partition_point(|one| order(one) < order(&added));
    let equal = handlers[start..]
        .iter()
        .take_while(|one| order(one) == order(&added));
    if equal.clone().any(|one| one.is_same_attribute(&added)) {
        return;
    }
    let at = start + equal.count();
    handlers.insert(at, added);
}

fn order(handler: &Handler) -> (&str, &str, &str, Location) {
    let record = &handler.registration;
    (
        record.kind.module_type(),
        handler.key(),
        handler.path(),
        record.location,
    )
}
