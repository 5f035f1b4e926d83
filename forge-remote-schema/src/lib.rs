#![doc = include_str!("../README.md")]

mod atlassian;
pub mod built_in;
pub mod cron;
pub mod durable;
mod event;
pub mod events;
mod kind;
pub mod kinds;
pub mod lists;
mod mistake;
pub mod names;
mod nearest;
pub mod options;
mod owned_names;
pub mod pages;
mod place;
pub mod rules;
pub mod scopes;
pub mod sizes;
pub mod structure;
mod values;

pub use kind::{AllowedCaller, Durability, KindSpec, RouteScope};
pub use mistake::Mistake;
pub use nearest::{did_you_mean, did_you_mean_or, nearest, one_of};
pub use owned_names::owned_names;
pub use place::Place;
