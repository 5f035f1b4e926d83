//! The commands of an app's own binary: one file a command.

#[cfg(feature = "dev")]
mod caller;
#[cfg(feature = "dev")]
mod dev;
mod explain;
#[cfg(feature = "dev")]
mod invoke;
#[cfg(feature = "dev")]
mod invoke_route;
mod log_writer;
mod logging;
mod manifest;
#[cfg(feature = "dev")]
mod outcome;
mod output;
mod routes;
mod run;
mod serve;
