//! The commands of an app's binary.
//!
//! A command is a file with `command()`, its arguments, and `run()`, which returns the exit status,
//! its `mod`, and a line in [`commands!`].

mod adopt;
mod against;
#[cfg(feature = "dev")]
mod call_printer;
mod color;
mod deployed;
#[cfg(feature = "dev")]
mod dev;
mod doctor;
mod explain;
#[cfg(feature = "dev")]
mod invoke;
mod jobs;
mod log_fields;
mod log_writer;
mod logging;
mod manifest;
mod output;
mod routes;
mod serve;
mod table;

use std::ffi::OsString;
use std::pin::Pin;

use clap::{Arg, ArgMatches, Command};

use crate::app::App;
use crate::error::Result;
use crate::fit::BoxFuture;
use crate::manifest::CheckError;

type Running<'a> = Pin<Box<dyn Future<Output = i32> + Send + 'a>>;

/// A command.
struct CommandEntry {
    command: fn() -> Command,
    run: for<'a> fn(App, &'a ArgMatches) -> Running<'a>,
}

macro_rules! commands {
    ($($(#[$cfg:meta])? $name:ident)*) => {
        const COMMANDS: &[CommandEntry] = &[$(
            $(#[$cfg])?
            CommandEntry {
                command: $name::command,
                run: |app, options| Box::pin($name::run(app, options)),
            },
        )*];
    };
}

commands! {
    serve
    manifest
    explain
    routes
    jobs
    doctor
    #[cfg(feature = "dev")]
    invoke
    #[cfg(feature = "dev")]
    dev
}

impl App {
    /// Runs the command that the program's arguments name, by default `serve`; `--help` lists the commands. A failure
    /// is printed and ends the process with the command's exit status.
    ///
    /// If the app has set no `tracing` subscriber, logs go to standard error, and so do panics, unless
    /// the app has set a panic hook.
    ///
    /// A task that blocks its thread does not hold up the end of the process, unless the runtime has no other thread:
    /// with one worker thread, the default on one CPU, nothing runs meanwhile, and a signal to stop does not end the
    /// process. Set `worker_threads` to 2 or more.
    pub async fn run(self) -> Result<()> {
        let status = run_boxed(self).await;
        logging::close();
        match status {
            0 => Ok(()),
            status => std::process::exit(status),
        }
    }

    /// Compares the manifest with the code, and checks that the app could start, as `manifest --check` does: its
    /// handlers' state, token store and engine, its app ids and key sets. Nothing is connected, and no secret is
    /// needed. The error displays the report.
    /// [`test_manifest!`](crate::test_manifest) generates a test with it.
    pub fn check_manifest(&self) -> Result<(), CheckError> {
        manifest::check_manifest(self)
    }
}

/// Runs the command that the program's arguments name, and returns its exit status.
///
/// Boxed in a function that is not asynchronous, so that the commands are compiled with this crate, and not again with
/// each app.
fn run_boxed(app: App) -> BoxFuture<i32> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Box::pin(run(app, arguments))
}

/// Runs the command that the arguments name, and returns its exit status.
async fn run(app: App, arguments: Vec<OsString>) -> i32 {
    let command = Command::new("app")
        .about("A Forge remote. The default command is `serve`.")
        .arg(
            Arg::new("explain")
                .long("explain")
                .value_name("CODE")
                .global(true)
                .help("Explain a code, as `explain` does"),
        )
        .subcommands(COMMANDS.iter().map(|entry| (entry.command)()));
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return error.exit_code();
        }
    };
    let (name, options) = matches.subcommand().unwrap_or(("serve", &matches));
    if let Some(code) = options.get_one::<String>("explain") {
        return explain::print_explanation(Some(code));
    }
    let named = |entry: &&CommandEntry| (entry.command)().get_name() == name;
    match COMMANDS.iter().find(named) {
        Some(entry) => output::status((entry.run)(app, options).await),
        // clap has rejected an unknown name.
        None => output::FAILED,
    }
}
