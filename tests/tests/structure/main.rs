//! The structure of the source: which rooms, files and crates need which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dependencies;
mod layers;
mod modules;
mod words;
