//! The choice of the command.

use std::ffi::OsString;

use clap::Command;

#[cfg(feature = "dev")]
use super::{dev, invoke};
use super::{explain, logging, manifest, routes, serve};
use crate::app::App;
use crate::error::Result;

impl App {
    /// Runs the command that the program's arguments name: `serve` (the default), `manifest`,
    /// `explain`, `routes`, `invoke`, `dev`; `--help` lists them. What fails is printed and ends the process
    /// with a status of its own; see each command.
    ///
    /// Where the app has set no `tracing` subscriber, logs go to standard error, and so do panics,
    /// unless the app has set a panic hook.
    pub async fn run(self) -> Result<()> {
        let status = run(self, std::env::args_os()).await;
        logging::close();
        match status {
            0 => Ok(()),
            status => std::process::exit(status),
        }
    }

    /// Compares the manifest with the code, as `manifest --check` does; the error is its report.
    /// [`test_manifest!`](crate::test_manifest) makes a test of it.
    pub fn check_manifest(&self) -> Result<(), String> {
        manifest::check_manifest(self)
    }
}

fn command() -> Command {
    let command = Command::new("app")
        .about("A Forge remote. Without a command it serves.")
        .subcommands([
            serve::command(),
            manifest::command(),
            explain::command(),
            routes::command(),
        ]);
    #[cfg(feature = "dev")]
    let command = command.subcommands([invoke::command(), dev::command()]);
    command
}

/// Runs the command that the arguments name, and returns its exit status.
async fn run(app: App, arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return error.exit_code();
        }
    };
    match matches.subcommand() {
        Some(("manifest", options)) => manifest::run(&app, options),
        Some(("routes", options)) => routes::run(&app, options),
        Some(("explain", options)) => explain::run(options),
        #[cfg(feature = "dev")]
        Some(("invoke", options)) => invoke::run(options).await,
        #[cfg(feature = "dev")]
        Some(("dev", options)) => {
            logging::init();
            dev::run(app, options).await
        }
        _ => {
            logging::init();
            serve::run(app).await
        }
    }
}
