//! JSON as the platform really sends it: text that was cut inside a surrogate pair, and fields of an
//! undocumented shape.

mod lenient;
mod surrogates;

pub(crate) use lenient::{Lenient, Members, payload};
pub(crate) use surrogates::{repair, repair_bytes, repair_str};
