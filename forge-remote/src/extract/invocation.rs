//! The verified invocation.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName};

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

#[derive(Debug)]
struct CallFacts {
    call: VerifiedCall,
    endpoint: Arc<str>,
    atlassian: AtlassianClient,
    work: Arc<Work>,
    trace_id: Option<Box<str>>,
    span_id: Option<Box<str>>,
}

/// The raw sub-path below the handler's path; set on requests to a sub-path.
#[derive(Clone, Debug)]
pub(crate) struct Subpath(pub(crate) String);

/// Set on requests to a path that only older major versions of the app call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormerPath;

impl Verified {
    pub(crate) fn new(
        claims: Claims,
        endpoint: Arc<str>,
        atlassian: AtlassianClient,
        headers: &HeaderMap,
        provenance: Provenance,
        work: Arc<Work>,
    ) -> Self {
        Self(Opaque::new(CallFacts {
            call: VerifiedCall::new(claims, provenance),
            endpoint,
            atlassian,
            work,
            trace_id: trace_id(headers).map(Into::into),
            span_id: hex_header(headers, SPAN_ID).map(Into::into),
        }))
    }

    /// Adds the call to its request.
    pub(crate) fn extend(self, extensions: &mut Extensions) {
        forge_remote_fit::__private::extend(extensions, self.claims(), self.provenance());
        extensions.insert(self);
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Returns Forge's trace id and span id.
    pub(crate) fn trace(&self) -> [Option<&str>; 2] {
        [self.0.trace_id.as_deref(), self.0.span_id.as_deref()]
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

    /// Returns the owner of the call's OAuth tokens.
    pub(crate) fn owner(&self) -> Owner {
        Owner::of_call(self.0.call.clone())
    }
}

/// Returns Forge's trace id, if it is valid: hex only, so that no other text gets into the log.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    hex_header(headers, TRACE_ID)
}

fn hex_header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let text = headers.get(name)?.to_str().ok()?;
    let hex = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then_some(text)
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
        self.0.0.trace_id.as_deref()
    }

    /// Returns Forge's span id (`x-b3-spanid`).
    pub fn span_id(&self) -> Option<&str> {
        self.0.0.span_id.as_deref()
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
