//! The outcome of a call, and its output line.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use super::forgery::Forgery;
use crate::registry::{Auth, Handler, Method};

/// The outcome of a call.
pub(crate) struct Outcome {
    pub(crate) key: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The event that the call delivered.
    pub(crate) event: Option<String>,
    /// Whether the handler does not declare the event, so that Forge would not deliver it.
    pub(crate) is_undeclared_event: bool,
    pub(crate) tokens: Auth,
    pub(crate) has_body: bool,
    /// Whether the body was made up, because Atlassian documents none.
    pub(crate) is_guess: bool,
    pub(crate) from_page: bool,
    /// Whether Forge repeats a call that fails.
    pub(crate) is_retried: bool,
    /// Whether the call has an interval. Atlassian's pages disagree on whether Forge repeats such a call.
    pub(crate) is_scheduled: bool,
    /// The number of the retry; 0 for a first delivery.
    pub(crate) retry: u32,
    /// What was wrong with the call on purpose.
    pub(crate) forgery: Option<Forgery>,
    /// The reason why `invokeRemote` rejects the response of a page's call.
    pub(crate) invoke_remote_error: Option<&'static str>,
    pub(crate) elapsed: Duration,
    /// The response, or the error of a call without one.
    pub(crate) response: Result<Exchanged, String>,
}

/// The widths of the columns of output lines.
#[derive(Clone, Copy, Default)]
pub(crate) struct Columns {
    key: usize,
    call: usize,
    elapsed: usize,
}

impl Columns {
    /// Returns the widths for calls of these handlers.
    pub(crate) fn of(handlers: &[Handler]) -> Self {
        let widest = |width: fn(&Handler) -> usize| handlers.iter().map(width).max().unwrap_or(0);
        Self {
            key: widest(|handler| handler.key().len()),
            call: widest(|handler| handler.method().as_str().len() + 1 + handler.path().len()),
            // `12345 ms`
            elapsed: 8,
        }
    }
}

/// A response.
pub(crate) struct Exchanged {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The number of times that Forge repeats a call that fails, and the pause before each.
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/>
const MAX_RETRIES: u32 = 4;
const RETRY_PAUSE_SECONDS: u32 = 60;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// Verified, but the handler rejected the made-up body.
    NeedsSample,
    Failed,
}

impl Exchanged {
    /// Returns the body as text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl Outcome {
    pub(crate) fn verdict(&self) -> Verdict {
        match &self.response {
            // A forged call must be rejected.
            Ok(response) if self.forgery.is_some() => match response.status {
                StatusCode::UNAUTHORIZED => Verdict::Passed,
                _ => Verdict::Failed,
            },
            Ok(response) if response.status.is_success() => Verdict::Passed,
            Ok(response)
                if (self.is_guess || (self.from_page && !self.has_body))
                    && matches!(response.status.as_u16(), 400 | 415 | 422) =>
            {
                Verdict::NeedsSample
            }
            _ => Verdict::Failed,
        }
    }

    /// Returns what Forge would do after this outcome; `None` if nothing follows.
    pub(crate) fn consequence(&self) -> Option<String> {
        if self.forgery.is_some() {
            let text = match self.verdict() {
                Verdict::Passed => "rejected, as it must be",
                _ => "accepted, although Forge would not make this call",
            };
            return Some(text.to_owned());
        }
        let succeeded = matches!(&self.response, Ok(response) if response.status.is_success());
        if succeeded {
            return None;
        }
        let left = MAX_RETRIES.saturating_sub(self.retry);
        Some(match (self.is_retried, left) {
            (false, _) if self.from_page => {
                "the page gets the error; Forge does not retry".to_owned()
            }
            _ if self.is_scheduled => {
                "Forge may retry; the next call comes after the interval".to_owned()
            }
            (false, _) => "the caller gets the error; Forge does not retry".to_owned(),
            (true, 0) => "Forge would not retry again: the call is lost".to_owned(),
            (true, 1) => format!("Forge would retry in {RETRY_PAUSE_SECONDS} s, for the last time"),
            (true, left) => {
                format!("Forge would retry in {RETRY_PAUSE_SECONDS} s, up to {left} times")
            }
        })
    }

    /// Returns the size of the response's body, in bytes.
    pub(crate) fn response_size(&self) -> usize {
        self.response
            .as_ref()
            .map_or(0, |response| response.body.len())
    }

    /// Returns the output line: the call, its status, its duration and its tokens; and below it the notes.
    pub(crate) fn line(&self, columns: Columns, color: bool) -> String {
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
            Ok(response) => response.status.as_u16().to_string(),
            Err(_) => "---".to_owned(),
        };
        let Self {
            key,
            method,
            path,
            tokens,
            ..
        } = self;
        let tokens = if tokens.any() {
            format!("tokens: {tokens}")
        } else {
            "no tokens".to_owned()
        };
        let call = format!("{method} {path}");
        let elapsed = format!("{} ms", Millis(self.elapsed));
        let Columns {
            key: key_width,
            call: call_width,
            elapsed: elapsed_width,
        } = columns;
        let mut line = format!(
            "{verdict}  {key:key_width$}  {call:call_width$}  {status}  {elapsed:>elapsed_width$}  {tokens}"
        );
        if let Some(event) = &self.event {
            line.push_str(&format!("  {event}"));
        }
        if let Some(forgery) = self.forgery {
            line.push_str(&format!("  forged: {}", forgery.as_str()));
        }
        let consequence = self
            .consequence()
            .filter(|_| self.verdict() == Verdict::Failed);
        for note in self.notes().into_iter().chain(consequence) {
            line.push_str(&format!("\n      {note}"));
        }
        line
    }

    /// Returns what is to be known about the outcome, a line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_undeclared_event {
            notes.push(
                "Forge would not deliver this event: the handler does not declare it".to_owned(),
            );
        }
        let key = &self.key;
        match (&self.response, self.verdict()) {
            (Err(reason), _) => notes.push(reason.clone()),
            (_, Verdict::NeedsSample) => notes.push(format!(
                "verified, but it needs a body: set one with `App::sample_body(\"{key}\", json)`"
            )),
            (Ok(response), Verdict::Failed) if !response.body.is_empty() => {
                notes.push(response.text().into_owned());
                if response.status == StatusCode::UNPROCESSABLE_ENTITY {
                    notes.push(format!(
                        "to send another body, set one with `App::sample_body(\"{key}\", json)`"
                    ));
                }
            }
            (Ok(response), Verdict::Passed) if self.forgery.is_none() => {
                if let Some(error) = reported_error(&response.body) {
                    notes.push(format!("the response reports an error: {error}"));
                }
            }
            _ => {}
        }
        if let Some(reason) = self.invoke_remote_error {
            notes.push(format!(
                "a page's `invokeRemote` rejects this response: {reason}"
            ));
        }
        notes
    }
}

/// Returns the `error` member of a successful response, as JSON: a JQL function's message, which Jira
/// shows to the user, or an agent's JSON-RPC error.
fn reported_error(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
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
