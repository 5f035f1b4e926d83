//! The service: every handler behind verification.

mod built;
mod fixed_routes;
mod keys;
mod pipeline;
mod tower;

pub use built::Service;
#[cfg(feature = "cli")]
pub(super) use keys::RULES;
