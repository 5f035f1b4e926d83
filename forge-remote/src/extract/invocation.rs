//! The verified invocation.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::rejection::InvocationRejection;
use super::state::AppState;
use crate::client::AtlassianClient;
use crate::credentials::{Owner, VerifiedCall};
use crate::fit::{Claims, Provenance};
use crate::opaque::Opaque;
use crate::work::Work;

/// What verification leaves in a request for the extractors.
#[derive(Clone, Debug)]
pub(crate) struct Verified(Opaque<Inner>);

#[derive(Debug)]
struct Inner {
    call: VerifiedCall,
    endpoint: Arc<str>,
    atlassian: AtlassianClient,
    work: Arc<Work>,
    trace_id: Option<Box<str>>,
    span_id: Option<Box<str>>,
}

/// What of a request's path is below its handler's, as it was sent: in requests that are.
#[derive(Clone, Debug)]
pub(crate) struct Subpath(pub(crate) String);

impl Verified {
    pub(crate) fn new(
        claims: Claims,
        endpoint: Arc<str>,
        atlassian: AtlassianClient,
        headers: &HeaderMap,
        provenance: Provenance,
        work: Arc<Work>,
    ) -> Self {
        Self(Opaque::new(Inner {
            call: VerifiedCall::new(claims, provenance),
            endpoint,
            atlassian,
            work,
            trace_id: trace_id(headers).map(Into::into),
            span_id: hex_header(headers, "x-b3-spanid").map(Into::into),
        }))
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    pub(crate) fn claims(&self) -> &Claims {
        self.0.call.claims()
    }

    /// Where the headers come from, and with them the tokens beside the FIT.
    pub(crate) fn provenance(&self) -> Provenance {
        self.0.call.provenance()
    }

    /// Whose the tokens beside the FIT are.
    pub(crate) fn owner(&self) -> Owner {
        Owner::of_call(self.0.call.clone())
    }
}

/// Forge's trace id, when it is one: hex, so that nothing else gets into the log.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    hex_header(headers, "x-b3-traceid")
}

fn hex_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?;
    let hex = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then_some(text)
}

/// The verified call: who calls, from where, for which installation.
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
    /// Forge's trace id (`x-b3-traceid`): quote it to Atlassian's support.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.0.trace_id.as_deref()
    }

    /// Forge's span id (`x-b3-spanid`).
    pub fn span_id(&self) -> Option<&str> {
        self.0.0.span_id.as_deref()
    }

    /// The key of the endpoint that was called.
    pub fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// Where the call's headers come from: an OAuth token that a page brings may be the user's own
    /// choice.
    pub fn provenance(&self) -> Provenance {
        self.0.provenance()
    }

    /// The claims.
    pub fn claims(&self) -> &Claims {
        self.0.claims()
    }

    /// Runs work that the response does not wait for.
    ///
    /// The server waits for it when it stops, within
    /// [`App::shutdown_grace`](crate::App::shutdown_grace), and cuts off what takes longer. Errors
    /// and panics are logged, in the call's span. Work that must survive a crash needs a store of
    /// its own: after a response of 2xx, Forge does not send the call again.
    ///
    /// Calls to Atlassian are not retried past the time that Forge waits for the response: take
    /// [`without_deadline`](AtlassianClient::without_deadline) for the work.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// #[endpoint(auth = system)]
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

    /// Atlassian's APIs, for calls to other installations; for this one there are
    /// [`jira`](Self::jira), [`confluence`](Self::confluence) and the rest.
    pub fn atlassian(&self) -> &AtlassianClient {
        &self.0.0.atlassian
    }
}

impl Deref for Invocation {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        self.claims()
    }
}

/// Only the trace: claims are customers' data.
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
