//! The registrations of handlers: written by the macros, read by everything else (routes, manifest,
//! local platform, route table).

mod auth;
mod checks;
mod collect;
mod declare;
mod erased;
mod job;
mod kind;
mod method;
mod registration;

pub use crate::diagnostic::Location;
pub use crate::fit::BoxFuture;
pub use auth::Auth;
#[cfg(feature = "cli")]
pub(crate) use checks::RULES;
pub use collect::{Handler, Registry};
pub use erased::{ErasedHandler, Requirement};
pub use job::{JobRegistration, JobSubmission, Registered};
pub use kind::{Kind, Module, RouteScope, SampleCall};
pub use method::Method;
pub use registration::{Registration, Submission};
