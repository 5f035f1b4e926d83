//! The attempt of a durable handler, as an argument.

use std::fmt;
use std::time::SystemTime;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::extract::rejection::StateRejection;

/// The running attempt of a durable handler, as an argument.
///
/// ```
/// use forge_remote::jobs::Attempt;
/// use forge_remote::prelude::*;
///
/// #[scheduled_trigger(interval = "day", durable)]
/// async fn clean_up(attempt: Attempt) -> Result<()> {
///     if let Some(error) = attempt.last_error() {
///         println!("attempt {}, after: {error}", attempt.number());
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Attempt(RunningAttempt);

/// The request extension from which an [`Attempt`] is taken.
#[derive(Clone)]
pub(crate) struct RunningAttempt {
    pub(crate) number: u32,
    pub(crate) first_seen: SystemTime,
    pub(crate) last_error: Option<String>,
}

impl Attempt {
    /// Returns the number of the attempt, from 1. An attempt that was interrupted by the end of its
    /// process may count.
    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// Returns when the call arrived.
    pub fn first_seen(&self) -> SystemTime {
        self.0.first_seen
    }

    /// Returns the error of the previous attempt, if it is known. It may contain user data.
    pub fn last_error(&self) -> Option<&str> {
        self.0.last_error.as_deref()
    }
}

/// Writes the number only: the error may contain user data.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.0.number)
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Attempt {
    type Rejection = StateRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StateRejection> {
        // Launch checks the handlers' own arguments.
        let fix = "write `durable` in the handler's attribute";
        let attempt = parts.extensions.get::<RunningAttempt>().cloned();
        attempt.map(Self).ok_or(StateRejection::new("Attempt", fix))
    }
}
