//! The functions of the fuzz targets (feature `fuzzing`, which is not for apps), one for each reader
//! of foreign input. Each takes any bytes and panics if a property does not hold.
//!
//! The functions are next to the code that they test. `fuzz/README.md` has the list, and how to run
//! them.

pub use crate::client::fuzzing::{dates, pages, paths, retry_after};
pub use crate::kinds::fuzzing::{payloads, web_trigger};
pub use crate::token::fuzzing::sealed;
pub use forge_remote_fit::fuzzing::{key_set, verifier};
