//! JSON as the platform really sends it: text that was cut inside a surrogate pair, and fields with
//! an undocumented shape. FITs and keys are read by `strict`.

mod lenient;
pub(crate) mod strict;
mod surrogates;

pub use lenient::{Lenient, Members};
pub use surrogates::{repair, repair_bytes, repair_str};
