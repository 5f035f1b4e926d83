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
use crate::jobs::{Accepted, Contents, Delivery, JobPolicy, NotStored, Parcel, Sender};
use crate::log::{self, Permit};
use crate::registry::Handler;

/// Stores the calls of one durable handler.
pub(in crate::app::service) struct Intake {
    handler: String,
    id_pointers: &'static [&'static str],
    /// The interval of a schedule.
    interval: Option<Duration>,
    max_attempts: u32,
    sender: Sender,
}

impl Intake {
    pub(in crate::app::service) fn new(
        handler: &Handler,
        policy: &JobPolicy,
        sender: &Sender,
    ) -> Self {
        Self {
            handler: handler.key().to_owned(),
            id_pointers: handler.registration().kind.spec().delivery_id,
            interval: handler.registration().kind.interval(),
            max_attempts: policy.max_attempts(),
            sender: sender.clone(),
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
        let delivery = Delivery::new(
            &self.handler,
            installation_id,
            self.id_pointers,
            self.interval,
            &body,
        );
        let parcel = Parcel {
            handler: &self.handler,
            installation_id,
            contents: Contents::new(claims, &parts, &body).write(),
            max_attempts: self.max_attempts,
            key: &delivery.key,
            repeats: delivery.repeats,
            not_before: None,
        };
        match self.sender.send(parcel).await {
            Ok(Accepted::New(job)) => {
                tracing::debug!(job, "the call is stored");
                StatusCode::ACCEPTED.into_response()
            }
            Ok(Accepted::Repeated(job)) => {
                tracing::info!(job, "a retry by Forge of a call that is stored already");
                StatusCode::ACCEPTED.into_response()
            }
            Err(error) => not_stored(&error),
        }
    }
}

/// Returns 503, so that Forge retries the call.
pub(in crate::app::service) fn not_stored(error: &NotStored) -> Response {
    if let Some(Permit { suppressed }) = log::permit("not_stored") {
        let reason = format!("{error}{}", chain(error));
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
