//! The manifest: merging, comparing, rules, the build script.

mod adopt;
mod adoption;
mod cron;
mod field;
mod golden;
mod random;
mod removal;
mod rules;
mod sound;
mod stale_build;
mod variables;
mod variants;
mod versions;
mod writing;
