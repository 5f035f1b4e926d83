//! The structure of the source: rooms import downwards only, files form no circle, and no file
//! grows past its limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod layers;
mod modules;
