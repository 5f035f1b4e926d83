//! The registration of a job, written by its macro.

use std::sync::Arc;

use super::{ErasedHandler, Location, Registration};
use crate::diagnostic::CodeLocation;
use crate::jobs::JobPolicy;

/// The registration of a [`job`](macro@crate::job), written by its macro. A job has no route and no
/// module in the manifest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobRegistration {
    /// The job's key, which is stored with its envelopes.
    pub key: &'static str,
    /// The function's name.
    pub function: &'static str,
    /// The function's doc comment, with its line breaks.
    pub docs: &'static str,
    /// The function's position.
    pub location: Location,
    /// How often, how long and how many at once it runs.
    pub policy: JobPolicy,
    /// The function, callable.
    pub mount: Arc<dyn ErasedHandler>,
}

impl From<&JobRegistration> for CodeLocation {
    fn from(job: &JobRegistration) -> Self {
        Self::of_function(job.location, job.function)
    }
}

/// The result of [`handler!`](crate::handler): the registration of a handler or of a job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Registered {
    /// A handler of calls by Forge.
    Handler(Registration),
    /// A job.
    Job(JobRegistration),
}

impl From<Registration> for Registered {
    fn from(registration: Registration) -> Self {
        Self::Handler(registration)
    }
}

impl From<JobRegistration> for Registered {
    fn from(registration: JobRegistration) -> Self {
        Self::Job(registration)
    }
}

/// The item that `inventory` collects of a job.
#[derive(Debug)]
#[doc(hidden)]
pub struct JobSubmission(pub fn() -> JobRegistration);

inventory::collect!(JobSubmission);
