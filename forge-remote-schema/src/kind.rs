//! The shape of a row in the table of kinds.

use crate::event::ScopeSet;
use crate::options::{COMMON, Combination, OptionSet, OptionSpec};
use crate::place::Place;
use crate::structure::shape::MappingShape;

/// A kind of invocation: an attribute, and the module it declares.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KindSpec {
    /// The attribute's name.
    pub attribute: &'static str,
    /// The attribute's documentation.
    pub docs: &'static str,
    /// The runtime's type in `forge_remote::kinds`: its fields are the options, by name.
    pub runtime: &'static str,
    /// The options in addition to the [common ones](crate::options::COMMON).
    pub options: &'static [OptionSpec],
    /// Further options, which the runtime has as a separate type in a field of this name.
    pub nested: Option<(&'static str, &'static OptionSet)>,
    /// A rule about several of the options.
    pub combination: Combination,
    /// The module type in `manifest.yml`.
    pub module_type: &'static str,
    /// The suffix of a generated module key; `None` for a kind whose module is hand-written.
    pub key_suffix: Option<&'static str>,
    /// The module's default key, if several functions make one module.
    pub shared_key: Option<&'static str>,
    /// Properties or path suffixes that the shared module needs, each from one of its functions.
    pub shared_parts: &'static [&'static str],
    /// Whether an app can have only one such module.
    pub singleton: bool,
    /// The places where the module's items name endpoints. Empty for a module that names a remote, and for calls of
    /// functions.
    pub endpoint_places: &'static [Place],
    /// The places of properties without an option that an update derives from the options.
    pub derived_places: &'static [Place],
    /// The places of properties without an option that an update preserves, inside a property that the code
    /// decides.
    pub preserved_places: &'static [Place],
    /// The structure of the module's item, for a kind whose module is generated.
    pub item: Option<&'static MappingShape>,
    /// Whether the code decides every property of the module's item.
    pub owns_item: bool,
    /// The option whose value is the property that names the endpoint, if there are several.
    pub part_option: Option<&'static str>,
    /// The option whose value is the path's last segment. Such a kind has no endpoint: its module names
    /// a remote and the path without that segment.
    pub path_option: Option<&'static str>,
    /// The caller of the handler.
    pub caller: AllowedCaller,
    /// Whether a user token can come with the call.
    pub has_user: bool,
    /// Whether Forge may forward its caller's headers. If so, a token in a header is not proven to be
    /// Forge's.
    pub forwards_caller_headers: bool,
    /// Whether the call ends an installation, so that its handler deletes the installation's data.
    /// Such a handler accepts only FITs that the platform is known to send.
    pub ends_installation: bool,
    /// The requests that belong to a handler.
    pub routes: RouteScope,
    /// Whether the caller chooses the HTTP method; if so, the attribute has the option `method`.
    pub any_method: bool,
    /// Whether an empty body is accepted as `{}`, because Atlassian documents no body.
    pub body_optional: bool,
    /// Whether the handler's options restrict its responses.
    pub checks_responses: bool,
    /// Whether an app can register such modules at run time; if so, the attribute has the option
    /// `dynamic`. Source:
    /// <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules/>
    pub may_be_dynamic: bool,
    /// Whether a handler can be `durable`.
    pub durable: Durability,
    /// JSON pointers to the body's members that identify a delivery. The first must be present; the
    /// others are used if present.
    pub delivery_id: &'static [&'static str],
    /// Alternative sets of scopes, one of which Forge requires for the module.
    pub scopes: &'static [ScopeSet],
    /// The payload types in `forge_remote::kinds`, as Markdown for the documentation.
    pub payload: &'static str,
    /// The response types, likewise.
    pub response: &'static str,
    /// How Forge makes the call, for messages: "when …".
    pub when: &'static str,
}

/// The callers that a kind of handler accepts. `forge_remote_fit::Provenance` is the caller of one verified
/// call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedCaller {
    /// The platform alone: a FIT with a `principal` is rejected.
    Platform,
    /// The platform, on behalf of a user: a `principal` is accepted if the module type is
    /// `core:endpoint`, which FITs in a browser never have.
    PlatformForUser,
    /// A page, in a user's browser.
    Page,
    /// A function of the app, with or without a user: the module type is `core:endpoint`, and the key is of no
    /// other handler.
    Function,
}

/// Whether a kind's handlers can be `durable`: acknowledged before they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Forge ignores the response.
    Allowed,
    /// Handlers of this kind cannot be durable, for this reason.
    NotAllowed(&'static str),
}

/// The requests that belong to a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteScope {
    /// Requests with its method to its path.
    Exact,
    /// Requests with any method to its path.
    AnyMethod,
    /// Requests with any method to its path and to every path below it.
    Subpath,
}

impl KindSpec {
    /// The defaults for a kind: called by the platform, without a user, for a separate module that names
    /// one endpoint.
    pub const DEFAULT: Self = Self {
        attribute: "",
        docs: "",
        runtime: "",
        options: &[],
        nested: None,
        combination: Combination::Any,
        module_type: "",
        key_suffix: None,
        shared_key: None,
        shared_parts: &[],
        singleton: false,
        endpoint_places: &[&["endpoint"]],
        derived_places: &[],
        preserved_places: &[],
        item: None,
        owns_item: false,
        part_option: None,
        path_option: None,
        caller: AllowedCaller::Platform,
        has_user: false,
        forwards_caller_headers: false,
        ends_installation: false,
        routes: RouteScope::Exact,
        any_method: false,
        body_optional: false,
        checks_responses: false,
        may_be_dynamic: false,
        durable: Durability::NotAllowed("Forge uses its response"),
        delivery_id: &[],
        scopes: &[],
        payload: "none",
        response: "none",
        when: "",
    };

    /// Returns whether the code declares the module, so that `key` is the module's.
    pub const fn has_module(&self) -> bool {
        self.key_suffix.is_some()
    }

    /// Returns whether Forge finds the handler by an item of `modules.endpoint`, which has a key and
    /// tokens.
    pub const fn has_endpoint(&self) -> bool {
        self.path_option.is_none() && !self.is_called_by_functions()
    }

    /// Returns whether the app's functions call the handler by its path: no part of the manifest names it, and its tokens
    /// are those of the remote.
    pub const fn is_called_by_functions(&self) -> bool {
        matches!(self.caller, AllowedCaller::Function)
    }

    /// Returns the check of a handler's path. A path that no part of the manifest has is its caller's choice.
    pub fn path_check(&self) -> fn(&str) -> Result<(), crate::Mistake> {
        match self.path_option {
            Some(_) => crate::rules::check_hook_path,
            None if self.is_called_by_functions() => crate::rules::check_called_path,
            None => crate::rules::check_path,
        }
    }

    /// Returns the kind's options, as the set that makes the runtime's value.
    pub const fn option_set(&self) -> OptionSet {
        OptionSet {
            runtime: self.runtime,
            options: self.options,
            nested: self.nested,
            combination: self.combination,
        }
    }

    /// Returns the names of the options that the attribute takes.
    pub fn option_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let endpoint = (self.has_module() && self.has_endpoint()).then_some("endpoint");
        let method = self.any_method.then_some("method");
        let dynamic = self.may_be_dynamic.then_some("dynamic");
        let durable = (self.durable == Durability::Allowed).then_some("durable");
        let has_endpoint = self.has_endpoint();
        let has_auth = has_endpoint || self.is_called_by_functions();
        let common = COMMON.into_iter();
        self.option_set()
            .names()
            .chain(endpoint)
            .chain(method)
            .chain(dynamic)
            .chain(durable)
            .chain(common.filter(move |name| match *name {
                "auth" => has_auth,
                "also_key" | "long_key" => has_endpoint,
                _ => true,
            }))
    }
}
