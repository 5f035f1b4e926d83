//! Durable handlers and jobs: what they run is stored first.

mod intake;
mod restore;
mod runner;
mod runs;

pub(super) use intake::{Intake, not_stored};
pub(super) use runner::{DurableHandler, Runner};
pub(super) use runs::{RunGuard, Runs};
