//! Durable jobs for [forge-remote](forge_remote), on a [Restate](https://restate.dev) server.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod engine;
mod inspector;
mod listener;
mod objects;
mod server;
mod serving;
mod stored_call;

pub use engine::RestateJobs;
