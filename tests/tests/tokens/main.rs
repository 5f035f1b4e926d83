//! Stored tokens: the keeper, the stores, removals, processes.

#![allow(clippy::unwrap_used)]

mod apps;
mod batches;
mod callbacks;
mod clocks;
mod isolated_clouds;
mod keep_fresh;
mod keeper;
mod outages;
mod processes;
mod redis;
mod rejected_records;
mod rejected_tokens;
mod removal;
mod removal_callbacks;
mod settings;
mod sites;
mod store_failures;
mod stores;
mod token_sources;
