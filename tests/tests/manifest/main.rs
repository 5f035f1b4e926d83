//! The manifest: merging, comparing, rules, the build script.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(clippy::unwrap_used)]

mod adopt;
mod adoption;
mod advice;
mod cron;
mod default_proofs;
mod field;
mod foreign_modules;
mod function_calls;
mod golden;
mod hand_written;
mod known_mistakes;
mod listed_variables;
mod mistakes;
mod module_rules;
mod ownership;
mod page_rules;
mod random;
mod removal;
mod renames;
mod rules;
mod sound;
mod stale_build;
mod uses;
mod variables;
mod variants;
mod versions;
mod versions_command;
mod writing;
mod yaml;
