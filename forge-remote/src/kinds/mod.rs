//! One file for each kind of invocation: its options, its module in the manifest, its shape.

mod endpoint;
mod scheduled_trigger;

pub use endpoint::Endpoint;
pub use scheduled_trigger::{Interval, ScheduledTrigger};

pub use crate::registry::Kind;

/// The module types that kinds generate: what of them points at our endpoints is ours.
#[doc(hidden)]
pub const MODULE_TYPES: &[&str] = &["scheduledTrigger"];
