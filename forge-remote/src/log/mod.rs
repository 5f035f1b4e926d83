//! What keeps the log usable under attack: a limit on repeated lines, foreign text on one line, and
//! a writer that never blocks the app.

mod limit;
mod text;
mod writer;

pub(crate) use limit::{LogLimit, LogLimits, Permit, permit};
pub(crate) use text::Foreign;
pub(crate) use writer::LogWriter;
