//! The verified invocation.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue};

use super::rejection::InvocationRejection;
use super::state::AppState;
use crate::client::AtlassianClient;
use crate::credentials::{Owner, VerifiedCall};
use crate::fit::{Claims, Provenance};
use crate::opaque::Opaque;
use crate::telemetry::http::{SPAN_ID, TRACE_ID};
use crate::work::Work;

/// The request extension that verification adds for the extractors.
#[derive(Clone, Debug)]
pub(crate) struct Verified(Opaque<CallFacts>);

/// The parts of a verified call.
#[derive(Debug)]
pub(crate) struct CallFacts {
    pub(crate) call: VerifiedCall,
    pub(crate) endpoint: Arc<str>,
    pub(crate) atlassian: AtlassianClient,
    pub(crate) work: Arc<Work>,
    pub(crate) trace: Trace,
    /// How the body is read, if the platform sent it.
    pub(crate) platform_body: Option<PlatformBody>,
    /// Whether the handler is one that the app's functions call.
    pub(crate) is_for_functions: bool,
}

/// A body that the platform sent: it is read as JSON, regardless of its content type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformBody {
    /// Whether an empty body is read as `{}`, because Atlassian does not document the body.
    pub(crate) may_be_empty: bool,
}

/// The raw sub-path below the handler's path; set on requests to a sub-path.
#[derive(Clone, Debug)]
pub(crate) struct Subpath(pub(crate) String);

/// Set on requests to a path that only older major versions of the app call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CalledByFormerPath;

impl Verified {
    pub(crate) fn new(facts: CallFacts) -> Self {
        Self(Opaque::new(facts))
    }

    /// Adds the call to its request.
    pub(crate) fn extend(self, extensions: &mut Extensions) {
        forge_remote_fit::__private::extend(extensions, self.claims(), self.provenance());
        extensions.insert(self);
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    pub(crate) fn claims(&self) -> &Claims {
        self.0.call.claims()
    }

    pub(crate) fn atlassian(&self) -> &AtlassianClient {
        &self.0.atlassian
    }

    /// Returns the origin of the headers, and so of the OAuth tokens.
    pub(crate) fn provenance(&self) -> Provenance {
        self.0.call.provenance()
    }

    pub(super) fn is_for_functions(&self) -> bool {
        self.0.is_for_functions
    }

    pub(super) fn platform_body(&self) -> Option<PlatformBody> {
        self.0.platform_body
    }

    /// Returns the owner of the call's OAuth tokens.
    pub(crate) fn owner(&self) -> Owner {
        Owner::of_call(self.0.call.clone())
    }
}

/// Forge's trace id and span id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    trace_id: Option<HexId>,
    span_id: Option<HexId>,
}

impl Trace {
    /// Reads the ids of a call.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let id = |name| headers.get(name).and_then(HexId::new);
        Self {
            trace_id: id(TRACE_ID),
            span_id: id(SPAN_ID),
        }
    }

    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_ref().map(HexId::as_str)
    }

    pub(crate) fn span_id(&self) -> Option<&str> {
        self.span_id.as_ref().map(HexId::as_str)
    }
}

/// The longest id. Forge's have 32 and 16 digits.
const MAX_ID: usize = 64;

/// An id of hexadecimal digits: no other text gets into the log.
#[derive(Clone, Copy)]
struct HexId {
    digits: [u8; MAX_ID],
    length: u8,
}

impl HexId {
    fn new(value: &HeaderValue) -> Option<Self> {
        let text = value.as_bytes();
        let length = u8::try_from(text.len()).ok()?;
        let mut digits = [0; MAX_ID];
        digits.get_mut(..text.len())?.copy_from_slice(text);
        let is_hex = !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit);
        is_hex.then_some(Self { digits, length })
    }

    fn as_str(&self) -> &str {
        let digits = self.digits.get(..usize::from(self.length));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        text.unwrap_or_default()
    }
}

impl fmt::Debug for HexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The verified call of a handler.
///
/// It derefs to [`Claims`](crate::fit::Claims), the claims of the Forge Invocation Token.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[endpoint(method = "GET")]
/// async fn whoami(call: Invocation) -> Result<Json<String>> {
///     let user = call.principal().unwrap_or("nobody");
///     Ok(Json(format!("{user} of {}", call.installation_id())))
/// }
/// ```
#[derive(Clone)]
pub struct Invocation(Verified);

impl Invocation {
    /// Returns Forge's trace id (`x-b3-traceid`), which Atlassian's support needs.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace().trace_id()
    }

    /// Returns Forge's span id (`x-b3-spanid`).
    pub fn span_id(&self) -> Option<&str> {
        self.0.trace().span_id()
    }

    /// Returns the key of the called endpoint.
    pub fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// Returns the origin of the call's headers: a page's user may have chosen an OAuth token in them.
    pub fn provenance(&self) -> Provenance {
        self.0.provenance()
    }

    /// Returns the claims.
    pub fn claims(&self) -> &Claims {
        self.0.claims()
    }

    /// Spawns work that continues after the response.
    ///
    /// A stopping server waits for it, within
    /// [`App::shutdown_grace`](crate::App::shutdown_grace), and then cancels it. Errors and panics are
    /// logged, in the call's span. Store work that must survive a crash: after a 2xx response, Forge
    /// does not retry the call. A [serverless platform](crate::deploying#serverless-platforms) freezes the work.
    ///
    /// Calls to Atlassian are not retried past the time that Forge waits for the response: use
    /// [`without_deadline`](AtlassianClient::without_deadline) for the work.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// #[endpoint(auth = system, scopes = ["read:jira-work"])]
    /// async fn import(call: Invocation, token: SystemToken) -> StatusCode {
    ///     let atlassian = call.atlassian().clone().without_deadline();
    ///     let jira = atlassian.jira(&call).as_app(&token);
    ///     call.spawn(async move {
    ///         jira.get("/rest/api/3/project/search").send().await?;
    ///         Ok(())
    ///     });
    ///     StatusCode::ACCEPTED
    /// }
    /// ```
    pub fn spawn(&self, work: impl Future<Output = crate::error::Result<()>> + Send + 'static) {
        self.0.0.work.spawn(work);
    }

    /// Returns the client of Atlassian's APIs, for calls to other installations; for this one use
    /// [`jira`](Self::jira), [`confluence`](Self::confluence) and the others.
    pub fn atlassian(&self) -> &AtlassianClient {
        &self.0.0.atlassian
    }
}

impl From<Verified> for Invocation {
    fn from(call: Verified) -> Self {
        Self(call)
    }
}

impl Deref for Invocation {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        self.claims()
    }
}

/// Writes the endpoint and the trace id only: claims are user data.
impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("endpoint", &self.endpoint())
            .field("trace_id", &self.trace_id())
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Invocation {
    type Rejection = InvocationRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvocationRejection> {
        parts
            .extensions
            .get::<Verified>()
            .cloned()
            .map(Self)
            .ok_or(InvocationRejection)
    }
}

const _: () = {
    const fn is_static<T: Send + Sync + 'static>() {}
    is_static::<AppState>();
    is_static::<Invocation>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_trace_has_up_to_64_hexadecimal_digits() {
        let longest = "0123456789abcdefABCDEF0123456789".repeat(2);
        let too_long = format!("{longest}0");
        for (text, is_valid) in [
            ("0", true),
            ("4bf92f3577b34da6a3ce929d0e0e4736", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("4bf9 2f35", false),
            ("4bf9-2f35", false),
            ("4bf9\u{e9}", false),
        ] {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(TRACE_ID, value.clone()), (SPAN_ID, value)]);
            let trace = Trace::of(&headers);
            let expected = is_valid.then_some(text);
            assert_eq!([trace.trace_id(), trace.span_id()], [expected; 2], "{text}");
        }
        assert_eq!(Trace::of(&HeaderMap::new()).trace_id(), None);
    }
}
