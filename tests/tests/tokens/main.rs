//! Kept tokens: the keeper, the stores, removals, processes.

mod callbacks;
mod clocks;
mod clouds;
mod keeper;
mod outages;
mod processes;
mod redis;
mod refused;
mod removal;
mod removed;
mod set_aside;
mod sites;
mod sources;
mod store_down;
mod stores;
