//! What the tests of forge-remote from outside share: a forge of tokens, a key-set server that can
//! misbehave, an HTTP client that sends any bytes, and an app under test with witnesses.
//!
//! Nothing here uses forge-remote's own test kit, because a fault in the one must not hide in the
//! other. The exceptions test what comes after verification: `back` calls going out, `kept` tokens,
//! `served` the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod back;
pub mod handlers;
pub mod http;
pub mod jws;
pub mod kept;
pub mod logged;
pub mod padding;
pub mod plain;
pub mod report;
pub mod rig;
pub mod rsa;
pub mod served;
pub mod servers;
pub mod source;
pub mod stores;
