//! Every kind's handler receives what Forge sends, returns what Forge reads, and is in the manifest.
//!
//! A separate binary: the app has every handler that is linked.

#![allow(clippy::unwrap_used)]

mod handlers;
mod manifest;
mod requests;
mod responses;
mod routes;
mod table;
