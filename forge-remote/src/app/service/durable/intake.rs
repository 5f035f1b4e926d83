//! The storing of a verified call, before its response.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use forge_remote_fit::__private::response::unavailable;

use crate::error::chain;
use crate::extract::rejection::InvocationRejection;
use crate::extract::{Verified, whole_body};
use crate::fit::Clock;
use crate::jobs::{Accepted, Contents, Delivery, Envelope, JobEngine, JobPolicy};
use crate::log::{self, Permit};
use crate::registry::Handler;
use crate::token::{JobSeal, SealedCall};

/// Time limit of an engine: Forge waits 5 seconds.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(4);

/// Stores the calls of one durable handler.
pub(in crate::app::service) struct Intake {
    handler: String,
    id_pointers: &'static [&'static str],
    max_attempts: u32,
    engine: Arc<dyn JobEngine>,
    seal: JobSeal,
    clock: Arc<dyn Clock>,
}

impl Intake {
    pub(in crate::app::service) fn new(
        handler: &Handler,
        policy: &JobPolicy,
        engine: &Arc<dyn JobEngine>,
        seal: &JobSeal,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            handler: handler.key().to_owned(),
            id_pointers: handler.registration().kind.spec().delivery_id,
            max_attempts: policy.max_attempts(),
            engine: Arc::clone(engine),
            seal: seal.clone(),
            clock: Arc::clone(clock),
        }
    }

    /// Stores a verified call, and returns the response: 202 once it is stored, 503 otherwise.
    pub(in crate::app::service) async fn store(self: Arc<Self>, request: Request) -> Response {
        let Some(call) = request.extensions().get::<Verified>().cloned() else {
            return InvocationRejection.into_response();
        };
        let (parts, body) = request.into_parts();
        let mut request = Request::from_parts(parts.clone(), body);
        // The app's own limit replaces axum's.
        DefaultBodyLimit::disable().apply(&mut request);
        let body = match whole_body(request, &()).await {
            Ok(body) => body,
            Err(rejection) => return rejection.into_response(),
        };
        let claims = call.claims();
        let installation_id = claims.installation_id();
        let delivery = Delivery::new(&self.handler, installation_id, self.id_pointers, &body);
        let subject = SealedCall {
            handler: &self.handler,
            installation_id,
        };
        let contents = Contents::new(claims, &parts, &body).write();
        let Some(sealed) = self.seal.seal(subject, contents) else {
            return not_stored("the system's random source returned no bytes");
        };
        let mut envelope = Envelope::new(&delivery.key, &self.handler, installation_id, sealed);
        envelope.repeats_within = delivery.repeats_within;
        envelope.accepted_at = self.clock.now();
        envelope.max_attempts = self.max_attempts;
        match tokio::time::timeout(ACCEPT_TIMEOUT, self.engine.accept(envelope)).await {
            Ok(Ok(Accepted::New(job))) => {
                tracing::debug!(job, "the call is stored");
                StatusCode::ACCEPTED.into_response()
            }
            Ok(Ok(Accepted::Repeated(job))) => {
                tracing::info!(job, "a retry by Forge of a call that is stored already");
                StatusCode::ACCEPTED.into_response()
            }
            Ok(Err(error)) => not_stored(&format!("{error}{}", chain(&error))),
            Err(_) => not_stored("the engine did not respond in time"),
        }
    }
}

/// Returns 503, so that Forge retries the call.
fn not_stored(reason: &str) -> Response {
    if let Some(Permit { suppressed }) = log::permit("not_stored") {
        tracing::error!(
            reason,
            suppressed,
            "a durable call is not stored: the response is 503, and Forge retries the call"
        );
    }
    unavailable(
        "not_stored",
        "the remote could not store this call; try again",
    )
}
