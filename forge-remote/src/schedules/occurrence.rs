//! The occurrence of a cron schedule, as an argument.

use std::time::{Duration, SystemTime};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::extract::Verified;
use crate::extract::rejection::StateRejection;

/// The occurrence that a handler with `cron` is called for, as an argument.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::schedules::Occurrence;
///
/// # #[cfg(feature = "cron")]
/// #[scheduled_trigger(cron = "30 2 * * 1-5", tz = "Europe/Berlin")]
/// async fn report(occurrence: Occurrence) -> Result<()> {
///     println!("the report of {:?}", occurrence.scheduled_for());
///     Ok(())
/// }
/// ```
///
/// In a direct call by `invoke`, `dev --once` or the test kit it is the time of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence(SystemTime);

impl Occurrence {
    pub(crate) fn new(scheduled_for: SystemTime) -> Self {
        Self(scheduled_for)
    }

    /// Returns the time that the schedule names: a full minute, without jitter, and the same in every
    /// attempt.
    pub fn scheduled_for(&self) -> SystemTime {
        self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Occurrence {
    type Rejection = StateRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StateRejection> {
        if let Some(occurrence) = parts.extensions.get::<Self>() {
            return Ok(*occurrence);
        }
        let call = parts.extensions.get::<Verified>();
        let issued = call.and_then(|call| call.claims().claim("iat")?.as_u64());
        let issued = issued.map(|at| Self(SystemTime::UNIX_EPOCH + Duration::from_secs(at)));
        // Launch checks the handlers' own arguments.
        let fix = "write `cron` in the handler's attribute";
        issued.ok_or(StateRejection::new("Occurrence", fix))
    }
}
