//! The manifest: merging, comparing, rules, the build script.

mod golden;
mod random;
mod rules;
mod stale_build;
mod versions;
mod writing;
