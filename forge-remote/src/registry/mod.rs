//! The registration record: what a macro writes down about a handler, and what everything else
//! (routes, manifest, simulator, route table) reads.

mod checks;
mod collect;
mod declare;
mod kind;

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "cli")]
pub(crate) use checks::RULES;
pub use collect::{Handler, Registry};
pub use kind::{Kind, Module, RouteScope, SampleCall};

pub use crate::diagnostic::Location;
use crate::extract::AppState;
pub use crate::fit::BoxFuture;

/// How a handler is called: the verified request and the app's state in, a response out.
pub trait ErasedHandler: Send + Sync + 'static {
    /// The function's type, which no other function has.
    fn function(&self) -> TypeId;

    /// What the arguments need.
    fn needs(&self) -> &[Requirement];

    /// The function's path: `crate::module::function`.
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
        f.write_str("Mount")
    }
}

/// One annotated function, as its macro wrote it down.
///
/// Nothing runs before `main`: records are made when an app is. Users don't write these; they read
/// them through [`Handler::registration`].
#[derive(Clone, Debug)]
pub struct Registration {
    /// The kind of invocation and its options.
    pub kind: &'static dyn Kind,
    /// The function's name.
    pub function: &'static str,
    /// The function's doc comment, line breaks kept.
    pub docs: &'static str,
    /// The function's position.
    pub location: Location,
    /// The module's key, when written.
    pub key: Option<&'static str>,
    /// The endpoint's key, when written.
    pub endpoint: Option<&'static str>,
    /// The HTTP method it answers.
    pub method: Method,
    /// The path, when written.
    pub path: Option<&'static str>,
    /// The remote's key, when written.
    pub remote: Option<&'static str>,
    /// The tokens it asks Forge for.
    pub auth: Auth,
    /// The scopes it asks for, beyond those that follow by themselves.
    pub scopes: &'static [&'static str],
    /// The function on its route.
    pub mount: Arc<dyn ErasedHandler>,
}

/// The tokens an endpoint asks Forge for (`endpoint.auth` in the manifest).
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
    /// Both.
    pub const BOTH: Self = Self {
        system: true,
        user: true,
    };

    /// Whether any token is asked for.
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

/// The HTTP methods Forge calls a remote with.
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
    /// The method's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of this name, in whichever case.
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

/// What an argument's type needs from its surroundings.
#[derive(Clone, Copy, Debug)]
pub enum Requirement {
    /// A `SystemToken`: the handler must ask for it.
    SystemToken,
    /// A `UserToken`: the handler must ask for it, and the kind must have users.
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
}

/// What `inventory` collects: the function that a macro wrote, so that it can also be named
/// explicitly.
#[derive(Debug)]
#[doc(hidden)]
pub struct Submission(pub fn() -> Registration);

inventory::collect!(Submission);
