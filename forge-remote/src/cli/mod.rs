//! The commands of an app's own binary: one file a command.

mod caller;
mod dev;
mod explain;
mod invoke;
mod invoke_route;
mod logging;
mod manifest;
mod outcome;
mod output;
mod routes;
mod run;
mod serve;
