//! Kept tokens: the keeper, the stores, removals, processes.

mod callbacks;
mod clouds;
mod keeper;
mod outages;
mod processes;
mod redis;
mod refused;
mod removal;
mod sites;
mod sources;
mod store_down;
mod stores;
