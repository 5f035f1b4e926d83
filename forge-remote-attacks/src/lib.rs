#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "only tests and the commands of a developer use this crate, and no caller's input reaches it"
)]

mod cases;
#[allow(clippy::too_many_lines, reason = "tables")]
mod classes;
pub mod encoding;
pub mod jws;
pub mod padding;
pub mod rsa;
mod scene;

pub use cases::{Case, Cases, Request, Verdict};
pub use classes::{CLASSES, Class, class};
pub use scene::{Keys, Scene};
