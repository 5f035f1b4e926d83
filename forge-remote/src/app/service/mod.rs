//! The service: all handlers, behind the verification of their requests.

mod assembly;
mod bounds;
mod built;
mod by_hand;
mod call_plan;
mod context;
mod cron;
mod durable;
mod fixed_routes;
mod former;
mod handler_routes;
mod handling;
mod hints;
mod keys;
mod last_calls;
mod measured;
mod pipeline;
mod sampler;
mod served_routes;
mod spans;
mod target;
mod tower;

pub use built::Service;
#[cfg(feature = "dev")]
pub(crate) use cron::FIRE_HEADER;
pub(super) use cron::Tick;
pub(super) use hints::UNKNOWN_KEY;
#[cfg(feature = "cli")]
pub(super) use keys::RULES;
