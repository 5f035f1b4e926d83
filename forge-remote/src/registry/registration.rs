//! The registration of one attribute of a function.

use std::sync::Arc;

use super::auth::Auth;
use super::erased::ErasedHandler;
use super::kind::Kind;
use super::method::Method;
use crate::diagnostic::Location;
use crate::jobs::JobPolicy;

/// The registration of one attribute of a function, written by its macro.
///
/// No code runs before `main`: registrations are created with an app. Users don't write them; they
/// read them through [`Handler::registration`](super::Handler::registration).
#[derive(Clone, Debug)]
#[non_exhaustive]
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

impl Registration {
    /// Creates a registration without options.
    pub(crate) fn new(
        kind: &'static dyn Kind,
        function: &'static str,
        location: Location,
        auth: Auth,
        mount: Arc<dyn ErasedHandler>,
    ) -> Self {
        Self {
            kind,
            function,
            docs: "",
            location,
            key: None,
            endpoint: None,
            method: Method::Post,
            path: None,
            remote: None,
            auth,
            scopes: &[],
            body_limit: None,
            also_at: &[],
            also_key: &[],
            dynamic: false,
            attribute: 0,
            next: None,
            durable: None,
            mount,
        }
    }
}

/// The item that `inventory` collects: the function that a macro wrote, which can also be named
/// directly.
#[derive(Debug)]
#[doc(hidden)]
pub struct Submission(pub fn() -> Registration);

inventory::collect!(Submission);
