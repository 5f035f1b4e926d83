//! The outcome of a call, and its output line.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;

use crate::registry::{Auth, Method};

/// The outcome of a call.
pub(super) struct Outcome {
    pub(super) key: String,
    pub(super) method: Method,
    pub(super) path: String,
    /// The event that the call delivered.
    pub(super) event: Option<String>,
    /// Whether the handler does not declare the event, so that Forge would not deliver it.
    pub(super) is_undeclared_event: bool,
    pub(super) tokens: Auth,
    pub(super) has_body: bool,
    /// Whether the body was made up, because Atlassian documents none.
    pub(super) is_guess: bool,
    pub(super) from_page: bool,
    /// The reason why `invokeRemote` rejects the response of a page's call.
    pub(super) invoke_remote_error: Option<&'static str>,
    pub(super) elapsed: Duration,
    /// The response's status and body, or the error of a failed call.
    pub(super) response: Result<(StatusCode, String), String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// Verified, but the handler rejected the made-up body.
    NeedsSample,
    Failed,
}

impl Outcome {
    pub(super) fn verdict(&self) -> Verdict {
        match &self.response {
            Ok((status, _)) if status.is_success() => Verdict::Passed,
            Ok((status, _))
                if (self.is_guess || (self.from_page && !self.has_body))
                    && matches!(status.as_u16(), 400 | 415 | 422) =>
            {
                Verdict::NeedsSample
            }
            _ => Verdict::Failed,
        }
    }

    /// Returns the output line: the call, its status, its duration and its tokens.
    pub(super) fn line(&self, width: usize, color: bool) -> String {
        let paint = |code: &str, text: &str| {
            if color {
                format!("\u{1b}[{code}m{text}\u{1b}[0m")
            } else {
                text.to_owned()
            }
        };
        let verdict = match self.verdict() {
            Verdict::Passed => paint("32", "ok  "),
            Verdict::NeedsSample => paint("33", "body"),
            Verdict::Failed => paint("31", "FAIL"),
        };
        let status = match &self.response {
            Ok((status, _)) => status.as_u16().to_string(),
            Err(_) => "---".to_owned(),
        };
        let Self {
            key,
            method,
            path,
            elapsed,
            tokens,
            ..
        } = self;
        let tokens = if tokens.any() {
            format!("tokens: {tokens}")
        } else {
            "no tokens".to_owned()
        };
        let call = format!("{method} {path}");
        let mut line = format!(
            "{verdict}  {key:width$}  {call}  {status}  {} ms  {tokens}",
            Millis(*elapsed)
        );
        if let Some(event) = &self.event {
            line.push_str(&format!("  {event}"));
        }
        if self.is_undeclared_event {
            line.push_str(
                "\n      Forge would not deliver this event: the handler does not declare it",
            );
        }
        match (&self.response, self.verdict()) {
            (Err(reason), _) => line.push_str(&format!("\n      {reason}")),
            (_, Verdict::NeedsSample) => {
                line.push_str(&format!(
                    "\n      verified, but it needs a body: set one with `App::sample_body(\"{key}\", json)`"
                ));
            }
            (Ok((status, body)), Verdict::Failed) if !body.is_empty() => {
                line.push_str(&format!("\n      {body}"));
                if *status == StatusCode::UNPROCESSABLE_ENTITY {
                    line.push_str(&format!(
                        "\n      to send another body, set one with `App::sample_body(\"{key}\", json)`"
                    ));
                }
            }
            (Ok((_, body)), Verdict::Passed) => {
                if let Some(error) = reported_error(body) {
                    line.push_str(&format!("\n      the response reports an error: {error}"));
                }
            }
            _ => {}
        }
        if let Some(reason) = self.invoke_remote_error {
            line.push_str(&format!(
                "\n      a page's `invokeRemote` rejects this response: {reason}"
            ));
        }
        line
    }
}

/// Returns the `error` member of a successful response, as JSON: a JQL function's message, which Jira
/// shows to the user, or an agent's JSON-RPC error.
fn reported_error(body: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let error = body.get("error").filter(|error| !error.is_null())?;
    Some(error.to_string())
}

/// Milliseconds with one decimal below ten.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1000.0;
        if millis < 10.0 {
            write!(f, "{millis:.1}")
        } else {
            write!(f, "{millis:.0}")
        }
    }
}
