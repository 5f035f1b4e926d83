//! The service: all handlers, behind the verification of their requests.

mod bounds;
mod built;
mod fixed_routes;
mod former;
mod keys;
mod pipeline;
mod served_routes;
mod tower;

pub use built::Service;
#[cfg(feature = "cli")]
pub(super) use keys::RULES;
