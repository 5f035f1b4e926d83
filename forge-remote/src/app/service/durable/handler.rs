//! A durable handler or a job, as its runs need it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::client::CallingHandler;
use crate::fit::EndpointTarget;
use crate::jobs::{Envelope, JobPolicy};
use crate::registry::{ErasedHandler, Handler, JobRegistration, Requirement};
use crate::schedules::{CronOptions, Timetable};

/// A durable handler.
#[derive(Clone)]
pub(in crate::app::service) struct DurableHandler {
    pub(super) policy: JobPolicy,
    /// The endpoint to which a call must belong; `None` for a job.
    pub(super) target: Option<EndpointTarget>,
    pub(super) endpoint: Arc<str>,
    pub(super) mount: Arc<dyn ErasedHandler>,
    pub(super) reads_ahead: bool,
    pub(super) body_optional: bool,
    pub(super) takes_token: bool,
    /// Whether it cannot run without a `SystemToken`.
    pub(super) needs_token: bool,
    /// The handler, if its scopes are checked before its calls to Atlassian.
    pub(in crate::app::service) calling: Option<CallingHandler>,
    /// The occurrences of a handler with `cron`.
    pub(in crate::app::service) timetable: Option<Arc<Timetable>>,
}

impl DurableHandler {
    /// Creates a handler of stored calls.
    pub(in crate::app::service) fn new(
        handler: &Handler,
        policy: JobPolicy,
        target: EndpointTarget,
    ) -> Self {
        let record = handler.registration();
        Self {
            target: Some(target),
            body_optional: record.kind.body_optional(),
            ..Self::of(handler.key(), policy, &record.mount)
        }
    }

    /// Creates a job.
    pub(in crate::app::service) fn job(job: &JobRegistration) -> Self {
        Self::of(job.key, job.policy, &job.mount)
    }

    fn of(key: &str, policy: JobPolicy, mount: &Arc<dyn ErasedHandler>) -> Self {
        let needs = |wanted: fn(&Requirement) -> bool| mount.needs().iter().any(wanted);
        let needs_token = needs(|need| matches!(need, Requirement::SystemToken));
        Self {
            policy,
            target: None,
            endpoint: key.into(),
            mount: Arc::clone(mount),
            reads_ahead: needs(|need| matches!(need, Requirement::RetryContext)),
            body_optional: false,
            takes_token: needs_token
                || needs(|need| matches!(need, Requirement::OptionalSystemToken)),
            needs_token,
            calling: None,
            timetable: None,
        }
    }

    /// Returns whether it is too late to start an occurrence. A handler without a cron expression has the
    /// default of `catch_up`.
    pub(super) fn is_late(&self, envelope: &Envelope, now: SystemTime) -> bool {
        match &self.timetable {
            Some(timetable) => timetable.is_late(envelope.due(), now),
            None => now > envelope.due() + CronOptions::CATCH_UP,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.policy.timeout()
    }
}
