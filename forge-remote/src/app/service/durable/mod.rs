//! Durable handlers and jobs: their calls are stored before they run.

mod handler;
mod intake;
mod removals;
mod restore;
mod runner;
mod runs;

pub(super) use handler::DurableHandler;
pub(super) use intake::{Intake, not_stored};
pub(super) use removals::end_removed_installations;
pub(super) use runner::Runner;
pub(super) use runs::{RunGuard, Runs};
