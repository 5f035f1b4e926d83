//! The outcome of a call, and its output line.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};

use super::changes::RetryNumber;
use super::forgery::Forgery;
use crate::log::Foreign;
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
    /// Whether the call has an interval. Atlassian's documentation is inconsistent on whether Forge
    /// retries such a call.
    pub(crate) is_scheduled: bool,
    /// The number of the retry; 0 for a first delivery.
    pub(crate) retry: u32,
    /// The deliberate fault of the call.
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
    pub(super) key: usize,
    pub(super) call: usize,
    elapsed: usize,
}

impl Columns {
    /// Returns the widths for calls of these handlers.
    pub(crate) fn of(handlers: &[Handler]) -> Self {
        // A longer value does not push the columns of all others.
        let widest = |limit: usize, width: fn(&Handler) -> usize| {
            let widths = handlers.iter().map(width);
            widths.filter(|width| *width <= limit).max().unwrap_or(0)
        };
        Self {
            key: widest(32, |handler| handler.key().len()),
            call: widest(40, |handler| {
                handler.method().as_str().len() + 1 + handler.path().len()
            }),
            // `12345 ms`
            elapsed: 8,
        }
    }
}

/// A response.
pub(crate) struct Exchanged {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The first part, if it is long.
    pub(crate) body: Bytes,
    /// The size of the whole body, in bytes.
    pub(crate) size: usize,
}

/// The pause before each of Forge's retries.
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/>
const RETRY_PAUSE_SECONDS: u32 = 60;
/// The bytes of a response's body that are kept.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// How the lines below a call begin.
pub(crate) const NOTE_INDENT: &str = "      ";
/// The bytes of a failed call's response that are printed.
const MAX_NOTE: usize = 2000;

#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CallVerdict {
    Passed,
    /// Verified, but the handler rejected the made-up body.
    #[serde(rename = "needs_body")]
    NeedsSample,
    Failed,
}

/// Returns how the line of an outcome begins.
pub(super) fn mark(verdict: CallVerdict, color: bool) -> String {
    let (code, text) = match verdict {
        CallVerdict::Passed => ("32", "ok  "),
        CallVerdict::NeedsSample => ("33", "body"),
        CallVerdict::Failed => ("31", "FAIL"),
    };
    match color {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

impl Exchanged {
    /// Receives the whole response, and keeps the first part of its body.
    pub(super) async fn receive(mut response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        let (mut body, mut size) = (BytesMut::new(), 0);
        while let Some(chunk) = response.chunk().await? {
            size += chunk.len();
            let room = MAX_BODY - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        }
        Ok(Self {
            status,
            headers,
            body: body.freeze(),
            size,
        })
    }

    /// Returns whether a part of the body is not kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.body.len() < self.size
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl Outcome {
    pub(crate) fn verdict(&self) -> CallVerdict {
        match &self.response {
            // A forged call must be rejected.
            Ok(response) if self.forgery.is_some() => match response.status {
                StatusCode::UNAUTHORIZED => CallVerdict::Passed,
                _ => CallVerdict::Failed,
            },
            Ok(response) if response.status.is_success() => CallVerdict::Passed,
            Ok(response)
                if (self.is_guess || (self.from_page && !self.has_body))
                    && matches!(response.status.as_u16(), 400 | 415 | 422) =>
            {
                CallVerdict::NeedsSample
            }
            _ => CallVerdict::Failed,
        }
    }

    /// Returns Forge's next step after this outcome; `None` if nothing follows.
    pub(crate) fn consequence(&self) -> Option<String> {
        if self.forgery.is_some() {
            let text = match self.verdict() {
                CallVerdict::Passed => "rejected, as it must be",
                _ => "accepted, although Forge would not make this call",
            };
            return Some(text.to_owned());
        }
        let succeeded = matches!(&self.response, Ok(response) if response.status.is_success());
        if succeeded {
            return None;
        }
        let left = RetryNumber::MAX.saturating_sub(self.retry);
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

    /// Returns the size of the kept part of the response, in bytes.
    pub(super) fn response_size(&self) -> usize {
        let texts = [Some(&self.key), Some(&self.path), self.event.as_ref()];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        let response = match &self.response {
            Ok(response) => {
                let headers = response.headers.iter();
                let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
                headers.sum::<usize>() + response.body.len()
            }
            Err(error) => error.len(),
        };
        texts + response
    }

    /// Returns the output line: the call, its status, its duration and its tokens; and below it, of a failed call,
    /// the problems of its log, and the notes.
    pub(crate) fn line(&self, columns: Columns, problems: &[String], color: bool) -> String {
        let verdict = mark(self.verdict(), color);
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
        let has_failed = self.verdict() == CallVerdict::Failed;
        let problems = problems.iter().filter(|_| has_failed).cloned();
        let consequence = self.consequence().filter(|_| has_failed);
        for note in problems.chain(self.notes()).chain(consequence) {
            // The app and its callers write parts of them.
            line.push_str(&format!("\n{NOTE_INDENT}{}", Foreign(&note)));
        }
        line
    }

    /// Returns notes about the outcome, one per line.
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
            (_, CallVerdict::NeedsSample) => notes.push(format!(
                "verified, but it needs a body: set one with `App::sample_body(\"{key}\", json)`"
            )),
            (Ok(response), CallVerdict::Failed) if !response.body.is_empty() => {
                notes.push(excerpt(&response.text()));
                if response.status == StatusCode::UNPROCESSABLE_ENTITY {
                    notes.push(format!(
                        "to send another body, set one with `App::sample_body(\"{key}\", json)`"
                    ));
                }
            }
            (Ok(response), CallVerdict::Passed) if self.forgery.is_none() => {
                if let Some(error) = reported_error(&response.body) {
                    notes.push(format!("the response reports an error: {error}"));
                }
            }
            _ => {}
        }
        if let Ok(response) = &self.response
            && response.is_cut()
        {
            let (kept, size) = (response.body.len(), response.size);
            notes.push(format!(
                "the response has {size} bytes, of which the first {kept} are kept here"
            ));
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

/// Returns the first part of a long text.
fn excerpt(text: &str) -> String {
    match text.len() > MAX_NOTE {
        true => format!("{}…", &text[..text.floor_char_boundary(MAX_NOTE)]),
        false => text.to_owned(),
    }
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
