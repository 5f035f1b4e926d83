//! `doctor --url`: attacks a deployment of this app's own from outside.
//!
//! At most 60 requests are sent, 2 a second, only to a base URL of the app's manifest, and only after
//! a question. The forged FITs are the cases of `forge-remote-attacks` that need no private key of
//! Atlassian.

mod certificate;
mod checks;
mod exposure;
mod forged;
mod plan;
mod rules;
mod session;
mod target;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use reqwest::Url;

use super::keys::KeySets;
use super::line::{Line, report};
use crate::app::App;
use crate::cli::output::{FAILED, flag, print_error};
use plan::{Plan, PublishedKey};
pub(crate) use rules::RULES;
use session::{MAX_REQUESTS, Session};

pub(super) fn with_arguments(command: Command) -> Command {
    command
        .arg(Arg::new("url").long("url").value_name("URL").help(
            "Attack the deployment at this base URL of the manifest, with 60 requests at most",
        ))
        .arg(flag("yes", "Don't ask before the first request, for CI").requires("url"))
}

/// Attacks the deployment, and returns the exit status. `timeout` is that of each response.
pub(super) async fn run(mut app: App, url: &str, timeout: Duration, options: &ArgMatches) -> i32 {
    let manifest = app.settings().manifest;
    let url = match target::find(url, &manifest) {
        Ok(url) => url,
        Err(error) => return reject(&error),
    };
    if let Some(problem) = app.declaration_problems().first() {
        return reject(&format_args!(
            "the code has a problem, which `routes` shows: {}",
            problem.message
        ));
    }
    if !options.get_flag("yes") {
        match ask(&url) {
            Ok(true) => {}
            Ok(false) => return FAILED,
            Err(error) => return reject(&error),
        }
    }
    let keys = KeySets::of(&mut app);
    let published = keys
        .commercial(timeout)
        .await
        .and_then(|set| PublishedKey::first(&set));
    let plan = match Plan::new(&app, keys.name(), published) {
        Ok(plan) => plan,
        Err(error) => return reject(&error),
    };
    let session = match Session::new(url, app.clock, timeout) {
        Ok(session) => session,
        Err(error) => return reject(&error),
    };
    report(&lines(session, &plan).await, options.get_flag("json"))
}

fn reject(error: &dyn std::fmt::Display) -> i32 {
    print_error(&format_args!("error: {error}"));
    FAILED
}

/// Why the question could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(
        "confirmation is required before {0} is attacked, and standard input is not a terminal\n  help: add `--yes`"
    )]
    NoTerminal(Url),
    #[error("the confirmation cannot be read: {0}")]
    Input(#[from] io::Error),
}

/// Asks whether to send the requests.
fn ask(url: &Url) -> Result<bool, AskError> {
    if !io::stdin().is_terminal() {
        return Err(AskError::NoTerminal(url.clone()));
    }
    print_error(&format_args!(
        "doctor sends up to {MAX_REQUESTS} requests to {url}, 2 a second, most of them with forged FITs. Send them? [y/N]"
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Runs the checks. Without a deployment that responds itself, the others have no meaning.
async fn lines(mut session: Session, plan: &Plan) -> Vec<Line> {
    let mut reach = checks::reach(&mut session, plan).await;
    let mut lines = std::mem::take(&mut reach.lines);
    if !reach.is_reachable {
        return lines;
    }
    let routes = checks::routes(&mut session, plan).await;
    let is_verified = !routes.lines.iter().any(Line::has_failed);
    lines.extend(reach.other_paths(is_verified));
    lines.extend(routes.lines);
    // These compare with the rejection of a call without a FIT.
    if is_verified {
        let arrival = forged::arrival(&mut session, plan, routes.has_stranger).await;
        let mut are_rejected = !arrival.lines.iter().any(Line::has_failed);
        lines.extend(arrival.lines);
        if are_rejected {
            let tokens = forged::tokens(&mut session, plan).await;
            are_rejected = !tokens.has_failed();
            lines.push(tokens);
        }
        if arrival.do_arrive {
            lines.push(forged::public_key(&mut session, plan).await);
        }
        if are_rejected {
            lines.push(checks::header_limit(&mut session, plan).await);
        }
        lines.push(checks::body_limit(&mut session, plan).await);
        lines.push(checks::paths(&mut session, plan).await);
        lines.push(checks::methods(&mut session, plan).await);
    }
    lines.extend(exposure::exposure(&mut session).await);
    lines.push(checks::time(&session));
    if is_verified || reach.own.is_some() {
        lines.push(checks::build(plan, reach.own.as_ref()));
    }
    lines
}
