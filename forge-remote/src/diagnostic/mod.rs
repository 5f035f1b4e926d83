//! The reports of checks and their codes: problems that keep an app from starting, differences between
//! the manifest and the code, and findings of the manifest's lints.
//!
//! Every code is a [`Rule`]: `explain CODE` prints its explanation. A rule's text is in the file of the
//! check that reports it.

mod check;
mod location;
mod render;
mod report;
mod rule;

pub use check::{Check, CheckState};
pub use location::{CodeLocation, Location, Position};
pub use render::{SourceText, render};
#[doc(hidden)]
pub use report::counted;
pub use report::{Diagnostic, Severity};
pub use rule::{Rule, RuleKind};
