//! The life cycle of key sets: fetched, refreshed, rotated, unavailable, unusable.

mod clocks;
mod first_fetch;
mod refresh;
mod unusable_keys;
mod verifier;
