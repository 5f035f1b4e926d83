//! The app: its builder, its checks at launch, its service and its server.

mod background;
mod base_paths;
mod body;
mod builder;
#[cfg(feature = "cli")]
mod comparison;
mod config;
mod connect;
mod cron_clock;
mod drift;
mod durable;
mod engine;
mod handlers;
mod identity;
mod keep_fresh;
mod launch;
mod layer_stack;
mod layers;
mod limits;
mod on_span;
mod own_routes;
mod route_digest;
mod route_table;
mod scopes;
mod serve;
mod service;
mod span_observer;

pub use background::{Background, BackgroundError, BackgroundTasks, Shutdown};
#[cfg(feature = "cli")]
pub(crate) use base_paths::BasePaths;
pub use builder::App;
#[cfg(feature = "cli")]
pub(crate) use comparison::{Comparison, ManifestReport, UpdateEnd, Updated};
#[cfg(feature = "dev")]
pub(crate) use drift::UPDATE_HELP;
pub(crate) use drift::drift;
#[cfg(feature = "dev")]
pub(crate) use identity::AppIdError;
pub use launch::LaunchError;
#[cfg(feature = "dev")]
pub(crate) use route_digest::{ROUTE_DIGEST_HEADER, RouteDigest};
pub use serve::ServeError;
#[cfg(feature = "dev")]
pub(crate) use serve::StopSignals;
#[cfg(feature = "cli")]
pub(crate) use serve::open_files;
#[cfg(feature = "dev")]
pub(crate) use service::FIRE_HEADER;
pub use service::Service;

#[cfg(feature = "cli")]
use crate::diagnostic::Rule;

/// Returns the rules that an app is checked by at launch.
#[cfg(feature = "cli")]
pub(crate) fn rules() -> impl Iterator<Item = &'static Rule> {
    let rules = [
        builder::RULES,
        identity::RULES,
        base_paths::RULES,
        own_routes::RULES,
        keep_fresh::RULES,
        drift::RULES,
        launch::RULES,
        durable::RULES,
        cron_clock::RULES,
        service::RULES,
    ];
    rules.into_iter().flatten().copied()
}
