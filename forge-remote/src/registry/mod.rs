//! The registrations of handlers: written by the macros, read by everything else (routes, manifest,
//! local platform, route table).

mod checks;
mod collect;
mod declare;
mod job;
mod kind;

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "cli")]
pub(crate) use checks::RULES;
pub use collect::{Handler, Registry};
pub use job::{JobRegistration, JobSubmission, Registered};
pub use kind::{Kind, Module, RouteScope, SampleCall};

pub use crate::diagnostic::Location;
use crate::extract::AppState;
pub use crate::fit::BoxFuture;
use crate::jobs::JobPolicy;

/// A handler with its types erased, called with the verified request and the app's state.
pub trait ErasedHandler: Send + Sync + 'static {
    /// Returns the function's type, which is unique.
    fn function(&self) -> TypeId;

    /// Returns the arguments' requirements.
    fn needs(&self) -> &[Requirement];

    /// Returns the function's path: `crate::module::function`.
    fn path(&self) -> &'static str;

    /// Extracts the arguments and calls the function.
    fn call(
        self: Arc<Self>,
        request: axum::extract::Request,
        state: AppState,
    ) -> BoxFuture<axum::response::Response>;
}

impl fmt::Debug for dyn ErasedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErasedHandler")
    }
}

/// The registration of one attribute of a function, written by its macro.
///
/// No code runs before `main`: registrations are created with an app. Users don't write them; they
/// read them through [`Handler::registration`].
#[derive(Clone, Debug)]
pub struct Registration {
    /// The kind of invocation and its options.
    pub kind: &'static dyn Kind,
    /// The function's name.
    pub function: &'static str,
    /// The function's doc comment, with its line breaks.
    pub docs: &'static str,
    /// The function's position.
    pub location: Location,
    /// The module's key, if set.
    pub key: Option<&'static str>,
    /// The endpoint's key, if set.
    pub endpoint: Option<&'static str>,
    /// The HTTP method of its calls.
    pub method: Method,
    /// The path, if set.
    pub path: Option<&'static str>,
    /// The remote's key, if set.
    pub remote: Option<&'static str>,
    /// The tokens that it requests from Forge.
    pub auth: Auth,
    /// The scopes in its attribute; others are derived from its kind, events and tokens.
    pub scopes: &'static [&'static str],
    /// The largest request body, in bytes, if the attribute sets it; otherwise the app's limit counts.
    pub body_limit: Option<usize>,
    /// Further paths, which older major versions of the app call.
    pub also_at: &'static [&'static str],
    /// Further keys of its endpoint, which older major versions of the app have.
    pub also_key: &'static [&'static str],
    /// Whether its modules are registered at run time: the manifest has the endpoint alone, and a
    /// token may name any key that Forge generated.
    pub dynamic: bool,
    /// The attribute's index among the function's attributes.
    pub attribute: usize,
    /// The registration of the function's next attribute.
    pub next: Option<fn() -> Registration>,
    /// The policy of a durable handler.
    pub durable: Option<JobPolicy>,
    /// The function, callable by its route.
    pub mount: Arc<dyn ErasedHandler>,
}

/// The tokens that an endpoint requests from Forge (`endpoint.auth` in the manifest).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// `appSystemToken`: arrives as `x-forge-oauth-system`.
    pub system: bool,
    /// `appUserToken`: arrives as `x-forge-oauth-user`, with a user in session only.
    pub user: bool,
}

impl Auth {
    /// No token.
    pub const NONE: Self = Self {
        system: false,
        user: false,
    };
    /// The system token alone.
    pub const SYSTEM: Self = Self {
        system: true,
        user: false,
    };
    /// The user token alone.
    pub const USER: Self = Self {
        system: false,
        user: true,
    };
    /// Both tokens.
    pub const BOTH: Self = Self {
        system: true,
        user: true,
    };

    /// Returns whether any token is requested.
    pub const fn any(self) -> bool {
        self.system || self.user
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.system, self.user) {
            (false, false) => "-",
            (true, false) => "system",
            (false, true) => "user",
            (true, true) => "system, user",
        })
    }
}

/// The HTTP methods of Forge's calls to a remote.
///
/// Platform calls (schedules, events) are always POST; the page's `invokeRemote` may use any.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Returns the method's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Returns the method with this name, ignoring case.
    #[cfg(feature = "dev")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];
        all.into_iter()
            .find(|method| method.as_str().eq_ignore_ascii_case(name))
    }

    pub(crate) fn filter(self) -> axum::routing::MethodFilter {
        use axum::routing::MethodFilter;
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A requirement of an argument's type.
#[derive(Clone, Copy, Debug)]
pub enum Requirement {
    /// A `SystemToken`: the handler must request it.
    SystemToken,
    /// An `Option<SystemToken>`, or a `Result`: the handler must request it, and runs without it.
    OptionalSystemToken,
    /// A `UserToken`: the handler must request it, and the kind must have users.
    UserToken,
    /// A `RetryContext`: the body is read ahead.
    RetryContext,
    /// A `State<T>`: the app must hold a `T`.
    State {
        /// The type's identity.
        id: fn() -> TypeId,
        /// The type's name, for the message.
        name: fn() -> &'static str,
    },
    /// The kept tokens: the app must have a store for them.
    Tokens,
    /// An `Attempt`: the handler must be durable.
    Attempt,
    /// `Jobs` or `AppJobs`: the app must have an engine for them.
    Jobs,
    /// An `Occurrence`: the handler must have a cron schedule.
    Occurrence,
}

/// The item that `inventory` collects: the function that a macro wrote, which can also be named
/// directly.
#[derive(Debug)]
#[doc(hidden)]
pub struct Submission(pub fn() -> Registration);

inventory::collect!(Submission);
