#![doc = include_str!("../README.md")]

mod atlassian;
pub mod built_in;
pub mod cron;
pub mod durable;
mod event;
pub mod events;
mod item;
mod kind;
pub mod kinds;
pub mod lists;
mod mistake;
pub mod names;
mod nearest;
pub mod options;
pub mod pages;
mod place;
pub mod rules;
pub mod scopes;
pub mod sizes;
pub mod structure;
mod values;

pub use item::{identity_at, owned_names, written_places};
pub use kind::{AllowedCaller, Durability, KindSpec, RouteScope};
pub use mistake::Mistake;
pub use nearest::{did_you_mean, did_you_mean_or, nearest, one_of};
pub use place::Place;
