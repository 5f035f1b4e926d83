//! Stored calls and jobs, as requests again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::runner::{DurableHandler, NotRestored, Restored, Runner, subject};
use crate::extract::{JobCall, JobInstallation, PlatformBody, StoredArgs, Verified, trace_id};
use crate::fit::{AllowedCaller, Claims, EndpointTarget, Provenance};
use crate::jobs::{Contents, Envelope, JobContents, JobSender};

impl Runner {
    /// Returns the request of a durable call, with its claims.
    pub(super) fn restore_call(
        &self,
        handler: &DurableHandler,
        target: &EndpointTarget,
        contents: &Contents,
    ) -> Result<Restored, NotRestored> {
        let claims = contents
            .claims(&self.context.verifier, target)
            .map_err(rejected)?;
        let app_id = claims.app_id().to_owned();
        let mut request = contents.request()?;
        let provenance = Provenance::of(&claims, target);
        let endpoint = Arc::clone(&handler.endpoint);
        let verified = self.verified(handler, claims, endpoint, request.headers(), provenance);
        verified.extend(request.extensions_mut());
        request.extensions_mut().insert(PlatformBody {
            may_be_empty: handler.body_optional,
        });
        Ok(Restored {
            request,
            app_id,
            occurrence: contents.occurrence(),
            is_fired: contents.is_fired(),
        })
    }

    /// Returns the head of a stored call, or of the call that sent a job.
    pub(super) fn stored_head(&self, envelope: &Envelope) -> Option<Parts> {
        let handler = self.handlers.get(&envelope.handler)?;
        let plain = self.seal.open(subject(envelope), &envelope.sealed).ok()?;
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
    pub(super) fn restore_job(
        &self,
        handler: &DurableHandler,
        plain: &[u8],
    ) -> Result<Restored, NotRestored> {
        let contents = JobContents::read(plain)?;
        let mut request = Request::new(Body::empty());
        let (installation, sender) = match contents.sender {
            JobSender::App(installation) => {
                let mut own = self.context.verifier.app_ids().iter();
                if !own.any(|app_id| app_id.as_str() == installation.app_id) {
                    return Err(rejected("it is of another app"));
                }
                (installation, None)
            }
            JobSender::Call(call) => {
                let claims = call.claims(&self.context.verifier).map_err(rejected)?;
                // Its tokens are not those of the call, so nobody else wrote them.
                let provenance = Provenance::of(
                    &claims,
                    &EndpointTarget::new(&*call.endpoint, "core:endpoint", AllowedCaller::Page),
                );
                let installation = JobInstallation::from(&claims);
                let (endpoint, headers) = (call.endpoint.as_str().into(), call.headers());
                let verified = self.verified(handler, claims, endpoint, &headers, provenance);
                *request.headers_mut() = headers;
                verified.clone().extend(request.extensions_mut());
                (installation, Some(verified))
            }
        };
        let app_id = installation.app_id.clone();
        let atlassian = self
            .context
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

    fn verified(
        &self,
        handler: &DurableHandler,
        claims: Claims,
        endpoint: Arc<str>,
        headers: &HeaderMap,
        provenance: Provenance,
    ) -> Verified {
        if let Some(trace) = trace_id(headers) {
            tracing::Span::current().record("trace_id", trace);
        }
        let atlassian = self
            .context
            .atlassian
            .clone()
            .responding_within(handler.timeout());
        Verified::new(
            claims,
            endpoint,
            atlassian.called_by(handler.calling),
            headers,
            provenance,
            Arc::clone(&self.context.work),
        )
    }
}

fn rejected(reason: impl ToString) -> NotRestored {
    NotRestored::Rejected(reason.to_string())
}
