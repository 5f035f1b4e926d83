//! What `doctor` checks of a deployment from where it runs.

use std::time::{Duration, Instant, SystemTime};

use axum::http::header;

use super::line::Line;
use super::stored::Stored;
use crate::app::App;
use crate::error::chain;
use crate::fit::PRODUCTION_KEYS;
use crate::http_client::Network;

/// How long the key set's host has to respond.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest key set, in bytes.
const MAX_KEY_SET: usize = 1024 * 1024;
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

/// Runs every check.
pub(super) async fn checked(app: App) -> Vec<Line> {
    let mut lines = vec![code(&app), manifest(&app), app_id(&app)];
    let stored = Stored::of(&app);
    let settings = app.settings();
    drop(app);
    let url = settings.jwks_url.as_deref().unwrap_or(PRODUCTION_KEYS);
    lines.extend(keys_and_clock(url).await);
    lines.push(files());
    lines.extend(stored.checked().await);
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
    let url = &without_secrets(url);
    let keys = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let keys = keys.as_ref().and_then(|set| set.get("keys")?.as_array());
    let is_usable = |key: &&serde_json::Value| {
        let has = |name| key.get(name).is_some_and(serde_json::Value::is_string);
        let is_for_signatures = key.get("use").is_none_or(|usage| usage == "sig");
        key.get("kty").is_some_and(|kty| kty == "RSA") && ["kid", "n", "e"].into_iter().all(has) && is_for_signatures
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
    lines.push(match date {
        Some(date) => clock(date, SystemTime::now()),
        None => Line::unknown(
            "clock",
            "the key set's host sends no date",
            "compare it with an NTP server: `timedatectl`",
        ),
    });
    lines
}

pub(super) struct Fetched {
    pub(super) status: u16,
    date: Option<SystemTime>,
    pub(super) body: Vec<u8>,
    took: Duration,
}

pub(super) async fn fetch(url: &str) -> Result<Fetched, String> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        format!("{} can't be fetched: {error}{}", without_secrets(url), chain(&error))
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let client = Network::of(&parsed).client().timeout(KEY_TIMEOUT).build().map_err(failed)?;
    let started = Instant::now();
    let mut response = client.get(parsed).send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers());
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    // A cache keeps the date of its source (RFC 9111, section 5.1).
    let age = text(header::AGE).and_then(|age| age.trim().parse().ok()).unwrap_or_default();
    let date = date.and_then(|date| date.checked_add(Duration::from_secs(age)));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_KEY_SET {
            let url = without_secrets(url);
            return Err(format!("{url} responds with more than {MAX_KEY_SET} bytes"));
        }
    }
    let took = started.elapsed();
    Ok(Fetched { status, date, body, took })
}

/// Returns a URL without its user, password and query.
fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return url.to_owned();
    };
    let _ = (parsed.set_username(""), parsed.set_password(None));
    parsed.set_query(None);
    parsed.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_differ_by_a_little() {
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let state = |offset: i64| {
            let by = Duration::from_secs(offset.unsigned_abs());
            let ours = if offset < 0 { theirs - by } else { theirs + by };
            clock(theirs, ours).word()
        };
        for (offset, expected) in [
            (0, "ok  "),
            (3, "ok  "),
            (4, "warn"),
            (10, "warn"),
            (11, "FAIL"),
            (-3, "ok  "),
            (-30, "warn"),
            (-31, "FAIL"),
        ] {
            assert_eq!(state(offset), expected, "{offset}");
        }
    }
}
