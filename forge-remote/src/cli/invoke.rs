//! The `invoke` command.

use std::time::Duration;

use axum::http::StatusCode;
use clap::{Arg, ArgMatches, Command};

use super::output::{print, print_error};
use crate::app::App;
use crate::console::{DEFAULT_PLATFORM, InvokeResponse};
use crate::error::{Error, Result};
use crate::platform::{CallChanges, MAX_RETRIES};
use crate::registry::Method;

/// How long the command waits for the call's response.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn command() -> Command {
    Command::new("invoke")
                .about("Have the local platform of a running `dev` sign one call and send it")
                .arg(Arg::new("key").value_name("KEY").required(true).help("The key of a module or an endpoint"))
                .arg(Arg::new("body").long("body").value_name("BODY").help("The body, which is sent as it is"))
                .arg(Arg::new("query").long("query").value_name("QUERY").help("A query, without the `?`"))
                .arg(
                    Arg::new("method")
                        .long("method")
                        .value_name("METHOD")
                        .help("The HTTP method: selects one of several handlers with the same key, or sets the \
                               method if the handler accepts any")
                        .ignore_case(true)
                        .value_parser(["GET", "POST", "PUT", "PATCH", "DELETE"]),
                )
                .arg(
                    Arg::new("subpath")
                        .long("subpath")
                        .value_name("PATH")
                        .help("A path below the handler's own, for a web trigger: /orders/7"),
                )
                .arg(
                    Arg::new("event")
                        .long("event")
                        .value_name("EVENT")
                        .help("The event, for a trigger (default: its first event)"),
                )
                .arg(
                    Arg::new("retry")
                        .long("retry")
                        .help("Make the call Forge's Nth retry")
                        .value_name("N")
                        .value_parser(clap::value_parser!(u32).range(1..=i64::from(MAX_RETRIES))),
                )
                .arg(
                    Arg::new("platform")
                        .long("platform")
                        .value_name("URL")
                        .help("The local platform's address")
                        .default_value(DEFAULT_PLATFORM),
                )
}

/// Makes a call through the platform of a running `dev`, which has the signing key. Returns the exit
/// status.
pub(super) async fn run(_: App, options: &ArgMatches) -> i32 {
    match try_invoke(options).await {
        Ok(failed) => i32::from(failed),
        Err(error) => {
            print_error(&format!("error: {error:?}"));
            2
        }
    }
}

async fn try_invoke(options: &ArgMatches) -> Result<bool> {
    let text = |name: &str| options.get_one::<String>(name).cloned();
    let problem = |message: String| Error::http(StatusCode::BAD_REQUEST, message);
    let platform = text("platform").unwrap_or_else(|| DEFAULT_PLATFORM.to_owned());
    let mut url = reqwest::Url::parse(&platform).map_err(|error| {
        problem(format!("--platform `{platform}` is not a URL")).with_source(error)
    })?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(["invoke", &text("key").unwrap_or_default()]);
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()?;
    let changes = CallChanges {
        method: text("method").and_then(|name| Method::named(&name)),
        text: text("body"),
        subpath: text("subpath"),
        query: text("query"),
        event: text("event"),
        retry: options.get_one::<u32>("retry").copied(),
        ..CallChanges::default()
    };
    let response = client
        .post(url)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&changes)?)
        .send()
        .await
        .map_err(|error| {
            problem(format!(
                "no local platform at {platform}: start one with `cargo run -- dev`"
            ))
            .with_source(error)
        })?;
    let status = response.status();
    let bytes = response.bytes().await?;
    if !status.is_success() {
        return Err(problem(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let response: InvokeResponse = serde_json::from_slice(&bytes)?;
    // Standard output has only the body, so that it can be piped.
    print_error(&response.line);
    if !response.body.is_empty() {
        print(&format!("{}\n", response.body));
    }
    Ok(response.failed)
}
