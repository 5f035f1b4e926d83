//! The `doctor` command: checks whether a deployment is sound, from where it runs, or with `--url`
//! from outside.

mod key_use;
mod keys;
mod line;
mod local;
mod schedules;
mod stored;
#[cfg(feature = "dev")]
mod url;

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::output::flag;
use crate::app::App;
#[cfg(feature = "dev")]
pub(super) use url::RULES;

/// How long each key set, each store and each request of `--url` has for its response.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn command() -> Command {
    let command = Command::new("doctor")
        .about("Check this deployment: manifest, app id, keys, clock, stores, limits")
        .arg(flag("json", "Print JSON, for machines"))
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(seconds)
                .help("How long a key set, a store or a request may take (default: 10)"),
        );
    #[cfg(feature = "dev")]
    let command = url::with_arguments(command);
    command
}

/// Runs every check, and returns the exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    let timeout = options.get_one("timeout").copied().unwrap_or(TIMEOUT);
    #[cfg(feature = "dev")]
    if let Some(url) = options.get_one::<String>("url") {
        return url::run(app, url, timeout, options).await;
    }
    line::report(
        &local::checked(app, timeout).await,
        options.get_flag("json"),
    )
}

/// Reads a time limit.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.001..=600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or("expected seconds, at most 600, as in `--timeout 30`")
}
