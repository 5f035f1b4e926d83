//! Paths that a deployment must not serve.

use axum::http::Method;
use serde_json::Value;

use super::checks::{not_sent, trouble};
use super::rules::{EXPOSED_CONSOLE, EXPOSED_FILE, EXPOSED_KEYS, EXPOSED_METRICS};
use super::session::{Answer, Session};
use crate::cli::doctor::line::Line;
use crate::diagnostic::Rule;

/// A path that a deployment must not serve.
struct Exposure {
    path: &'static str,
    rule: &'static Rule,
    /// Returns whether a successful response is the searched one. Some services respond to every
    /// path.
    is_it: fn(&Answer) -> bool,
    fix: &'static str,
}

const NO_DEV: &str = "deploy the command `serve`, never `dev`";
const NO_FOLDER: &str = "do not serve a directory of files in addition to the app";

#[rustfmt::skip]
const EXPOSURES: [Exposure; 5] = [
    Exposure { path: "/metrics", rule: &EXPOSED_METRICS, is_it: are_metrics, fix: "serve metrics on a second port" },
    Exposure { path: "/console", rule: &EXPOSED_CONSOLE, is_it: is_console, fix: NO_DEV },
    Exposure { path: "/.well-known/jwks.json", rule: &EXPOSED_KEYS, is_it: is_key_set, fix: NO_DEV },
    Exposure { path: "/.env", rule: &EXPOSED_FILE, is_it: are_settings, fix: NO_FOLDER },
    Exposure { path: "/manifest.yml", rule: &EXPOSED_FILE, is_it: is_manifest, fix: NO_FOLDER },
];

/// Requests paths that a deployment must not serve.
pub(super) async fn exposure(session: &mut Session) -> Vec<Line> {
    let check = "exposure";
    let mut lines = Vec::new();
    for Exposure {
        path,
        rule,
        is_it,
        fix,
    } in EXPOSURES
    {
        let answer = match session.get(Method::GET, path).await {
            Ok(answer) => answer,
            Err(error) => {
                lines.push(not_sent(check, &error));
                return lines;
            }
        };
        if answer.status.is_success() && is_it(&answer) {
            let detail = format!("GET {path} got {}", answer.status);
            lines.push(trouble(check, rule, detail, fix));
        }
    }
    if lines.is_empty() {
        let count = EXPOSURES.len();
        let detail = format!("none of {count} paths is served: metrics, console, key set, files");
        lines.push(Line::passed(check, detail));
    }
    lines
}

/// Returns whether it is the text format of Prometheus.
fn are_metrics(answer: &Answer) -> bool {
    has_line(answer, |line| {
        line.starts_with("# TYPE ") || line.starts_with("# HELP ")
    })
}

fn is_console(answer: &Answer) -> bool {
    String::from_utf8_lossy(&answer.body).contains("<title>forge-remote console")
}

fn is_key_set(answer: &Answer) -> bool {
    let set: Option<Value> = serde_json::from_slice(&answer.body).ok();
    set.is_some_and(|set| set.get("keys").is_some())
}

/// Returns whether a line is `NAME=…`, as in a shell.
fn are_settings(answer: &Answer) -> bool {
    let is_name = |name: &str| {
        let mut letters = name.bytes();
        let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        letters.next().is_some_and(is_start)
            && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    has_line(answer, |line| {
        let name = line.split_once('=').map(|(name, _)| name.trim_end());
        name.is_some_and(|name| is_name(name.strip_prefix("export ").unwrap_or(name)))
    })
}

fn is_manifest(answer: &Answer) -> bool {
    has_line(answer, |line| {
        line.starts_with("app:") || line.starts_with("modules:")
    })
}

/// Returns whether it is text, not a page, with such a line.
fn has_line(answer: &Answer, is_it: impl Fn(&str) -> bool) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    !text.trim_start().starts_with('<') && text.lines().any(is_it)
}
