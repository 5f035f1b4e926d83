//! The structure of the source: which rooms and files import which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod layers;
mod modules;
mod words;
