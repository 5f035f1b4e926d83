//! The manifest: merging, comparing, rules, the build script.

mod adoption;
mod golden;
mod random;
mod rules;
mod stale_build;
mod writing;
