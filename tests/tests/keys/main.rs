//! The lifecycle of key sets: fetched, refreshed, rotated, unavailable, unusable.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod clocks;
mod first_fetch;
mod key_ids;
mod refresh;
mod rotation;
mod unknown_keys;
mod unusable_keys;
mod verifier;
mod weak_keys;
