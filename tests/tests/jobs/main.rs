//! Durable handlers: their calls are stored, acknowledged, and run afterwards.

#![allow(clippy::unwrap_used)]

mod envelopes;
mod launch;
mod runs;
