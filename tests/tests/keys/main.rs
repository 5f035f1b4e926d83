//! The life cycle of key sets: fetched, refreshed, rotated, unavailable, unusable.

mod clocks;
mod cold;
mod direct;
mod unusable_keys;
mod warm;
