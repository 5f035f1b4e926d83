//! Protection of the log: a limit on repeated lines, and escaping of foreign text.

mod limit;
mod text;

pub(crate) use limit::{LogLimit, LogLimits, Permit, permit};
pub(crate) use text::Foreign;
#[cfg(feature = "cli")]
pub(crate) use text::one_line;
