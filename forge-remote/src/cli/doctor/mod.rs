//! The `doctor` command: checks whether a deployment is sound, from where it runs, or with `--url`
//! from outside.

mod line;
mod local;
mod schedules;
mod stored;
#[cfg(feature = "dev")]
mod url;

use clap::{Arg, ArgMatches, Command};

use super::explain;
use super::output::flag;
use crate::app::App;
#[cfg(feature = "dev")]
pub(super) use url::RULES;

pub(super) fn command() -> Command {
    let command = Command::new("doctor")
        .about("Check whether this deployment is sound: manifest, app id, keys, clock, stores, limits")
        .arg(flag("json", "Print JSON, for machines"))
        .arg(
            Arg::new("explain")
                .long("explain")
                .value_name("CODE")
                .help("Explain a code, as `explain` does"),
        );
    #[cfg(feature = "dev")]
    let command = url::with_arguments(command);
    command
}

/// Runs every check, and returns the exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    if let Some(code) = options.get_one::<String>("explain") {
        return explain::print_explanation(Some(code));
    }
    #[cfg(feature = "dev")]
    if let Some(url) = options.get_one::<String>("url") {
        return url::run(app, url, options).await;
    }
    line::report(&local::checked(app).await, options.get_flag("json"))
}
