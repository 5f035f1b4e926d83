//! Stored calls and jobs, as requests again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::handler::DurableHandler;
use crate::app::service::context::ServiceContext;
use crate::credentials::VerifiedCall;
use crate::extract::{
    CallFacts, JobCall, JobInstallation, PlatformBody, StoredArgs, Trace, Verified,
};
use crate::fit::{AllowedCaller, EndpointTarget, Provenance};
use crate::jobs::{Contents, Envelope, JobContents, JobSender, UnreadableContents};
use crate::schedules::Occurrence;
use crate::token::{JobSeal, SealedCall};

/// A stored call or job as a request again, ready to run but for its token.
pub(super) struct Restored {
    pub(super) request: Request,
    /// The app that it was sent to.
    pub(super) app_id: String,
    /// The occurrence of a cron schedule that it is.
    pub(super) occurrence: Option<Occurrence>,
    /// A developer has started it: it is not skipped.
    pub(super) is_fired: bool,
}

/// Why a stored call or job is not a valid request of this version of the app.
pub(super) enum NotRestored {
    Unreadable(UnreadableContents),
    /// The app would not accept the call, for this reason.
    Rejected(String),
}

impl From<UnreadableContents> for NotRestored {
    fn from(reason: UnreadableContents) -> Self {
        Self::Unreadable(reason)
    }
}

pub(super) fn subject(envelope: &Envelope) -> SealedCall<'_> {
    SealedCall {
        handler: &envelope.handler,
        installation_id: &envelope.installation_id,
    }
}

/// Returns the request of a durable call, with its claims.
pub(super) fn restored_call(
    context: &ServiceContext,
    handler: &DurableHandler,
    target: &EndpointTarget,
    contents: &Contents,
) -> Result<Restored, NotRestored> {
    let claims = contents
        .claims(&context.verifier, target)
        .map_err(rejected)?;
    let app_id = claims.app_id().to_owned();
    let mut request = contents.request()?;
    let provenance = Provenance::from_claims(&claims, target);
    let call = VerifiedCall::new(claims, provenance);
    let endpoint = Arc::clone(&handler.endpoint);
    let mut facts = facts(context, handler, call, endpoint, request.headers());
    facts.platform_body = Some(PlatformBody {
        may_be_empty: handler.body_optional,
    });
    Verified::new(facts).extend(request.extensions_mut());
    Ok(Restored {
        request,
        app_id,
        occurrence: contents.occurrence(),
        is_fired: contents.is_fired(),
    })
}

/// Returns the head of a stored call, or of the call that sent a job.
pub(super) fn stored_head(
    handler: &DurableHandler,
    seal: &JobSeal,
    envelope: &Envelope,
) -> Option<Parts> {
    let plain = seal.open(subject(envelope), &envelope.sealed).ok()?;
    let request = if handler.target.is_some() {
        Contents::read(&plain).ok()?.request().ok()?
    } else {
        let JobSender::Call(call) = JobContents::read(&plain).ok()?.sender else {
            return None;
        };
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = call.headers();
        request
    };
    Some(request.into_parts().0)
}

/// Returns the request of a job: its arguments, and the claims of the call that sent it, if one did.
pub(super) fn restored_job(
    context: &ServiceContext,
    handler: &DurableHandler,
    plain: &[u8],
) -> Result<Restored, NotRestored> {
    let contents = JobContents::read(plain)?;
    let mut request = Request::new(Body::empty());
    let (installation, sender) = match contents.sender {
        JobSender::App(installation) => {
            let mut own = context.verifier.app_ids().iter();
            if !own.any(|app_id| app_id.as_str() == installation.app_id) {
                return Err(rejected("it is of another app"));
            }
            (installation, None)
        }
        JobSender::Call(call) => {
            let claims = call.claims(&context.verifier).map_err(rejected)?;
            // Its tokens are not those of the call, so nobody else wrote them.
            let provenance = Provenance::from_claims(
                &claims,
                &EndpointTarget::new(&*call.endpoint, "core:endpoint", AllowedCaller::Page),
            );
            let installation = JobInstallation::from(&claims);
            let (endpoint, headers) = (call.endpoint.as_str().into(), call.headers());
            let call = VerifiedCall::new(claims, provenance);
            let verified = Verified::new(facts(context, handler, call, endpoint, &headers));
            *request.headers_mut() = headers;
            verified.clone().extend(request.extensions_mut());
            (installation, Some(verified))
        }
    };
    let app_id = installation.app_id.clone();
    let atlassian = context
        .atlassian
        .clone()
        .responding_within(handler.timeout());
    let call = JobCall::new(installation, atlassian.called_by(handler.calling), sender);
    request.extensions_mut().insert(call);
    let args = StoredArgs(contents.args.into());
    request.extensions_mut().insert(args);
    Ok(Restored {
        request,
        app_id,
        occurrence: None,
        is_fired: false,
    })
}

fn facts(
    context: &ServiceContext,
    handler: &DurableHandler,
    call: VerifiedCall,
    endpoint: Arc<str>,
    headers: &HeaderMap,
) -> CallFacts {
    let trace = Trace::of(headers);
    if let Some(trace_id) = trace.trace_id() {
        tracing::Span::current().record("trace_id", trace_id);
    }
    let atlassian = context
        .atlassian
        .clone()
        .responding_within(handler.timeout());
    CallFacts {
        call,
        endpoint,
        atlassian: atlassian.called_by(handler.calling),
        work: Arc::clone(&context.work),
        trace,
        platform_body: None,
        is_for_functions: false,
    }
}

fn rejected(reason: impl ToString) -> NotRestored {
    NotRestored::Rejected(reason.to_string())
}
