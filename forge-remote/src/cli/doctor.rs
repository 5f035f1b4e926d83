//! The `doctor` command: checks whether this deployment is sound, from where it runs.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::header;
use clap::{ArgMatches, Command};
use serde::Serialize;

use super::output::{NEGATIVE, OK, color, flag, print};
use crate::app::App;
use crate::error::chain;
use crate::fit::PRODUCTION_KEYS;
use crate::http_client::Network;
use crate::jobs::{JobEngine, JobState};
use crate::token::Tokens;

/// How long the key set's host has to respond.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);
/// A FIT is valid for 25 seconds, and its expiry has no leeway: a clock that is ahead by this much rejects
/// tokens that Forge has just signed, where the network is slow.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
const MAX_AHEAD: Duration = Duration::from_secs(10);
/// The verifier's tolerance for clocks that are behind is a minute.
const MAX_BEHIND: Duration = Duration::from_secs(30);
/// The `Date` header has whole seconds, and the response takes a moment.
const UNNOTICEABLE: Duration = Duration::from_secs(3);
/// The fewest open files: each connection is one, and half of them are left for everything else.
const FEW_FILES: u64 = 1024;
/// The number of dead jobs that are counted.
const MAX_DEAD: u32 = 1000;

pub(super) fn command() -> Command {
    Command::new("doctor")
        .about("Check whether this deployment is sound: manifest, app id, keys, clock, stores, limits")
        .arg(flag("json", "Print JSON, for machines"))
}

/// Runs every check, and returns the exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    let lines = checked(app).await;
    let failed = lines.iter().filter(|line| line.state == State::Failed).count();
    let warnings = lines.iter().filter(|line| line.state == State::Warning).count();
    if options.get_flag("json") {
        let report = serde_json::json!({ "sound": failed == 0, "checks": lines });
        print(&format!("{report:#}\n"));
    } else {
        let mut text = String::new();
        for line in &lines {
            line.write(&mut text, color());
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let _ = match (failed, warnings) {
            (0, 0) => writeln!(text, "\nsound: {} checks passed", lines.len()),
            (0, some) => writeln!(text, "\nsound, with {some} warning{}", plural(some)),
            (some, _) => writeln!(text, "\nnot sound: {some} check{} failed", plural(some)),
        };
        print(&text);
    }
    if failed == 0 { OK } else { NEGATIVE }
}

/// The result of a check.
#[derive(Serialize)]
struct Line {
    state: State,
    check: &'static str,
    detail: String,
    fix: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Passed,
    Warning,
    Failed,
}

impl Line {
    fn passed(check: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { state: State::Passed, check, detail, fix: None }
    }

    fn failed(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        let (detail, fix) = (detail.into(), Some(fix.into()));
        Self { state: State::Failed, check, detail, fix }
    }

    fn warning(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        let line = Self::failed(check, detail, fix);
        Self { state: State::Warning, ..line }
    }

    fn write(&self, text: &mut String, color: bool) {
        let (word, code) = match self.state {
            State::Passed => ("ok  ", "32"),
            State::Warning => ("warn", "33"),
            State::Failed => ("FAIL", "31"),
        };
        let word = match color {
            true => format!("\u{1b}[{code}m{word}\u{1b}[0m"),
            false => word.to_owned(),
        };
        let _ = writeln!(text, "{word}  {:10}  {}", self.check, self.detail.trim_end());
        if let Some(fix) = &self.fix {
            let _ = writeln!(text, "      {:10}  fix: {fix}", "");
        }
    }
}

async fn checked(app: App) -> Vec<Line> {
    let mut lines = vec![code(&app), manifest(&app), app_id(&app)];
    let (settings, store) = (app.settings(), app.tokens.clone());
    let engine = app.jobs.as_ref().map(|jobs| Arc::clone(&jobs.engine));
    let seal = app.job_seal().map(drop);
    drop(app);
    let url = settings.jwks_url.as_deref().unwrap_or(PRODUCTION_KEYS);
    lines.extend(keys_and_clock(url).await);
    lines.push(files());
    if let Some(store) = store {
        lines.push(tokens(&store).await);
    }
    if let Some(engine) = engine {
        lines.push(match seal {
            Ok(()) => jobs(&*engine).await,
            Err(problem) => Line::failed("jobs", problem.message, problem.help.unwrap_or_default()),
        });
    }
    lines
}

/// Checks what a launch checks of the code.
fn code(app: &App) -> Line {
    let problems = app.declaration_problems();
    let Some(first) = problems.first() else {
        let count = app.registry().handlers().len();
        return Line::passed("handlers", format!("{count} handlers"));
    };
    let detail = format!("{} (and {} more problems)", first.message, problems.len() - 1);
    let detail = detail.replace(" (and 0 more problems)", "");
    Line::failed("handlers", detail, "`routes` lists every problem with its place")
}

fn manifest(app: &App) -> Line {
    let comparison = app.comparison();
    let path = comparison.path().display().to_string();
    if !comparison.path().exists() {
        let detail = format!("{path} does not exist, so it is not compared with the code");
        let fix = "deploy the manifest beside the app, or name it with FORGE_REMOTE_MANIFEST";
        return Line::warning("manifest", detail, fix);
    }
    match comparison.report(false) {
        Ok(report) if report.agrees => Line::passed("manifest", format!("{path} matches the code")),
        Ok(_) => {
            let detail = format!("{path} differs from the code, or has errors");
            Line::failed("manifest", detail, "`manifest --check` shows each one with its fix")
        }
        Err(error) => Line::failed("manifest", error.to_string(), "correct the file"),
    }
}

fn app_id(app: &App) -> Line {
    match app.settings().app_ids() {
        Ok(ids) => {
            let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
            Line::passed("app id", ids.join(", "))
        }
        Err(error) => {
            let problem = error.to_diagnostic();
            Line::failed("app id", problem.message, problem.help.unwrap_or_default())
        }
    }
}

/// Fetches the key set once, and compares this machine's clock with its host's.
async fn keys_and_clock(url: &str) -> Vec<Line> {
    let fetched = match fetch(url).await {
        Ok(fetched) => fetched,
        Err(detail) => {
            let fix = "allow the connection (a firewall, a proxy: HTTPS_PROXY, CA certificates), or correct \
                       FORGE_REMOTE_JWKS_URL";
            return vec![Line::failed("keys", detail, fix)];
        }
    };
    let Fetched { status, date, body, took } = fetched;
    let keys = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let keys = keys.as_ref().and_then(|set| set.get("keys")?.as_array());
    let is_usable = |key: &&serde_json::Value| {
        key.get("kty").is_some_and(|kty| kty == "RSA") && key.get("kid").is_some_and(|kid| kid.is_string())
    };
    let usable = keys.map_or(0, |keys| keys.iter().filter(is_usable).count());
    let mut lines = Vec::new();
    lines.push(if status == 200 && usable > 0 {
        let detail = format!("{usable} keys from {url} in {} ms", took.as_millis());
        Line::passed("keys", detail)
    } else {
        let detail = format!("{url} responded with {status} and {usable} usable keys");
        let fix = "correct FORGE_REMOTE_JWKS_URL or `App::jwks_url`; without it, Atlassian's key set is used";
        Line::failed("keys", detail, fix)
    });
    lines.extend(date.map(|date| clock(date, SystemTime::now())));
    lines
}

struct Fetched {
    status: u16,
    date: Option<SystemTime>,
    body: Vec<u8>,
    took: Duration,
}

async fn fetch(url: &str) -> Result<Fetched, String> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        format!("{url} can't be fetched: {error}{}", chain(&error))
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let client = Network::of(&parsed).client().timeout(KEY_TIMEOUT).build().map_err(failed)?;
    let started = Instant::now();
    let response = client.get(parsed).send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers());
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let body = response.bytes().await.map_err(failed)?.to_vec();
    let took = started.elapsed();
    Ok(Fetched { status, date, body, took })
}

/// Compares this machine's clock with another's.
fn clock(theirs: SystemTime, ours: SystemTime) -> Line {
    let ahead = ours.duration_since(theirs).unwrap_or_default();
    let behind = theirs.duration_since(ours).unwrap_or_default();
    let (by, word, most) = match ahead > behind {
        true => (ahead, "ahead of", MAX_AHEAD),
        false => (behind, "behind", MAX_BEHIND),
    };
    if by <= UNNOTICEABLE {
        return Line::passed("clock", "agrees with the key set's host");
    }
    let detail = format!("this machine's clock is {} s {word} that of the key set's host", by.as_secs());
    let fix = "synchronize the clock (NTP): Forge's tokens are valid for 25 seconds";
    match by > most {
        true => Line::failed("clock", detail, fix),
        false => Line::warning("clock", detail, fix),
    }
}

/// Checks how many files the process may open.
fn files() -> Line {
    match crate::app::open_files() {
        None => Line::passed("open files", "no limit is known"),
        Some(limit) if limit >= FEW_FILES => Line::passed("open files", limit.to_string()),
        Some(limit) => {
            let detail = format!("the process may open {limit} files, and each connection is one");
            let fix = format!("raise the hard limit to {FEW_FILES} or more (`ulimit -Hn`, `LimitNOFILE=` of systemd)");
            Line::warning("open files", detail, fix)
        }
    }
}

/// Connects the token store, and looks at the kept tokens.
async fn tokens(tokens: &Tokens) -> Line {
    if let Err(error) = tokens.open().await {
        let detail = format!("the token store can't be opened: {error}{}", chain(&error));
        let fix = "start the store, or correct its address, its rights or FORGE_REMOTE_TOKEN_KEY";
        return Line::failed("tokens", detail, fix);
    }
    let now = SystemTime::now();
    let mut stream = tokens.installation_stream();
    let (mut count, mut first) = (0_u64, None::<SystemTime>);
    while let Some(installation) = stream.next().await {
        match installation {
            Ok(installation) => {
                count += 1;
                let expires = installation.expires_at();
                first = Some(first.map_or(expires, |first| first.min(expires)));
            }
            Err(error) => {
                let detail = format!("the kept tokens can't be listed: {error}{}", chain(&error));
                return Line::failed("tokens", detail, "see the cause above");
            }
        }
    }
    let Some(first) = first else {
        let detail = "the store is open, and no installation has a token";
        let fix = "nothing, if the app is not installed yet; otherwise see `App::keep_tokens_fresh`";
        return Line::warning("tokens", detail, fix);
    };
    let left = Minutes(first.duration_since(now).unwrap_or_default());
    Line::passed("tokens", format!("{count} installations; the first token expires in {left}"))
}

/// Opens the engine of jobs, and looks at the stored ones.
async fn jobs(engine: &dyn JobEngine) -> Line {
    let name = engine.name();
    let failed = |error: &dyn std::error::Error, fix: &str| {
        Line::failed("jobs", format!("{name}: {error}{}", chain(error)), fix)
    };
    if let Err(error) = engine.open().await {
        return failed(&error, "start the database, or correct its address or its rights");
    }
    let Some(inspector) = engine.inspector() else {
        return Line::passed("jobs", name);
    };
    let dead = match inspector.list(vec![JobState::Dead], None, MAX_DEAD).await {
        Ok(dead) => dead.len(),
        Err(error) => return failed(&error, "see the cause above"),
    };
    let waiting = inspector.list(vec![JobState::Waiting], None, MAX_DEAD).await.unwrap_or_default();
    let oldest = waiting.iter().map(|job| job.accepted_at).min();
    let age = oldest.map(|oldest| Minutes(oldest.elapsed().unwrap_or_default()));
    let age = age.map_or(String::new(), |age| format!(", the oldest for {age}"));
    let detail = format!("{name}: {} waiting{age}; {dead} dead", waiting.len());
    match dead {
        0 => Line::passed("jobs", detail),
        _ => Line::warning("jobs", detail, "`jobs list --state dead` lists them"),
    }
}

/// A duration in minutes or hours.
struct Minutes(Duration);

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs() / 60;
        match minutes {
            0..120 => write!(f, "{minutes} min"),
            _ => write!(f, "{} h", minutes / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_differ_by_a_little() {
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let state = |offset: i64| {
            let by = Duration::from_secs(offset.unsigned_abs());
            let ours = if offset < 0 { theirs - by } else { theirs + by };
            match clock(theirs, ours).state {
                State::Passed => "ok",
                State::Warning => "warn",
                State::Failed => "FAIL",
            }
        };
        for (offset, expected) in [
            (0, "ok"),
            (3, "ok"),
            (4, "warn"),
            (10, "warn"),
            (11, "FAIL"),
            (-3, "ok"),
            (-30, "warn"),
            (-31, "FAIL"),
        ] {
            assert_eq!(state(offset), expected, "{offset}");
        }
    }
}
