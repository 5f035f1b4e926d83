//! Durable handlers and jobs: what they run is stored first.

mod intake;
mod restore;
mod runner;

pub(super) use intake::Intake;
pub(super) use runner::{DurableHandler, Runner};
