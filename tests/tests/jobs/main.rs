//! Durable handlers: their calls are stored, acknowledged, and run afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod engines;
mod envelopes;
mod guarantees;
mod heartbeats;
mod launch;
mod limits;
mod log;
mod restate;
mod river;
mod runs;
mod schedule_deployments;
mod schedule_engines;
mod schedules;
mod sent;
mod spans;
mod starts;
mod suspects;
mod transactions;
mod uninstalled;
