//! The runtime's description of a kind of invocation.

use std::fmt;
use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake};
use serde_yaml::Mapping;

use super::Method;
use crate::fit::AllowedCaller;
use crate::manifest::OwnedProperties;
use crate::schedules::CronOptions;

/// A kind of invocation with a handler's options for it.
///
/// The common properties of a kind's handlers are its row of the table, [`spec`](Self::spec). The
/// other methods depend on the options.
pub trait Kind: fmt::Debug + Send + Sync + 'static {
    /// Returns the kind's row in the table.
    fn spec(&self) -> &'static KindSpec;

    /// Returns the modules in `manifest.yml` that name the handler's endpoint; empty for a kind whose
    /// module is hand-written.
    fn modules(&self, _names: &Names) -> Vec<Module> {
        Vec::new()
    }

    /// Returns the keys of the pages that may call the handler; empty for any page.
    fn pages(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the last segment of the handler's path, below the path in the manifest.
    fn path_suffix(&self) -> Option<&'static str> {
        None
    }

    /// Returns the HTTP method, if it is fixed and not POST.
    fn method(&self) -> Option<Method> {
        None
    }

    /// Returns the events it is called for. Forge delivers them only with their scopes.
    fn events(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns the handler's events that this version does not know. Their scopes are unknown too.
    fn unknown_events(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns alternative scope sets, any one of which Forge requires for this module. Atlassian's
    /// current set comes first, the granular one last.
    fn scopes(&self) -> &'static [&'static [&'static str]] {
        self.spec().scopes
    }

    /// Returns a name that no other module of the kind may have, ignoring case.
    fn unique_name(&self) -> Option<&'static str> {
        None
    }

    /// Returns the interval at which the platform calls automatically.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Returns whether the platform calls for every installation: also for sites without a licence, and without a filter.
    fn calls_every_site(&self) -> bool {
        true
    }

    /// Returns the options of a cron schedule: the app's clock calls the handler, and it has neither a
    /// module nor an endpoint.
    fn cron(&self) -> Option<CronOptions> {
        None
    }

    /// Returns the mistakes in the options that the macros cannot see, because they are in the values
    /// of constants.
    fn validate(&self) -> Vec<Mistake> {
        Vec::new()
    }

    /// Returns the problem of a response's body, and the fix, if the options restrict it. Called for
    /// kinds whose spec [checks responses](KindSpec::checks_responses).
    fn check_response(&self, _body: &[u8]) -> Option<(String, String)> {
        None
    }

    /// Returns how long Forge waits for a remote's response, where Atlassian documents it.
    fn documented_timeout(&self) -> Option<Duration> {
        None
    }

    /// Returns the call that a local platform makes.
    fn sample_call(&self) -> SampleCall;

    /// Returns all different calls that a local platform makes: one for each event.
    fn sample_calls(&self) -> Vec<SampleCall> {
        vec![self.sample_call()]
    }
}

/// The columns of the kind's row in the table.
impl dyn Kind {
    /// Returns the module type in `manifest.yml`, such as `scheduledTrigger`.
    pub fn module_type(&self) -> &'static str {
        self.spec().module_type
    }

    /// Returns the allowed caller.
    pub fn caller(&self) -> AllowedCaller {
        self.spec().caller
    }

    /// Returns whether Forge may forward its caller's headers. A token in one of them is not proven
    /// to be Forge's, and is never kept ([`App::token_store`](crate::App::token_store)).
    pub fn forwards_caller_headers(&self) -> bool {
        self.spec().forwards_caller_headers
    }

    /// Returns whether the call ends an installation, so that its handler deletes the installation's
    /// data. Such a handler accepts only FITs that the platform is known to send, regardless of
    /// the settings.
    pub fn ends_installation(&self) -> bool {
        self.spec().ends_installation
    }

    /// Returns the suffix of a generated module key; `None` for a kind whose module is hand-written.
    pub fn module_suffix(&self) -> Option<&'static str> {
        self.spec().key_suffix
    }

    /// Returns the default key of a module that several functions declare together.
    pub fn shared_key(&self) -> Option<&'static str> {
        self.spec().shared_key
    }

    /// Returns whether an app can have only one such module.
    pub fn singleton(&self) -> bool {
        self.spec().singleton
    }

    /// Returns the properties or path suffixes that the shared module needs, each from one of its
    /// functions.
    pub fn shared_parts(&self) -> &'static [&'static str] {
        self.spec().shared_parts
    }

    /// Returns whether Forge finds the handler by an item of `modules.endpoint`.
    pub fn has_endpoint(&self) -> bool {
        self.spec().has_endpoint()
    }

    /// Returns the requests that are routed to the handler.
    pub fn route_scope(&self) -> RouteScope {
        self.spec().routes
    }

    /// Returns whether an empty body is accepted as `{}`, because Atlassian documents no body.
    pub fn body_optional(&self) -> bool {
        self.spec().body_optional
    }

    /// Returns whether responses are checked by [`check_response`](Kind::check_response).
    pub fn checks_responses(&self) -> bool {
        self.spec().checks_responses
    }
}

/// The requests that are routed to a handler.
pub use forge_remote_schema::RouteScope;

/// One item of a module list in the manifest.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Module {
    /// The list it belongs to, e.g. `scheduledTrigger`.
    pub module_type: &'static str,
    /// The item; its `key` comes first.
    pub(crate) item: Mapping,
    /// The properties the code decides; the item's others (its page, its icon) are the user's.
    pub owned: OwnedProperties,
}

impl Module {
    /// Returns the item as JSON.
    #[doc(hidden)]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.item).unwrap_or_default()
    }
}

/// The content of a simulated call of a kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SampleCall {
    /// The FIT's `app.module.type`.
    pub module_type: &'static str,
    /// The body, unless the caller sets one.
    pub body: Option<serde_json::Value>,
    /// How long the local platform waits for the response: as long as Forge, where that is known; see
    /// [`kinds`](crate::kinds).
    pub timeout: Duration,
    /// The event of the call.
    pub event: Option<&'static str>,
    /// Whether Atlassian does not document the body.
    pub is_guess: bool,
}

impl SampleCall {
    /// The app's id in sample bodies. The local platform replaces this and the next three by its own.
    #[cfg(feature = "dev")]
    pub(crate) const APP: &str = "00000000-0000-4000-a000-000000000000";
    /// The installation's id in sample bodies.
    #[cfg(feature = "dev")]
    pub(crate) const INSTALLATION: &str = "00000000-0000-4000-a000-000000000001";
    /// The site's id in sample bodies.
    pub(crate) const CLOUD: &str = "00000000-0000-4000-a000-000000000002";
    /// The environment's id in sample bodies.
    #[cfg(feature = "dev")]
    pub(crate) const ENVIRONMENT: &str = "00000000-0000-4000-a000-000000000003";

    /// Creates a call of the platform with this body and a timeout of 5 seconds.
    pub fn from_platform(body: serde_json::Value) -> Self {
        Self {
            module_type: "core:endpoint",
            body: Some(body),
            timeout: Duration::from_secs(5),
            event: None,
            is_guess: false,
        }
    }
}
