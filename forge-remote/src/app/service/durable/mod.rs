//! Durable handlers: their calls are stored, and run afterwards.

mod intake;
mod runner;

pub(super) use intake::Intake;
pub(super) use runner::{DurableHandler, Runner};
