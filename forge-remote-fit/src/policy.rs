//! The settings of verification. None disables the checks of signature, issuer, audience and dates.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use forge_remote_schema::AllowedCaller;

/// The most that [`VerificationPolicy::clock_skew`] allows.
pub(super) const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The module type of the platform's own calls.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
pub(crate) const PLATFORM_MODULE: &str = "core:endpoint";
/// The module type of a Forge function.
const FUNCTION_MODULE: &str = "function";

/// The Forge environments an installation can be in (`app.environment.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Environment {
    Development,
    Staging,
    Production,
}

impl Environment {
    /// Returns the claim's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "DEVELOPMENT",
            Self::Staging => "STAGING",
            Self::Production => "PRODUCTION",
        }
    }
}

/// The strictness of the check that a FIT was issued for the endpoint it is sent to.
///
/// A FIT names no path. A FIT in a user's browser (`requestRemote`) could be sent to the path of a
/// scheduled trigger within its lifetime of 25 seconds, so handlers that only the platform calls
/// always reject a FIT with a `principal`. The FIT of an anonymous visitor has no `principal`, so
/// the module type is checked too: FITs of platform calls have `core:endpoint`.
///
/// A rejected module type is logged once, with the setting that accepts it. `preUninstall` is always
/// bound by at least [`Key`](Self::Key): its handler deletes an installation's data.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointBinding {
    /// Default: handlers that only the platform calls accept `core:endpoint` and the type of
    /// the handler's module, and the FIT's key must be the handler's. If a handler's module is hand-written in
    /// the manifest, the code does not know the module's key, and any key is accepted except those of other handlers.
    #[default]
    Key,
    /// Like [`Key`](Self::Key), but handlers for platform calls accept only `core:endpoint`.
    Strict,
    /// Like [`Key`](Self::Key), but handlers for platform calls also accept module types that this
    /// version does not know. Such calls have the provenance of a page's call. Use it if platform
    /// calls arrive with an undocumented module type. It does not apply to handlers of functions' calls: see
    /// [`VerificationPolicy::function_type`].
    UnknownModules,
    /// Checks only the `principal`, and neither type nor key. Use it after a change of the platform that
    /// this version does not know yet.
    PrincipalOnly,
}

/// The settings of FIT verification. Every default is strict.
///
/// ```
/// use forge_remote_fit::{Environment, VerificationPolicy};
///
/// let policy = VerificationPolicy::default().environments([Environment::Production]).replay_guard(true);
/// # let _ = policy;
/// ```
#[derive(Clone, Debug)]
pub struct VerificationPolicy {
    pub(crate) clock_skew: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) binding: EndpointBinding,
    pub(crate) environments: Option<Vec<Environment>>,
    pub(crate) replay_guard: bool,
    pub(crate) function_types: BTreeSet<String>,
}

impl Default for VerificationPolicy {
    fn default() -> Self {
        Self {
            clock_skew: Duration::from_secs(10),
            max_lifetime: Duration::from_secs(3600),
            binding: EndpointBinding::default(),
            environments: None,
            replay_guard: false,
            function_types: BTreeSet::new(),
        }
    }
}

impl VerificationPolicy {
    /// Sets how far this machine's clock may be behind Atlassian's (default: 10 seconds; at most 60). It
    /// applies to `nbf` and `iat` only: `exp` has no leeway.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew.min(MAX_CLOCK_SKEW);
        self
    }

    /// Sets how strictly a FIT is bound to its endpoint.
    pub fn binding(mut self, binding: EndpointBinding) -> Self {
        self.binding = binding;
        self
    }

    /// Also accepts this module type at handlers that the app's functions call (default: `core:endpoint` and `function`).
    ///
    /// Use it if Forge sends a type that is not documented; the log names the type. A type that pages are known to have
    /// is not accepted: such a FIT can be a browser's.
    ///
    /// ```
    /// use forge_remote_fit::VerificationPolicy;
    ///
    /// let policy = VerificationPolicy::default().function_type("core:function");
    /// # let _ = policy;
    /// ```
    pub fn function_type(mut self, module_type: impl Into<String>) -> Self {
        self.function_types.insert(module_type.into());
        self
    }

    /// Accepts FITs of these environments only, so that a development installation never
    /// reaches production data. Default: all are accepted.
    pub fn environments(mut self, environments: impl IntoIterator<Item = Environment>) -> Self {
        self.environments = Some(environments.into_iter().collect());
        self
    }

    /// Returns the accepted environments; `None` for all.
    pub fn accepted_environments(&self) -> Option<&[Environment]> {
        self.environments.as_deref()
    }

    /// Sets whether a `jti` that was seen before is rejected (default: no). Endpoints for pages are
    /// exempt, because pages reuse a FIT for several calls. Whether a function's second call has a new FIT is not
    /// documented: try it before you use this with `#[function_call]`. Forge sends a new FIT with each retry, so
    /// this is a protection against replays, not against duplicate deliveries.
    pub fn replay_guard(mut self, on: bool) -> Self {
        self.replay_guard = on;
        self
    }
}

/// The endpoint a FIT is verified for, and who may call it.
///
/// ```
/// use forge_remote_fit::EndpointTarget;
///
/// // A schedule's endpoint: no user, no browser.
/// let mut refresh = EndpointTarget::platform("refresh-index");
/// // The key of the module that points at the endpoint, should a FIT name that one.
/// refresh.module = Some("refresh-index-trigger".into());
///
/// // An endpoint for one of the app's pages.
/// let mut settings = EndpointTarget::page("settings");
/// settings.pages = vec!["admin-page".to_owned()];
///
/// // A path that the app's Forge functions call: the keys are those of the app's endpoints and their modules.
/// let import = EndpointTarget::function("import", ["refresh-index", "settings"].map(String::from));
/// # let _ = import;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointTarget {
    /// The endpoint's key.
    pub endpoint: String,
    /// The key of the module that names the endpoint, if it differs from the endpoint's.
    pub module: Option<String>,
    /// The keys that the endpoint and the module have in older major versions of the app, which
    /// installations keep until their admins consent to the upgrade.
    pub former_keys: Vec<String>,
    /// The type of that module, as the manifest has it: `trigger`, `macro`, …
    pub module_type: &'static str,
    /// The accepted values of `app.module.key` in FITs with the module type `core:endpoint`.
    pub module_keys: AllowedModuleKey,
    /// The accepted callers.
    pub caller: AllowedCaller,
    /// Whether Forge may forward its caller's headers.
    pub forwards_headers: bool,
    /// Whether the call ends an installation, so that no lenient binding applies.
    pub ends_installation: bool,
    /// The keys of the pages that may call it; empty for any page.
    pub pages: Vec<String>,
}

impl EndpointTarget {
    /// Creates the target of an endpoint with this key, the type of the module that points at it, and
    /// its callers. It accepts only FITs that name this key, and every page if pages may call it.
    pub fn new(
        endpoint: impl Into<String>,
        module_type: &'static str,
        caller: AllowedCaller,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            module: None,
            former_keys: Vec::new(),
            module_type,
            module_keys: AllowedModuleKey::Own,
            caller,
            forwards_headers: false,
            ends_installation: false,
            pages: Vec::new(),
        }
    }

    /// Creates the target of an endpoint that only the platform calls: schedules, events. A FIT
    /// must name `core:endpoint` and this endpoint's key, and no user.
    pub fn platform(endpoint: impl Into<String>) -> Self {
        Self::new(endpoint, PLATFORM_MODULE, AllowedCaller::Platform)
    }

    /// Creates the target of an endpoint that the platform calls because of what a user did: actions,
    /// JQL functions. A FIT must name `core:endpoint` and this endpoint's key, and may name a user.
    pub fn platform_for_user(endpoint: impl Into<String>) -> Self {
        Self::new(endpoint, PLATFORM_MODULE, AllowedCaller::PlatformForUser)
    }

    /// Creates the target of a path that the app's functions call with `invokeRemote` of `@forge/api`; the name is for
    /// logs. A FIT must have the type `core:endpoint`, `function` or one of [`VerificationPolicy::function_type`]. It may
    /// name a user, and any key except `others`: the keys of the app's endpoints and of the modules that name them.
    ///
    /// Atlassian does not document which key such a FIT names. Its module type follows from one sentence: `core:endpoint`,
    /// except for calls of pages.
    pub fn function(name: impl Into<String>, others: impl IntoIterator<Item = String>) -> Self {
        Self {
            module_keys: AllowedModuleKey::NotOf(Arc::new(others.into_iter().collect())),
            ..Self::new(name, FUNCTION_MODULE, AllowedCaller::Function)
        }
    }

    /// Returns whether a key is the endpoint's or the module's, or one that a generated module may have.
    pub(super) fn is_named_by(&self, key: Option<&str>) -> bool {
        match &self.module_keys {
            AllowedModuleKey::Any => true,
            AllowedModuleKey::NotOf(_) | AllowedModuleKey::NotOfNorGenerated(_) => false,
            AllowedModuleKey::Own | AllowedModuleKey::OwnOrUnknown(_) => {
                key.is_some_and(|key| self.is_own_key(key))
            }
            keys @ AllowedModuleKey::OwnOrGenerated(_) => {
                key.is_some_and(|key| self.is_own_key(key) || keys.takes(key))
            }
        }
    }

    /// Returns whether a key is the endpoint's or the module's, now or in an older version. The two share one namespace,
    /// so either names this endpoint alone.
    pub(super) fn is_own_key(&self, key: &str) -> bool {
        key == self.endpoint
            || self.module.as_deref() == Some(key)
            || self.former_keys.iter().any(|former| former == key)
    }

    /// Creates the target of an endpoint for pages: `invokeRemote` and `requestRemote`. Every page of
    /// the app may call it, and the page chooses the path; [`pages`](Self::pages) restricts it.
    pub fn page(endpoint: impl Into<String>) -> Self {
        Self::new(endpoint, PLATFORM_MODULE, AllowedCaller::Page)
    }
}

/// The values of `app.module.key` that an endpoint accepts in FITs with the module type
/// `core:endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedModuleKey {
    /// The endpoint's or the module's key.
    Own,
    /// The endpoint's or the module's key, and any key except these keys of other handlers. For a
    /// handler whose module is hand-written in the manifest, so that the code does not know the
    /// module's key.
    OwnOrUnknown(Arc<BTreeSet<String>>),
    /// The endpoint's or the module's key, and any UUID except these keys of other handlers. For a
    /// handler whose modules are registered at run time: Forge generates their keys.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules-api/>
    OwnOrGenerated(Arc<BTreeSet<String>>),
    /// Any key except these keys of other handlers, or none: for calls of functions, which name no endpoint.
    NotOf(Arc<BTreeSet<String>>),
    /// Like [`NotOf`](Self::NotOf), and no UUID: for an app with handlers whose modules are registered at run time.
    NotOfNorGenerated(Arc<BTreeSet<String>>),
    /// Any key. For calls without an endpoint, whose FITs are not documented.
    Any,
}

impl AllowedModuleKey {
    /// Returns whether a FIT may name this key, which is neither the endpoint's nor the module's.
    pub(super) fn takes(&self, key: &str) -> bool {
        match self {
            Self::Own => false,
            Self::OwnOrUnknown(others) => !key.is_empty() && !others.contains(key),
            Self::NotOf(others) => !others.contains(key),
            Self::NotOfNorGenerated(others) => !others.contains(key) && !is_uuid(key),
            Self::OwnOrGenerated(others) => is_uuid(key) && !others.contains(key),
            Self::Any => true,
        }
    }
}

/// Returns whether a key has the form of a generated one: `8-4-4-4-12` hexadecimal digits.
fn is_uuid(key: &str) -> bool {
    let groups = key.split('-').map(|group| {
        let is_hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { group.len() } else { 0 }
    });
    groups.eq([8, 4, 4, 4, 12])
}
