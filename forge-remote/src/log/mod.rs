//! Protection of the log: a limit on repeated lines, and escaping of foreign text.

mod text;

pub(crate) use forge_remote_fit::__private::log_limit::{LogLimit, LogLimits, Permit, permit};
pub(crate) use text::Foreign;
#[cfg(feature = "cli")]
pub(crate) use text::one_line;
