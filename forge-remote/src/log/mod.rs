//! The log under attack: a limit on repeated lines, and foreign text on one line.

mod limit;
mod text;

pub(crate) use limit::{LogLimit, LogLimits, Permit, permit};
pub(crate) use text::Foreign;
#[cfg(feature = "cli")]
pub(crate) use text::one_line;
