//! The `dev` command: serves the app on loopback, together with a local Forge platform that signs
//! real tokens. Verification is the same as in production.

mod once;
mod session;

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::logging;
use super::output::{FAILED, OK, flag, print_error};
use crate::app::{App, StopSignals};
use crate::console::LogLayer;
use crate::platform::Journal;
use session::{Options, Session};

pub(super) fn command() -> Command {
    Command::new("dev")
        .about("Serve on loopback together with a local Forge platform that signs and schedules")
        .arg(flag(
            "once",
            "Call every handler once and run the jobs that this stores, print one line for each, exit 1 if one failed",
        ))
        .arg(flag(
            "write",
            "Update manifest.yml first, so that it follows the code at every start",
        ))
        .arg(flag("no-console", "Do not serve the console"))
        .arg(flag("json", "Print each call as a line of JSON, and everything else to standard error"))
        .arg(
            Arg::new("allow-host")
                .long("allow-host")
                .value_name("NAME")
                .action(ArgAction::Append)
                .help("Also accept this `Host` header at the app's port, such as the name of a tunnel to the app's own routes"),
        )
        .arg(
            Arg::new("fixtures")
                .long("fixtures")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Fill the local Confluence and Jira from a YAML or JSON file"),
        )
        .arg(
            Arg::new("speed")
                .long("speed")
                .value_name("FACTOR")
                .value_parser(clap::value_parser!(u32).range(1..))
                .default_value("1")
                .help("Run schedules this many times faster"),
        )
        .arg(
            Arg::new("platform-port")
                .long("platform-port")
                .value_name("PORT")
                .value_parser(clap::value_parser!(u16))
                .default_value("8079")
                .help("The local platform's port"),
        )
}

/// Serves the app and its local platform, and returns the exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    let journal = Journal::default();
    let has_log = logging::init_with(LogLayer::new(journal.clone()));
    let options = Options {
        once: options.get_flag("once"),
        write: options.get_flag("write"),
        json: options.get_flag("json"),
        console: !options.get_flag("no-console") && !options.get_flag("once"),
        fixtures: options.get_one("fixtures").cloned(),
        hosts: options
            .get_many("allow-host")
            .unwrap_or_default()
            .cloned()
            .collect(),
        speed: options.get_one("speed").copied().unwrap_or(1),
        port: options.get_one("platform-port").copied().unwrap_or(0),
    };
    // As process 1 of a container, the process would ignore a signal that it does not receive.
    let signals = StopSignals::listen();
    let started = tokio::select! {
        biased;
        () = signals.first() => return if options.once { FAILED } else { OK },
        started = Session::start(app, &options, journal, has_log) => started,
    };
    match started {
        Ok(session) if options.once => tokio::select! {
            biased;
            () = signals.first() => FAILED,
            status = session.once() => status,
        },
        Ok(session) => session.until_stopped(&signals).await,
        Err(error) => {
            print_error(&format!("error: {error:?}"));
            FAILED
        }
    }
}
