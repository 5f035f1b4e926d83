#![doc = include_str!("../docs/schedules.md")]

#[cfg(feature = "cron")]
mod expression;
#[cfg(not(feature = "cron"))]
mod no_expression;
mod occurrence;
mod options;
mod timetable;

pub use occurrence::Occurrence;
pub use options::{CronOptions, Overlap};
pub(crate) use timetable::{Skipped, Timetable};
