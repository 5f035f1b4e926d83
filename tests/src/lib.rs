//! Helpers that the integration tests of forge-remote share: a key-set server that can misbehave, an
//! HTTP client that sends any bytes, and an app under test that records its calls. The signer and the
//! forged FITs are those of `forge-remote-attacks`.
//!
//! Nothing here uses forge-remote's own test kit, so that a fault in the kit cannot hide a fault in
//! the library. The exceptions test the steps after verification: `fake_api` (outgoing calls),
//! `token_app` (stored tokens) and `served_app` (the server).

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod app_command;
pub mod corpus;
pub mod dev_process;
pub mod engines;
pub mod fake_api;
pub mod handlers;
pub mod http;
pub mod job_tables;
pub mod jwks_server;
pub mod layered_app;
pub mod log_capture;
pub mod new_crate;
pub mod plain_process;
pub mod recorded_handlers;
pub mod report;
pub mod restate_server;
pub mod served_app;
pub mod store_servers;
pub mod stores;
pub mod test_app;
pub mod token_app;
pub mod vectors;

pub use forge_remote_attacks::{encoding, jws, padding, rsa};
