//! The `invoke` command.

use std::time::Duration;

use axum::http::StatusCode;
use clap::builder::TypedValueParser as _;
use clap::{Arg, ArgMatches, Command};

use super::output::{print, print_error};
use crate::app::App;
use crate::console::{DEFAULT_PLATFORM, InvokeResponse};
use crate::error::{Error, Result};
use crate::platform::{CallChanges, RetryNumber};
use crate::registry::Method;

/// How long the command waits for the call's response.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn command() -> Command {
    Command::new("invoke")
        .about("Have the local platform of a running `dev` sign one call and send it")
        .arg(
            Arg::new("key")
                .value_name("KEY")
                .required(true)
                .help("The key of a module or an endpoint"),
        )
        .arg(value("body", "BODY", "The body, which is sent as it is"))
        .arg(value("query", "QUERY", "A query, without the `?`"))
        .arg(
            value(
                "method",
                "METHOD",
                "The HTTP method: selects one of several handlers with the same key, or sets the \
                 method if the handler accepts any",
            )
            .ignore_case(true)
            .value_parser(["GET", "POST", "PUT", "PATCH", "DELETE"]),
        )
        .arg(value(
            "subpath",
            "PATH",
            "A path below the handler's own, for a web trigger: /orders/7",
        ))
        .arg(value(
            "event",
            "EVENT",
            "The event, for a trigger (default: its first event)",
        ))
        .arg(
            value("retry", "N", "Make the call Forge's Nth retry")
                .value_parser(clap::value_parser!(u32).try_map(RetryNumber::try_from)),
        )
        .arg(
            value("platform", "URL", "The local platform's address")
                .default_value(DEFAULT_PLATFORM),
        )
}

/// Returns an option with a value.
fn value(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
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
        raw_body: text("body"),
        subpath: text("subpath"),
        query: text("query"),
        event: text("event"),
        retry: options.get_one::<RetryNumber>("retry").copied(),
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
