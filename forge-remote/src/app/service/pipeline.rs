//! The pipeline of one request: size, token, handler, response.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use forge_remote_fit::__private::headers::hide_secrets;
use tracing::{Instrument as _, Level};

use super::bounds;
use super::context::ServiceContext;
use super::durable::Intake;
use super::former::FormerCalls;
use super::handling::call;
use super::hints;
use super::last_calls::LastCall;
use super::spans;
use super::target::{KnownKeys, target};
use crate::app::body;
use crate::app::limits::Limits;
use crate::client::CallingHandler;
use crate::credentials::VerifiedCall;
use crate::extract::{CallFacts, CalledByFormerPath, PlatformBody, Trace, Verified};
use crate::fit::{AllowedCaller, Claims, EndpointTarget, Provenance, TokenRejection, VerifyError};
use crate::registry::{ErasedHandler, Handler, Kind, Requirement};
use crate::response;
use crate::telemetry::record;

/// A handler on its route, with the checks before and after it.
pub(super) struct Mounted {
    target: EndpointTarget,
    /// The other attributes of the function on this route, each with its own requirements on a FIT.
    others: Vec<Mounted>,
    endpoint: Arc<str>,
    kind: &'static dyn Kind,
    mount: Arc<dyn ErasedHandler>,
    reads_ahead: bool,
    body_optional: bool,
    context: ServiceContext,
    limits: Limits,
    former: Arc<FormerCalls>,
    /// The handler, if its scopes are checked before its calls to Atlassian.
    pub(super) calling: Option<CallingHandler>,
    /// Its last call, if it is a scheduled trigger and metrics are recorded.
    pub(super) last_call: Option<Arc<LastCall>>,
    /// Whether the endpoint requests a system token. If not, Forge sends none, and the header must
    /// not be trusted.
    takes_system_token: bool,
    /// Whether tokens of several clouds or apps are accepted: each call is compared with the known cloud of
    /// its installation, and the token keeper then knows its app.
    binds_installations: bool,
    /// Stores the call, if the handler is durable.
    pub(super) intake: Option<Arc<Intake>>,
    /// How long Forge waits for the response.
    forge_timeout: Duration,
    /// How long the caller waits for the handler's response.
    response_time: Duration,
}

impl Mounted {
    pub(super) fn new(
        handler: &Handler,
        keys: &KnownKeys,
        former: &Arc<FormerCalls>,
        context: &ServiceContext,
    ) -> Self {
        let registration = handler.registration();
        let limits = context.limits;
        let verifier = &context.verifier;
        let mut needs = registration.mount.needs().iter();
        Self {
            target: target(handler, keys),
            others: Vec::new(),
            takes_system_token: registration.auth.system,
            endpoint: handler.key().into(),
            kind: registration.kind,
            mount: Arc::clone(&registration.mount),
            reads_ahead: needs.any(|need| matches!(need, Requirement::RetryContext)),
            body_optional: registration.kind.body_optional(),
            limits: Limits {
                body: registration.body_limit.unwrap_or(limits.body),
                ..limits
            },
            former: Arc::clone(former),
            intake: None,
            calling: None,
            last_call: None,
            binds_installations: verifier.keys().all().count() > 1 || verifier.app_ids().len() > 1,
            forge_timeout: registration.kind.sample_call().timeout,
            response_time: limits.response.unwrap_or_else(|| {
                let documented = registration.kind.documented_timeout();
                documented.unwrap_or(DEFAULT_RESPONSE_TIMEOUT)
            }),
            context: context.clone(),
        }
    }

    /// Adds the other attributes of the function on this route.
    ///
    /// A FIT that names the shared endpoint does not show which module it is for, so the route has
    /// the strictest rules, the longest timeouts and the largest body limit of all, and accepts an empty body if
    /// one of them does.
    pub(super) fn sharing_route_with(mut self, mut others: Vec<Self>) -> Self {
        for other in &others {
            self.body_optional |= other.body_optional;
            self.forge_timeout = self.forge_timeout.max(other.forge_timeout);
            self.response_time = self.response_time.max(other.response_time);
            self.limits.body = self.limits.body.max(other.limits.body);
            self.target.forwards_headers |= other.target.forwards_headers;
            self.target.ends_installation |= other.target.ends_installation;
        }
        for other in &mut others {
            other.target.forwards_headers = self.target.forwards_headers;
            other.target.ends_installation = self.target.ends_installation;
        }
        self.others = others;
        self
    }

    /// Serves a request: checks its size and token, then calls the handler. No path skips a check.
    pub(super) async fn serve(self: Arc<Self>, mut request: Request) -> Response {
        hide_secrets(request.headers_mut());
        let trace = Trace::of(request.headers());
        let span = spans::of_call(&request, &self.endpoint, &trace);
        let request = self.context.on_span.with(&span, request);
        let is_page = self.target.caller == AllowedCaller::Page;
        let mut serving = pin!(self.serve_in_span(request, trace).instrument(span));
        let mut response = serving.as_mut().await;
        spans::record_response(serving.span(), &response);
        if is_page {
            // Any origin may read it: a request needs the FIT, which no browser adds automatically.
            let any = HeaderValue::from_static("*");
            let headers = response.headers_mut();
            headers
                .entry(header::ACCESS_CONTROL_ALLOW_ORIGIN)
                .or_insert(any);
        }
        response
    }

    async fn serve_in_span(self: Arc<Self>, mut request: Request, trace: Trace) -> Response {
        let atlassian = self
            .context
            .atlassian
            .clone()
            .responding_within(self.forge_timeout);
        let limit = self.limits.body;
        if let Some(rejection) =
            bounds::HANDLERS.too_large(&request, limit, &self.context.log_limits)
        {
            return rejection;
        }
        let is_former_path = request.extensions().get::<CalledByFormerPath>().is_some();
        let verified = self.verified_for_any(request.headers(), is_former_path);
        let (attribute, claims) = match verified.await {
            Ok(verified) => verified,
            Err(rejection) => return rejection,
        };
        record::verification("accepted");
        if let Some(last_call) = &attribute.last_call {
            last_call.note();
        }
        let provenance = Provenance::from_claims(&claims, &attribute.target);
        if attribute.takes_system_token
            && let Some(tokens) = &self.context.tokens
        {
            tokens.observe(&claims, request.headers(), provenance);
        }
        let is_page = attribute.target.caller == AllowedCaller::Page;
        let verified = Verified::new(CallFacts {
            call: VerifiedCall::new(claims, provenance),
            endpoint: Arc::clone(&attribute.endpoint),
            atlassian: atlassian.called_by(attribute.calling),
            work: Arc::clone(&self.context.work),
            trace,
            platform_body: (!is_page).then_some(PlatformBody {
                may_be_empty: self.body_optional,
            }),
            is_for_functions: attribute.target.caller == AllowedCaller::Function,
        });
        verified.extend(request.extensions_mut());
        let request =
            request.map(|body| body::bounded(body, self.limits.body, self.limits.body_time));

        let started = tracing::enabled!(Level::DEBUG).then(Instant::now);
        let handling = || match &attribute.intake {
            Some(intake) => Box::pin(Arc::clone(intake).store(request)),
            None => {
                let mount = Arc::clone(&self.mount);
                call(mount, self.context.state.clone(), request, self.reads_ahead)
            }
        };
        let Some(call) =
            self.context
                .work
                .handle(self.response_time, &self.context.log_limits, handling)
        else {
            return bounds::HANDLERS.overloaded(&self.context.log_limits);
        };
        let response = self.checked(call.await).await;
        if let Some(started) = started {
            let (status, elapsed) = (response.status().as_u16(), started.elapsed());
            tracing::debug!(status, ?elapsed, "served");
        }
        response
    }

    /// Returns the first attribute that accepts a request's FIT, with the FIT's claims, or the
    /// response that rejects it. Every attribute applies its own rules.
    async fn verified_for_any(
        &self,
        headers: &HeaderMap,
        is_former_path: bool,
    ) -> Result<(&Self, Claims), Response> {
        let mut rejection = match self.verified(headers).await {
            Ok(claims) => return Ok((self, claims)),
            Err(error) => error,
        };
        for attribute in &self.others {
            // A FIT that names another endpoint, module or page may be another attribute's. Any
            // other error is the same for all.
            if !names_another(&rejection) {
                break;
            }
            match attribute.verified(headers).await {
                Ok(claims) => return Ok((attribute, claims)),
                Err(error) => rejection = error,
            }
        }
        rejection.log_with(&self.context.log_limits, || {
            let own = &self.target.endpoint;
            let former = self
                .former
                .at_handler(&rejection, headers, own, is_former_path);
            former.or_else(|| {
                hints::at_rejection(&rejection, self.context.unknown_key_hint).map(str::to_owned)
            })
        });
        record::verification(rejection.code());
        let mut response: Response = rejection.to_response();
        response.extensions_mut().insert(response::FitRejected);
        Err(response)
    }

    /// Returns the claims of a request's token for this attribute.
    async fn verified(&self, headers: &HeaderMap) -> Result<Claims, VerifyError> {
        let mut verified = self.context.verifier.verify(headers, &self.target).await;
        if let (Ok(claims), Some(tokens), true) =
            (&verified, &self.context.tokens, self.binds_installations)
        {
            // A call that changes the stored token is checked against the store, which other
            // instances write too.
            let brings_token = self.takes_system_token
                && matches!(
                    Provenance::from_claims(claims, &self.target),
                    Provenance::Platform | Provenance::Function
                );
            let ask_store = brings_token || self.target.ends_installation;
            if tokens.is_of_another_cloud(claims, ask_store).await {
                verified = Err(TokenRejection::OtherCloud.into());
            }
        }
        verified
    }

    /// Replaces a response that Forge would reject by a 500, and logs the reason.
    async fn checked(&self, response: Response) -> Response {
        let size = response.body().size_hint().exact();
        if !self.kind.checks_responses()
            || !response.status().is_success()
            || size.is_none_or(|size| size > MAX_CHECKED)
        {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            tracing::error!("the handler's response body could not be read completely");
            return response::internal_error();
        };
        if let Some((reason, help)) = self.kind.check_response(&body) {
            tracing::error!(reason, help, "Forge would reject the handler's response");
            return response::internal_error();
        }
        Response::from_parts(parts, body.into())
    }
}

/// Returns whether a FIT was rejected because of the endpoint, module, page or caller that it names.
fn names_another(error: &VerifyError) -> bool {
    use TokenRejection::{HasPrincipal, WrongEndpoint, WrongModuleType, WrongPage};
    let VerifyError::Rejected(rejection) = error else {
        return false;
    };
    matches!(
        rejection,
        HasPrincipal | WrongEndpoint | WrongModuleType | WrongPage
    )
}

/// How long a caller waits where Atlassian documents no timeout: its longest one for functions.
const DEFAULT_RESPONSE_TIMEOUT: Duration = Duration::from_secs(55);
/// The largest response that is checked, in bytes.
const MAX_CHECKED: u64 = 64 * 1024;
